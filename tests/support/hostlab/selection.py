"""Tests of other scenarios in one that runs them on hosts of another kind."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest


def select(config: pytest.Config, items: list[pytest.Item], own: Path, chosen: Mapping[str, Sequence[str]]) -> None:
    """Keep of the tests beside those in ``own`` the chosen ones alone, and let the others count as deselected.

    A name that is nowhere any more fails a run of whole files: a test that was renamed must not get lost in silence.
    Where another scenario has chosen tests of this one, it is that one's choice that counts.

    :param chosen: names by file, with all of their parameters, or with some: ``test_x``, ``test_x[one]``.
    """
    if os.environ.get("MOLECULE_SCENARIO_NAME") != own.parent.name:
        return
    keep, leave, missing = [], [], {(file, name) for file, names in chosen.items() for name in names}
    for item in items:
        found = {(item.path.name, name) for name in (item.name, item.name.partition("[")[0])}
        wanted = {(file, name) for file, names in chosen.items() for name in names} & found
        missing -= wanted
        (keep if wanted or own in item.path.parents else leave).append(item)
    given = {item.path.name for item in items}
    lost = sorted(f"{file}::{name}" for file, name in missing if file in given)
    if lost and not any("::" in argument for argument in config.args):
        raise pytest.UsageError(f"no such tests any more: {', '.join(lost)}")
    config.hook.pytest_deselected(items=leave)
    items[:] = keep
