"""The application of this scenario, with routes that show what gets to it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hostlab import controller, traffic
from hostlab.deployment import Deployment
from hostlab.fixtures import deployment, shops, streams

__all__ = ["has_headers", "serve", "shop", "shops", "streams"]

# As nginx has them by default, and the application sends none.
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
    "Referrer-Policy": "strict-origin-when-cross-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}

ROUTES = """
import os
import signal
import time
from flask import Response, jsonify, request

@app.get("/sees")
def sees():
    return jsonify(
        headers={name.lower(): value for name, value in request.headers.items()},
        client=request.remote_addr,
        scheme=request.scheme,
        host=request.host,
        url=request.url,
    )

@app.post("/takes")
def takes():
    return jsonify(length=len(request.get_data()))

@app.post("/early")
def early():
    return "without a look at the body"

@app.get("/up")
def up():
    return "", 204

@app.get("/sends")
def sends():
    return Response("ok", headers={"X-Frame-Options": "SAMEORIGIN"})

@app.get("/streams")
def streams():
    def pieces():
        yield "first"
        time.sleep(2)
        yield "second"
    return Response(pieces(), mimetype="text/plain")

@app.get("/long")
def long():
    return "long " * 1000

@app.get("/writes")
def writes():
    path = os.path.join(os.environ["STATE_DIRECTORY"], "media", request.args["name"])
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write("written")
    return "ok"

@app.route("/dies", methods=["GET", "POST", "PATCH"])
def dies():
    with open(os.path.join(os.environ["STATE_DIRECTORY"], "deaths"), "a") as file:
        file.write(f"{request.method} {request.query_string.decode()}\\n")
    os.kill(os.getpid(), signal.SIGKILL)

def echo(application):
    def answer(environ, start_response):
        if environ["PATH_INFO"] != "/socket":
            return application(environ, start_response)
        client = environ["gunicorn.socket"]
        client.sendall(b"HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\n\\r\\n")
        client.sendall(b"echo of " + client.recv(100))
        raise StopIteration
    return answer

app.wsgi_app = echo(app.wsgi_app)
"""


@pytest.fixture(scope="session")
def has_headers() -> Callable[..., bool]:
    """Whether an answer has the default headers, but for those that are changed, none of which browsers misuse, and
    does not tell which nginx it is from."""

    def has(answer: traffic.Answer, **changed: str | None) -> bool:
        wanted = {**HEADERS, "X-XSS-Protection": None, "Server": "nginx", **changed}
        return {name: answer.headers.get(name) for name in wanted} == wanted and "nginx/" not in answer.body

    return has


@pytest.fixture(scope="session")
def hashed() -> str:
    """The password "secret"."""
    return "$6$salt$egUxKNxDs8kPfh8iPMNcosMhb2eWah6d3R44JDm5Rj/j/XWR5E33QPd0YmHXoDHOIDR6kL5D3JcQcz0O8FHE00"


@pytest.fixture(scope="session")
def shop(shops, tmp_path_factory) -> Deployment:
    """The application, whose source stays the same for all tests: what they change is its keys."""
    found = deployment(shops, tmp_path_factory.mktemp("shop"))
    found.add(ROUTES, "wsgi.py")
    return found


class Serve:
    """Has the application served with some keys; a run only where the last one was another."""

    def __init__(self, shop: Deployment) -> None:
        self._shop = shop
        self._last: dict[str, object] | None = None

    def __call__(self, *arguments: str, **keys: object) -> controller.Run | None:
        if self._last == keys:
            return None
        self.forget()
        run = self._shop.site(*arguments, **keys)
        self._last = keys
        return run

    def forget(self) -> None:
        """What is there is not what was asked for any more."""
        self._last = None


@pytest.fixture(scope="session")
def serve(shop: Deployment) -> Serve:
    return Serve(shop)
