# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import typing as t
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.wsgiops.flask.plugins.module_utils import _service, _service_cron
from ansible_collections.wsgiops.flask.plugins.module_utils._layout import Layout
from ansible_collections.wsgiops.flask.plugins.module_utils._service import Report, ServiceError, State, TaskResult
from ansible_collections.wsgiops.flask.plugins.module_utils._service_cron import Cron, cron_runs
from ansible_collections.wsgiops.flask.tests.unit.plugins.host import Accounts, HostLayout

ID, OTHER = "0123456789ab", "ba9876543210"
ENDED = "none of app_ctl.sh's doing"
AGAIN = "cron starts it again within a minute"


@pytest.fixture
def layout(tmp_path: Path, accounts: Accounts) -> HostLayout:
    """Where the application is on a host in a directory; app_ctl.sh writes down what it is told."""
    found = HostLayout("shop", str(tmp_path / "opt"))
    for directory in (found.home, found.run, os.path.dirname(found.cron), found.take_back):
        os.makedirs(directory)
    control(found, f'echo "$*" >>{tmp_path}/told\n')
    return found


def control(layout: HostLayout, script: str) -> None:
    Path(layout.app_ctl).write_text(script)


def told(layout: HostLayout) -> list[str]:
    return (Path(layout.root).parent / "told").read_text().splitlines()


@pytest.fixture
def cron(layout: HostLayout) -> Cron:
    return Cron(layout)


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    """A process with two children."""
    with subprocess.Popen(["sh", "-c", "sleep 60 & sleep 60 & wait"], start_new_session=True) as found:
        while len(_service_cron.children(found.pid)) < 2:
            time.sleep(0.01)
        yield found
        os.killpg(found.pid, 9)


def note(layout: HostLayout, pid: int, start: str | None = None, boot: str | None = None, release: str = ID) -> None:
    """The pid file of a process, with something of it being another's."""
    start = start or _service.start_time(pid) or "?"
    boot = boot or Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    Path(layout.pid_file(release)).write_text(f"{pid} {start} {boot} {os.getsid(0)}\n")


def test_nothing_is_known_of_a_release_that_never_started(cron: Cron) -> None:
    assert cron.state(ID) == State("inactive", "dead", 0, "inactive", 0.0, False, True)
    assert cron.workers(ID) == set()
    assert cron.releases() == []
    assert cron.log(ID, 0) == []


def test_a_release_that_runs(cron: Cron, layout: HostLayout, process: subprocess.Popen[bytes]) -> None:
    note(layout, process.pid)
    Path(layout.socket(ID)).write_text("")
    state = cron.state(ID)
    assert state == State("active", "running", process.pid, "active", state.started, False, True)
    assert abs(state.started - time.time()) < 60
    assert state.running
    assert len(cron.workers(ID)) == 2
    assert cron.releases() == [ID]
    os.unlink(layout.socket(ID))
    assert cron.state(ID).socket == "inactive"


@pytest.mark.parametrize("other", ["start", "boot", "garbage", "empty", "directory"])
def test_a_process_that_is_another_one(
    cron: Cron, layout: HostLayout, process: subprocess.Popen[bytes], other: str
) -> None:
    pid_file = Path(layout.pid_file(ID))
    if other == "start":
        note(layout, process.pid, start="1")
    elif other == "boot":
        note(layout, process.pid, boot="another")
    elif other == "garbage":
        pid_file.write_text(f"{process.pid}\n-1 0\0")
    elif other == "empty":
        pid_file.write_text("")
    else:
        pid_file.mkdir()
    assert cron.state(ID) == State("failed", "dead", 0, "inactive", 0.0, False, True)
    assert cron.workers(ID) == set()


def test_a_process_that_ended_and_was_not_waited_for_does_not_run(cron: Cron, layout: HostLayout) -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        note(layout, process.pid)
        assert cron.state(ID).running
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert cron.state(ID).died


