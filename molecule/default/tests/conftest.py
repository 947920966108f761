"""The application of this scenario, on each of its hosts."""

from __future__ import annotations

import pytest
from hostlab import soak
from hostlab.host import AppOnHost


@pytest.fixture
def shop(host):
    return AppOnHost(host, "shop")


def pytest_collection_modifyitems(config, items):
    # What changes a host, and what is run for one alone.
    soak.on_one_host(config, items, lambda item: item.path.name in ("test_survival.py", "test_runs.py"))
