# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import dataclasses
import itertools
import os
import subprocess
import tempfile
import time
import types
from collections.abc import Callable
from pathlib import Path

import pytest

from ansible_collections.wsgiops.flask.plugins.module_utils import _service_systemd
from ansible_collections.wsgiops.flask.plugins.module_utils._service import Report, ServiceError, State, TaskResult
from ansible_collections.wsgiops.flask.plugins.module_utils._service_systemd import Systemd, sandbox
from ansible_collections.wsgiops.flask.tests.unit.plugins.host import HostLayout

ID = "0123456789ab"
SERVICE, SOCKET = f"shop@{ID}.service", f"shop@{ID}.socket"
TIMER = f"shop_retry@{ID}.timer"

# Answers from a directory: `show` by unit and property with an empty line between units, other verbs by name; a file
# VERB.fails makes a verb fail.
SYSTEMCTL = """
echo "$LC_ALL $*" >> {answers}/log
verb=$1
case $verb in
  show)
    properties="^($(echo "${{2#--property=}}" | tr , '|'))="
    shift 3
    for unit; do
      grep -E "$properties" "{answers}/$unit" || true
      shift
      [ $# = 0 ] || echo
    done
    ;;
  *) [ ! -e "{answers}/$verb" ] || cat "{answers}/$verb" ;;
esac
if [ -e "{answers}/$verb.fails" ]; then cat "{answers}/$verb.fails" >&2; exit 1; fi
"""

# What is said of a command: its stdout, its stderr and its status from files.
SYSTEMD_RUN = """
echo "$LC_ALL systemd-run $*" >> {answers}/log
[ ! -e {answers}/stdout ] || cat {answers}/stdout
[ ! -e {answers}/stderr ] || cat {answers}/stderr >&2
[ ! -e {answers}/status ] || exit "$(cat {answers}/status)"
"""


