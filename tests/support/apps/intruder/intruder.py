"""An application that tries what the sandbox of its service is to forbid. For tests alone: it does what it is told."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import psycopg
from flask import Flask, Response, abort, jsonify, request

ATTEMPTS = Path(__file__).with_name("attempts.py")

app = Flask(__name__)

# A release that fails, for tests of what is told then.
if "INTRUDER_BREAKS" in os.environ:
    raise RuntimeError("this release is broken")


def note_import() -> None:
    """Tell in what service the application is imported, and what the service allows it."""
    with open("/proc/self/cgroup") as groups:
        service = groups.read().strip().rsplit("/", 1)[-1]
    with open(os.environ["INTRUDER_NOTES"], "a") as notes:
        notes.write(f"{service} {resource.getrlimit(resource.RLIMIT_NOFILE)[1]}\n")


if "INTRUDER_NOTES" in os.environ:
    note_import()


@app.get("/ready")
def ready() -> Response:
    return jsonify(status="ok", libpq=psycopg.pq.version(), pid=os.getpid())


@app.get("/attempts")
def attempts() -> Response:
    """Make the attempts that the query names, ``?try=read=/etc/shadow&try=...``."""
    command = [sys.executable, str(ATTEMPTS), *request.args.getlist("try")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    if done.returncode:
        abort(Response(done.stderr, 500))
    return Response(done.stdout, mimetype="application/json")


@app.get("/environment")
def environment() -> Response:
    """The variables that the query names, ``?name=A&name=B``."""
    return jsonify({name: os.environ.get(name) for name in request.args.getlist("name")})


@app.get("/hog")
def hog() -> Response:
    """Use memory, and hold it for the length of the answer."""
    held = bytearray(int(request.args["megabytes"]) << 20)
    held[:: resource.getpagesize()] = b"x" * len(held[:: resource.getpagesize()])
    return jsonify(held=len(held))
