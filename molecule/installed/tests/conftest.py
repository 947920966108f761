"""What of README is tried where."""

from __future__ import annotations

from hostlab import soak


def pytest_collection_modifyitems(config, items):
    soak.on_one_host(config, items, lambda item: True)