class Manager:
    """What the fake systemctl and journalctl say, and what they were asked."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def says(self, name: str, *lines: str) -> None:
        (self.directory / name).write_text("".join(line + "\n" for line in lines))

    def asked(self) -> list[str]:
        return [line.partition(" ")[2] for line in (self.directory / "log").read_text().splitlines()]

    def locales(self) -> set[str]:
        return {line.partition(" ")[0] for line in (self.directory / "log").read_text().splitlines()}


@pytest.fixture
def manager(tmp_path: Path, command: Callable[[str, str], Path], monkeypatch: pytest.MonkeyPatch) -> Manager:
    answers = tmp_path / "answers"
    answers.mkdir()
    command("systemctl", SYSTEMCTL.format(answers=answers))
    command("journalctl", f'echo "$LC_ALL journalctl $*" >> {answers}/log; cat {answers}/journal')
    command("systemd-run", SYSTEMD_RUN.format(answers=answers))
    monkeypatch.setattr(_service_systemd, "UNIT_DIRECTORY", str(tmp_path / "systemd"))
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    return Manager(answers)


@pytest.fixture
def layout(tmp_path_factory: pytest.TempPathFactory) -> HostLayout:
    return HostLayout("shop", str(tmp_path_factory.mktemp("h") / "opt"))


@pytest.fixture
def systemd(layout: HostLayout) -> Systemd:
    return Systemd(layout)


# --- state --------------------------------------------------------------------------------------------------------


def link_at_boot(unit: str) -> None:
    """What `systemctl enable` does."""
    target = "multi-user.target.wants" if unit == SERVICE else "sockets.target.wants"
    directory = Path(_service_systemd.UNIT_DIRECTORY, target)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / unit).symlink_to("/etc/systemd/system/a-template")


def test_a_running_pair(manager: Manager, systemd: Systemd) -> None:
    since = int((time.monotonic() - 5) * 1e6)
    manager.says(
        SERVICE,
        "ActiveState=active",
        "SubState=running",
        "MainPID=4711",
        f"ExecMainStartTimestampMonotonic={since}",
        "NeedDaemonReload=no",
    )
    manager.says(SOCKET, "ActiveState=active", "NeedDaemonReload=no")
    for unit in (SERVICE, SOCKET):
        link_at_boot(unit)
    state = systemd.state(ID)
    assert (state.service, state.sub, state.main_pid, state.socket) == ("active", "running", 4711, "active")
    assert (state.running, state.died, state.enabled, state.needs_reload) == (True, False, True, False)
    assert state.started == pytest.approx(time.time() - 5, abs=2)
    [asked] = manager.asked()
    assert asked.startswith("show --property=ActiveState,"), "the pair is asked for in one command"
    assert asked.endswith(f" -- {SERVICE} {SOCKET}")


def test_a_pair_that_is_not_there(manager: Manager, systemd: Systemd) -> None:
    manager.says(SERVICE, "ActiveState=inactive", "SubState=dead", "MainPID=0", "ExecMainStartTimestampMonotonic=0")
    manager.says(SOCKET, "ActiveState=inactive")
    state = systemd.state(ID)
    assert (state.service, state.main_pid, state.socket, state.started) == ("inactive", 0, "inactive", 0.0)
    assert not any([state.running, state.died, state.enabled, state.needs_reload])


def test_what_systemd_does_not_say_is_not_so(manager: Manager, systemd: Systemd) -> None:
    manager.says(SERVICE, "ActiveState=inactive")
    manager.says(SOCKET, "ActiveState=inactive")
    assert systemd.state(ID) == State("inactive", "dead", 0, "inactive", 0.0, False, False)


@pytest.mark.parametrize(
    ("lines", "running", "died"),
    [
        (["ActiveState=active", "SubState=running", "MainPID=1"], True, False),
        (["ActiveState=activating", "SubState=start", "MainPID=1"], False, False),
        (["ActiveState=activating", "SubState=auto-restart", "MainPID=0"], False, True),
        (["ActiveState=failed", "SubState=failed", "MainPID=0"], False, True),
        (["ActiveState=active", "SubState=exited", "MainPID=0"], False, False),
        (["ActiveState=deactivating", "SubState=stop-sigterm", "MainPID=1"], False, False),
    ],
)
def test_what_runs_and_what_came_to_nothing(
    manager: Manager, systemd: Systemd, lines: list[str], running: bool, died: bool
) -> None:
    manager.says(SERVICE, *lines)
    manager.says(SOCKET, "ActiveState=active")
    state = systemd.state(ID)
    assert (state.running, state.died) == (running, died)


@pytest.mark.parametrize("stale", [SERVICE, SOCKET])
def test_either_unit_asks_for_a_reload(manager: Manager, systemd: Systemd, stale: str) -> None:
    for unit in (SERVICE, SOCKET):
        manager.says(unit, "NeedDaemonReload=" + ("yes" if unit == stale else "no"))
    assert systemd.state(ID).needs_reload


@pytest.mark.parametrize("there", [SERVICE, SOCKET])
def test_half_a_pair_at_boot_is_not_enabled(manager: Manager, systemd: Systemd, there: str) -> None:
    for unit in (SERVICE, SOCKET):
        manager.says(unit, "ActiveState=active")
    link_at_boot(there)
    assert not systemd.state(ID).enabled


def test_workers_are_the_children_of_the_main_process(manager: Manager, systemd: Systemd) -> None:
    manager.says(SERVICE, "ActiveState=active", f"MainPID={os.getpid()}")
    manager.says(SOCKET)
    worker = subprocess.Popen(["sleep", "60"])
    try:
        assert worker.pid in systemd.workers(ID)
    finally:
        worker.kill()
        worker.wait()
    assert worker.pid not in systemd.workers(ID)


@pytest.mark.parametrize("pid", [0, 2**22 + 1], ids=["no process", "one that is gone"])
def test_without_a_main_process_there_are_no_workers(manager: Manager, systemd: Systemd, pid: int) -> None:
    manager.says(SERVICE, f"MainPID={pid}")
    manager.says(SOCKET)
    assert systemd.workers(ID) == set()


# --- reports ------------------------------------------------------------------------------------------------------

# What systemd 252 shows of a release that serves, and of one whose start limit tripped: of the service, what ended it,
# of the socket, the limit.
SERVING = """
ActiveState=active
Result=success
MainPID=4711
NRestarts=2
ExecMainStatus=0
ExecMainStartTimestampMonotonic={since}
StartLimitBurst=5
StartLimitIntervalUSec=1min
MemoryCurrent=52428800
"""
LIMITED = """
ActiveState=failed
Result=exit-code
MainPID=0
NRestarts=5
ExecMainStatus=3
ExecMainStartTimestampMonotonic=1234567890
StartLimitBurst=5
StartLimitIntervalUSec=1min
MemoryCurrent=[not set]
"""

# systemctl list-timers --output=json, of a timer that goes off and of one that does not.
TIMERS = (
    '[{{"next":{next},"left":1795197971250000,"last":0,"passed":0,'
    f'"unit":"{TIMER}","activates":"shop_retry@{ID}.service"}}}}]'
)


def test_a_release_that_serves_is_reported(manager: Manager, systemd: Systemd) -> None:
    manager.says(SERVICE, *SERVING.format(since=int((time.monotonic() - 60) * 1e6)).split())
    manager.says(SOCKET, "ActiveState=active", "Result=success")
    manager.says("list-timers", "[]")
    report = systemd.report(ID)
    assert dataclasses.replace(report, started=0.0) == Report(
        service="active",
        socket="active",
        socket_result="success",
        ended="",
        main_pid=4711,
        restarts=2,
        started=0.0,
        retry=0.0,
        limit="5 starts within 1min",
        memory=50 << 20,
    )
    assert report.started == pytest.approx(time.time() - 60, abs=2)
    show, timers = manager.asked()
    assert show.endswith(f" -- {SERVICE} {SOCKET}"), "the pair is asked for in one command"
    assert timers == f"list-timers --all --output=json -- {TIMER}"


@pytest.mark.parametrize(("next_elapse", "retry"), [("1795198031250000", 1795198031.25), ("0", 0.0), ("null", 0.0)])
def test_a_tripped_start_limit_is_reported_with_the_next_try(
    manager: Manager, systemd: Systemd, next_elapse: str, retry: float
) -> None:
    manager.says(SERVICE, *LIMITED.strip().splitlines())
    manager.says(SOCKET, "ActiveState=failed", "Result=service-start-limit-hit")
    manager.says("list-timers", TIMERS.format(next=next_elapse))
    assert systemd.report(ID) == Report(
        service="failed",
        socket="failed",
        socket_result="service-start-limit-hit",
        ended="exit status 3",
        main_pid=0,
        restarts=5,
        started=0.0,
        retry=retry,
        limit="5 starts within 1min",
        memory=0,
    )


@pytest.mark.parametrize(
    ("result", "ended"),
    [
        ("success", ""),
        ("exit-code", "exit status 9"),
        ("signal", "signal 9"),
        ("core-dump", "signal 9"),
        ("oom-kill", "the kernel's, for want of memory"),
        ("watchdog", "systemd's, since it gave no sign of life (watchdog)"),
        ("timeout", "a timeout of its start or its stop"),
        ("start-limit-hit", "start-limit-hit"),
    ],
)
def test_how_a_service_ended_is_said_in_words(manager: Manager, systemd: Systemd, result: str, ended: str) -> None:
    manager.says(SERVICE, "ActiveState=failed", f"Result={result}", "ExecMainStatus=9")
    manager.says(SOCKET)
    assert systemd.report(ID).ended == ended


def test_what_systemd_does_not_say_is_not_reported(manager: Manager, systemd: Systemd) -> None:
    """Without a timer of that name, too, of which it tells as an error."""
    manager.says(SERVICE, "ActiveState=inactive")
    manager.says(SOCKET)
    manager.says("list-timers.fails", "Unit not found.")
    assert systemd.report(ID) == Report("inactive", "inactive", "success", "", 0, 0, 0.0, 0.0, "? starts within ?", 0)


# --- what systemd has to say of units -----------------------------------------------------------------------------

UNITS = {
    "shop@.service": "[Unit]\nRequires=shop@%i.socket\n[Service]\nExecStart=/bin/true\n",
    "shop@.socket": "[Unit]\nOnFailure=shop_retry@%i.timer\n[Socket]\nListenStream=/run/shop/%i.sock\n",
    "shop_retry@.service": "[Service]\nType=oneshot\nExecStart=/bin/true\n",
    "shop_retry@.timer": "[Timer]\nOnActiveSec=300\n",
}


def test_nothing_is_to_be_said_of_units_that_are_right(systemd: Systemd) -> None:
    assert systemd.verify(ID, UNITS) == ""


@pytest.mark.parametrize(
    ("name", "line", "words"),
    [
        ("shop@.service", "Restrat=always", "'Restrat'"),
        ("shop@.service", "StartLimitIntervalSec=60", "'StartLimitIntervalSec'"),
        ("shop@.service", "MemoryMax=lots", "'lots'"),
        ("shop@.service", "Type=notify # says READY", "notify # says READY"),
        ("shop@.service", "ExecStart=\nExecStart=/no/such/program", "/no/such/program"),
        ("shop@.socket", "SocketMode=rw", "rw"),
        ("shop_retry@.timer", "OnActiveSec=soon", "soon"),
        ("shop_retry@.service", "ExecStart=", "ExecStart="),
    ],
)
def test_a_line_that_systemd_does_not_understand_is_told_with_its_unit(
    systemd: Systemd, name: str, line: str, words: str
) -> None:
    """It would be passed over with a warning, and so would what it protects from."""
    found = systemd.verify(ID, {**UNITS, name: f"{UNITS[name]}{line}\n"})
    assert words in found
    assert name.replace("@", f"@{ID}") in found
    assert tempfile.gettempdir() not in found


@pytest.fixture
def analyze(tmp_path: Path, command: Callable[[str, str], Path]) -> Callable[[str], Path]:
    """A systemd-analyze that copies the units that it gets, keeps its arguments, and then does as it is told."""

    def add(script: str) -> Path:
        copy = f'for last; do :; done; cp -r "$(dirname "$last")" {tmp_path}/units'
        command("systemd-analyze", f'echo "$LC_ALL $*" > {tmp_path}/asked\n{copy}\n{script}')
        return tmp_path

    return add


def test_units_are_looked_at_as_those_of_the_release(systemd: Systemd, analyze: Callable[[str], Path]) -> None:
    kept = analyze("exit 0")
    assert systemd.verify(ID, UNITS) == ""
    units = {path.name: path.read_text() for path in (kept / "units").iterdir()}
    assert units == {name.replace("@.", f"@{ID}."): text for name, text in UNITS.items()}
    locale, verb, *arguments = (kept / "asked").read_text().split()
    assert (locale, verb) == ("C", "verify")
    paths = [Path(argument) for argument in arguments if not argument.startswith("--")]
    assert sorted(path.name for path in paths) == sorted(units)
    assert not paths[0].parent.exists()


def test_what_is_told_names_units_where_people_look_for_them(systemd: Systemd, analyze: Callable[[str], Path]) -> None:
    analyze('echo "$last:7: Unknown key" >&2')
    word = f"{_service_systemd.UNIT_DIRECTORY}/shop_retry@{ID}.timer:7: Unknown key"
    assert systemd.verify(ID, UNITS) == word


def test_other_units_of_the_host_are_not_the_releases_fault(systemd: Systemd, analyze: Callable[[str], Path]) -> None:
    analyze("echo '/usr/lib/systemd/system/other.service:7: Unknown key'; exit 1")
    assert systemd.verify(ID, UNITS) == ""


def test_a_refusal_without_words_is_one_all_the_same(systemd: Systemd, analyze: Callable[[str], Path]) -> None:
    analyze("exit 3")
    assert systemd.verify(ID, UNITS) == "exit status 3"


# --- which releases there are -------------------------------------------------------------------------------------


def test_releases_run_have_failed_or_start_at_boot(manager: Manager, systemd: Systemd, tmp_path: Path) -> None:
    manager.says(
        "list-units",
        "shop@aaaaaaaaaaaa.service loaded    active   running shop, release aaaaaaaaaaaa",
        "shop@aaaaaaaaaaaa.socket  loaded    active   running Socket of shop, release aaaaaaaaaaaa",
        "shop@bbbbbbbbbbbb.service loaded    failed   failed  shop, release bbbbbbbbbbbb",
        "shop@cccccccccccc.service loaded    inactive dead    shop, release cccccccccccc",
        "shop@dddddddddddd.socket  not-found active   running shop@dddddddddddd.socket",
    )
    for target, names in {
        "multi-user.target.wants": ["shop@eeeeeeeeeeee.service", "shop-2@ffffffffffff.service", "nginx.service"],
        "sockets.target.wants": ["shop@111111111111.socket", "shop@.socket"],
    }.items():
        (tmp_path / "systemd" / target).mkdir(parents=True)
        for name in names:
            (tmp_path / "systemd" / target / name).symlink_to("/nowhere")
    found = ["111111111111", "aaaaaaaaaaaa", "bbbbbbbbbbbb", "dddddddddddd", "eeeeeeeeeeee"]
    assert systemd.releases() == found
    assert manager.asked() == ["list-units --all --plain --no-legend shop@*.service shop@*.socket"]


def test_a_host_without_any_has_none(manager: Manager, systemd: Systemd) -> None:
    assert systemd.releases() == []


# --- what is told -------------------------------------------------------------------------------------------------


def test_a_start_forgets_failures_and_begins_with_the_socket(manager: Manager, systemd: Systemd) -> None:
    manager.says("reset-failed.fails", "Unit not loaded.")
    systemd.start(ID)
    assert manager.asked() == [
        f"stop -- {TIMER}",
        f"reset-failed -- {SERVICE} {SOCKET} {TIMER}",
        f"start -- {SOCKET} {SERVICE}",
    ]


def test_listening_is_the_sockets_alone(manager: Manager, systemd: Systemd) -> None:
    """What a tripped limit left waiting is not to start it a second time."""
    manager.says("stop.fails", f"Unit {TIMER} not loaded.")
    systemd.listen(ID)
    assert manager.asked() == [f"stop -- {TIMER}", f"reset-failed -- {SERVICE} {SOCKET} {TIMER}", f"start -- {SOCKET}"]


@pytest.mark.parametrize(("pid", "last"), [("1", f"restart -- {SERVICE}"), ("0", f"start -- {SOCKET} {SERVICE}")])
def test_a_restart_leaves_the_socket_up_and_starts_once(
    manager: Manager, systemd: Systemd, layout: HostLayout, pid: str, last: str
) -> None:
    manager.says("reset-failed.fails", "Unit not loaded.")
    manager.says(SERVICE, f"MainPID={pid}")
    manager.says(SOCKET, "ActiveState=active")
    os.makedirs(layout.run)
    Path(layout.socket(ID)).write_text("")
    systemd.restart(ID)
    assert [line for line in manager.asked() if line.startswith("stop")] == [f"stop -- {TIMER}"]
    assert manager.asked()[-1] == last


def test_a_restart_brings_a_lost_socket_file_back(manager: Manager, systemd: Systemd) -> None:
    manager.says(SERVICE, "MainPID=1")
    manager.says(SOCKET, "ActiveState=active")
    systemd.restart(ID)
    asked = manager.asked()
    assert asked[-1] == f"start -- {SOCKET} {SERVICE}"
    assert f"stop -- {SERVICE} {SOCKET}" in asked


def test_both_units_are_stopped_at_once(manager: Manager, systemd: Systemd) -> None:
    manager.says("reset-failed.fails", "Unit not loaded.")
    systemd.stop(ID)
    assert manager.asked() == [
        f"stop -- {TIMER}",
        f"stop -- {SERVICE} {SOCKET}",
        f"reset-failed -- {SERVICE} {SOCKET} {TIMER}",
    ]


def test_boot_is_told_of_both_units(manager: Manager, systemd: Systemd) -> None:
    manager.says("disable.fails", "No such file or directory")
    systemd.enable(ID)
    systemd.disable(ID)
    both = f"--quiet --no-reload -- {SERVICE} {SOCKET}"
    assert manager.asked() == [f"enable {both}", f"disable {both}"]


def test_what_serves_nobody_is_killed_while_it_stops(manager: Manager, systemd: Systemd) -> None:
    systemd.abort(ID)
    assert manager.asked() == [
        f"stop --no-block -- {SERVICE} {SOCKET}",
        f"kill --signal=SIGKILL -- {SERVICE}",
        f"stop -- {TIMER}",
        f"stop -- {SERVICE} {SOCKET}",
        f"reset-failed -- {SERVICE} {SOCKET} {TIMER}",
    ]


@pytest.mark.parametrize("verb", ["start", "stop", "restart", "enable", "daemon-reload"])
def test_a_refusal_has_the_command_and_its_words(
    manager: Manager, systemd: Systemd, layout: HostLayout, verb: str
) -> None:
    os.makedirs(layout.run)
    Path(layout.socket(ID)).write_text("")
    manager.says(SERVICE, "MainPID=1")
    manager.says(SOCKET, "ActiveState=active")
    manager.says(f"{verb}.fails", "Job failed. See the journal.")
    act = getattr(systemd, verb.replace("-", "_"))
    with pytest.raises(ServiceError, match=rf"^systemctl {verb}.*: Job failed\. See the journal\.$"):
        act() if verb == "daemon-reload" else act(ID)


def test_the_log_is_that_of_both_units_since_a_moment(manager: Manager, systemd: Systemd) -> None:
    manager.says("journal", "Traceback", "  File", "ImportError: no module named shop")
    assert systemd.log(ID, 1795197971.25) == ["Traceback", "  File", "ImportError: no module named shop"]
    [asked] = manager.asked()
    options = {"--no-pager", "--output=cat", "--since=@1795197971.250000", f"--unit={SERVICE}", f"--unit={SOCKET}"}
    assert options <= set(asked.split())


def test_every_command_speaks_english(manager: Manager, systemd: Systemd) -> None:
    manager.says(SERVICE, "ActiveState=inactive")
    manager.says(SOCKET)
    manager.says("journal")
    systemd.run_task(ID, "", ["true"], {}, 1)
    systemd.state(ID)
    systemd.start(ID)
    systemd.log(ID, 0)
    assert manager.locales() == {"C"}


# --- what runs in the sandbox of a release ------------------------------------------------------------------------

SERVICE_TEXT = """# Managed by a test
[Unit]
Description=shop, release %i
Requires=shop@%i.socket

