"""Tests of other scenarios in one that runs them on hosts of another kind."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from hostlab import soak

Names = Mapping[str, Sequence[str]]


def select(
    config: pytest.Config, items: list[pytest.Item], own: Path, ordinary: Names, further: Names | None = None
) -> None:
    """Keep of the tests beside those in ``own`` the chosen ones alone, and let the others count as deselected.

    A name that is nowhere any more fails a run of whole files: a test that was renamed must not get lost in silence.
    Where another scenario has chosen tests of this one, it is that one's choice that counts.

    :param ordinary: names by file, with all of their parameters, or with some: ``test_x``, ``test_x[one]``.
    :param further: those that are chosen with ``script/test --soak`` besides.
    """
    if os.environ.get("MOLECULE_SCENARIO_NAME") != own.parent.name:
        return
    by_file = [ordinary, further or {}] if soak.IS_ON else [ordinary]
    chosen = {(file, name) for names_of in by_file for file, names in names_of.items() for name in names}
    keep, leave, missing = [], [], set(chosen)
    for item in items:
        found = {(item.path.name, name) for name in (item.name, item.name.partition("[")[0])}
        wanted = chosen & found
        missing -= wanted
        (keep if wanted or own in item.path.parents else leave).append(item)
    given = {item.path.name for item in items}
    lost = sorted(f"{file}::{name}" for file, name in missing if file in given)
    if lost and not any("::" in argument for argument in config.args):
        raise pytest.UsageError(f"no such tests any more: {', '.join(lost)}")
    config.hook.pytest_deselected(items=leave)
    items[:] = keep
