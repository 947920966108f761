"""Releases that can't serve: each is refused, says why, and costs no request."""

from __future__ import annotations

import re

import pytest
from hostlab import controller, soak
from hostlab.fixtures import assert_none_failed

DIES_AS_A_SERVICE = "import sys\nif '--check-config' not in sys.argv: raise RuntimeError('not as a service')"
READY_HANGS = """
import time
from flask import request
@app.before_request
def hang():
    if request.path == "/ready":
        time.sleep(3600)
"""
CRASHES_ONCE_READY = """
import os, threading
from flask import request
@app.after_request
def crash(response):
    if request.path == "/ready":
        threading.Timer(0.4, os._exit, (7,)).start()
    return response
"""
PORT = 9099
BINDS_A_PORT = f"import socket\nlistening = socket.create_server(('127.0.0.1', {PORT}))"

# Seconds for those that only time tells from slow ones: enough for the start of an application on a busy host.
PATIENCE = 8
IN_TIME = f"not ready within {PATIENCE} s (health.timeout): "
NO_ROUTE = "status 404 where 204 means ready; the application has no such route; name the one it has in health.ready"

# What is added to which file, changed keys, the phase (empty: before the road), words of the error.
BAD = {
    "syntax error": ("wsgi.py", "def (", {}, "check", "SyntaxError: invalid syntax"),
    "missing module": ("wsgi.py", "import nothing_here", {}, "check", "No module named 'nothing_here'"),
    "missing attribute": ("wsgi.py", "globals()", {"wsgi": "wsgi:nope"}, "check", "find attribute 'nope' in 'wsgi'"),
    "exception at import": ("wsgi.py", "raise OSError('no licence')", {}, "check", "OSError: no licence"),
    "dies as a service": ("wsgi.py", DIES_AS_A_SERVICE, {}, "start", "RuntimeError: not as a service"),
    "port in use": ("wsgi.py", BINDS_A_PORT, {}, "check", "Address already in use"),
    "unknown setting": (
        "wsgi.py",
        "",
        {"gunicorn_settings": {"keepaliv": 9}},
        "check",
        "did you mean keepalive?",
    ),
    "wrong setting": ("wsgi.py", "", {"gunicorn_settings": {"keepalive": "many"}}, "check", "many"),
    "not ready": (
        "wsgi.py",
        "",
        {"env": {"FLASK_DATABASE": "/nowhere/x"}},
        "ready",
        f"{IN_TIME}GET /ready was answered with status 503",
    ),
    "readiness hangs": ("wsgi.py", READY_HANGS, {}, "ready", f"{IN_TIME}no answer to GET /ready: none within"),
    "no such route": ("wsgi.py", "", {"health": {"ready": "/up", "status": 204}}, "ready", NO_ROUTE),
    "untrusted host": ("wsgi.py", "", {"env": {"FLASK_TRUSTED_HOSTS": "other.example.com"}}, "ready", "(health.host)?"),
    "wrong body": ("wsgi.py", "", {"health": {"body": "database.: .down"}}, "ready", "(health.body)"),
    "too slow": ("wsgi.py", "", {"health": {"ready": "/test", "latency": 0.05}}, "ready", "0.05 s are allowed"),
    "crashes once ready": (
        "wsgi.py",
        CRASHES_ONCE_READY,
        {"health": {"settle": 2}},
        "settle",
        "within 2 s (health.settle) of being ready",
    ),
    "unreadable requirement": ("requirements.txt", "flask==not.a version", {}, "", "requirements.txt"),
    "hash mismatch": ("requirements.txt", "packaging==24.2 --hash=sha256:" + "0" * 64, {}, "", "hash"),
    "not a package": ("requirements.txt", "wsgiops-no-such==1 --hash=sha256:" + "0" * 64, {}, "", "wsgiops-no-such"),
    "interpreter is not there": ("wsgi.py", "", {"python": "python3.7"}, "", "'python3.7' is not on this host"),
    "no interpreter": ("wsgi.py", "", {"python": "/usr/bin/perl"}, "", "python: '/usr/bin/perl'"),
}


@pytest.fixture(scope="module", autouse=True)
def other_service(shops):
    """Something that listens where one of the releases wants to."""
    daemon = "start-stop-daemon --pidfile /run/other.pid"
    what = f"--chuid nobody --chdir /srv --exec /usr/bin/python3 -- -m http.server {PORT} --bind 127.0.0.1"
    for one in shops:
        one.as_root(f"{daemon} --start --background --make-pidfile {what}")
    yield
    for one in shops:
        one.as_root(f"{daemon} --stop --remove-pidfile")


def time_to_error():
    """Seconds in which a process that can't live has to be told from a slow one, from its start to the error.

    A machine that is busy with other scenarios takes longer for everything: there it has to be well before the 30 s of
    health.timeout.
    """
    return 15.0 if controller.is_busy() else 5.0


def look(one):
    """What a refused release must not change."""
    home = one.places.home
    listing = one.run("ls -A %s %s %s %s", home, f"{home}/releases", f"{home}/venvs", one.places.run)
    return one.release, one.master, listing, one.manager.there(), one.manager.definition(one.release)


# What fails the same way as another one of them.
FURTHER = ("missing module", "wrong setting", "untrusted host", "not a package", "no interpreter")


@pytest.mark.parametrize("fault", [pytest.param(fault, marks=soak.only if fault in FURTHER else ()) for fault in BAD])
def test_a_bad_release_is_refused(deployed, shops, streams, fault):
    file, line, keys, phase, words = BAD[fault]
    deployed.renew()
    before = [look(one) for one in shops]
    deployed.add(line, file)
    patience = {"timeout": PATIENCE} if phase == "ready" and fault != "no such route" else {}
    with streams() as quick:
        run = deployed.deploy(check=False, **{**keys, "health": {**keys.get("health", {}), **patience}})
    assert_none_failed(quick)
    for one, (release, *_) in zip(shops, before, strict=True):
        error = run.error(one.inventory_name)
        assert words in error
        if phase:
            seconds = re.search(rf"failed in phase {phase} after ([\d.]+) s: ", error)
            assert seconds, error
            assert f"release {release} still serves" in error
            if phase in ("check", "start"):
                assert float(seconds[1]) <= time_to_error(), error
            last = one.history()[-1]
            assert last["event"] == "refused"
            assert last["reason"] in error
    assert [look(one) for one in shops] == before


def test_a_missing_attribute_is_found_before_any_host_is_touched(shop):
    run = shop.deploy(wsgi="wsgi:nope", check=False)
    assert "wsgi 'wsgi:nope': 'wsgi.py' defines no 'nope'" in run.output
    assert set(run.changed.values()) == {0}
