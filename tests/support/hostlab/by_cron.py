"""Fixtures of the scenarios on whose hosts cron keeps the application running, root's or an ordinary user's."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hostlab import controller
from hostlab.deployment import Deployment
from hostlab.fixtures import deployment
from hostlab.host import AppOnHost

# Faults that a file in the application's directory for data switches on at its next start, without a deploy.
# Broken, it does not start. Deaf, it leaves children that do not hear SIGTERM: one in its group, and one that left it.
SWITCHES = """
import os, subprocess, sys

if "--check-config" not in sys.argv:
    switches = set(os.listdir(os.environ["STATE_DIRECTORY"]))
    if "broken" in switches:
        raise RuntimeError("broken")
    if "deaf" in switches:
        deaf = ["sh", "-c", "trap '' TERM HUP; while :; do sleep 1; done"]
        subprocess.Popen(deaf)
        subprocess.Popen(deaf, start_new_session=True)
"""

# Restarts come to a limit soon, and the rest after it is over soon.
REST = 20
KEYS = {
    "restart": {"burst": 3, "interval": 120, "delay": 0.5, "cooldown": REST},
    "graceful_timeout": 10,
    "limits": {"open_files": 5000},
}


@pytest.fixture(scope="session")
def shop(shops: list[AppOnHost], tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    """One source for all tests: a deploy that asks for what is there is none."""
    found = deployment(shops, tmp_path_factory.mktemp("shop"))
    found.app.update(KEYS)
    found.add(SWITCHES, "wsgi.py")
    return found


@pytest.fixture
def served(shop: Deployment, shops: list[AppOnHost]) -> Deployment:
    """The application as it is, up; a start by hand forgets what came before, failed ones and a stop."""

    def up(one: AppOnHost) -> None:
        one.run("rm -f %s %s", f"{one.places.state}/broken", f"{one.places.state}/deaf")
        one.run(f"{one.manager.control} start")

    shop.have()
    controller.on_each(shops, up)
    return shop


@pytest.fixture
def without_cron(shops: list[AppOnHost]) -> Iterator[None]:
    """What happens is what the test does: cron is there, as a deploy wants it, and does not look in between."""
    # A look that is under way ends first.
    stop = "kill -STOP $(cat /run/crond.pid); while pgrep --full '[c]ron-check'; do sleep 0.1; done >&2"
    controller.on_each(shops, lambda one: one.as_root(stop))
    yield
    controller.on_each(shops, lambda one: one.as_root("kill -CONT $(cat /run/crond.pid)"))


def ctl(one: AppOnHost, *arguments: str) -> str:
    """Run a command of app_ctl.sh, which has to succeed; returns what it said."""
    status, said = one.manager.ctl(*arguments)
    assert status == 0, f"{arguments}: {said}\n{one.manager.log()}"
    return said


def switch(one: AppOnHost, fault: str) -> None:
    one.run("touch %s", f"{one.places.state}/{fault}")


def as_cron_does(one: AppOnHost, when: str) -> None:
    """Run at once the lines of the user's crontab that begin with a time, with the variables that cron gives them."""
    lines = f"crontab -l | sed -n 's/^{when.replace('*', '[*]')} //p'"
    assert one.run("sh -c %s", lines) != ""
    one.run("sh -c %s", f"{lines} | env -i HOME=$HOME LOGNAME=$USER SHELL=/bin/sh PATH=/usr/bin:/bin sh")
