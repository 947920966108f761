"""Fixtures of the scenarios whose tests run over all of their hosts at once."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hostlab import controller, traffic
from hostlab.deployment import Deployment, copy_of_the_app
from hostlab.host import AppOnHost, app_on

DOMAIN = "shop.example.com"
Streams = Callable[..., contextlib.AbstractContextManager[list[traffic.Traffic]]]


@pytest.fixture(scope="session")
def shops() -> list[AppOnHost]:
    """The application shop on each host of the scenario."""
    return [app_on(name, "shop") for name in controller.instances()]


def deployment(shops: list[AppOnHost], directory: Path) -> Deployment:
    """The application shop, with a source in ``directory`` that a test may change."""
    app = {
        "name": "shop",
        "source": str(copy_of_the_app(directory / "app")),
        "wsgi": "wsgi:app",
        "domains": [DOMAIN],
        "workers": 4,
    }
    return Deployment(app, [one.inventory_name for one in shops], directory / "runs")


@pytest.fixture
def shop(shops: list[AppOnHost], tmp_path: Path) -> Deployment:
    """The application as it is, for one test."""
    return deployment(shops, tmp_path)


@pytest.fixture(scope="module")
def deployed(shops: list[AppOnHost], tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    """The application as it is, deployed, for tests that renew its source and find some release of it in service."""
    found = deployment(shops, tmp_path_factory.mktemp("deployed"))
    found.deploy()
    return found


@pytest.fixture(scope="session")
def streams(shops: list[AppOnHost]) -> Streams:
    """Traffic to all hosts at once."""

    @contextlib.contextmanager
    def start(
        path: str = "/whoami", rate: float = 15.0, seconds: float = 120.0, **options: Any
    ) -> Iterator[list[traffic.Traffic]]:
        with contextlib.ExitStack() as stack:
            yield [stack.enter_context(one.traffic(path, rate=rate, seconds=seconds, **options)) for one in shops]

    return start


def assert_none_failed(streams: list[traffic.Traffic]) -> None:
    for stream in streams:
        assert stream.outcomes
        assert stream.failures == [], stream.explain()