def test_a_report_of_what_runs(cron: Cron, layout: HostLayout, process: subprocess.Popen[bytes]) -> None:
    note(layout, process.pid)
    Path(layout.socket(ID)).write_text("")
    Path(layout.starts(ID)).write_text("1\n2\n")
    found = cron.report(ID)
    assert found == Report(
        "active", "active", "success", "", process.pid, 2, cron.state(ID).started, 0.0, "too many starts", 0, AGAIN
    )


def test_a_report_of_what_died(cron: Cron, layout: HostLayout) -> None:
    Path(layout.pid_file(ID)).write_text("")
    found = cron.report(ID)
    assert (found.service, found.ended, found.main_pid, found.again) == ("activating", ENDED, 0, AGAIN)
    # Nobody starts what was stopped by hand.
    Path(layout.disabled).write_text("")
    assert cron.report(ID).service == "failed"


@pytest.mark.parametrize(("text", "retry", "limit"), [
    ("1700000000 5 starts within 60 s\n", 1.7e9, "5 starts within 60 s"),
    ("never 5 starts within 60 s\n", 0.0, "5 starts within 60 s"),
    ("", 0.0, "too many starts"),
])  # fmt: skip
def test_a_report_of_what_tripped_its_limit(
    cron: Cron, layout: HostLayout, text: str, retry: float, limit: str
) -> None:
    Path(layout.limited(ID)).write_text(text)
    found = cron.report(ID)
    assert (found.service, found.socket_result) == ("failed", "service-start-limit-hit")
    assert (found.retry, found.limit) == (retry, limit)
    assert cron.releases() == [ID]


def test_what_is_told_to_app_ctl(cron: Cron, layout: HostLayout) -> None:
    cron.start(ID)
    cron.restart(ID)
    cron.stop(ID)
    cron.abort(ID)
    cron.listen(OTHER)
    cron.daemon_reload()
    cron.disable(ID)
    assert told(layout) == [f"start {ID}", f"restart {ID}", f"stop {ID}", f"abort {ID}", f"start {OTHER}"]


def test_a_release_stops_with_its_own_copy_where_systemd_is_to_run_the_next(cron: Cron, layout: HostLayout) -> None:
    own = Path(layout.release(ID), "cron", "app_ctl.sh")
    own.parent.mkdir(parents=True)
    os.rename(layout.app_ctl, own)
    cron.stop(ID)
    assert told(layout) == [f"stop {ID}"]


def test_the_words_of_app_ctl_when_it_fails(cron: Cron, layout: HostLayout) -> None:
    control(layout, "echo shop: no such release >&2; exit 1\n")
    with pytest.raises(ServiceError, match=r"sh .*/app_ctl\.sh start 0123456789ab: shop: no such release$"):
        cron.start(ID)
    os.unlink(layout.app_ctl)
    with pytest.raises(ServiceError, match=r"^/.*/app_ctl\.sh is not there$"):
        cron.stop(ID)


def test_verification_of_app_ctl(cron: Cron, layout: HostLayout) -> None:
    assert cron.verify(ID, {"app_ctl.sh": "echo\n", "shop": "not looked at ("}) == ""
    words = cron.verify(ID, {"app_ctl.sh": "if true; then\n"})
    assert words.startswith(f"{layout.app_ctl}: ")
    assert "yntax error" in words
    os.rmdir(os.path.dirname(layout.cron))
    assert cron.verify(ID, {"app_ctl.sh": "echo\n"}).endswith(
        "/etc/cron.d is not there, in which cron finds what to do: install cron"
    )


