# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import os
import subprocess
import sys
import types
import typing as t
from collections.abc import Callable
from pathlib import Path

import pytest

from ansible_collections.wsgiops.flask.plugins.module_utils import _files, _gate, _probe
from ansible_collections.wsgiops.flask.plugins.module_utils._gate import Gate, GateError
from ansible_collections.wsgiops.flask.plugins.module_utils._probe import Answer
from ansible_collections.wsgiops.flask.plugins.module_utils._service import TaskResult
from ansible_collections.wsgiops.flask.tests.unit.plugins.host import Behaviour, Front, Host

Start = Callable[..., Gate]
Check = Callable[..., "subprocess.CompletedProcess[str]"]
Options = t.Mapping[str, t.Any]
NONE: Options = types.MappingProxyType({})


@pytest.fixture
def start(host: Host) -> Start:
    """Starts a release without any proof; gives the gate that it has to pass."""

    def run(
        behaviour: str | Behaviour = "answer", options: t.Mapping[str, t.Any] | None = None, **health: t.Any
    ) -> Gate:
        release = host.release(behaviour=behaviour, health=health, **(options or {}))
        host.bring(release)
        release.write()
        for unit in release.units():
            _files.write(unit)
        host.service.start(release.id)
        return Gate(release, host.service)  # type: ignore[arg-type]

    return run


def refusal(prove: Callable[[], None]) -> tuple[str, str]:
    """Phase and reason."""
    with pytest.raises(GateError) as refused:
        prove()
    return refused.value.phase, str(refused.value)


def requests(host: Host) -> list[tuple[str, str]]:
    """Path and Host header of each request to the application."""
    server = host.service.unit(host.release().id).server
    assert server
    return [(path, headers["Host"]) for path, headers in server.requests]


# --- ready --------------------------------------------------------------------------------------------------------


def test_the_readiness_path_is_asked_for_as_a_host_that_the_application_trusts(host: Host, start: Start) -> None:
    start(ready="/healthz?deep=1", host="desk.example.com").ready()
    assert requests(host) == [("/healthz?deep=1", "desk.example.com")]


@pytest.mark.parametrize("status", [204, 302, 404, 503])
def test_the_status_that_means_ready_is_the_applications_choice(start: Start, status: int) -> None:
    start(Behaviour(statuses=(status,)), status=status).ready()


def test_who_is_not_ready_yet_is_asked_again(host: Host, start: Start) -> None:
    start(Behaviour(statuses=(503, 500, 200))).ready()
    assert len(requests(host)) == 3


def test_who_never_gets_ready_is_told_what_it_answered(start: Start) -> None:
    gate = start(Behaviour(statuses=(503,), body="database:\n  no   route"), timeout=0.3)
    said = "GET /ready was answered with status 503 where 200 means ready; it said: database: no route"
    assert refusal(gate.ready) == ("ready", f"not ready within 0.3 s (health.timeout): {said}")


def test_an_attempt_without_time_does_not_hide_what_was_answered(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_gate, "FIRST_PROBE_TIMEOUT", 60)
    gate = start(Behaviour(statuses=(503,), delay=0.3), timeout=0.5)
    assert "was answered with status 503" in refusal(gate.ready)[1]


@pytest.mark.parametrize(
    ("health", "answer", "said"),
    [
        ({}, Answer(200, "x", "", 9), ""),
        ({"status": 204}, Answer(204, "", "", 9), ""),
        (
            {"ready": "/healthz", "status": 204},
            Answer(200, "", "", 0),
            "GET /healthz was answered with status 200 where 204 means ready",
        ),
        (
            {},
            Answer(500, "x" * 1000, "", 0),
            "GET /ready was answered with status 500 where 200 means ready; it said: " + "x" * _gate.SHOWN_BODY,
        ),
        (
            {},
            Answer(400, "", "", 0),
            "GET /ready was answered with status 400 where 200 means ready; "
            "does the application trust the Host 'shop.example.com' (health.host)?",
        ),
        (
            {},
            Answer(301, "", "https://elsewhere.example.com/", 0),
            "GET /ready was answered with status 301 where 200 means ready, Location https://elsewhere.example.com/",
        ),
        ({"body": r'"database":\s+"ok"'}, Answer(200, '{"database":\n "ok"}', "", 0), ""),
        (
            {"body": '"mail": "ok"'},
            Answer(200, '{"database": "ok",\n "mail": "down"}', "", 0),
            """the body of /ready does not match '"mail": "ok"' (health.body); """
            """it said: {"database": "ok", "mail": "down"}""",
        ),
        ({"latency": 0.5}, Answer(200, "", "", 0.5), ""),
        ({"latency": 0.5}, Answer(200, "", "", 0.6), "/ready took 0.600 s, 0.5 s are allowed (health.latency)"),
    ],
)
def test_what_is_wrong_with_an_answer(start: Start, health: Options, answer: Answer, said: str) -> None:
    assert start(**health).problem(answer) == said


