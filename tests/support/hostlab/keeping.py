"""Whether cron keeps an application running, with one master and no more."""

from __future__ import annotations

import time

from hostlab import controller
from hostlab.host import AppOnHost

# Cron looks once a minute, and a start takes some seconds more on a busy machine: README says 61 s.
BACK = 75
# What a host has to have come to when nothing has to be waited for.
SOON = 10
# Workers of a dead master look for it after half of the timeout of 30 s at the latest (gunicorn), and leave.
LEFT_ALONE = 30


def serves(one: AppOnHost) -> bool:
    try:
        return one.get("/health").status == 200
    except OSError:
        return False


def assert_one_master(one: AppOnHost) -> None:
    """The one master and its workers are all that its user runs, once the workers of a dead one have left."""
    one.assert_alone()
    controller.wait_until(
        lambda: one.manager.processes() == {one.master, *one.workers}, LEFT_ALONE, "one master and its workers"
    )


def back_after_a_kill(one: AppOnHost) -> str:
    """Kill the master and wait for another one; says how long that took."""
    before = one.master
    killed = time.monotonic()
    one.run("kill -9 %s", str(before))
    controller.wait_until(lambda: one.master not in (0, before) and serves(one), BACK, "another master serves")
    seconds = time.monotonic() - killed
    assert_one_master(one)
    return f"{one.inventory_name}: a killed master was back after {seconds:.1f} s"


def kill_all(one: AppOnHost) -> None:
    """End all of its processes at once, as the kernel would for want of memory."""
    one.run(f"kill -9 {' '.join(map(str, one.manager.processes()))}")
    controller.wait_until(lambda: not one.manager.processes(), SOON, "no process is there")


def check_ten_times_at_once(one: AppOnHost) -> None:
    """What cron does, ten times at the same time, where nothing runs."""
    kill_all(one)
    one.run("sh -c %s", f"for check in 1 2 3 4 5 6 7 8 9 10; do {one.manager.control} cron-check & done; wait")
    controller.wait_until(lambda: serves(one), SOON, "it serves")
    assert_one_master(one)
