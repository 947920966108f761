"""The application of this scenario, on all of its hosts, as it is before each test: up, and nothing held against it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hostlab import controller, selection
from hostlab.fixtures import DOMAIN, deployment, shops, streams

__all__ = ["shops", "streams"]

CHOSEN = {"test_rotation.py": ["test_renaming_loses_no_line", "test_copying_loses_few_lines"]}


def pytest_collection_modifyitems(config, items):
    selection.select(config, items, Path(__file__).parent, CHOSEN)


@pytest.fixture(scope="module")
def shop(shops, tmp_path_factory):
    """One source for the tests of a module: a deploy that asks for what is there is none."""
    found = deployment(shops, tmp_path_factory.mktemp("shop"))
    found.app["domains"] = [DOMAIN]
    return found


@pytest.fixture
def served(shop, shops):
    """The application as it is, up; a start by hand forgets what came before, failed ones and a stop."""
    shop.have()
    controller.on_each(shops, lambda one: one.run(f"{one.manager.control} start"))
    return shop


@pytest.fixture
def without_cron(shops):
    """What happens is what the test does: cron is there, as a deploy wants it, and does not look in between."""
    # A look that is under way ends first.
    for one in shops:
        one.run("sh -c %s", "kill -STOP $(cat /run/crond.pid); while pgrep --full '[c]ron-check'; do sleep 0.1; done")
    yield
    for one in shops:
        one.run("sh -c %s", "kill -CONT $(cat /run/crond.pid)")
