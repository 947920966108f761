"""The application of this scenario, with routes that show what gets to it."""

from __future__ import annotations

import pytest
from hostlab import controller
from hostlab.deployment import Deployment
from hostlab.fixtures import deployment, shops, streams

__all__ = ["serve", "shop", "shops", "streams"]

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

@app.get("/sends")
def sends():
    return Response("ok", headers={"X-Frame-Options": "DENY"})

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

@app.get("/dies")
def dies():
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
def hashed() -> str:
    """The password "secret"."""
    return "$6$salt$egUxKNxDs8kPfh8iPMNcosMhb2eWah6d3R44JDm5Rj/j/XWR5E33QPd0YmHXoDHOIDR6kL5D3JcQcz0O8FHE00"


@pytest.fixture(scope="session")
def shop(shops, tmp_path_factory) -> Deployment:
    """The application, whose source stays the same for all tests: what they change is its keys."""
    found = deployment(shops, tmp_path_factory.mktemp("shop"))
    found.add(ROUTES, "wsgi.py")
    return found


@pytest.fixture(scope="session")
def serve(shop):
    """A function that has the application served with some keys; a run only where the last one was another."""
    last: list[dict[str, object]] = []

    def have(*arguments: str, **keys: object) -> controller.Run | None:
        if last and last[-1] == keys:
            return None
        last.clear()
        run = shop.site(*arguments, **keys)
        last.append(keys)
        return run

    return have
