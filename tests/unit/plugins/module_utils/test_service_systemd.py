# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ansible_collections.wsgiops.flask.plugins.module_utils import _service_systemd
from ansible_collections.wsgiops.flask.plugins.module_utils._service_systemd import ServiceError, Systemd
from ansible_collections.wsgiops.flask.tests.unit.plugins.host import HostLayout

ID = "0123456789ab"
SERVICE, SOCKET = f"shop@{ID}.service", f"shop@{ID}.socket"

# Answers from a directory: `show` by unit and property, other verbs by name; a file VERB.fails makes a verb fail.
SYSTEMCTL = """
echo "$LC_ALL $*" >> {answers}/log
for unit; do :; done
case $1 in
  show) grep -E "^($(echo "${{2#--property=}}" | tr , '|'))=" "{answers}/$unit" || true ;;
  *) [ ! -e "{answers}/$1" ] || cat "{answers}/$1" ;;
esac
if [ -e "{answers}/$1.fails" ]; then cat "{answers}/$1.fails" >&2; exit 1; fi
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


def test_a_running_pair(manager: Manager, systemd: Systemd) -> None:
    since = int((time.monotonic() - 5) * 1e6)
    manager.says(
        SERVICE,
        "ActiveState=active",
        "SubState=running",
        "MainPID=4711",
        f"ExecMainStartTimestampMonotonic={since}",
        "NeedDaemonReload=no",
        "UnitFileState=enabled",
    )
    manager.says(SOCKET, "ActiveState=active", "NeedDaemonReload=no", "UnitFileState=enabled")
    state = systemd.state(ID)
    assert (state.service, state.sub, state.main_pid, state.socket) == ("active", "running", 4711, "active")
    assert (state.running, state.died, state.enabled, state.needs_reload) == (True, False, True, False)
    assert state.started == pytest.approx(time.time() - 5, abs=2)


def test_a_pair_that_is_not_there(manager: Manager, systemd: Systemd) -> None:
    manager.says(SERVICE, "ActiveState=inactive", "SubState=dead", "MainPID=0", "ExecMainStartTimestampMonotonic=0")
    manager.says(SOCKET, "ActiveState=inactive", "UnitFileState=")
    state = systemd.state(ID)
    assert (state.service, state.main_pid, state.socket, state.started) == ("inactive", 0, "inactive", 0.0)
    assert not any([state.running, state.died, state.enabled, state.needs_reload])


def test_what_systemd_does_not_say_is_not_so(manager: Manager, systemd: Systemd) -> None:
    manager.says(SERVICE)
    manager.says(SOCKET)
    assert systemd.state(ID) == _service_systemd.State("inactive", "dead", 0, "inactive", 0.0, False, False)


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


@pytest.mark.parametrize("lost", [SERVICE, SOCKET])
def test_half_a_pair_at_boot_is_not_enabled(manager: Manager, systemd: Systemd, lost: str) -> None:
    for unit in (SERVICE, SOCKET):
        manager.says(unit, "UnitFileState=" + ("disabled" if unit == lost else "enabled"))
    assert not systemd.state(ID).enabled


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
        f"reset-failed -- {SERVICE} {SOCKET}",
        f"start -- {SOCKET}",
        f"start -- {SERVICE}",
    ]


def test_a_restart_leaves_the_socket_up(manager: Manager, systemd: Systemd, layout: HostLayout) -> None:
    manager.says("reset-failed.fails", "Unit not loaded.")
    os.makedirs(layout.run)
    Path(layout.socket(ID)).write_text("")
    systemd.restart(ID)
    assert not [line for line in manager.asked() if line.startswith("stop")]
    assert manager.asked()[-1] == f"restart -- {SERVICE}"


def test_a_restart_brings_a_lost_socket_file_back(manager: Manager, systemd: Systemd) -> None:
    systemd.restart(ID)
    asked = manager.asked()
    assert asked.index(f"stop -- {SERVICE} {SOCKET}") < asked.index(f"start -- {SOCKET}")


def test_both_units_are_stopped_at_once(manager: Manager, systemd: Systemd) -> None:
    manager.says("reset-failed.fails", "Unit not loaded.")
    systemd.stop(ID)
    assert manager.asked() == [f"stop -- {SERVICE} {SOCKET}", f"reset-failed -- {SERVICE} {SOCKET}"]


def test_boot_is_told_of_both_units(manager: Manager, systemd: Systemd) -> None:
    manager.says("disable.fails", "No such file or directory")
    systemd.enable(ID)
    systemd.disable(ID)
    assert manager.asked() == [f"enable --quiet -- {SERVICE} {SOCKET}", f"disable --quiet -- {SERVICE} {SOCKET}"]


@pytest.mark.parametrize("verb", ["start", "stop", "restart", "enable", "daemon-reload"])
def test_a_refusal_has_the_command_and_its_words(manager: Manager, systemd: Systemd, verb: str) -> None:
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
    manager.says(SERVICE)
    manager.says(SOCKET)
    manager.says("journal")
    systemd.state(ID)
    systemd.start(ID)
    systemd.log(ID, 0)
    assert manager.locales() == {"C"}
