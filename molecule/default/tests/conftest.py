"""The application of this scenario, on each of its hosts."""

from __future__ import annotations

import pytest
from hostlab.host import AppOnHost


@pytest.fixture
def shop(host):
    return AppOnHost(host, "shop")
