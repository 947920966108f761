"""What deploys, rollbacks and crashes cost the clients of a host."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hostlab import traffic

from bench.lab import DOMAIN, Lab, say
from bench.subjects import CODE, ROLLBACK, Subject

RATE = 50.0
# Seconds in which they ask besides.
BEFORE, AFTER, AFTER_CRASH = 0.5, 1.0, 2.0

# None of the requests during these may fail.
EVENTS = {CODE: "a deploy", ROLLBACK: "a rollback"}
CRASH = "kill -9 of the main process"

# Ends the main process of a service at once. systemd counts restarts: each time is to be the first.
KILL = 'systemctl reset-failed "$1"; kill -9 "$(systemctl show --property=MainPID --value "$1")"'
# Of those who have clients.
SERVICES = {
    "wsgiops.flask": 'echo "shop@$(basename "$(readlink /opt/shop/current)").service"',
    "tutorial": "echo tutorial.service",
}


class Failures:
    """Rows of requests and of those that failed, by subject and event."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._rows: dict[tuple[str, str], dict[str, Any]] = {}

    @property
    def rows(self) -> list[dict[str, Any]]:
        return list(self._rows.values())

    @contextmanager
    def watched(self, subject: Subject, action: str) -> Iterator[None]:
        """Have clients ask while an action takes place, where there are some."""
        if subject.name in SERVICES:
            with self._traffic(subject, EVENTS[action]):
                yield
        else:
            yield

    def crash(self, subject: Subject) -> None:
        (host,) = subject.hosts
        service = self._lab.run(host, SERVICES[subject.name]).strip()
        with self._traffic(subject, CRASH, AFTER_CRASH):
            self._lab.run(host, KILL, service)

    @contextmanager
    def _traffic(self, subject: Subject, event: str, after: float = AFTER) -> Iterator[None]:
        row = self._rows.setdefault(
            (subject.name, event),
            {"subject": subject.name, "event": event, "requests": 0, "failed": [], "longest_pause": []},
        )
        address = self._lab.address(subject.hosts[0])
        with traffic.traffic(address, "/health", DOMAIN, rate=RATE, seconds=120) as stream:
            time.sleep(BEFORE)
            start = time.monotonic()
            yield
            time.sleep(after)
        # From the beginning of the event on: nobody here knows when it takes effect.
        answered = [start, *sorted(one.ended for one in stream.outcomes if one.ok and one.ended > start)]
        pause = max(later - earlier for earlier, later in itertools.pairwise(answered))
        row["requests"] += len(stream.outcomes)
        row["failed"].append(len(stream.failures))
        row["longest_pause"].append(pause)
        failed = f"{len(stream.failures)} of {len(stream.outcomes)} requests failed"
        say(f"    {subject.name}, {event}: {failed}, no answer for up to {pause:.2f} s")
