# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import os
import typing as t
from collections.abc import Callable
from pathlib import Path

import pytest

from ansible_collections.wsgiops.flask.plugins.module_utils._layout import Layout
from ansible_collections.wsgiops.flask.plugins.module_utils._lock import locked
from ansible_collections.wsgiops.flask.plugins.module_utils._stage import is_staged
from ansible_collections.wsgiops.flask.plugins.module_utils._tree import tree_digest
from ansible_collections.wsgiops.flask.plugins.plugin_utils._source import list_source, write_archive
from ansible_collections.wsgiops.flask.tests.unit.plugins.host import hold

Run = Callable[..., dict[str, t.Any]]


@pytest.fixture
def arguments(tmp_path: Path, accounts: object) -> dict[str, t.Any]:
    root = tmp_path / "source"
    root.mkdir()
    (root / "shop.py").write_text("app = 1\n")
    entries = list_source(root)
    write_archive(root, entries, tmp_path / "code.tar.gz")
    return {
        "name": "shop",
        "root": str(tmp_path / "opt"),
        "source": str(root),
        "code": tree_digest(entries),
        "archive": str(tmp_path / "code.tar.gz"),
    }


def test_code_is_staged_on_a_virgin_host(arguments: dict[str, t.Any], run_module: Run) -> None:
    result = run_module("release_stage", arguments, diff=True)
    assert (result["changed"], result["code"]) == (True, arguments["code"])
    assert result["diff"] == {"before": "", "after": f"code {arguments['code']}\n"}
    assert is_staged(Layout("shop", arguments["root"]), arguments["code"])


def test_other_code_than_announced_is_a_failure(arguments: dict[str, t.Any], run_module: Run) -> None:
    result = run_module("release_stage", {**arguments, "code": "0" * 16})
    assert result["failed"]
    assert result["msg"].startswith("shop: staging the code failed: the archive holds code ")
    assert os.listdir(Layout("shop", arguments["root"]).code_store) == []


def test_another_run_is_told(arguments: dict[str, t.Any], run_module: Run) -> None:
    layout = Layout("shop", arguments["root"])
    os.makedirs(layout.home)
    with locked(layout.lock, "release 0123456789ab", 0):
        result = run_module("release_stage", arguments)
    assert "shop: staging the code failed: locked by another run: process" in result["msg"]
    assert not os.path.exists(layout.code_store)


def test_another_run_is_waited_for_when_that_is_asked_for(arguments: dict[str, t.Any], run_module: Run) -> None:
    layout = Layout("shop", arguments["root"])
    os.makedirs(layout.home)
    with hold(layout.lock, "release 0123456789ab"):
        result = run_module("release_stage", {**arguments, "lock_wait": 60})
    assert is_staged(layout, result["code"])


def test_what_a_run_that_was_waited_for_has_staged_stays(arguments: dict[str, t.Any], run_module: Run) -> None:
    """What serves may run from it by now."""
    layout = Layout("shop", arguments["root"])
    run_module("release_stage", arguments)
    before = os.stat(os.path.join(layout.code_store, arguments["code"]))
    with hold(layout.lock, "staging code " + arguments["code"]):
        assert run_module("release_stage", arguments)["changed"]
    assert os.stat(os.path.join(layout.code_store, arguments["code"])).st_ino == before.st_ino
