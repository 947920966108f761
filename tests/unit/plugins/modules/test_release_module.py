# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import errno
import json
import os
import signal
import typing as t
from collections.abc import Callable
from pathlib import Path

import pytest

from ansible_collections.wsgiops.flask.plugins.module_utils import _history, _services, _task_release
from ansible_collections.wsgiops.flask.plugins.module_utils._lock import locked
from ansible_collections.wsgiops.flask.plugins.module_utils._options import Health, Hooks, options_from
from ansible_collections.wsgiops.flask.plugins.module_utils._release_store import load
from ansible_collections.wsgiops.flask.plugins.module_utils._service import TaskResult
from ansible_collections.wsgiops.flask.plugins.modules import on_host
from ansible_collections.wsgiops.flask.tests.unit.plugins.host import JOURNAL, Host, HostLayout, hold

Run = Callable[..., dict[str, t.Any]]
ENVIRONMENT = {"TOKEN": "s3cret-of-the-shop"}


@pytest.fixture
def put(host: Host, run_module: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the module on the host, with what came before it done, and some arguments changed, or `...` for none."""
    monkeypatch.setattr(_task_release, "Layout", HostLayout)
    monkeypatch.setattr(_task_release, "Services", lambda *_of: host.service)

    def run(
        check_mode: bool = False, code: t.Any = "code-1", behaviour: str = "answer", **changes: t.Any
    ) -> dict[str, t.Any]:
        host.bring(host.release(code, behaviour=behaviour))
        arguments = {
            "name": "shop",
            "root": host.layout.root,
            "code": host.code(code),
            "venv": "venv-1",
            "files": {"gunicorn.conf.py": "workers = 1\n"},
            "units": {"shop@.service": "[Service]\n", "shop@.socket": "[Socket]\n"},
            "environment": json.dumps(ENVIRONMENT),
            "health": {"timeout": 5, "settle": 0},
            "workers": "2",
            **changes,
        }
        given = {name: value for name, value in arguments.items() if value is not ...}
        return run_module("release", given, check_mode, diff=True)

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
    said = put(check_mode=True, venv=None, workers="3")
    assert (said["changed"], said["release"], said["previous"]) == (True, None, None)
    assert said["steps"] == [
        "write, start and switch to a new release (workers: 3); its id is known once the host has an interpreter"
    ]
    assert put(venv=None)["msg"] == "shop: venv is required: the key that wsgiops.flask.venv returns"


def test_the_diff_shows_files_and_units_and_no_environment(host: Host, put: Run) -> None:
    first = put()["release"]
    changed = {"files": {"gunicorn.conf.py": "workers = 2\n"}, "environment": json.dumps({"TOKEN": "an0ther-s3cret"})}
    result = put(**changed, units={"shop@.service": "[Service]\n# 2\n", "shop@.socket": "[Socket]\n"})
    files, variables, unit = result["diff"]
    assert shown(variables) == (["TOKEN (old value)"], ["TOKEN (new value)"])
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


def shown(change: dict[str, str]) -> tuple[list[str], list[str]]:
    """The lines of a text before and after."""
    return change["before"].splitlines(), change["after"].splitlines()


@pytest.mark.parametrize("option", ["environment", "secrets"])
@pytest.mark.parametrize("check_mode", [True, False])
def test_the_diff_names_variables_and_shows_no_value(host: Host, put: Run, option: str, check_mode: bool) -> None:
    nothing = {"environment": None, "secrets": None}
    old = {"TOKEN": "s3cret-of-the-shop", "GONE": "s3cret-of-the-past", "SAME": "s3cret-of-all-times"}
    new = {"TOKEN": "s3cret-of-the-desk", "COME": "s3cret-to-come", "SAME": "s3cret-of-all-times"}
    first = put(**{**nothing, option: json.dumps(old)})
    [variables] = [change for change in first["diff"] if change["after_header"].endswith(("env", "secrets"))]
    names = ["GONE (new value)", "SAME (new value)", "TOKEN (new value)"]
    assert shown(variables) == ([], names)
    result = put(check_mode, **{**nothing, option: json.dumps(new)})
    [variables] = result["diff"]
    name = "env" if option == "environment" else "secrets"
    assert variables["before_header"] == f"shop release {first['release']}, {name}"
    assert variables["after_header"] == f"shop release {result['release']}, {name}"
    assert shown(variables) == (
        ["GONE (old value)", "SAME (same value)", "TOKEN (old value)"],
        ["COME (new value)", "SAME (same value)", "TOKEN (new value)"],
    )
    assert "s3cret" not in json.dumps([first, result])


def test_the_diff_shows_a_variable_that_becomes_a_secret(host: Host, put: Run) -> None:
    put(environment=json.dumps(ENVIRONMENT))
    result = put(environment=None, secrets=json.dumps(ENVIRONMENT))
    env, secrets = result["diff"]
    assert [change["after_header"].rpartition(", ")[2] for change in (env, secrets)] == ["env", "secrets"]
    assert shown(env) == (["TOKEN (old value)"], [])
    assert shown(secrets) == ([], ["TOKEN (new value)"])
    assert "s3cret" not in json.dumps(result)


@pytest.mark.parametrize("option", ["environment", "secrets"])
def test_the_diff_names_a_variable_of_which_the_value_alone_changes(host: Host, put: Run, option: str) -> None:
    put(**{option: json.dumps({"TOKEN": "1", "SAME": "2"})})
    [variables] = put(**{option: json.dumps({"TOKEN": "3", "SAME": "2"})})["diff"]
    assert shown(variables) == (
        ["SAME (same value)", "TOKEN (old value)"],
        ["SAME (same value)", "TOKEN (new value)"],
    )


def test_the_diff_of_a_rollback_shows_no_value_of_either_release(host: Host, put: Run) -> None:
    put(secrets=json.dumps({"KEY": "s3cret-of-the-past"}))
    put(secrets=json.dumps({"KEY": "s3cret-of-today", "MORE": "s3cret"}))
    [secrets] = go_back(put, check_mode=True)["diff"]
    assert shown(secrets) == (["KEY (old value)", "MORE (old value)"], ["KEY (new value)"])


def test_variables_that_can_not_be_read_are_no_reason_to_fail(host: Host, put: Run) -> None:
    first = put()["release"]
    Path(host.layout.release(first), "env").write_text("changed by hand\n")
    os.unlink(Path(host.layout.release(first), "secrets"))
    [env, secrets] = put(environment=json.dumps({"B": "1"}), secrets=json.dumps({"C": "1"}))["diff"]
    assert (shown(env), shown(secrets)) == (([], ["B (new value)"]), ([], ["C (new value)"]))


def test_the_diff_on_a_virgin_host_names_variables_too(host: Host, put: Run) -> None:
    said = put(check_mode=True, venv=None, secrets=json.dumps({"KEY": "s3cret"}))
    headers = {change["after_header"] for change in said["diff"]}
    title = "shop release (known once the host has an interpreter)"
    assert {title, f"{title}, env", f"{title}, secrets"} <= headers
    assert "s3cret" not in json.dumps(said)


def test_the_diff_shows_what_gevents_server_reads(host: Host, put: Run) -> None:
    files = {"server.json": '{"timeout": 30}\n', "server.py": "serve()\n"}
    put()
    [change] = put(files=files, server="gevent")["diff"]
    assert change["before"] == "# gunicorn.conf.py\nworkers = 1\n"
    assert change["after"] == '# server.json\n{"timeout": 30}\n# server.py\nserve()\n'
    [back] = put(check_mode=True)["diff"]
    assert (back["before"], back["after"]) == (change["after"], change["before"])


def test_the_diff_shows_a_unit_template_that_goes(host: Host, put: Run) -> None:
    pair = {"shop@.service": "[Service]\n", "shop@.socket": "[Socket]\n"}
    put(units={**pair, "shop_retry@.timer": "[Timer]\n"})
    [unit] = put(units=pair)["diff"]
    assert unit["before_header"] == host.layout.retry_timer_template
    assert (unit["before"], unit["after"]) == ("[Timer]\n", "")


def test_secrets_are_kept_apart_from_the_environment(host: Host, put: Run) -> None:
    release_id = put(secrets=json.dumps({"KEY": "k"}))["release"]
    parts = load(host.layout, release_id).parts
    assert (parts.environment, parts.secrets) == (ENVIRONMENT, {"KEY": "k"})
    assert put(secrets=json.dumps({"KEY": "k"}))["changed"] is False
    ids = {release_id, *(put(secrets=text)["release"] for text in (json.dumps({"KEY": "l"}), "{}"))}
    assert len(ids) == 3
    assert put(secrets=None)["changed"] is False, "none is the same as an empty text"


def test_the_environment_is_part_of_the_release(host: Host, put: Run) -> None:
    ids = [put(environment=text)["release"] for text in (json.dumps(ENVIRONMENT), json.dumps({"TOKEN": "1"}), None)]
    assert len(set(ids)) == 3


def test_a_candidate_that_fails_is_a_failure_with_its_log(host: Host, put: Run) -> None:
    result = put(behaviour="die")
    assert result["failed"]
    assert result["msg"].startswith("shop: release ")
    assert "failed in phase start after " in result["msg"]
    assert ": its main process ended before it was ready; no release serves" in result["msg"]
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
    assert ": systemctl daemon-reload: refused; no release serves" in put()["msg"]


@pytest.mark.parametrize("state", ["present", "prepared"])
def test_code_is_needed(run_module: Run, state: str) -> None:
    result = run_module("release", {"name": "shop", "state": state})
    assert result["msg"] == f"shop: release: state is {state} but all of the following are missing: code"


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


# --- the way ------------------------------------------------------------------------------------------------------


def test_the_release_goes_the_way_that_is_asked_for(host: Host, put: Run) -> None:
    way = {
        "wsgi": "shop:app",
        "settings": ["backlog"],
        "health": {"ready": "/healthz", "status": 200, "host": "shop.example.com", "timeout": 5, "settle": 0.01},
        "hooks": {"before_switch": ["warm up"], "timeout": 90},
        "label": "v1.2",
        "drain_timeout": 10,
        "front_url": "http://127.0.0.1:1",
        "front_host": "www.example.com",
        "server": "gunicorn",
        "workers": "3",
        "memory": "512M",
        "cpus": 1.5,
        "logs_to": "files",
    }
    result = put(**way)
    assert (result["label"], result["steps"][-1]) == (
        "v1.2",
        f"switched from nothing to {result['release']} (v1.2)",
    )
    assert result["hooks"] == [{"hook": "before_switch", "command": "warm up", "status": 0, "output": ""}]
    kept = load(host.layout, result["release"]).options
    assert kept.health == Health("/healthz", 200, "shop.example.com", 5, 0.01, "", 0)
    assert kept.hooks == Hooks([], ["warm up"], [], 90)
    assert (kept.wsgi, kept.settings, kept.label, kept.drain_timeout) == ("shop:app", ["backlog"], "v1.2", 10)
    assert (kept.overlap, kept.front_url, kept.front_host) == (True, "http://127.0.0.1:1", "www.example.com")
    assert (kept.server, kept.workers, kept.memory, kept.cpus) == ("gunicorn", "3", "512M", 1.5)
    assert kept.logs_to == "files"
    assert put(**way)["changed"] is False


def test_what_serves_and_where_it_logs_is_told(host: Host, put: Run) -> None:
    result = put(server="gevent", logs_to="files", hooks={"before_switch": ["warm up"]})
    assert f"started {result['release']} (one process)" in result["steps"]
    assert host.service.tasks[0].command[-1] == "--check"
    host.service.outcomes["warm up"] = TaskResult(1, "too cold\n")
    failed = put(code="code-2", server="gevent", logs_to="files", hooks={"before_switch": ["warm up"]})
    assert failed["msg"].endswith(f"It logged:\ntoo cold\nThe service's log: cat {host.layout.error_log}")


@pytest.mark.parametrize(
    ("option", "value", "accepted"),
    [("server", "uwsgi", "gunicorn, gevent"), ("logs_to", "syslog", "journal, files")],
)
def test_an_option_with_another_value_is_refused(host: Host, put: Run, option: str, value: str, accepted: str) -> None:
    assert put(**{option: value})["msg"] == f"shop: release: value of {option} must be one of: {accepted}, got: {value}"
    assert host.service.acts == []


def test_units_that_systemd_does_not_understand_are_a_failure_with_its_words(host: Host, put: Run) -> None:
    host.service.words = "shop@1.service:7: Unknown key name 'Restrat'\nmore"
    result = put()
    assert result["failed"]
    assert result["msg"].endswith(f"It logged:\n{host.service.words}{JOURNAL}")
    assert host.service.running() == []


def test_defaults_are_those_of_the_options(host: Host, put: Run) -> None:
    result = put(health=..., workers=...)
    assert options_from({}).as_dict() == {
        **load(host.layout, result["release"]).options.as_dict(),
        "settings": (),
        "hooks": Hooks().__dict__,
    }


def test_what_is_no_regular_expression_is_refused_before_anything_is_done(host: Host, put: Run) -> None:
    result = put(health={"body": "(ok"})
    assert result["msg"].startswith("shop: health.body: '(ok' is no regular expression: ")
    assert host.service.acts == []


def test_a_history_that_can_not_be_written_is_a_warning(host: Host, put: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill(*_arguments: t.Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(_history, "record", fill)
    warnings: list[str] = []
    monkeypatch.setattr(on_host.AnsibleModule, "warn", lambda _module, text: warnings.append(text))
    assert put()["changed"]
    assert [text.partition(": [")[0] for text in warnings] == [f"shop: {host.layout.history} could not be written"]


def test_a_run_that_does_the_same_is_waited_for(host: Host, put: Run) -> None:
    wanted = put(check_mode=True)["release"]
    with hold(host.layout.lock, f"release {wanted}"):
        assert put()["changed"]


def test_as_many_releases_stay_as_are_asked_for(host: Host, put: Run) -> None:
    for code in ("code-1", "code-2", "code-3"):
        put(code=code, keep_releases=2)
    assert len(os.listdir(host.layout.releases)) == 2


@pytest.mark.parametrize("keep", [-1, 0, 1])
def test_what_serves_and_the_one_to_go_back_to_have_to_stay(host: Host, put: Run, keep: int) -> None:
    said = f"shop: keep_releases: {keep} is not accepted: 2 or more, the current release and the one to go back to"
    assert put(keep_releases=keep)["msg"] == said
    assert host.service.acts == []


# --- preparation --------------------------------------------------------------------------------------------------

ONCE = {"once": ["migrate"]}


def test_a_release_is_prepared(host: Host, put: Run) -> None:
    said = put(check_mode=True, state="prepared", hooks=ONCE)
    assert (said["changed"], said["steps"], said["hooks"]) == (True, ["run hooks.once: migrate"], [])
    assert host.service.acts == []
    done = put(state="prepared", hooks=ONCE)
    assert (done["changed"], done["steps"], done["release"]) == (True, ["ran hooks.once: migrate"], said["release"])
    assert done["hooks"] == [{"hook": "once", "command": "migrate", "status": 0, "output": ""}]
    assert host.service.running() == []
    assert put(hooks=ONCE)["release"] == said["release"]


@pytest.mark.parametrize("check_mode", [True, False])
def test_what_serves_needs_no_preparation(host: Host, put: Run, check_mode: bool) -> None:
    put(hooks=ONCE)
    host.service.tasks.clear()
    result = put(check_mode, state="prepared", hooks=ONCE)
    assert (result["changed"], result["steps"]) == (False, [])
    assert host.service.tasks == []


def test_preparation_on_a_virgin_host_has_a_plan(host: Host, put: Run) -> None:
    said = put(check_mode=True, state="prepared", venv=None, hooks=ONCE)
    assert (said["changed"], said["release"], said["steps"]) == (True, None, ["run hooks.once: migrate"])


def test_a_hook_that_fails_is_a_failure_with_its_words(host: Host, put: Run) -> None:
    host.service.outcomes["migrate"] = TaskResult(1, "no such table\n")
    result = put(state="prepared", hooks=ONCE)
    assert result["failed"]
    assert result["msg"].endswith(
        f"'migrate' failed (exit status 1); no release serves. It logged:\nno such table{JOURNAL}"
    )


# --- rollback -----------------------------------------------------------------------------------------------------


def go_back(put: Run, check_mode: bool = False, **changes: t.Any) -> dict[str, t.Any]:
    nothing = dict.fromkeys(("venv", "files", "units", "environment", "health", "workers"), ...)
    return put(check_mode, state="rolled_back", **{**nothing, **changes})


def test_an_earlier_release_is_put_in_service_again(host: Host, put: Run) -> None:
    old = put(label="v1")["release"]
    new = put(code="code-2", environment=json.dumps({"TOKEN": "an0ther-s3cret"}))["release"]
    before, acts = host.snapshot(), list(host.service.acts)
    said = go_back(put, check_mode=True)
    assert (host.snapshot(), host.service.acts) == (before, acts)
    assert (said["changed"], said["release"], said["previous"], said["label"]) == (True, old, new, "v1")
    assert f"start {old} (v1) (workers: 2), switch from {new}" in said["steps"]
    done = go_back(put)
    assert (done["changed"], done["release"], done["previous"], done["label"]) == (True, old, new, "v1")
    assert f"switched from {new} to {old} (v1)" in done["steps"]
    assert host.service.running() == [old]
    assert "s3cret" not in json.dumps([said, done])


def test_a_release_of_systemd_is_nothing_to_go_back_to_without_it(
    host: Host, put: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = (put(code=f"code-{number}")["release"] for number in (1, 2))
    monkeypatch.setattr(_services, "SYSTEMD_RUNS", "/nonexistent")
    monkeypatch.setattr(_task_release, "Services", _services.Services)
    said = f"shop: release {old} is for systemd, which does not run this host; release {new} still serves"
    assert go_back(put)["msg"] == said


def test_a_second_rollback_goes_further_back(host: Host, put: Run) -> None:
    first, second, third = (put(code=f"code-{number}")["release"] for number in (1, 2, 3))
    assert [go_back(put)["release"] for _time in (1, 2)] == [second, first]
    assert "no earlier release" in go_back(put)["msg"]
    # What was left is there for who names it, and for the next deploy.
    assert go_back(put, to=third)["release"] == third
    assert go_back(put)["release"] == first


def test_what_a_further_rollback_goes_to_is_kept(host: Host, put: Run) -> None:
    first, second, third = (put(code=f"code-{number}")["release"] for number in (1, 2, 3))
    go_back(put, keep_releases=2)
    assert sorted(os.listdir(host.layout.releases)) == sorted([first, second])
    assert go_back(put)["release"] == first
    assert third not in os.listdir(host.layout.releases)


def test_what_was_rolled_back_from_stays_while_there_is_room(host: Host, put: Run) -> None:
    """Releases of the history that were pruned long ago take no room."""
    *_gone, fourth, fifth = (put(code=f"code-{number}", keep_releases=3)["release"] for number in range(1, 6))
    assert go_back(put, keep_releases=3)["release"] == fourth
    assert fifth in os.listdir(host.layout.releases)
    assert len(os.listdir(host.layout.releases)) == 3


@pytest.mark.parametrize("by", ["id", "label"])
def test_the_release_to_go_back_to_can_be_named(host: Host, put: Run, by: str) -> None:
    first = put(label="v1")["release"]
    put(code="code-2", label="v2")
    put(code="code-3", label="v3")
    assert go_back(put, to=first if by == "id" else "v1")["release"] == first
    again = go_back(put, to="v1")
    assert (again["changed"], again["release"]) == (False, first)


def test_a_rollback_shows_what_it_changes(host: Host, put: Run) -> None:
    put()
    put(files={"gunicorn.conf.py": "workers = 2\n"})
    [files] = go_back(put, check_mode=True)["diff"]
    assert (files["before"], files["after"]) == (
        "# gunicorn.conf.py\nworkers = 2\n",
        "# gunicorn.conf.py\nworkers = 1\n",
    )


@pytest.mark.parametrize("check_mode", [True, False])
def test_what_can_not_be_gone_back_to_is_told_in_check_mode_too(host: Host, put: Run, check_mode: bool) -> None:
    assert go_back(put, check_mode)["msg"] == ("shop: no release serves on this host; there is nothing to go back from")
    only = put()["release"]
    said = f"shop: there is no earlier release on this host to go back to; release {only} still serves"
    assert go_back(put, check_mode)["msg"] == said
    said = f"shop: release: 'v9' is not on this host; there are {only}; release {only} still serves"
    assert go_back(put, check_mode, to="v9")["msg"] == said
    new = put(code="code-2")["release"]
    Path(host.layout.release(only), "gunicorn.conf.py").write_text("changed by hand\n")
    assert go_back(put, check_mode)["msg"].startswith(f"shop: release {only} was changed on the host: ")
    assert host.service.running() == [new]


def test_a_rollback_that_fails_leaves_what_serves(host: Host, put: Run) -> None:
    put()
    new = put(code="code-2")["release"]
    result = go_back(put, behaviour="die")
    assert result["failed"]
    assert f"; release {new} still serves. It logged:" in result["msg"]
    assert host.service.running() == [new]


# --- confirmation -------------------------------------------------------------------------------------------------


def test_a_release_is_confirmed_once(host: Host, put: Run) -> None:
    put(label="v1")
    new = put(code="code-2", label="v2", confirm=120)["release"]
    acts = list(host.service.acts)
    said = put(check_mode=True, state="confirmed", release=new)
    assert (said["changed"], said["release"], host.service.acts) == (False, new, acts)
    done = put(state="confirmed", release=new)
    assert (done["changed"], done["release"], done["steps"]) == (True, new, [f"confirmed release {new} (v2)"])
    assert host.service.armed is None
    last = json.loads(Path(host.layout.history).read_text().splitlines()[-1])
    assert (last["event"], last["release"], last["label"]) == ("confirmed", new, "v2")
    again = put(state="confirmed", release=new)
    assert (again["changed"], again["steps"]) == (False, [])
    assert put(state="confirmed")["changed"] is False


def test_what_was_taken_back_can_not_be_confirmed(host: Host, put: Run) -> None:
    old = put()["release"]
    result = put(state="confirmed", release="0123456789ab")
    assert result["msg"] == (
        f"shop: release 0123456789ab can't be confirmed: {old} serves; the host took it back, see {host.layout.history}"
    )


def test_a_release_without_one_before_has_not_to_be_confirmed(host: Host, put: Run) -> None:
    release_id = put(confirm=120)["release"]
    assert put(state="confirmed", release=release_id)["changed"] is False


def test_what_cron_can_not_see_to_is_a_warning(host: Host, put: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    warnings: list[str] = []
    monkeypatch.setattr(on_host.AnsibleModule, "warn", lambda _module, text: warnings.append(text))
    os.makedirs(os.path.dirname(host.layout.cron))
    units = {"app_ctl.sh": "", "shop": ""}
    host.service.warnings = ["cron is not to be seen"]
    assert "failed" not in put(service="cron", unenforced=["network: none", "limits.tasks: 99"], units=units)
    rule = "is not enforced on this host: cron runs the application, and only {} could"
    assert warnings == [
        f"shop: network: none {rule.format('systemd')}",
        f"shop: limits.tasks: 99 {rule.format('root')}",
        "shop: cron is not to be seen",
    ]
    assert os.access(host.layout.app_ctl, os.X_OK)
    assert os.path.exists(host.layout.cron)
    assert not os.path.exists(host.layout.service_template)


def test_a_service_that_the_host_does_not_have_is_refused(
    host: Host, put: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(_services, "SYSTEMD_RUNS", str(tmp_path / "nowhere"))
    assert put()["msg"].startswith("shop: service: 'systemd' is not accepted: systemd does not run this host; ")
    assert host.service.acts == []
