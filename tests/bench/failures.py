"""What deploys, rollbacks and crashes cost the clients of a host."""

from __future__ import annotations

import functools
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
            subject.measure(FIRST)
            ours = isinstance(subject, Collection)
            for event, action in {"a deploy": CODE, **({"a rollback": ROLLBACK} if ours else {})}.items():
                self._under_traffic(
                    subject,
                    event,
                    self._scale.rounds if ours else self._scale.others,
                    functools.partial(subject.prepare, action),
                    functools.partial(subject.act, action),
                )
            kill = functools.partial(self._kill, subject)
            self._under_traffic(subject, "kill -9 of the main process", self._scale.others, lambda: None, kill)

    def _kill(self, subject: Subject) -> None:
        service = self._lab.run(subject.hosts[0], SERVICES[subject.name]).strip()
        self._lab.run(subject.hosts[0], KILL, service)

    def _under_traffic(
        self,
        subject: Subject,
        event: str,
        rounds: int,
        prepare: Callable[[], object],
        cause: Callable[[], object],
    ) -> None:
        failed, requests, pauses = [], 0, []
        for _round in range(rounds):
            prepare()
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
