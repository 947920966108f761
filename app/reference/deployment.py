"""What the application knows of its deployment and of the request at hand."""

from __future__ import annotations

import os
import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from flask import current_app, request

from reference.logs import request_id


def facts() -> dict[str, object]:
    """Return the facts, ready for JSON. `release_label` is None for a release without one, `client` where no trusted
    proxy names it: a unix socket has no peer address."""
    return {
        "release": current_app.config["RELEASE"],
        "release_label": current_app.config["RELEASE_LABEL"],
        "worker_class": current_app.config["WORKER_CLASS"],
        "pid": os.getpid(),
        "server": request.environ.get("SERVER_SOFTWARE"),
        "versions": {
            "python": platform.python_version(),
            "flask": installed("flask"),
            "gunicorn": installed("gunicorn"),
        },
        "client": request.remote_addr or None,
        "scheme": request.scheme,
        "host": request.host,
        "request_id": request_id(),
        "script_name": request.environ.get("SCRIPT_NAME", ""),
        "forwarded": forwarded(),
    }


def forwarded() -> dict[str, str]:
    """Return the headers by which proxies (and forgers) say where a request comes from, as they arrived."""
    others = {"forwarded", "script-name", "x-real-ip"}
    return {
        name: value
        for name, value in request.headers.items()
        if name.lower().startswith("x-forwarded-") or name.lower() in others
    }


@cache
def installed(package: str) -> str | None:
    """Return the installed version of `package`, None if there is none."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
