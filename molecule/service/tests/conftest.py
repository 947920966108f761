"""The application of this scenario, on all of its hosts, with ways to go wrong."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hostlab import controller
from hostlab.deployment import Deployment, copy_of_the_app
from hostlab.fixtures import deployment, shops, streams
from hostlab.host import AppOnHost

__all__ = ["alone", "running", "shop", "shops", "streams"]

# Where /var/lib/shop/broken exists, the application does not start; what FAILS says makes a release that never does.
WRONG_WAYS = """
import itertools
import os
import threading
import time
from flask import jsonify, request

print("the application is imported", flush=True)
imported_by = os.getpid()
calls = itertools.count(1)

if os.path.exists("/var/lib/shop/broken"):
    raise RuntimeError("broken by hand")
if os.environ.get("FAILS") in ("always", "as a service" if "NOTIFY_SOCKET" in os.environ else "always"):
    raise RuntimeError("told to fail")

@app.get("/process")
def process():
    return jsonify(pid=os.getpid(), imported_by=imported_by, call=next(calls))

together = {"now": 0, "most": 0}
counting = threading.Lock()

@app.get("/together")
def wait_together():
    with counting:
        together["now"] += 1
        together["most"] = max(together.values())
    time.sleep(float(request.args["seconds"]))
    with counting:
        together["now"] -= 1
    return jsonify(pid=os.getpid(), most=together["most"])

@app.get("/spin")
def spin():
    end = time.monotonic() + float(request.args["seconds"])
    while time.monotonic() < end:
        pass
    return jsonify(pid=os.getpid())

@app.get("/raise")
def fail():
    raise RuntimeError("raised in a request")
"""

LOOK = """
release=$(basename "$(readlink /opt/shop/current)")
main=$(systemctl show --property=MainPID --value "shop@$release.service")
echo "$release" "$main" $(cat "/proc/$main/task/$main/children" 2>/dev/null)
"""


@dataclass(frozen=True)
class Running:
    """What runs of the application on a host."""

    release: str
    main: int
    workers: list[int]


@pytest.fixture(autouse=True)
def starts_are_forgotten(shops):
    """Each test's deaths alone count towards the start limit: several tests may end processes within its minute."""
    controller.on_each(shops, lambda one: one.run("systemctl reset-failed 'shop@*'"))


@pytest.fixture(scope="session")
def running(shops) -> Callable[[], list[Running]]:
    """A function that tells what runs on each host: one command, where AppOnHost has one for each of its properties."""

    def look(one: AppOnHost) -> Running:
        release, main, *workers = one.run("sh -c %s", LOOK).split()
        return Running(release, int(main), [int(worker) for worker in workers])

    return lambda: controller.on_each(shops, look)


@pytest.fixture(scope="session")
def shop(shops, tmp_path_factory) -> Deployment:
    """The application, whose source stays the same for all tests: what they change is its keys."""
    found = deployment(shops, tmp_path_factory.mktemp("shop"))
    # The server gevent has none.
    del found.app["workers"]
    found.add(WRONG_WAYS, "wsgi.py")
    return found


@pytest.fixture(scope="session")
def alone(shop, tmp_path_factory) -> dict[str, object]:
    """Keys for the server gevent, and a source that does without gunicorn."""
    source = copy_of_the_app(tmp_path_factory.mktemp("alone") / "app")
    (source / "wsgi.py").write_bytes((shop.source / "wsgi.py").read_bytes())
    lock = source / "requirements.txt"
    without = re.sub(r"(?m)^gunicorn\b.*\n(?: .*\n)*", "", lock.read_text())
    assert without != lock.read_text()
    lock.write_text(without)
    return {"server": "gevent", "source": str(source)}
