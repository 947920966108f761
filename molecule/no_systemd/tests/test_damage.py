"""Pid files that lie, directories that are gone, full and read-only disks: nobody else's process is touched."""

from __future__ import annotations

import itertools
import shlex

import pytest
from hostlab import controller, soak
from hostlab.by_cron import ctl
from hostlab.keeping import assert_one_master, kill_all

# LSB's exit codes of status.
RUNS, DEAD, STOPPED, UNKNOWN = 0, 1, 3, 4
NO_BOOT = "00000000-0000-0000-0000-000000000000"

pytestmark = pytest.mark.usefixtures("served", "without_cron")


def assert_runs(one):
    assert one.manager.ctl("status")[0] == RUNS
    assert one.get("/ready").status == 200
    one.assert_alone()


def check(one):
    """A look of cron's mends it; returns what it said."""
    said = ctl(one, "cron-check")
    assert_runs(one)
    # A start by hand finds nothing to do, and forgets how often cron has started it.
    ctl(one, "start")
    return said


def write(one, words):
    """Make them the content of the pid file."""
    one.run("sh -c %s", f"printf '%s\\n' {shlex.quote(words)} >{one.manager.pid_file(one.release)}")


@pytest.fixture
def foreigners(shops):
    """On each host a process that is not the application's, of the user who starts and stops that."""
    start = "setsid --fork sh -c 'echo $$; exec sleep 1000 >/dev/null 2>&1'"
    found = [int(one.run("sh -c %s", start)) for one in shops]
    yield found
    for one, pid in zip(shops, found, strict=True):
        one.run("kill %s", str(pid))


LIES = {
    # Words of a pid file: process id, start time, id of the boot, session.
    "a reused process id": ("{pid} 1 {boot} {pid}", DEAD),
    "another boot": ("{pid} {start} " + NO_BOOT + " {pid}", DEAD),
    "a process id alone": ("{pid}", UNKNOWN),
}


COMMANDS = ("cron-check", "stop", "abort")
# By default each once; in the long run each with each.
CASES = list((itertools.product if soak.IS_ON else zip)(LIES, COMMANDS))


def test_a_foreign_process_is_not_taken_for_ours(shops, foreigners):
    def told(pair):
        one, pid = pair
        start = one.run(f"sed 's/.*) //' /proc/{pid}/stat").split()[19]
        boot = one.run("cat /proc/sys/kernel/random/boot_id")
        for lie, command in CASES:
            words, expected = LIES[lie]
            kill_all(one)
            write(one, words.format(pid=pid, start=start, boot=boot))
            status, said = one.manager.ctl("status")
            assert status == expected, said
            assert said
            one.manager.ctl(command, *([one.release] if command == "abort" else []))
            assert one.run(f"ps -o comm= -p {pid}") == "sleep"
            ctl(one, "start")
            assert_runs(one)
            assert one.run(f"ps -o comm= -p {pid}") == "sleep"

    controller.on_each(list(zip(shops, foreigners, strict=True)), told)


GARBAGE = ["", "twelve", "-1 5 boot 5", "1 2 3 4 5", "$(touch /tmp/executed) 1 2 3"]


def test_garbage_in_the_pid_file_is_told_and_mended(shops):
    def told(one):
        for words in GARBAGE:
            kill_all(one)
            write(one, words)
            status, said = one.manager.ctl("status")
            assert status == UNKNOWN, words
            assert one.manager.pid_file(one.release) in said
            # A socket that was left behind is replaced.
            assert one.sockets == [one.release]
            check(one)
        assert not one.host.file("/tmp/executed").exists

    controller.on_each(shops, told)


def test_a_missing_directory_is_made_again(shops):
    def made(one):
        for directory in (one.places.logs, one.places.run, one.places.cache):
            seen = one.run("stat --format '%%U %%G %%a' %s", directory)
            kill_all(one)
            one.run("rm -r %s", directory)
            # With its pid file goes what tells a death from a stop.
            assert one.manager.ctl("status")[0] == (STOPPED if directory == one.places.run else DEAD)
            check(one)
            assert one.run("stat --format '%%U %%G %%a' %s", directory) == seen
        # While it runs, too: what nobody can reach any more does not run on beside another one.
        before = one.master
        one.run("rm -r %s", one.places.run)
        check(one)
        assert one.master not in (0, before)
        assert_one_master(one)

    controller.on_each(shops, made)


def small_disk(one, directory):
    """A full file system in the place of a directory."""
    owner, mode = one.run("stat --format '%%U %%a' %s", directory).split()
    one.as_root(f"mount -t tmpfs -o size=64k,mode={mode} small {directory} && chown {owner}: {directory}")
    one.as_root(f"cat /dev/zero >{directory}/filler 2>/dev/null || df {directory} | grep '100%'")


def test_a_full_disk_of_logs_does_not_keep_it_from_starting(shops):
    """What can not be written down is told to whoever asks; cron would mail it."""

    def told(one):
        logs = one.places.logs
        # Nothing may hold files there open when it goes.
        ctl(one, "stop")
        small_disk(one, logs)
        try:
            ctl(one, "start")
            kill_all(one)
            assert one.manager.ctl("status")[0] == DEAD
            assert one.release in check(one)
            ctl(one, "stop")
        finally:
            one.as_root(f"umount --lazy {logs}")
        ctl(one, "start")
        assert_runs(one)

    controller.on_each(shops, told)


def test_a_full_run_directory_is_told(shops):
    """As a full home is to an ordinary user, whose run directory is in it."""

    def told(one):
        run = one.places.run
        ctl(one, "stop")
        small_disk(one, run)
        try:
            for command in ("start", "cron-check"):
                status, said = one.manager.ctl(command)
                assert (status, "No space left on device" in said) == (1, True), said
                assert not one.manager.processes()
            one.as_root(f"rm {run}/filler")
            check(one)
            ctl(one, "stop")
        finally:
            one.as_root(f"umount --lazy {run}")
        ctl(one, "start")
        assert_runs(one)

    controller.on_each(shops, told)


def test_a_read_only_home_is_told_by_who_can_do_nothing_then(shops):
    """A stop that can't be remembered would be undone within a minute. Root's run directory is not in the home."""

    def told(one):
        home = one.places.home
        one.as_root(f"mount --bind {home} {home} && mount -o remount,bind,ro {home}")
        try:
            assert one.manager.ctl("status")[0] == RUNS
            kill_all(one)
            assert one.manager.ctl("status")[0] == DEAD
            if one.places.run.startswith(home):
                status, said = one.manager.ctl("cron-check")
                assert (status, "Read-only file system" in said) == (1, True), said
            else:
                check(one)
            status, said = one.manager.ctl("stop")
            assert status != 0
            assert "Read-only file system" in said
        finally:
            one.as_root(f"umount --lazy {home}")
        check(one)

    controller.on_each(shops, told)
