# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What one process works out for others: real processes, which are forked as Ansible's are."""

from __future__ import annotations

import multiprocessing
import os
import time
import typing as t
from collections.abc import Callable
from pathlib import Path

import pytest

from ansible_collections.wsgiops.flask.plugins.plugin_utils._once_a_run import MOST, OnceARun

FORK = multiprocessing.get_context("fork")


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """Where each work leaves a line: all processes write it."""
    path = tmp_path / "journal"
    path.touch()
    return path


@pytest.fixture
def working(journal: Path) -> Callable[[t.Any], Callable[[], t.Any]]:
    """A work that returns a value and leaves a line."""

    def work(value: t.Any) -> Callable[[], t.Any]:
        def done() -> t.Any:
            with journal.open("a") as file:
                file.write("worked\n")
            return value

        return done

    return work


def in_a_process(ask: Callable[[], t.Any]) -> t.Any:
    """What a forked process gets."""
    receiver, sender = FORK.Pipe(duplex=False)
    process = FORK.Process(target=lambda: sender.send(ask()))
    process.start()
    sender.close()
    try:
        return receiver.recv()
    finally:
        process.join(60)


Working = Callable[[t.Any], Callable[[], t.Any]]

VALUE = {"parts": [1, 2.5, None, True, "grün\u2028\n"]}


def test_of_many_processes_one_works_for_all(journal: Path, working: Working) -> None:
    once = OnceARun()
    for _process in range(3):
        assert in_a_process(lambda: once.value(["shop", {"a": 1, "b": 2}], working(VALUE))) == VALUE
    assert in_a_process(lambda: once.value(["shop", {"b": 2, "a": 1}], working("another"))) == VALUE
    assert journal.read_text() == "worked\n"


def test_what_follows_from_something_else_is_worked_out(journal: Path, working: Working) -> None:
    once = OnceARun()
    for follows_from in (["shop", 1], ["shop", "1"], ["desk", 1]):
        assert in_a_process(lambda given=follows_from: once.value(given, working(given))) == follows_from  # type: ignore[misc]
    assert journal.read_text() == "worked\n" * 3


def test_who_asks_meanwhile_waits_for_it_and_no_one_else_does(journal: Path, working: Working) -> None:
    once = OnceARun()
    started, go_on = FORK.Event(), FORK.Event()
    results = FORK.Queue()

    def slow() -> str:
        started.set()
        assert go_on.wait(60)
        return t.cast("str", working("slow")())

    def ask(follows_from: str, work: Callable[[], t.Any]) -> None:
        results.put((follows_from, once.value(follows_from, work)))

    first = FORK.Process(target=ask, args=("shop", slow))
    first.start()
    assert started.wait(60)
    second = FORK.Process(target=ask, args=("shop", working("second")))
    second.start()
    assert in_a_process(lambda: once.value("desk", working("desk"))) == "desk"
    _until_it_waits(second.pid)
    go_on.set()
    assert [results.get(timeout=60), results.get(timeout=60)] == [("shop", "slow")] * 2
    for process in (first, second):
        process.join(60)
        assert process.exitcode == 0
    assert journal.read_text() == "worked\n" * 2


def _until_it_waits(process: int | None) -> None:
    """Until it is asleep in the kernel for a lock (proc(5), /proc/locks: a line with an arrow waits)."""
    for _try in range(6000):
        locks = Path("/proc/locks").read_text().splitlines()
        if any("->" in line and f" {process} " in line for line in locks):
            return
        time.sleep(0.01)
    raise AssertionError("it does not wait")


def test_what_fails_is_tried_again(journal: Path, working: Working) -> None:
    once = OnceARun()
    with pytest.raises(ZeroDivisionError):
        once.value("shop", lambda: 1 / 0)
    assert in_a_process(lambda: once.value("shop", working("well"))) == "well"
    assert in_a_process(lambda: once.value("shop", working("again"))) == "well"
    assert journal.read_text() == "worked\n"


def test_a_process_that_dies_at_it_leaves_it_to_the_next(working: Working) -> None:
    once = OnceARun()
    process = FORK.Process(target=lambda: once.value("shop", lambda: os._exit(9)))
    process.start()
    process.join(60)
    assert process.exitcode == 9
    assert in_a_process(lambda: once.value("shop", working("well"))) == "well"


def test_what_a_process_was_killed_at_writing_is_overwritten(journal: Path, working: Working) -> None:
    once = OnceARun()
    once.value("shop", working("well"))
    kept = os.pread(once._file, 1000, 0)
    assert kept.endswith(b"\n")
    os.pwrite(once._file, kept.rstrip(b"\n") * 3, len(kept))
    assert once.value("shop", working("again")) == "well"
    assert once.value("desk", working("desk")) == once.value("desk", working("again")) == "desk"
    assert journal.read_text() == "worked\n" * 2


def test_where_each_has_its_own_few_are_kept(journal: Path, working: Working) -> None:
    once = OnceARun()
    for _round in range(2):
        for number in range(MOST + 2):
            assert once.value(number, working([number])) == [number]
    assert journal.read_text() == "worked\n" * (MOST + 4)


def test_nobody_else_can_open_what_is_kept(working: Working) -> None:
    once = OnceARun()
    once.value("shop", working("secret"))
    status = os.fstat(once._file)
    assert (status.st_nlink, status.st_size > 0) == (0, True)
    assert not os.get_inheritable(once._file)