@pytest.mark.parametrize(
    ("status", "hint"),
    [
        (404, "the application has no such route; name the one it has in health.ready"),
        (405, "the route takes no GET; name one that does in health.ready"),
    ],
)
def test_a_route_that_is_not_there_will_not_come(host: Host, start: Start, status: int, hint: str) -> None:
    gate = start(Behaviour(statuses=(status,)), timeout=60)
    said = f"GET /ready was answered with status {status} where 200 means ready; {hint}"
    assert refusal(gate.ready) == ("ready", said)
    assert len(requests(host)) == 1


def test_an_answer_may_not_take_longer_than_allowed(start: Start) -> None:
    start(Behaviour(delay=0.02), latency=60).ready()
    assert refusal(start(Behaviour(delay=0.02), latency=0.01, timeout=0.2).ready)[0] == "ready"


def test_a_process_that_ended_is_not_waited_for(start: Start) -> None:
    assert refusal(start("die", timeout=60).ready) == ("start", "its main process ended before it was ready")


def test_a_process_that_ends_while_a_request_waits_ends_the_waiting(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_gate, "FIRST_PROBE_TIMEOUT", 5)
    ask_socket = _probe.ask_socket
    ends = []

    def spy(*arguments: t.Any) -> Answer:
        try:
            return ask_socket(*arguments)
        except _probe.NoAnswer as error:
            ends.append(str(error))
            raise

    monkeypatch.setattr(_probe, "ask_socket", spy)
    gate = start("die when probed")
    assert refusal(gate.ready) == ("start", "its main process ended before it was ready")
    assert ends == ["none before its main process ended"]


@pytest.mark.parametrize("later", ["another process", None])
def test_a_process_id_that_has_become_anothers_is_none_of_the_release(
    host: Host, start: Start, monkeypatch: pytest.MonkeyPatch, later: str | None
) -> None:
    gate = start(Behaviour(statuses=(503,)), timeout=60)
    began = iter(["it", "it"])
    monkeypatch.setattr(host.service, "start_time", lambda _process: next(began, later))
    assert refusal(gate.ready)[0] == "start"
    assert len(requests(host)) == 2


def test_a_slow_first_answer_gets_more_time_each_time(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_gate, "FIRST_PROBE_TIMEOUT", 0.1)
    timeouts = spy_on_timeouts(monkeypatch)
    start("slow").ready()
    assert timeouts[:3] == pytest.approx([0.1, 0.2, 0.4])


def test_no_attempt_waits_beyond_the_time_to_get_ready(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_gate, "FIRST_PROBE_TIMEOUT", 60)
    timeouts = spy_on_timeouts(monkeypatch)
    phase, said = refusal(start("mute", timeout=0.2).ready)
    assert (phase, said[:58]) == ("ready", "not ready within 0.2 s (health.timeout): no answer to GET ")
    assert max(timeouts) <= 0.2


def spy_on_timeouts(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    timeouts = []
    ask_socket = _probe.ask_socket

    def spy(path: str, target: str, host: str, timeout: float, *more: t.Any) -> _probe.Answer:
        timeouts.append(timeout)
        return ask_socket(path, target, host, timeout, *more)

    monkeypatch.setattr(_probe, "ask_socket", spy)
    return timeouts


# --- settle -------------------------------------------------------------------------------------------------------


def test_who_stays_alive_is_asked_once_more(host: Host, start: Start) -> None:
    gate = start(settle=0.05)
    gate.ready()
    gate.settle()
    assert requests(host) == [("/ready", "shop.example.com")] * 2


def test_settling_can_be_switched_off(host: Host, start: Start) -> None:
    start("waver", settle=0).settle()
    assert requests(host) == []


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        ("lose a worker", "a worker process ended within 0.05 s (health.settle) of being ready"),
        ("die while settling", "its main process ended within 0.05 s (health.settle) of being ready"),
        (
            "waver",
            "it was ready, and then not any more: GET /ready was answered with status 503 where 200 means ready",
        ),
    ],
)
def test_who_does_not_stay_alive_is_refused(start: Start, behaviour: str, reason: str) -> None:
    gate = start(behaviour, settle=0.05)
    gate.ready()
    assert refusal(gate.settle) == ("settle", reason)


