"""What deploys, rollbacks and crashes cost the clients of a host."""

from __future__ import annotations

import functools
import itertools
import time
from collections.abc import Callable, Mapping
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
        ours = Collection(self._lab, [self._lab.host(OURS)])
        self._of(ours, {"a deploy": CODE, "a rollback": ROLLBACK}, self._scale.rounds)
        if self._scale.others:
            tutorial = Tutorial(self._lab, [self._lab.host("bench-tutorial")])
            self._of(tutorial, {"a deploy": CODE}, self._scale.others)

    def _of(self, subject: Subject, actions: Mapping[str, str], rounds: int) -> None:
        """A rollback needs no deploy of its own to go back from behind one in the same round."""
        say(f"failures with {subject.name}")
        subject.measure(FIRST)
        changes = {event: functools.partial(subject.act, action) for event, action in actions.items()}
        self._under_traffic(subject, changes, rounds, functools.partial(subject.prepare, CODE))
        kill = {"kill -9 of the main process": functools.partial(self._kill, subject)}
        self._under_traffic(subject, kill, self._scale.others)

    def _kill(self, subject: Subject) -> None:
        service = self._lab.run(subject.hosts[0], SERVICES[subject.name]).strip()
        self._lab.run(subject.hosts[0], KILL, service)

    def _under_traffic(
        self,
        subject: Subject,
        causes: Mapping[str, Callable[[], object]],
        rounds: int,
        prepare: Callable[[], object] = lambda: None,
    ) -> None:
        """Each cause in each round, one after another.

        :param causes: by the event under which its row stands.
        :param prepare: what happens before each round.
        """
        if not rounds:
            return
        rows = [
            {"subject": subject.name, "event": event, "requests": 0, "failed": [], "longest_pause": []}
            for event in causes
        ]
        for _round in range(rounds):
            prepare()
            for row, cause in zip(rows, causes.values(), strict=True):
                self._add_to(row, subject.hosts[0], cause)
        self.rows += rows
        for row in rows:
            said = f"    {row['subject']}, {row['event']}: {row['failed']} of {row['requests']} requests failed"
            say(f"{said} in {rounds} rounds, no answer for up to {max(row['longest_pause']):.2f} s")

    def _add_to(self, row: dict[str, Any], host: str, cause: Callable[[], object]) -> None:
        with traffic.traffic(self._lab.address(host), "/health", DOMAIN, rate=RATE, seconds=120) as stream:
            time.sleep(1)
            start = time.monotonic()
            cause()
            time.sleep(2)
        row["requests"] += len(stream.outcomes)
        row["failed"].append(len(stream.failures))
        # From the moment of the cause on: nobody here knows when it takes effect.
        answered = [start, *sorted(one.ended for one in stream.outcomes if one.ok and one.ended > start)]
        row["longest_pause"].append(max(later - earlier for earlier, later in itertools.pairwise(answered)))
