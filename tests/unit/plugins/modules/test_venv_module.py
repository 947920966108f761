# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import os
import sys
import typing as t
from collections.abc import Callable
from pathlib import Path

import pytest

from ansible_collections.wsgiops.flask.plugins.module_utils import _venv
from ansible_collections.wsgiops.flask.plugins.module_utils._layout import Layout
from ansible_collections.wsgiops.flask.plugins.module_utils._lock import locked
from ansible_collections.wsgiops.flask.tests.unit.plugins.host import hold

Run = Callable[..., dict[str, t.Any]]
TEXTS = {"requirements.txt": "gunicorn\n"}


@pytest.fixture
def arguments(tmp_path: Path, accounts: object) -> dict[str, t.Any]:
    return {"name": "shop", "root": str(tmp_path / "opt"), "source": "shop", "python": sys.executable, "texts": TEXTS}


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Keys of the environments that were built: here of a manifest and two empty files."""
    keys = []

    def build(layout: Layout, key: str, *_rest: t.Any) -> None:
        os.makedirs(os.path.join(layout.venvs, key, "bin"))
        for name in ("bin/python", "bin/gunicorn"):
            Path(layout.venvs, key, name).write_text("")
        Path(layout.venvs, key, _venv.MANIFEST).write_text('{"servers": ["bin/gunicorn"]}')
        keys.append(key)

    monkeypatch.setattr(_venv, "build", build)
    return keys


def test_an_environment_is_built_once(arguments: dict[str, t.Any], run_module: Run, built: list[str]) -> None:
    result = run_module("venv", arguments)
    identity = _venv.interpreter_identity(sys.executable)
    assert result["key"] == _venv.venv_key(identity, TEXTS, "requirements.txt")
    assert result["path"] == f"{arguments['root']}/shop/venvs/{result['key']}"
    assert result["interpreter"] == identity
    assert result["changed"]
    again = run_module("venv", arguments)
    assert (again["changed"], again["key"]) == (False, result["key"])
    assert built == [result["key"]]


def test_check_mode_tells_and_builds_nothing(arguments: dict[str, t.Any], run_module: Run, built: list[str]) -> None:
    said = run_module("venv", arguments, check_mode=True, diff=True)
    assert said["changed"]
    assert said["diff"] == {"before": "", "after": f"virtual environment {said['key']}\n"}
    assert not os.path.exists(arguments["root"])
    run_module("venv", arguments)
    assert not run_module("venv", arguments, check_mode=True)["changed"]


def test_an_interpreter_to_come_is_no_failure_in_check_mode(arguments: dict[str, t.Any], run_module: Run) -> None:
    missing = {**arguments, "python": "python9.9"}
    said = run_module("venv", missing, check_mode=True)
    assert (said["changed"], said["key"]) == (True, None)
    assert "shop: python: 'python9.9' is not on this host; give a command" in run_module("venv", missing)["msg"]


def test_a_build_that_fails_is_a_failure_with_its_words(
    arguments: dict[str, t.Any], run_module: Run, command: Callable[[str, str], Path]
) -> None:
    path = command("strange", f'[ "$1" = -I ] && exec {sys.executable} "$@"; echo no space left; exit 1')
    identity = _venv.interpreter_identity(str(path))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_venv, "interpreter_identity", lambda _python: {**identity, "path": str(path)})
        result = run_module("venv", arguments)
    assert result["failed"]
    assert result["msg"].startswith("shop: making the virtual environment failed")
    assert result["msg"].endswith("no space left")


def test_what_a_run_that_was_waited_for_has_built_is_not_built_again(
    arguments: dict[str, t.Any], run_module: Run, built: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([False, True])
    monkeypatch.setattr(_venv, "is_complete", lambda _layout, _key: next(answers))
    assert run_module("venv", arguments)["changed"]
    assert built == []


def test_another_run_is_told(arguments: dict[str, t.Any], run_module: Run) -> None:
    layout = Layout("shop", arguments["root"])
    os.makedirs(layout.home)
    with locked(layout.lock, "release 0123456789ab", 0):
        result = run_module("venv", arguments)
    assert result["msg"].startswith("shop: locked by another run: process ")


@pytest.mark.parametrize("same", [True, False])
def test_another_run_is_waited_for_when_it_does_the_same_or_that_is_asked_for(
    arguments: dict[str, t.Any], run_module: Run, built: list[str], same: bool
) -> None:
    layout = Layout("shop", arguments["root"])
    os.makedirs(layout.home)
    key = run_module("venv", arguments, check_mode=True)["key"]
    reason = f"building virtual environment {key}" if same else "release 0123456789ab"
    with hold(layout.lock, reason):
        run_module("venv", {**arguments, "lock_wait": 0 if same else 60})
    assert built == [key]
