"""Applications of this scenario, which write down every request that gets to them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hostlab import controller
from hostlab.deployment import Deployment
from hostlab.fixtures import deployment, shops
from hostlab.host import AppOnHost

__all__ = ["app", "believed_address", "kind_keys", "seen", "serve", "shop", "shops", "sites"]

# Kinds of sites that hand requests on, each by an application of its name.
TLS = {"mode": "self_signed"}
KINDS = {
    "plain": {},
    "pathed": {"prefix": "/shop", "tls": TLS},
    "trusting": {},
    "open": {"buffering": False, "websockets": True, "domains": ["open.example.com", "*.open.example.com"]},
    "tls": {
        "tls": {**TLS, "http3": True},
        "nginx_server_extra": "location /own/ { proxy_pass http://unix:/opt/tls/current/socket:/audit/; }",
    },
}

ROUTES = """
import json, os
from flask import request

@app.before_request
def record():
    if request.path == "/ready":
        return
    seen = {
        "raw": request.environ.get("RAW_URI"),
        "path": request.path,
        "script": request.script_root,
        "method": request.method,
        "client": request.remote_addr,
        "scheme": request.scheme,
        "host": request.host,
        "url": request.url,
        "headers": [[name.lower(), value] for name, value in request.headers.items()],
        # What follows on a connection that becomes another one is no body, and has no end.
        "body": "" if "Upgrade" in request.headers else request.get_data().decode("latin-1"),
    }
    with open(os.path.join(os.environ["STATE_DIRECTORY"], "seen"), "a") as opened:
        opened.write(json.dumps(seen) + "\\n")

@app.route("/audit/<path:rest>", methods=["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def audit(rest):
    return "seen"
"""


@pytest.fixture(scope="session")
def shop(shops, tmp_path_factory) -> Deployment:
    """The application shop, whose source stays the same for all tests: what they change is its keys."""
    found = deployment(shops, tmp_path_factory.mktemp("shop"))
    found.add(ROUTES, "wsgi.py")
    return found


@pytest.fixture(scope="session")
def app(shop) -> Callable[..., dict[str, Any]]:
    """A function that gives an entry of flask_apps of the same source."""

    def entry(name: str, **keys: Any) -> dict[str, Any]:
        common = {key: value for key, value in shop.app.items() if key != "workers"}
        return {**common, "name": name, "domains": [f"{name}.example.com"], **keys}

    return entry


@pytest.fixture(scope="session")
def serve(shop) -> Callable[..., controller.Run]:
    """A function that runs site.yml for applications; those of the run before that are not among them go."""
    last: list[str] = []

    def run(apps: list[dict[str, Any]], *arguments: str, check: bool = True) -> controller.Run:
        names = {str(one["name"]) for one in apps}
        gone = [{"name": name, "state": "absent"} for name in last if name not in names]
        chosen = shop.directory / f"all-{len(list(shop.directory.iterdir()))}.json"
        chosen.write_text(json.dumps({"flask_apps": [*gone, *apps]}))
        done = controller.playbook("-v", "-e", f"@{chosen}", *arguments, check=check)
        if done.status == 0:
            last[:] = sorted(names)
        return done

    shop.directory.mkdir(parents=True, exist_ok=True)
    return run


@pytest.fixture(scope="session")
def believed_address(shops) -> dict[str, str]:
    """The address from which the tests' requests come, by host."""
    of_login = "ss --no-header --tcp state established sport = :22 | awk '{print $NF}' | head -n 1"
    return {one.inventory_name: one.run("sh -c %s", of_login).rsplit(":", 1)[0] for one in shops}


@pytest.fixture(scope="session")
def kind_keys() -> dict[str, dict[str, Any]]:
    return KINDS


@pytest.fixture(scope="session")
def sites(app, believed_address) -> Callable[..., list[dict[str, Any]]]:
    """A function that gives an application of each kind, with keys of their server, and further ones by name."""
    trusted = sorted(set(believed_address.values()))

    def entries(server: dict[str, Any], **more: dict[str, Any]) -> list[dict[str, Any]]:
        # An upgraded connection would take a sync worker.
        upgrading = {"worker_class": "gthread"} if server.get("worker_class") == "sync" else {}
        special = {"trusting": {"trusted_proxies": trusted}, "open": upgrading}
        return [
            app(name, **{**keys, **server, **special.get(name, {}), **more.get(name, {})})
            for name, keys in KINDS.items()
        ]

    return entries


@pytest.fixture(scope="session")
def seen() -> Callable[..., list[dict[str, Any]]]:
    """A function that gives every request that got to an application since the last call."""

    def read(one: AppOnHost, name: str) -> list[dict[str, Any]]:
        path = f"/var/lib/{name}/seen"
        text = one.run("sh -c %s", f"if [ -e {path} ]; then cat {path}; rm {path}; fi")
        return [json.loads(line) for line in text.splitlines()]

    return read
