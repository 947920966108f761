# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ansible_collections.wsgiops.flask.plugins.module_utils import _lock
from ansible_collections.wsgiops.flask.plugins.module_utils._lock import Locked, locked
from ansible_collections.wsgiops.flask.tests.unit.plugins.host import hold

HOLD = """
import os, subprocess, sys, time
from ansible_collections.wsgiops.flask.plugins.module_utils._lock import locked
with locked(sys.argv[1], "release 0123456789ab", 0) as descriptor:
    if sys.argv[2] == "child":
        child = subprocess.Popen(["sleep", "60"], pass_fds=(descriptor,), stdout=subprocess.DEVNULL)
        print(child.pid, flush=True)
    else:
        print(os.getpid(), flush=True)
    time.sleep(60)
"""

Holder = Callable[[str], tuple["subprocess.Popen[str]", int]]


@pytest.fixture
def lock(tmp_path: Path) -> str:
    return str(tmp_path / ".lock")


@pytest.fixture
def holder(lock: str) -> Iterator[Holder]:
    """Starts a process that holds the lock, alone or with a child that does too; gives it and the pid it printed."""
    started: list[subprocess.Popen[str]] = []

    def start(kind: str) -> tuple[subprocess.Popen[str], int]:
        environment = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path))
        command = [sys.executable, "-c", HOLD, lock, kind]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        started.append(process)
        assert process.stdout
        return process, int(process.stdout.readline())

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_who_comes_second_is_told_who_holds_it_and_why(lock: str, holder: Holder) -> None:
    _process, pid = holder("alone")
    with pytest.raises(Locked) as refused, locked(lock, "second", 0):
        pytest.fail("two hold the lock")
    text = str(refused.value)
    assert f"process {pid} (release 0123456789ab) holds it since 20" in text
    assert text.endswith("; run again when it has ended, or wait for it with flask_lock_wait (seconds)")


def test_the_age_of_the_lock_is_told(lock: str) -> None:
    with locked(lock, "first", 0):
        note = Path(lock).read_text()
        year = note.partition('"since": "')[2][:4]
        Path(lock).write_text(note.replace(year, "2001", 1))
        with pytest.raises(Locked, match=r"holds it since 2001-\S+, \d{9} s;"), locked(lock, "second", 0):
            pytest.fail("two hold the lock")


def test_a_note_that_is_never_written_is_no_error_of_its_own(lock: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_lock, "NOTE_WAIT", 0.2)
    with locked(lock, "first", 0):
        Path(lock).write_text("")
        with pytest.raises(Locked, match="a process that has just started holds it"), locked(lock, "second", 0):
            pytest.fail("two hold the lock")


def test_a_lock_that_is_given_back_in_time_is_waited_for(lock: str) -> None:
    with hold(lock, "first"), locked(lock, "second", 10):
        assert '"second"' in Path(lock).read_text()


def test_a_run_for_the_same_reason_is_waited_for(lock: str) -> None:
    with hold(lock, "release 0123456789ab"), locked(lock, "release 0123456789ab", 0, wait_for_same=60):
        pass


def test_a_run_for_the_same_reason_is_not_waited_for_without_end(lock: str) -> None:
    with locked(lock, "first", 0), pytest.raises(Locked), locked(lock, "first", 0, wait_for_same=0.3):
        pytest.fail("two hold the lock")


def test_a_run_for_another_reason_is_not_waited_for(lock: str) -> None:
    with (
        locked(lock, "first", 0),
        pytest.raises(Locked, match=r"process \d+ \(first\) holds it"),
        locked(lock, "second", 0, wait_for_same=60),
    ):
        pytest.fail("two hold the lock")


def test_who_takes_the_lock_over_for_another_reason_is_not_waited_for(lock: str) -> None:
    with (
        hold(lock, "first", "other"),
        pytest.raises(Locked, match=r"\(other\)"),
        locked(lock, "first", 0, wait_for_same=60),
    ):
        pytest.fail("two hold the lock")


def test_a_holder_has_time_to_say_why_it_holds_the_lock(lock: str) -> None:
    with locked(lock, "first", 0):
        note = Path(lock).read_text()
        Path(lock).write_text("")
        timer = threading.Timer(0.3, lambda: Path(lock).write_text(note))
        timer.start()
        with pytest.raises(Locked, match=r"\(first\)"), locked(lock, "second", 0):
            pytest.fail("two hold the lock")
        timer.join()


def test_waiting_ends_with_the_error(lock: str) -> None:
    with locked(lock, "first", 0), pytest.raises(Locked), locked(lock, "second", 0.3):
        pytest.fail("two hold the lock")


def test_the_lock_of_a_killed_holder_is_free(lock: str, holder: Holder) -> None:
    process, _pid = holder("alone")
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert "release 0123456789ab" in Path(lock).read_text()
    with locked(lock, "second", 0):
        assert "release 0123456789ab" not in Path(lock).read_text()


def test_a_child_that_got_the_descriptor_keeps_the_lock(lock: str, holder: Holder) -> None:
    process, child = holder("child")
    process.send_signal(signal.SIGKILL)
    process.wait()
    with pytest.raises(Locked, match=f"process {process.pid} "), locked(lock, "second", 0):
        pytest.fail("two hold the lock")
    os.kill(child, signal.SIGKILL)
    with locked(lock, "second", 10):
        pass


def test_a_child_that_did_not_get_the_descriptor_does_not(lock: str) -> None:
    with locked(lock, "first", 0):
        child = subprocess.Popen(["sleep", "60"], close_fds=False)
    try:
        with locked(lock, "second", 0):
            pass
    finally:
        child.kill()
        child.wait()


def test_the_lock_is_free_after_the_block_and_after_an_error_in_it(lock: str) -> None:
    with pytest.raises(RuntimeError), locked(lock, "first", 0):
        raise RuntimeError
    with locked(lock, "second", 0):
        pass
    assert Path(lock).read_text() == ""
    assert Path(lock).stat().st_mode & 0o777 == 0o600