def test_a_worker_that_came_later_may_not_end_either(host: Host, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    workers = iter([{1}, {1, 2}, {1}])
    monkeypatch.setattr(host.service, "workers", lambda _release, _process: next(workers, {1}))
    gate = start(settle=0.1)
    assert refusal(gate.settle) == ("settle", "a worker process ended within 0.1 s (health.settle) of being ready")


def test_workers_that_come_are_no_reason_to_refuse(host: Host, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    workers = iter([set(), {1}, {1, 2}])
    monkeypatch.setattr(host.service, "workers", lambda _release, _process: next(workers, {1, 2, 3}))
    start(settle=0.05).settle()


def test_a_last_request_without_answer_is_given_up_with_the_process(start: Start) -> None:
    phase, said = refusal(start("die when probed", settle=0.01).settle)
    assert phase == "settle"
    assert said.endswith(": no answer to GET /ready: none before its main process ended")


# --- units --------------------------------------------------------------------------------------------------------


def test_units_that_systemd_understands_pass(host: Host, start: Start) -> None:
    gate = start(options={"units": "[Service]\nUser=shop\n", "retry": True})
    release = host.release(units="[Service]\nUser=shop\n", retry=True)
    gate.units()
    assert host.service.verified == [dict(release.parts.units)]
    assert host.service.acts[-1] == f"verify {release.id}"


def test_units_that_systemd_does_not_understand_are_refused_in_its_words(host: Host, start: Start) -> None:
    host.service.words = "shop@1.service:7: Unknown key name 'Restrat'\nshop@1.socket:9: Missing '='"
    with pytest.raises(GateError) as refused:
        start().units()
    reason = "systemd-analyze verify has something to say of the units: shop@1.service:7: Unknown key name 'Restrat'"
    assert (refused.value.phase, str(refused.value)) == ("check", reason)
    assert refused.value.output == host.service.words


# --- check --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [[], ["keepalive", "backlog"]])
def test_gunicorn_checks_its_configuration_in_the_sandbox(host: Host, start: Start, settings: list[str]) -> None:
    gate = start(options={"units": "[Service]\nUser=shop\n", "settings": settings})
    release = host.release(units="[Service]\nUser=shop\n")
    gate.check()
    [task] = host.service.tasks
    assert (task.release, task.service_text) == (release.id, "[Service]\nUser=shop\n")
    python, configuration = f"{release.home}/venv/bin/python", f"{release.home}/gunicorn.conf.py"
    assert task.command == [python, "-c", _gate.CHECK, configuration, "import", *settings]
    assert (task.variables, task.timeout) == ({}, _gate.CHECK_TIMEOUT)


def test_a_check_that_fails_has_what_was_written(host: Host, start: Start) -> None:
    host.service.outcomes["import"] = TaskResult(1, "Traceback\nImportError: no module named shop\n")
    with pytest.raises(GateError) as refused:
        start().check()
    reason = "gunicorn --check-config failed (exit status 1): ImportError: no module named shop"
    assert (refused.value.phase, str(refused.value)) == ("check", reason)
    assert refused.value.output == "Traceback\nImportError: no module named shop\n"


def test_gevents_server_checks_itself_in_the_sandbox(host: Host, start: Start) -> None:
    gate = start(options={"units": "[Service]\nUser=shop\n", "server": "gevent"})
    release = host.release(units="[Service]\nUser=shop\n")
    gate.check()
    [task] = host.service.tasks
    assert (task.release, task.service_text) == (release.id, "[Service]\nUser=shop\n")
    assert task.command == [f"{release.home}/venv/bin/python", f"{release.home}/server.py", "--check"]
    assert (task.variables, task.timeout) == ({}, _gate.CHECK_TIMEOUT)


@pytest.mark.parametrize(
    ("result", "said"),
    [
        (TaskResult(1, "Traceback\nImportError: shop\n"), "failed (exit status 1): ImportError: shop"),
        (TaskResult(1, "", timed_out=True), f"took longer than {_gate.CHECK_TIMEOUT:g} s"),
    ],
)
def test_a_check_of_gevents_server_that_fails_is_told(host: Host, start: Start, result: TaskResult, said: str) -> None:
    host.service.outcomes["--check"] = result
    assert refusal(start(options={"server": "gevent"}).check) == ("check", f"server.py --check {said}")


def test_gevents_server_is_not_imported_beside_what_may_exist_only_once(host: Host, start: Start) -> None:
    start(options={"server": "gevent", "overlap": False}).check()
    assert host.service.tasks == []


@pytest.mark.parametrize(("allowed", "timeout"), [(1, _gate.CHECK_TIMEOUT), (90, 90)])
def test_a_check_may_take_as_long_as_a_start(host: Host, start: Start, allowed: float, timeout: float) -> None:
    host.service.outcomes["import"] = TaskResult(1, "", timed_out=True)
    with pytest.raises(GateError, match=f"^gunicorn --check-config took longer than {timeout:g} s$"):
        start(timeout=allowed).check()
    assert [task.timeout for task in host.service.tasks] == [timeout]


def test_what_may_exist_only_once_is_not_imported_beside_itself(host: Host, start: Start) -> None:
    start(options={"overlap": False, "settings": ["backlog"]}).check()
    [task] = host.service.tasks
    assert task.command[-2:] == ["settings", "backlog"]


def test_without_an_import_and_settings_there_is_nothing_to_check(host: Host, start: Start) -> None:
    start(options={"overlap": False}).check()
    assert host.service.tasks == []


APPLICATION = """
import pathlib
pathlib.Path("imported").touch()
def app(environ, start_response):
    raise NotImplementedError
"""

# Keeps a process alive that waits for its threads.
THREAD = """
import threading, time
threading.Thread(target=time.sleep, args=(60,)).start()
"""


@pytest.fixture
def check(tmp_path: Path) -> Check:
    """Runs the check's program beside an application."""
    pytest.importorskip("gunicorn")
    (tmp_path / "gunicorn.conf.py").write_text('wsgi_app = "shop:app"\n')

    def run(application: str, *arguments: str, shadow: str = "") -> subprocess.CompletedProcess[str]:
        (tmp_path / "shop.py").write_text(application)
        if shadow:
            (tmp_path / shadow).write_text("raise RuntimeError('a module of the application')")
        command = [sys.executable, "-c", _gate.CHECK, str(tmp_path / "gunicorn.conf.py"), *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False)

    return run


def test_an_application_that_can_be_imported_passes(check: Check, tmp_path: Path) -> None:
    assert check(APPLICATION, "import", "keepalive", "backlog").returncode == 0
    assert (tmp_path / "imported").exists()


@pytest.mark.parametrize(
    ("application", "said"),
    [("import nowhere\n", "No module named 'nowhere'"), ("", "Failed to find attribute 'app' in 'shop'")],
)
def test_an_application_that_can_not_be_imported_does_not(check: Check, application: str, said: str) -> None:
    done = check(application, "import")
    assert done.returncode == 1
    assert said in done.stdout + done.stderr


@pytest.mark.parametrize("application", [APPLICATION, "import nowhere\n"])
def test_threads_of_the_application_do_not_keep_the_check_alive(check: Check, application: str) -> None:
    assert check(THREAD + application, "import").returncode == (0 if application == APPLICATION else 1)


def test_the_applications_modules_do_not_stand_before_those_of_the_standard_library(check: Check) -> None:
    assert check(APPLICATION, "import", shadow="difflib.py").returncode == 0


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["keepalive", "bakclog"], "has no setting 'bakclog'; did you mean backlog?\n"),
        (["xyzzy"], "has no setting 'xyzzy'\n"),
        (["Bind"], "has no setting 'Bind'; did you mean bind?\n"),
    ],
)
@pytest.mark.parametrize("imported", ["import", "settings"])
def test_a_setting_that_gunicorn_does_not_know_is_refused(
    check: Check, tmp_path: Path, imported: str, names: list[str], said: str
) -> None:
    done = check(APPLICATION, imported, *names)
    assert done.returncode == 1
    assert done.stderr.startswith("gunicorn_settings: gunicorn ")
    assert done.stderr.endswith(said)
    assert not (tmp_path / "imported").exists()


