"""Whether cron keeps an application running, with one master and no more."""

from __future__ import annotations

import math
import os
import time
from dataclasses import dataclass

from hostlab import controller
from hostlab.host import AppOnHost

# Seconds from a crash to the first answer of another master, on a busy machine too: cron looks once a minute.
BACK = 75
# What a host has to have come to when nothing has to be waited for.
SOON = 10
# Workers of a dead master look for it after half of the timeout of 30 s at the latest (gunicorn), and leave.
LEFT_ALONE = 30
# What a host takes to come up, and cron to have started what was there.
BOOT = 30


# Seconds from one look of cron's to the next.
PERIOD = 60
# Seconds after the full minute at which a start is still that minute's. Debian's cron wakes late, by 1.4 seconds where
# that was measured, but each time by the same.
LATE = 5


def longest_start() -> float:
    """Seconds that a start may take, which with a period of cron's is what README says.

    A machine that is busy with other scenarios takes longer for everything.
    """
    return 5.0 if os.getloadavg()[0] > (os.cpu_count() or 1) else 1.0


def assert_one_master(one: AppOnHost) -> None:
    """The one master and its workers are all that its user runs, once the workers of a dead one have left."""
    one.assert_alone()
    controller.wait_until(
        lambda: one.manager.processes() == {one.master, *one.workers}, LEFT_ALONE, "one master and its workers"
    )


@dataclass(frozen=True)
class Crash:
    """The end of a master, and the start of the next one, in seconds of its host's clock since the epoch."""

    host: str
    killed: float
    started: float

    @property
    def minute(self) -> float:
        """When cron looks after it."""
        return math.ceil(self.killed / 60) * 60

    def __str__(self) -> str:
        start = f"started {self.started - self.killed:.1f} s later, {self.started - self.minute:.1f} s after the minute"
        return f"{self.host}: killed {self.minute - self.killed:.1f} s before a full minute, another master {start}"


def kill_master(one: AppOnHost) -> tuple[int, float]:
    """Kill it; returns what its process id was, and when that was."""
    before = one.master
    return before, float(one.run("sh -c %s", f"kill -9 {before} && date +%s.%N"))


def back_by_cron(one: AppOnHost, before: int, killed: float) -> Crash:
    """Wait for another master than the killed one, which cron alone starts."""
    controller.wait_until(lambda: one.master not in (0, before) and one.serves(), BACK, "another master serves")
    crash = Crash(
        one.inventory_name, killed, float(one.run("stat --format=%%.9Y %s", one.manager.pid_file(one.release)))
    )
    assert crash.started - crash.minute <= LATE, str(crash)
    assert crash.started - crash.killed <= PERIOD + longest_start(), str(crash)
    return crash


def kill_all(one: AppOnHost) -> None:
    """End all of its processes at once, as the kernel would for want of memory."""
    one.run("sh -c %s", f"kill -9 {' '.join(map(str, one.manager.processes()))} 2>/dev/null || true")
    controller.wait_until(lambda: not one.manager.processes(), SOON, "no process is there")


def check_ten_times_at_once(one: AppOnHost) -> None:
    """What cron does, ten times at the same time, where nothing runs."""
    kill_all(one)
    one.run("sh -c %s", f"for check in 1 2 3 4 5 6 7 8 9 10; do {one.manager.control} cron-check & done; wait")
    controller.wait_until(one.serves, SOON, "it serves")
    assert_one_master(one)


def until_cron_has_looked(one: AppOnHost) -> None:
    """Wait for the next full minute of the host, and for what cron starts then."""
    time.sleep(60 - int(one.run("date +%-S")) + 5)


def shut_down_and_boot(one: AppOnHost) -> None:
    controller.test_host("restart", one.inventory_name)


def cut_the_power(one: AppOnHost) -> None:
    """And boot: nothing had the time to put its files away."""
    controller.test_host("kill", one.inventory_name)
    controller.test_host("restart", one.inventory_name)
