# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import json
import os
import stat
import subprocess
from pathlib import Path

import pytest

from ansible_collections.wsgiops.flask.plugins.module_utils import _history, _take_back
from ansible_collections.wsgiops.flask.plugins.module_utils._layout import Layout
from ansible_collections.wsgiops.flask.plugins.module_utils._lock import locked
from ansible_collections.wsgiops.flask.plugins.module_utils._release_store import Release, current_release
from ansible_collections.wsgiops.flask.tests.unit.plugins.host import FakeService, Host, HostLayout

NEW, OLD = "0123456789ab", "ba9876543210"


# --- the program that is left on the host -------------------------------------------------------------------------


@pytest.fixture
def armed(tmp_path: Path, accounts: object) -> list[str]:
    """The command of a timer, on a host where neither of its releases serves."""
    layout = Layout("shop", str(tmp_path / "opt"))
    os.makedirs(layout.release("f" * 12))
    os.symlink("releases/" + "f" * 12, layout.current)
    service = FakeService(layout)
    _take_back.arm(layout, service, NEW, OLD, 120, 30)  # type: ignore[arg-type]
    assert service.armed
    command, seconds = service.armed
    assert seconds == 150
    return command


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    """Runs a command as systemd does: from /, with next to no environment."""
    return subprocess.run(command, cwd="/", env={}, capture_output=True, text=True, timeout=60, check=False)


def test_it_runs_with_nothing_else_of_the_collection(armed: list[str]) -> None:
    done = run(armed)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"release {NEW} does not serve any more: nothing to take back\n"


def test_it_takes_all_that_it_needs_from_its_own_directory(armed: list[str]) -> None:
    probe = "import runpy, sys; sys.argv = sys.argv[1:]; sys.path[0] = sys.argv[0]\n"
    probe += "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    probe += "print([module.__file__ for name, module in sys.modules.items() if '.module_utils._' in name])"
    done = run([armed[0], "-I", "-c", probe, *armed[2:]])
    assert done.returncode == 0, done.stderr
    files = done.stdout.splitlines()[-1]
    assert "_road.py" in files
    assert files.count(armed[2] + "/") == files.count(".py")


def test_it_is_roots_alone(armed: list[str]) -> None:
    directory = armed[2]
    assert stat.S_IMODE(os.stat(directory).st_mode) == 0o700


def test_it_is_told_of_the_lock_that_another_run_holds(armed: list[str], tmp_path: Path) -> None:
    layout = Layout("shop", str(tmp_path / "opt"))
    path = Path(armed[2], "ansible_collections/wsgiops/flask/plugins/module_utils/_take_back.py")
    path.write_text(path.read_text().replace("LOCK_WAIT = 3600.0", "LOCK_WAIT = 0.0"))
    with locked(layout.lock, "release 0123456789ab", 0):
        done = run(armed)
    assert done.returncode != 0
    assert "(release 0123456789ab) holds it" in done.stderr


def test_a_program_that_was_left_is_replaced(armed: list[str], tmp_path: Path) -> None:
    leftover = Path(armed[2], "leftover.py")
    leftover.write_text("")
    layout = Layout("shop", str(tmp_path / "opt"))
    _take_back.arm(layout, FakeService(layout), NEW, OLD, 120, 0)  # type: ignore[arg-type]
    assert not leftover.exists()


# --- what it does -------------------------------------------------------------------------------------------------


@pytest.fixture
def switched(host: Host, monkeypatch: pytest.MonkeyPatch) -> tuple[Release, Release]:
    """The release before, and one that serves and has to be confirmed."""
    old = host.release(label="v1", units="[Unit]\nDescription=1\n")
    new = host.release(code="code-2", label="v2", units="[Unit]\nDescription=2\n")
    host.deploy(old)
    host.deploy(new, confirm=120)
    monkeypatch.setattr(_take_back, "Layout", HostLayout)
    monkeypatch.setattr(_take_back, "Services", lambda *_of: host.service)
    return old, new


def go_off(host: Host) -> None:
    """What systemd does when the time is over."""
    assert host.service.armed
    command, host.service.armed = host.service.armed[0], None
    _take_back.main(command[3:])


def test_a_release_that_nobody_confirms_is_taken_back(
    host: Host, switched: tuple[Release, Release], capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = switched
    go_off(host)
    assert current_release(host.layout) == old.id
    assert host.service.running() == host.service.releases() == [old.id]
    assert old.stale_units() == []
    last = json.loads(Path(host.layout.history).read_text().splitlines()[-1])
    assert (last["event"], last["release"], last["previous"], last["label"], last["reason"]) == (
        "taken back",
        new.id,
        old.id,
        "v2",
        "not confirmed within 120 s",
    )
    assert _history.good(host.layout.history) == [old.id]
    said = capsys.readouterr().out
    assert said.startswith(f"took back release {new.id}, not confirmed within 120 s: ")
    assert f"switched from {new.id} (v2) to {old.id} (v1)" in said
    assert not os.path.exists(host.layout.take_back)


def test_a_release_that_was_replaced_meanwhile_is_left_alone(host: Host, switched: tuple[Release, Release]) -> None:
    armed = host.service.armed
    third = host.release(code="code-3")
    host.deploy(third)
    host.service.armed = armed
    go_off(host)
    assert current_release(host.layout) == third.id
    assert host.service.running() == [third.id]


def test_a_release_to_go_back_to_that_was_changed_is_not_gone_back_to(
    host: Host, switched: tuple[Release, Release]
) -> None:
    old, new = switched
    Path(old.home, "gunicorn.conf.py").write_text("workers = 100\n")
    with pytest.raises(ValueError, match=rf"release {old.id} \(v1\) was changed on the host"):
        go_off(host)
    assert host.service.running() == [new.id]


# --- confirmation -------------------------------------------------------------------------------------------------


def test_a_confirmed_release_stays(host: Host, switched: tuple[Release, Release]) -> None:
    assert _take_back.confirm(host.layout, host.service)  # type: ignore[arg-type]
    assert host.service.armed is None
    assert not os.path.exists(host.layout.take_back)
    assert not _take_back.confirm(host.layout, host.service)  # type: ignore[arg-type]


def test_a_confirmation_at_the_last_moment_counts(host: Host, switched: tuple[Release, Release]) -> None:
    """The timer has gone off, and what it started waits for the lock that the confirmation holds."""
    host.service.armed, host.service.waiting = None, True
    assert _take_back.confirm(host.layout, host.service)  # type: ignore[arg-type]
    assert not host.service.waiting
