"""The two applications of this scenario, on each of its hosts."""

from __future__ import annotations

import pytest
from hostlab import soak
from hostlab.host import AppOnHost


@pytest.fixture
def shop(host):
    return AppOnHost(host, "shop")


@pytest.fixture
def desk(host):
    return AppOnHost(host, "desk")


def pytest_collection_modifyitems(config, items):
    # Of those that run a playbook.
    soak.on_one_host(config, items, lambda item: "tmp_path" in item.fixturenames)
