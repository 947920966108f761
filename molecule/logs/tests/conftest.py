"""The application of this scenario, on all of its hosts."""

from __future__ import annotations

import pytest
from hostlab.fixtures import DOMAIN, deployment, shops, streams

__all__ = ["shop", "shops", "streams"]


@pytest.fixture
def shop(shops, tmp_path):
    """As it is, for one test, under the names that the scenario gives it."""
    found = deployment(shops, tmp_path)
    found.app["domains"] = [DOMAIN, f"*.{DOMAIN}"]
    return found
