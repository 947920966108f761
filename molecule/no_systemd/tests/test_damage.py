"""Pid files that lie, directories that are gone, full and read-only disks: nobody else's process is touched."""

from __future__ import annotations

import itertools
import os

import pytest
from hostlab import controller

# LSB's exit codes of status.
RUNS, DEAD, STOPPED, UNKNOWN = 0, 1, 3, 4
NO_BOOT = "00000000-0000-0000-0000-000000000000"
SOON = 10

pytestmark = pytest.mark.usefixtures("served", "without_cron")


def kill_all(one):
    one.run("pkill -KILL --euid shop")
    controller.wait_until(lambda: not one.manager.processes(), SOON, "no process is there")


def by_hand(one, command):
    """What a test needs done, and does not look at."""
    one.run(f"{one.manager.control} {command}")


def assert_runs(one):
    assert one.manager.ctl("status")[0] == RUNS
    assert one.get("/ready").status == 200
    one.assert_alone()


def check(one):
    """A look of cron's mends it; returns what it said."""
    status, said = one.manager.ctl("cron-check")
    assert status == 0, said
    assert_runs(one)
    return said


def write(one, words):
    """Make them the content of the pid file."""
    one.run("sh -c %s", f"printf '%s\\n' '{words}' >{one.manager.pid_file(one.release)}")


FOREIGN = "start-stop-daemon --pidfile /run/foreign.pid"


@pytest.fixture
def foreigners(shops):
    """On each host somebody else's process, whose id is in /run/foreign.pid."""
    for one in shops:
        one.run(f"{FOREIGN} --start --background --make-pidfile --exec /usr/bin/sleep -- 1000")
    yield
    for one in shops:
        one.run(f"{FOREIGN} --stop --remove-pidfile")


LIES = {
    # Words of a pid file: process id, start time, id of the boot.
    "a reused process id": ("{pid} 1 {boot}", DEAD),
    "another boot": ("{pid} {start} " + NO_BOOT, DEAD),
    "a process id alone": ("{pid}", UNKNOWN),
}


COMMANDS = ("cron-check", "stop", "abort")
# By default each once; in the long run each with each.
CASES = list((itertools.product if os.environ.get("WSGIOPS_SOAK") else zip)(LIES, COMMANDS))


@pytest.mark.parametrize(("lie", "command"), CASES)
def test_a_foreign_process_is_not_taken_for_ours(shops, foreigners, lie, command):
    words, expected = LIES[lie]

    def told(one):
        kill_all(one)
        pid = one.run("cat /run/foreign.pid")
        start = one.run(f"sed 's/.*) //' /proc/{pid}/stat").split()[19]
        write(one, words.format(pid=pid, start=start, boot=one.run("cat /proc/sys/kernel/random/boot_id")))
        status, said = one.manager.ctl("status")
        assert status == expected, said
        assert said
        one.manager.ctl(command, *([one.release] if command == "abort" else []))
        assert one.run(f"ps -o comm= -p {pid}") == "sleep"
        by_hand(one, "start")
        assert_runs(one)
        assert one.run(f"ps -o comm= -p {pid}") == "sleep"

    controller.on_each(shops, told)


GARBAGE = ["", "twelve", "-1 5 boot", "1 2 3 4 5", "$(touch /tmp/executed) 1 2"]


def test_garbage_in_the_pid_file_is_told_and_mended(shops):
    def told(one):
        for words in GARBAGE:
            kill_all(one)
            write(one, words)
            status, said = one.manager.ctl("status")
            assert status == UNKNOWN, words
            assert one.manager.pid_file(one.release) in said
            by_hand(one, "start")
            assert_runs(one)
        assert not one.host.file("/tmp/executed").exists

    controller.on_each(shops, told)


def test_a_socket_that_was_left_behind_is_replaced(shops):
    for one in shops:
        kill_all(one)
        assert one.sockets == [one.release]
        check(one)


@pytest.mark.parametrize("directory", ["/var/log/shop", "/run/shop", "/var/cache/shop"])
def test_a_missing_directory_is_made_again(shops, directory):
    def made(one):
        seen = one.run("stat --format '%%U %%G %%a' %s", directory)
        kill_all(one)
        one.run("rm -r %s", directory)
        # With its pid file goes what tells a death from a stop.
        assert one.manager.ctl("status")[0] == (STOPPED if directory == "/run/shop" else DEAD)
        check(one)
        assert one.run("stat --format '%%U %%G %%a' %s", directory) == seen

    controller.on_each(shops, made)


def test_a_full_disk_of_logs_does_not_keep_it_from_starting(shops):
    """What can not be written down is told to whoever asks; cron would mail it."""
    for one in shops:
        # Nothing may hold files there open when it goes.
        by_hand(one, "stop")
        one.run("mount -t tmpfs -o size=64k,mode=750,uid=shop,gid=shop small /var/log/shop")
        try:
            one.run("sh -c %s", "cat /dev/zero >/var/log/shop/filler 2>/dev/null; df /var/log/shop | grep -q '100%'")
            by_hand(one, "start")
            kill_all(one)
            assert one.manager.ctl("status")[0] == DEAD
            assert one.release in check(one)
            by_hand(one, "stop")
        finally:
            one.run("umount --lazy /var/log/shop")
        by_hand(one, "start")
        assert_runs(one)


def test_a_read_only_home_keeps_serving_and_a_stop_says_what_it_can_not(shops):
    """A stop that can't be remembered would be undone within a minute."""
    for one in shops:
        one.run("sh -c %s", "mount --bind /opt/shop /opt/shop && mount -o remount,bind,ro /opt/shop")
        try:
            assert one.manager.ctl("status")[0] == RUNS
            kill_all(one)
            assert one.manager.ctl("status")[0] == DEAD
            check(one)
            status, said = one.manager.ctl("stop")
            assert status != 0
            assert "Read-only file system" in said
        finally:
            one.run("umount --lazy /opt/shop")
