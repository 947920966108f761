# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import json
import os
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.wsgiops.flask.plugins.module_utils import (
    _drift,
    _task_release,
    _task_release_info,
    _task_release_stage,
    _task_venv,
)
from ansible_collections.wsgiops.flask.plugins.modules import on_host

Options = dict[str, t.Any]
WORKS = {
    "drift": _drift,
    "release": _task_release,
    "release_info": _task_release_info,
    "release_stage": _task_release_stage,
    "venv": _task_venv,
}


def plain(options: Options) -> Options:
    """Of each option its type and what goes with it, in one form for documents and for code."""
    found: Options = {}
    for name, option in options.items():
        nested = option.get("options", option.get("suboptions"))
        found[name] = {
            "type": option["type"],
            "elements": option.get("elements"),
            "required": option.get("required", False),
            "default": option.get("default"),
            "choices": option.get("choices"),
            "options": plain(nested) if nested else None,
        }
    return found


@pytest.fixture(scope="module")
def documented() -> dict[str, Options]:
    """Options by module, as `ansible-doc` has them."""
    names = [f"wsgiops.flask.{name}" for name in [*WORKS, "on_host"]]
    done = subprocess.run(
        [sys.executable, "-m", "ansible", "doc", "--json", *names],
        env={**os.environ, "ANSIBLE_CONFIG": str(Path(__file__).parents[4] / "ansible.cfg")},
        check=True,
        capture_output=True,
        text=True,
    )
    found = json.loads(done.stdout)
    return {name.rsplit(".", 1)[1]: of["doc"]["options"] for name, of in found.items()}


@pytest.mark.parametrize("task", WORKS)
def test_what_is_documented_is_accepted(documented: dict[str, Options], task: str) -> None:
    """Of modules of which the host sees the arguments alone."""
    assert plain(documented[task]) == plain(WORKS[task].OPTIONS)


def test_each_of_them_has_its_work(documented: dict[str, Options]) -> None:
    tasks = documented["on_host"]["task"]["choices"]
    assert {task: on_host._work(task) for task in tasks} == WORKS


@pytest.fixture
def ended(capsys: pytest.CaptureFixture[str], hangup: None) -> t.Callable[..., tuple[str, Options]]:
    """Runs the module; gives its output, and that as a dictionary."""

    def run(task: str, **params: t.Any) -> tuple[str, Options]:
        internal = {"_ansible_check_mode": True, "_ansible_remote_tmp": "/nonexistent"}
        with patch_module_args({"task": task, "params": json.dumps(params), **internal}), pytest.raises(SystemExit):
            on_host.main()
        output = capsys.readouterr().out
        return output, json.loads(output)

    return run


@pytest.mark.parametrize(
    ("task", "params", "said"),
    [
        ("release", {"name": "shop"}, "state is present but all of the following are missing: code"),
        ("release_info", {"name": "shop"}, "missing required arguments: source"),
        ("venv", {"name": "shop", "source": "shop", "pyhton": "python3"}, "pyhton. Supported parameters include: "),
        (
            "venv",
            {"name": "shop", "source": "shop", "installer": "poetry"},
            "value of installer must be one of: auto, pip, uv, got: poetry",
        ),
    ],
)
def test_arguments_are_validated(ended: t.Any, task: str, params: Options, said: str) -> None:
    _output, result = ended(task, **params)
    assert result["failed"]
    assert result["msg"].startswith(f"shop: {task}: ")
    assert said in result["msg"]


def test_what_a_task_was_called_with_is_shown_and_its_secrets_are_not(ended: t.Any, tmp_path: Path) -> None:
    root = str(tmp_path / "opt")
    output, result = ended("release", name="shop", root=root, code="0" * 16, secrets='{"TOKEN": "s3cret"}')
    called = result["invocation"]["module_args"]
    assert (called["name"], called["root"], called["keep_releases"]) == ("shop", root, 5)
    assert called["secrets"] == "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"
    assert "s3cret" not in output
