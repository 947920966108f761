"""What deploys, rollbacks and crashes cost the clients of a host."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Any

from hostlab import traffic

from bench.lab import DOMAIN, OURS, Lab, Scale, say
from bench.subjects import CODE, FIRST, ROLLBACK, Collection, Subject, Tutorial

RATE = 50.0

# None of their requests may fail.
OF_A_BOUND = ("a deploy", "a rollback")

# Ends the main process of a service at once.
KILL = 'kill -9 "$(systemctl show --property=MainPID --value "$1")"'
SERVICES = {
    "wsgiops.flask": 'echo "shop@$(basename "$(readlink /opt/shop/current)").service"',
    "tutorial": "echo tutorial.service",
}


class Failures:
    """Rows of requests and of those that failed, by subject and event."""

    def __init__(self, lab: Lab, scale: Scale) -> None:
        self._lab = lab
        self._scale = scale
        self.rows: list[dict[str, Any]] = []

    def measure(self) -> None:
        for subject in (
            Collection(self._lab, [self._lab.host(OURS)]),
            Tutorial(self._lab, [self._lab.host("bench-tutorial")]),
        ):
            say(f"failures with {subject.name}")
            subject.act(FIRST)
            host = subject.hosts[0]
            events: dict[str, Callable[[], object]] = {"a deploy": lambda subject=subject: subject.measure(CODE)}
            ours = isinstance(subject, Collection)
            if ours:
                events["a rollback"] = lambda subject=subject: subject.measure(ROLLBACK)
            events["kill -9 of the main process"] = lambda subject=subject, host=host: self._lab.run(
                host, KILL, self._lab.run(host, SERVICES[subject.name]).strip()
            )
            for event, cause in events.items():
                of_a_bound = ours and event in OF_A_BOUND
                self._under_traffic(subject, event, cause, self._scale.rounds if of_a_bound else self._scale.others)

    def _under_traffic(self, subject: Subject, event: str, cause: Callable[[], object], rounds: int) -> None:
        failed, requests, pauses = [], 0, []
        for _round in range(rounds):
            with traffic.traffic(
                self._lab.address(subject.hosts[0]), "/health", DOMAIN, rate=RATE, seconds=120
            ) as stream:
                time.sleep(1)
                start = time.monotonic()
                cause()
                time.sleep(2)
            requests += len(stream.outcomes)
            failed.append(len(stream.failures))
            # From the moment of the cause on: nobody here knows when it takes effect.
            answered = [start, *sorted(one.ended for one in stream.outcomes if one.ok and one.ended > start)]
            pauses.append(max(later - earlier for earlier, later in itertools.pairwise(answered)))
        row = {
            "subject": subject.name,
            "event": event,
            "requests": requests,
            "failed": failed,
            "longest_pause": pauses,
        }
        self.rows.append(row)
        said = f"    {subject.name}, {event}: {failed} of {requests} requests failed in {rounds} rounds"
        say(said + f", no answer for up to {max(pauses):.2f} s")
