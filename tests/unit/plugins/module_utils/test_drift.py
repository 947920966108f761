# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import typing as t
from collections.abc import Callable
from pathlib import Path

import pytest

from ansible_collections.wsgiops.flask.plugins.module_utils import _drift
from ansible_collections.wsgiops.flask.plugins.module_utils._drift import difference
from ansible_collections.wsgiops.flask.plugins.module_utils._task import Task, TaskError

Params = dict[str, t.Any]
Command = Callable[[str, str], Path]
Results = dict[str, t.Any]


def step(task: str, **params: t.Any) -> Params:
    return {"task": task, "params": params}


@pytest.fixture
def results(monkeypatch: pytest.MonkeyPatch) -> Results:
    """What the tasks of an application find, by task, in check mode; and in ``asked``, with which arguments."""
    found: Results = {
        "release_info": {"changed": False, "user_exists": True, "staged": True, "service": "systemd"},
        "venv": {"changed": False, "key": "key-1"},
        "release": {"changed": False, "steps": []},
        "asked": [],
    }

    def performer(name: str) -> Callable[[Task], Params]:
        def perform(task: Task) -> Params:
            assert task.check_mode
            found["asked"].append((name, dict(task.params)))
            if isinstance(found[name], Exception):
                raise found[name]
            return t.cast("Params", found[name])

        return perform

    for name in ("release", "venv"):
        options = {option: {"type": "str"} for option in ("name", "venv")}
        monkeypatch.setitem(_drift._TASKS, name, _drift._checked(performer(name), options))
    monkeypatch.setattr(_drift._task_release_info, "perform", performer("release_info"))
    return found


def application(**release: t.Any) -> list[Params]:
    info = step("release_info", name="shop", source="shop", code="c", expected="systemd")
    return [info, step("venv", name="shop"), step("release", name="shop", **release)]


def test_an_application_that_is_as_wanted(results: Results) -> None:
    assert difference(application()) == ""
    assert [name for name, _params in results["asked"]] == ["release_info", "venv", "release"]
    assert results["asked"][-1][1]["venv"] == "key-1"


def test_an_environment_that_was_given_stays(results: Results) -> None:
    assert difference(application(venv="key-2")) == ""
    assert results["asked"][-1][1]["venv"] == "key-2"


@pytest.mark.parametrize(("task", "change", "said"), [
    ("release_info", {"user_exists": False}, "release_info: there is no user"),
    ("release_info", {"staged": False}, "release_info: other code"),
    ("release_info", {"service": "cron"}, "release_info: cron runs it, not systemd"),
    ("venv", {"changed": True}, "venv: would change"),
    ("release", {"changed": True, "steps": ["install units", "start it"]}, "release: install units; start it"),
])  # fmt: skip
def test_the_first_difference_is_told(results: Results, task: str, change: Params, said: str) -> None:
    results[task].update(change)
    assert difference(application()) == said
    assert results["asked"][-1][0] == task


def test_a_task_that_would_fail_differs(results: Results) -> None:
    results["venv"] = TaskError("shop: no interpreter")
    assert difference(application()) == "venv fails: shop: no interpreter"


def test_a_task_that_has_something_to_say_differs(results: Results, monkeypatch: pytest.MonkeyPatch) -> None:
    def perform(task: Task) -> Params:
        task.warn("network: none is not enforced")
        return {"changed": False}

    monkeypatch.setitem(_drift._TASKS, "release", _drift._checked(perform, {"name": {}, "venv": {}}))
    assert difference(application()) == "release: network: none is not enforced"


@pytest.mark.parametrize(("result", "said"), [
    ({"changed": False}, ""),
    ({"changed": False, "issued": True}, ""),
    ({"changed": False, "issued": False}, "certificate: not issued yet"),
    ({"changed": True, "issued": False}, "certificate: would change"),
])  # fmt: skip
def test_a_certificate_is_there_and_issued(monkeypatch: pytest.MonkeyPatch, result: Params, said: str) -> None:
    monkeypatch.setattr(_drift._task_certificate, "perform", lambda _task: result)
    wanted = step("certificate", name="shop", directory="/etc/nginx", mode="self_signed", domains=["shop.example"])
    assert difference([wanted]) == said


def test_arguments_are_those_of_the_module(tmp_path: Path) -> None:
    files = [{"path": str(tmp_path / "site"), "content": "here\n", "secret": "and there\n"}]
    said = "file_set fails: parameters are mutually exclusive: content|secret found in files"
    assert difference([step("file_set", files=files)]) == said


def test_files_are_compared_and_left(tmp_path: Path, accounts: object) -> None:
    site = tmp_path / "site"
    wanted = step("file_set", files=[{"path": str(site), "content": "here\n"}], check=["false"], apply=["false"])
    assert difference([wanted]) == f"file_set: {site}"
    assert not site.exists()
    site.write_text("here\n")
    site.chmod(0o644)
    assert difference([wanted]) == ""
    site.chmod(0o600)
    assert difference([wanted]) == f"file_set: {site}"


def test_packages_are_installed_or_not(command: Command) -> None:
    command("dpkg-query", "printf 'nginx installed\nlogrotate config-files\n'; exit 1")
    assert difference([step("packages", names=["nginx"])]) == ""
    assert difference([step("packages", names=["nginx", "python3-venv", "logrotate"])]) == (
        "packages: logrotate, python3-venv"
    )


@pytest.mark.parametrize(("active", "enabled", "said"), [
    ("active", "enabled", ""),
    ("failed", "enabled", "unit: ActiveState=active, ActiveState=failed"),
    ("active", "disabled", "unit: UnitFileState=disabled, UnitFileState=enabled"),
])  # fmt: skip
def test_a_unit_runs_now_and_at_boot(command: Command, active: str, enabled: str, said: str) -> None:
    command("systemctl", f"printf 'ActiveState={active}\nUnitFileState={enabled}\n'")
    assert difference([step("unit", name="nginx.service")]) == said


@pytest.mark.parametrize(("script", "said"), [
    ("echo noise >&2", ""),
    ("echo nginx does not run", "command: nginx does not run"),
    ("exit 3", "command: exit status 3"),
])  # fmt: skip
def test_a_command_has_nothing_to_say(script: str, said: str) -> None:
    assert difference([step("command", argv=["sh", "-c", script])]) == said


def test_a_host_without_the_command_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    said = "packages fails: dpkg-query: No such file or directory"
    assert difference([step("packages", names=["nginx"])]) == said