def test_settings_alone_need_no_import(check: Check, tmp_path: Path) -> None:
    assert check(APPLICATION, "settings", "backlog").returncode == 0
    assert not (tmp_path / "imported").exists()


# --- front --------------------------------------------------------------------------------------------------------


@pytest.fixture
def serve(host: Host, start: Start) -> Start:
    """Has a release serve without any proof; gives its gate."""

    def run(
        behaviour: str | Behaviour = "answer", options: t.Mapping[str, t.Any] | None = None, **health: t.Any
    ) -> Gate:
        gate = start(behaviour, options, **health)
        os.symlink(f"releases/{host.release().id}", host.layout.current)
        return gate

    return run


def test_the_application_is_looked_at_as_a_client_does(host: Host, front: Front, serve: Start) -> None:
    serve(options={"front_url": front.url, "front_host": "www.example.com"}).front()
    assert front.requests == [(host.release().id, "/ready", "www.example.com")]


def test_without_a_site_there_is_nothing_to_look_at(host: Host, front: Front, serve: Start) -> None:
    os.unlink(host.layout.nginx_site)
    serve("mute", {"front_url": front.url}).front()
    assert front.requests == []


def test_without_an_address_there_is_nothing_to_look_at(front: Front, serve: Start) -> None:
    serve("mute").front()
    assert front.requests == []


