"""The application of this scenario, on all of its hosts, as it is before each test: up, and nothing held against it."""

from __future__ import annotations

from pathlib import Path

from hostlab import selection
from hostlab.by_cron import served, shop, without_cron
from hostlab.fixtures import shops, streams

__all__ = ["served", "shop", "shops", "streams", "without_cron"]

CHOSEN = {"test_rotation.py": ["test_renaming_loses_no_line"]}
# What logrotate does by itself is the same on any host.
SOAK = {"test_rotation.py": ["test_copying_loses_few_lines"]}


def pytest_collection_modifyitems(config, items):
    selection.select(config, items, Path(__file__).parent, CHOSEN, SOAK)
