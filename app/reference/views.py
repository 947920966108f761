"""The routes."""

from __future__ import annotations

import os
import time

from flask import Blueprint, Response, current_app, jsonify, render_template, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import BadRequest

from reference import deployment, readiness
from reference.errors import as_json

MAX_SLEEP = 30.0  # seconds

pages = Blueprint("pages", __name__)


@pages.after_request
def forbid_caching(response: Response) -> Response:
    """Keep caches from storing any of this: every answer is about one request."""
    response.cache_control.no_store = True
    return response


@pages.get("/")
def index() -> str:
    """Show a person what the application knows of its deployment."""
    return render_template("index.html", facts=deployment.facts())


@pages.get("/whoami")
def whoami() -> Response:
    """Tell a program the same."""
    return jsonify(deployment.facts())


@pages.get("/health")
def health() -> Response:
    """Liveness: the process answers. Touches nothing, as a restart mends no database."""
    return jsonify(status="ok")


@pages.get("/ready")
def ready() -> ResponseReturnValue:
    """Readiness: 200 if every dependency works, otherwise 503 and which does not, and why."""
    checks = readiness.check()
    ok = not any(checks.values())
    answer = jsonify(
        status="ok" if ok else "unavailable",
        checks={name: reason or "ok" for name, reason in checks.items()},
    )
    return answer, 200 if ok else 503


@pages.get("/test")
def test() -> Response:
    """Wait 0.1 s, as an application does that asks its database: the route for load tests."""
    time.sleep(0.1)
    return Response("ok", mimetype="text/plain")


@pages.route("/slow", methods=["GET", "POST"])
def slow() -> ResponseReturnValue:
    """Wait `seconds`, then tell which release and process waited: the route for tests of draining and timeouts.

    POST is for those that have it cut: nginx may ask a GET once more.
    """
    given = request.args.get("seconds", "")
    try:
        seconds = float(given)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= MAX_SLEEP:  # not a number (nan) is not in the range either
        return as_json(BadRequest(f"seconds is {given!r}: accepted is a number from 0 to {MAX_SLEEP:g}."))
    time.sleep(seconds)
    current_app.logger.info("waited %g s", seconds)
    return jsonify(slept=seconds, release=current_app.config["RELEASE"], pid=os.getpid())
