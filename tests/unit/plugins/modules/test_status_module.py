# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import typing as t
from collections.abc import Callable
from pathlib import Path

import pytest

from ansible_collections.wsgiops.flask.plugins.module_utils._service import ServiceError
from ansible_collections.wsgiops.flask.plugins.modules import status
from ansible_collections.wsgiops.flask.tests.unit.plugins.host import Host, HostLayout

Run = Callable[..., dict[str, t.Any]]


@pytest.fixture
def look(host: Host, run_module: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the module on the host."""
    monkeypatch.setattr(status, "Layout", HostLayout)
    monkeypatch.setattr(status, "Services", lambda layout: host.service)

    def run(check_mode: bool = False) -> dict[str, t.Any]:
        return run_module(status, {"name": "shop", "root": host.layout.root}, check_mode)

    return run


@pytest.mark.parametrize("check_mode", [True, False])
def test_the_state_is_told_and_nothing_changed(host: Host, look: Run, check_mode: bool) -> None:
    release = host.release(label="v1.2", logs_to="files")
    host.deploy(release)
    before, acts = host.snapshot(), list(host.service.acts)
    result = look(check_mode)
    assert (host.snapshot(), host.service.acts) == (before, acts)
    assert set(result) == {"changed", "status", "well"}
    assert (result["changed"], result["well"]) == (False, True)
    found = result["status"]
    assert set(found) == {
        "application",
        "state",
        "reason",
        "release",
        "label",
        "started",
        "restarts",
        "workers",
        "memory",
        "retry",
        "last_event",
        "logs",
    }
    assert (found["application"], found["state"], found["reason"]) == ("shop", "serving", "")
    assert (found["release"], found["label"], found["workers"]) == (release.id, "v1.2", 2)
    assert found["last_event"]["event"] == "activated"
    assert found["logs"] == f"cat {host.layout.error_log}"


@pytest.mark.parametrize(
    ("reported", "state", "well"),
    [
        ({"service": "activating"}, "starting", True),
        ({"service": "inactive"}, "idle", True),
        ({"service": "failed", "socket": "failed", "socket_result": "service-start-limit-hit"}, "limited", False),
        ({"service": "inactive", "socket": "inactive"}, "stopped", False),
    ],
)
def test_whether_requests_are_answered_is_told(
    host: Host, look: Run, reported: dict[str, str], state: str, well: bool
) -> None:
    """What does not serve is no failure of who looks."""
    host.deploy(host.release())
    host.service.reported = reported
    result = look()
    assert (result["status"]["state"], result["well"], result.get("failed")) == (state, well, None)


def test_an_application_that_is_not_there_is_told_too(look: Run) -> None:
    result = look()
    assert (result["changed"], result["well"], result.get("failed")) == (False, False, None)
    assert (result["status"]["state"], result["status"]["release"]) == ("absent", None)


def test_what_systemd_refuses_to_tell_is_an_error(
    host: Host, run_module: Run, command: Callable[[str, str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    host.deploy(host.release())
    command("systemctl", "echo 'Failed to connect to bus: No such file or directory' >&2; exit 1")
    monkeypatch.setattr(status, "Layout", HostLayout)
    result = run_module(status, {"name": "shop", "root": host.layout.root})
    assert result["failed"]
    assert result["msg"].startswith("shop: systemctl show --property=")
    assert result["msg"].endswith(": Failed to connect to bus: No such file or directory")


@pytest.mark.parametrize("error", [ServiceError("systemctl show: refused"), PermissionError(13, "Permission denied")])
def test_what_can_not_be_looked_at_is_an_error(
    host: Host, look: Run, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    host.deploy(host.release())

    def fail(_release: str) -> t.NoReturn:
        raise error

    monkeypatch.setattr(host.service, "report", fail)
    assert look()["msg"] == f"shop: {error}"


def test_a_name_is_needed(run_module: Run) -> None:
    assert run_module(status, {})["msg"] == "missing required arguments: name"