def test_what_cron_looks_after_needs_a_cron_that_runs(
    cron: Cron, layout: HostLayout, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    Path(layout.disabled).write_text("")

    monkeypatch.setattr(_service_cron, "CRON_PID_FILES", [str(tmp_path / "crond.pid")])
    monkeypatch.setattr(_service_cron, "CRON_NAMES", ["no such cron"])
    for pid in ("", "0", "999999999", "x", "9" * 30):
        (tmp_path / "crond.pid").write_text(pid)
        assert cron_runs() is False
    with pytest.raises(ServiceError, match=r"^no cron daemon runs .*; start it, as with 'service cron start'$"):
        cron.enable(ID)
    private = Cron(Layout("shop", layout.root, private=True))
    with pytest.raises(ServiceError, match=r"; its administrator has to start it, as with 'service cron start'$"):
        private.enable(ID)
    (tmp_path / "crond.pid").write_text(f"{os.getpid()}\n")
    assert not cron.state(ID).enabled
    cron.enable(ID)
    assert cron.state(ID).enabled
    assert cron.warnings == []


def test_a_cron_without_a_pid_file_is_known_by_its_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(_service_cron, "CRON_PID_FILES", [str(tmp_path / "crond.pid")])
    monkeypatch.setattr(_service_cron, "CRON_NAMES", [Path("/proc/self/comm").read_text().strip()])
    assert cron_runs()


def test_processes_of_others_that_are_hidden_are_no_reason_to_refuse(
    cron: Cron, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As on many a shared host (hidepid= of proc(5)): a signal is refused there, and one to nobody fails."""
    monkeypatch.setattr(_service_cron, "CRON_PID_FILES", [str(tmp_path / "crond.pid")])
    monkeypatch.setattr(_service_cron, "CRON_NAMES", ["no such cron"])
    monkeypatch.setattr(_service_cron, "INIT", str(tmp_path / "hidden"))
    cron.enable(ID)
    assert len(cron.warnings) == 1
    assert "is not to be seen" in cron.warnings[0]

    def refused(*_of: object) -> None:
        raise PermissionError

    (tmp_path / "crond.pid").write_text("4\n")
    monkeypatch.setattr(_service_cron, "start_time", lambda _pid: None)
    monkeypatch.setattr(os, "kill", refused)
    assert cron_runs() is True


def test_a_server_whose_files_are_gone_is_known_by_its_socket(tmp_path: Path) -> None:
    """Unless it is systemd's, which does not have what launches it."""
    with tempfile.TemporaryDirectory(prefix="a", dir="/tmp") as top:  # the path of a socket is short
        layout = Layout("shop", top, private=True)
        for release in (ID, OTHER):
            os.makedirs(layout.release(release))
        Path(layout.release(ID), "launch.py").touch()
        os.mkdir(layout.run)
        with socket.socket(socket.AF_UNIX) as first, socket.socket(socket.AF_UNIX) as second:
            for release, listener in ((ID, first), (OTHER, second)):
                listener.bind(layout.socket(release))
            assert Cron(layout).releases() == []
            first.listen()
            second.listen()
            shutil.rmtree(layout.run)
            assert Cron(layout).releases() == [ID]
        assert Cron(layout).releases() == []


def test_ending_tasks_leaves_cron_nothing_to_do(cron: Cron, layout: HostLayout) -> None:
    cron.end_tasks()
    assert not os.path.exists(layout.disabled)  # there is no such application of cron's
    Path(layout.cron).write_text("")
    cron.arm(["true"], 5)
    cron.end_tasks()
    assert os.path.exists(layout.disabled)
    assert not os.path.exists(layout.take_back_due)


def test_arming_and_disarming(cron: Cron, layout: HostLayout) -> None:
    assert not cron.disarm()
    assert not cron.withdraw()
    cron.arm(["echo", "it's $HOME"], 100)
    assert abs(int(Path(layout.take_back_due).read_text()) - time.time() - 100) < 60
    assert subprocess.check_output(["sh", layout.take_back_command], text=True) == "it's $HOME\n"
    assert cron.disarm()
    assert not cron.disarm()


def test_what_has_gone_off_is_withdrawn_too(cron: Cron, layout: HostLayout) -> None:
    cron.arm(["true"], 0)
    os.unlink(layout.take_back_due)
    assert cron.withdraw()


@pytest.fixture
def release(layout: HostLayout) -> Path:
    """A release whose launcher runs the command, and says what else it was given."""
    home = Path(layout.release(ID))
    (home / "venv" / "bin").mkdir(parents=True)
    (home / "venv" / "bin" / "python").symlink_to(sys.executable)
    (home / "launch.py").write_text(
        "import os, sys\nassert sys.flags.isolated and sys.flags.no_site\n"
        "at = sys.argv.index('--')\nprint(*sys.argv[1:at], flush=True)\n"
        "os.execvp(sys.argv[at + 1], sys.argv[at + 1:])\n"
    )
    return home


def test_a_task_runs_as_the_release_does(cron: Cron, release: Path) -> None:
    found = cron.run_task(ID, "", ["sh", "-c", "echo out; echo error >&2; exit 7"], {"B": "b c", "A": "a"}, 60)
    assert found == TaskResult(7, f"task {release} --setenv=A=a --setenv=B=b c\nout\nerror\n")


def test_a_task_that_takes_too_long_ends_with_all_that_it_started(cron: Cron, release: Path, tmp_path: Path) -> None:
    script = f"sleep 300 & echo $! >{tmp_path}/child; wait"
    found = cron.run_task(ID, "", ["sh", "-c", script], {}, 1)
    assert (found.status, found.timed_out) == (124, True)
    child = int((tmp_path / "child").read_text())
    end = time.monotonic() + 30
    while _service.start_time(child) and time.monotonic() < end:
        time.sleep(0.05)
    assert _service.start_time(child) is None


def test_a_task_waits_for_one_of_a_run_before(cron: Cron, release: Path, tmp_path: Path) -> None:
    order = tmp_path / "order"
    first = f"echo first begins >>{order}; sleep 1; echo first ends >>{order}"
    thread = threading.Thread(target=cron.run_task, args=(ID, "", ["sh", "-c", first], {}, 60))
    thread.start()
    end = time.monotonic() + 30
    while not order.exists() and time.monotonic() < end:
        time.sleep(0.02)
    cron.run_task(ID, "", ["sh", "-c", f"echo second >>{order}"], {}, 60)
    thread.join()
    assert order.read_text().splitlines() == ["first begins", "first ends", "second"]


# -- without root ------------------------------------------------------------------------------------------------------


@pytest.fixture
def private(tmp_path: Path, command: t.Callable[[str, str], Path]) -> Layout:
    """An application of a user whose crontab is the file `table`."""
    command("crontab", f"case $1 in -l) exec cat {tmp_path}/table ;; *) exec cat >{tmp_path}/table ;; esac")
    (tmp_path / "table").write_text("# mine\n")
    layout = Layout("shop", str(tmp_path / "apps"), private=True)
    os.makedirs(layout.run)
    Path(layout.cron).write_text("* * * * * cron-check\n")
    return layout


def test_a_users_application_is_looked_after_when_its_lines_are_in_the_crontab(private: Layout, tmp_path: Path) -> None:
    assert not Cron(private).state(ID).enabled
    one = Cron(private)
    one.daemon_reload()
    assert one.state(ID).enabled
    assert (tmp_path / "table").read_text().startswith("# mine\n# BEGIN wsgiops.flask shop\n* * * * * cron-check\n")
    Path(private.disabled).write_text("")
    assert not one.state(ID).enabled
    os.unlink(private.disabled)
    # What somebody changed is not what keeps it alive.
    (tmp_path / "table").write_text((tmp_path / "table").read_text().replace("* * * * *", "0 * * * *"))
    assert not Cron(private).state(ID).enabled
    os.unlink(private.cron)
    Cron(private).daemon_reload()
    assert (tmp_path / "table").read_text() == "# mine\n"


def test_a_user_who_may_not_use_cron_learns_it_from_the_check(
    private: Layout, command: t.Callable[[str, str], Path]
) -> None:
    texts = {"app_ctl.sh": "true\n"}
    assert Cron(private).verify(ID, texts) == ""
    command("crontab", "echo 'You (deploy) are not allowed to use this program (crontab)' >&2; exit 1")
    for act in (lambda: Cron(private).verify(ID, texts), lambda: Cron(private).daemon_reload()):
        with pytest.raises(ServiceError, match=r"are not allowed .* /etc/cron\.allow"):
            act()
    assert not Cron(private).state(ID).enabled


def test_the_lock_of_checks_and_hooks_is_the_users_alone(
    private: Layout, command: t.Callable[[str, str], Path]
) -> None:
    command("flock", "exit 0")
    Cron(private).run_task(ID, "", ["true"], {}, 5)
    assert os.stat(private.task_lock).st_mode & 0o777 == 0o600
