"""What `script/test --soak` has beyond the ordinary run."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

IS_ON = bool(os.environ.get("WSGIOPS_SOAK"))

# For a further way through code that other tests go through, too.
only = pytest.mark.skipif(not IS_ON, reason="with script/test --soak")


def on_one_host(config: pytest.Config, items: list[pytest.Item], chosen: Callable[[pytest.Item], bool]) -> None:
    """Have of tests that are there for each host each on one host alone, by turns; with --soak on all.

    :param chosen: which tests this is about.
    """
    if IS_ON:
        return
    turns: dict[str, list[pytest.Item]] = {}
    for item in filter(chosen, items):
        params = dict(item.callspec.params)  # type: ignore[attr-defined]
        del params["_testinfra_host"]
        turns.setdefault(f"{item.path}::{item.originalname} {params}", []).append(item)  # type: ignore[attr-defined]
    leave = [
        item for turn, group in enumerate(turns.values()) for at, item in enumerate(group) if at != turn % len(group)
    ]
    config.hook.pytest_deselected(items=leave)
    items[:] = [item for item in items if item not in leave]