def test_the_site_tells_where_it_is_looked_at(host: Host, front: Front, serve: Start) -> None:
    """In maintenance, say, it is nowhere: nginx answers by itself."""
    gate = serve(options={"front_url": "auto", "front_host": "www.example.com"})
    told = Path(host.layout.nginx_front_url)
    gate.front()
    told.parent.mkdir(parents=True)
    told.write_text("\n")
    gate.front()
    assert front.requests == []
    told.write_text(f"{front.url}/mounted\nexample.com\nwww.example.com\n")
    gate.front()
    assert front.requests == [(host.release().id, "/mounted/ready", "www.example.com")]


def test_a_site_that_does_not_know_the_domain_yet_proves_nothing(host: Host, front: Front, serve: Start) -> None:
    """It answers for names that it knows alone, and a release that has a new one goes before it."""
    told = Path(host.layout.nginx_front_url)
    told.parent.mkdir(parents=True)
    told.write_text(f"{front.url}\nold.example.com\n")
    serve(options={"front_url": "auto", "front_host": "new.example.com"}).front()
    assert front.requests == []


def test_some_wrong_answers_may_be_the_switch_itself(front: Front, serve: Start) -> None:
    serve(Behaviour(statuses=(502, 502, 200)), {"front_url": front.url}).front()
    assert len(front.requests) == 3


def test_wrong_answers_are_not_tried_for_long(front: Front, serve: Start) -> None:
    gate = serve(Behaviour(statuses=(500,), body="oops"), {"front_url": front.url})
    said = "GET /ready was answered with status 500 where 200 means ready; it said: oops"
    assert refusal(gate.front) == ("probe", f"through nginx ({front.url}, Host localhost): {said}")
    assert len(front.requests) == _gate.FRONT_ATTEMPTS


def test_what_is_right_in_front_is_what_is_right_behind(front: Front, serve: Start) -> None:
    gate = serve(Behaviour(body="ok"), {"front_url": front.url}, body="ready")
    assert refusal(gate.front)[1].endswith("the body of /ready does not match 'ready' (health.body); it said: ok")


def test_an_nginx_that_does_not_listen_is_tried_until_the_time_is_over(
    front: Front, serve: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_gate, "FRONT_TIMEOUT", 0.2)
    ask_front = _probe.ask_front
    attempts = []

    def spy(*arguments: t.Any) -> _probe.Answer:
        attempts.append(arguments)
        return ask_front(*arguments)

    monkeypatch.setattr(_probe, "ask_front", spy)
    gate = serve(options={"front_url": front.url})
    front.close()
    phase, said = refusal(gate.front)
    assert phase == "probe"
    assert ": no answer to GET /ready: " in said
    assert len(attempts) > _gate.FRONT_ATTEMPTS