[Service]
Type=notify
NotifyAccess=main
User=shop
# no comment
WorkingDirectory=/opt/shop/releases/%i/code
Environment=FLASK_RELEASE=%i LOAD=100%% LITERAL=%%i
EnvironmentFile=/opt/shop/releases/%i/env
ExecCondition=/usr/bin/test /opt/shop/current -ef /opt/shop/releases/%i
ExecStartPre=/bin/true
ExecStart=/opt/shop/releases/%i/venv/bin/gunicorn
ExecReload=/bin/true
KillMode=mixed
TimeoutStartSec=60
TimeoutStopSec=35
Restart=on-failure
RestartSec=1
WatchdogSec=30

StateDirectory=shop
CapabilityBoundingSet=
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources

[Install]
WantedBy=multi-user.target
"""

SANDBOX = [
    "User=shop",
    f"WorkingDirectory=/opt/shop/releases/{ID}/code",
    f"Environment=FLASK_RELEASE={ID} LOAD=100% LITERAL=%i",
    f"EnvironmentFile=/opt/shop/releases/{ID}/env",
    "StateDirectory=shop",
    "CapabilityBoundingSet=",
    "SystemCallFilter=@system-service",
    "SystemCallFilter=~@privileged @resources",
]


def test_the_sandbox_is_the_service_without_its_server() -> None:
    assert sandbox(SERVICE_TEXT, ID) == SANDBOX


def test_a_service_without_settings_has_no_sandbox() -> None:
    assert sandbox("[Unit]\nUser=shop\n", ID) == []


def test_a_task_runs_in_the_sandbox_and_is_waited_for(manager: Manager, systemd: Systemd) -> None:
    command = ["/bin/sh", "-c", "flask db upgrade"]
    systemd.run_task(ID, SERVICE_TEXT, command, {"PATH": "/bin", "FLASK_APP": "shop:app"}, 90)
    assert manager.asked() == [
        "is-active -- shop-task.service",
        "systemd-run --wait --pipe --unit=shop-task.service --service-type=exec --collect --quiet "
        f"--description=Task of shop, release {ID} "
        + " ".join("--property=" + setting for setting in SANDBOX)
        + " --property=RuntimeMaxSec=90 --setenv=FLASK_APP=shop:app --setenv=PATH=/bin -- /bin/sh -c flask db upgrade",
    ]


def test_the_shell_and_not_systemd_expands_what_is_in_a_command(manager: Manager, systemd: Systemd) -> None:
    systemd.run_task(ID, "", ["/bin/sh", "-c", "echo $HOME ${PATH} $$"], {"COST": "$5"}, 90)
    assert manager.asked()[-1].endswith("--setenv=COST=$5 -- /bin/sh -c echo $$HOME $${PATH} $$$$")


def test_a_task_gives_its_status_and_all_that_it_wrote(manager: Manager, systemd: Systemd) -> None:
    manager.says("stdout", "upgrading")
    manager.says("stderr", "no such table")
    manager.says("status", "3")
    assert systemd.run_task(ID, "", ["false"], {}, 90) == TaskResult(3, "upgrading\nno such table\n")


@pytest.mark.parametrize(("status", "timed_out"), [("1", True), ("0", False)])
def test_a_task_whose_time_was_over_is_told(
    manager: Manager, systemd: Systemd, monkeypatch: pytest.MonkeyPatch, status: str, timed_out: bool
) -> None:
    manager.says("status", status)
    ticks = itertools.count(step=90)
    monkeypatch.setattr(_service_systemd, "time", types.SimpleNamespace(monotonic=lambda: next(ticks)))
    assert systemd.run_task(ID, "", ["sleep"], {}, 90).timed_out == timed_out


@pytest.mark.parametrize("state", ["active", "activating", "deactivating"])
def test_a_task_of_an_earlier_run_is_waited_for(
    manager: Manager, systemd: Systemd, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    manager.says("is-active", state)
    pauses = []

    def end_after_two(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            manager.says("is-active", "inactive")

    clock = types.SimpleNamespace(monotonic=time.monotonic, sleep=end_after_two)
    monkeypatch.setattr(_service_systemd, "time", clock)
    systemd.run_task(ID, "", ["true"], {}, 90)
    assert [asked.split()[0] for asked in manager.asked()] == ["is-active"] * 3 + ["systemd-run"]


def test_a_task_that_does_not_end_is_an_error(
    manager: Manager, systemd: Systemd, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager.says("is-active", "active")
    hours = itertools.count(0, 3600)
    clock = types.SimpleNamespace(monotonic=lambda: next(hours), sleep=lambda _seconds: None)
    monkeypatch.setattr(_service_systemd, "time", clock)
    with pytest.raises(ServiceError, match=r"^shop-task\.service of an earlier run does not end$"):
        systemd.run_task(ID, "", ["true"], {}, 90)


# --- what takes a release back ------------------------------------------------------------------------------------


def test_a_timer_of_systemd_takes_a_release_back(manager: Manager, systemd: Systemd) -> None:
    systemd.arm(["/usr/bin/python3", "-I", "/opt/shop/take-back", "shop"], 120)
    assert manager.asked()[-1] == (
        "systemd-run --quiet --collect --unit=shop-take-back --on-active=120 --timer-property=AccuracySec=100ms "
        "-- /usr/bin/python3 -I /opt/shop/take-back shop"
    )


def test_a_timer_that_can_not_be_had_is_an_error(manager: Manager, systemd: Systemd) -> None:
    manager.says("stderr", "Failed to start transient timer unit")
    manager.says("status", "1")
    with pytest.raises(ServiceError, match="Failed to start transient timer unit"):
        systemd.arm(["true"], 120)


@pytest.mark.parametrize(("state", "pending"), [("active", True), ("inactive", False), ("failed", False)])
def test_who_disarms_is_told_whether_it_was_armed(
    manager: Manager, systemd: Systemd, state: str, pending: bool
) -> None:
    manager.says("is-active", state)
    manager.says("stop.fails", "Unit shop-take-back.timer not loaded.")
    assert systemd.disarm() is pending
    assert "stop -- shop-take-back.timer" in manager.asked()


def test_all_that_runs_beside_the_releases_is_ended(manager: Manager, systemd: Systemd) -> None:
    manager.says("stop.fails", "Unit not loaded.")
    systemd.end_tasks()
    units = ("shop-take-back.timer", "shop-take-back.service", "shop-task.service")
    assert manager.asked() == [f"stop -- {unit}" for unit in units]
