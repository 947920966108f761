# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import json
import os
import signal
import typing as t
from collections.abc import Callable, Iterator

import pytest

from ansible_collections.wsgiops.flask.plugins.module_utils._lock import locked
from ansible_collections.wsgiops.flask.plugins.modules import release
from ansible_collections.wsgiops.flask.tests.unit.plugins.host import Host, HostLayout

Run = Callable[..., dict[str, t.Any]]
ENVIRONMENT = {"TOKEN": "s3cret-of-the-shop"}


@pytest.fixture
def hangup() -> Iterator[None]:
    """The module takes a hang-up for nothing; the tests keep theirs."""
    before = signal.getsignal(signal.SIGHUP)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture
def put(host: Host, run_module: Run, monkeypatch: pytest.MonkeyPatch, hangup: None) -> Run:
    """Runs the module on the host, with what came before it done, and some arguments changed, or `...` for none."""
    monkeypatch.setattr(release, "Layout", HostLayout)
    monkeypatch.setattr(release, "Systemd", lambda layout: host.service)

    def run(check_mode: bool = False, behaviour: str = "answer", **changes: t.Any) -> dict[str, t.Any]:
        host.bring(host.release(behaviour=behaviour))
        arguments = {
            "name": "shop",
            "root": host.layout.root,
            "code": "code-1",
            "venv": "venv-1",
            "files": {"gunicorn.conf.py": "workers = 1\n"},
            "units": {"shop@.service": "[Service]\n", "shop@.socket": "[Socket]\n"},
            "environment": json.dumps(ENVIRONMENT),
            "start_timeout": 0.3,
            **changes,
        }
        given = {name: value for name, value in arguments.items() if value is not ...}
        return run_module(release, given, check_mode, diff=True)

    return run


def test_a_release_is_put_in_service_once(host: Host, put: Run) -> None:
    result = put()
    assert (result["changed"], result["previous"]) == (True, None)
    assert host.service.running() == [result["release"]]
    assert result["steps"][-1] == f"switched from nothing to {result['release']}"
    again = put()
    assert (again["changed"], again["steps"], again["diff"]) == (False, [], [])
    assert (again["release"], again["previous"]) == (result["release"],) * 2


def test_check_mode_tells_and_changes_nothing(host: Host, put: Run) -> None:
    host.bring(host.release())
    before = host.snapshot()
    said = put(check_mode=True)
    assert said["changed"]
    assert host.snapshot() == before
    assert host.service.acts == []
    done = put()
    assert (said["release"], said["previous"], said["diff"]) == (done["release"], None, done["diff"])
    assert put(check_mode=True)["changed"] is False


def test_check_mode_on_a_virgin_host_knows_no_id_yet(host: Host, put: Run) -> None:
    said = put(check_mode=True, venv=None)
    assert (said["changed"], said["release"], said["previous"]) == (True, None, None)
    assert said["steps"] == [
        "write, start and switch to a new release; its id is known once the host has an interpreter"
    ]
    assert put(venv=None)["msg"] == "shop: venv is required: the key that wsgiops.flask.venv returns"


def test_the_diff_shows_files_and_units_and_no_environment(host: Host, put: Run) -> None:
    first = put()["release"]
    changed = {"files": {"gunicorn.conf.py": "workers = 2\n"}, "environment": json.dumps({"TOKEN": "an0ther-s3cret"})}
    result = put(**changed, units={"shop@.service": "[Service]\n# 2\n", "shop@.socket": "[Socket]\n"})
    files, unit = result["diff"]
    assert (files["before"], files["after"]) == (
        "# gunicorn.conf.py\nworkers = 1\n",
        "# gunicorn.conf.py\nworkers = 2\n",
    )
    assert (files["before_header"], files["after_header"]) == (
        f"shop release {first}",
        f"shop release {result['release']}",
    )
    assert (unit["after_header"], unit["after"]) == (host.layout.service_template, "[Service]\n# 2\n")
    assert "s3cret" not in json.dumps(result)


def test_the_environment_is_part_of_the_release(host: Host, put: Run) -> None:
    ids = [put(environment=text)["release"] for text in (json.dumps(ENVIRONMENT), json.dumps({"TOKEN": "1"}), None)]
    assert len(set(ids)) == 3


def test_a_candidate_that_fails_is_a_failure_with_its_log(host: Host, put: Run) -> None:
    result = put(behaviour="die")
    assert result["failed"]
    assert result["msg"].startswith("shop: release ")
    assert "failed in phase start: its main process ended" in result["msg"]
    assert "the words of" in result["msg"]


def test_two_runs_exclude_each_other(host: Host, put: Run) -> None:
    with locked(host.layout.lock, "release 0123456789ab", 0):
        result = put(lock_wait=0)
    assert result["failed"]
    assert result["msg"].startswith("shop: locked by another run: process ")
    assert "(release 0123456789ab)" in result["msg"]
    assert host.service.acts == []


def test_a_refusal_of_systemd_is_a_failure(host: Host, put: Run) -> None:
    host.service.refuses = "daemon-reload"
    assert put()["msg"] == "shop: systemctl daemon-reload: refused"


def test_code_is_needed(put: Run) -> None:
    assert put(code=...)["msg"] == "state is present but all of the following are missing: code"


def test_a_removal(host: Host, put: Run) -> None:
    put()
    os.makedirs(host.layout.state)
    said = put(check_mode=True, state="absent", remove_data=True)
    assert os.path.isdir(host.layout.state)
    done = put(state="absent", remove_data=True)
    assert (said["changed"], done["changed"]) == (True, True)
    assert said["steps"] == done["steps"]
    assert not os.path.exists(host.layout.state)
    assert host.service.running() == []


def test_a_lost_controller_does_not_stop_the_run(host: Host, put: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    start = host.service.start

    def start_and_hang_up(release_id: str) -> None:
        os.kill(os.getpid(), signal.SIGHUP)
        start(release_id)

    # Without the module's care a hang-up would end the tests; this one only fails.
    signal.signal(signal.SIGHUP, lambda *_arguments: pytest.fail("the hang-up arrived"))
    monkeypatch.setattr(host.service, "start", start_and_hang_up)
    assert put()["changed"]
