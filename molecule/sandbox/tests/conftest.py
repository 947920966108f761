"""The intruder on all hosts of this scenario, and its attempts from inside and from outside of the sandbox."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from urllib.parse import urlencode

import pytest
from hostlab.controller import CHECKOUT
from hostlab.deployment import Deployment
from hostlab.fixtures import shops
from hostlab.host import AppOnHost

__all__ = ["shops"]

# Attempts of one request: gunicorn takes request lines of 4094 characters (limit_request_line).
BATCH = 25


class Outcomes(dict[str, str]):
    """Why each attempt failed, an empty text for one that succeeded."""

    @property
    def succeeded(self) -> list[str]:
        return [attempt for attempt, why in self.items() if not why]

    @property
    def failed(self) -> dict[str, str]:
        return {attempt: why for attempt, why in self.items() if why}


@pytest.fixture(scope="session")
def intruders(shops: list[AppOnHost]) -> list[AppOnHost]:
    """The intruder on each host of the scenario."""
    return [AppOnHost(shop.host, "intruder") for shop in shops]


@pytest.fixture(scope="session")
def intruder(intruders: list[AppOnHost], tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    """The intruder as the scenario has it, to be deployed with other keys."""
    app = {
        "name": "intruder",
        "source": str(CHECKOUT / "tests/support/apps/intruder"),
        "wsgi": "intruder:app",
        "domains": ["intruder.example.com"],
        "worker_class": "gevent",
        "workers": 2,
    }
    return Deployment(app, [one.inventory_name for one in intruders], tmp_path_factory.mktemp("intruder") / "runs")


@pytest.fixture(scope="session")
def inside() -> Callable[..., Outcomes]:
    """Have the application make attempts."""

    def make(one: AppOnHost, *attempts: str) -> Outcomes:
        found = Outcomes()
        for start in range(0, len(attempts), BATCH):
            query = urlencode([("try", attempt) for attempt in attempts[start : start + BATCH]])
            answer = one.get(f"/attempts?{query}")
            assert answer.status == 200, f"{answer.body}\n{one.manager.log()}"
            found |= answer.json()
        return found

    return make


@pytest.fixture(scope="session")
def outside() -> Callable[..., Outcomes]:
    """Make attempts on the host as a user."""

    def make(one: AppOnHost, user: str, *attempts: str) -> Outcomes:
        command = ["/opt/intruder/current/venv/bin/python", "/opt/intruder/current/code/attempts.py", *attempts]
        return Outcomes(json.loads(one.run("runuser -u %s -- sh -c %s", user, shlex.join(command))))

    return make
