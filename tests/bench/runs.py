"""How long a person waits for a run: beside an empty play, a shell script and a tutorial's playbook, and for many."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from bench.failures import Failures
from bench.lab import OURS, Lab, Samples, Scale, Timing, say
from bench.subjects import (
    ACTIONS,
    CODE,
    DEPENDENCY,
    FIRST,
    ROLLBACK,
    UNCHANGED,
    ByPlaybook,
    Collection,
    Floor,
    Subject,
    Tutorial,
)

# An empty play is what any run of ansible-playbook takes.
EMPTY = "empty play"

Row = dict[str, Any]
Around = Callable[[Subject, str], AbstractContextManager[None]]


def _nothing(_subject: Subject, _action: str) -> AbstractContextManager[None]:
    return nullcontext()


class _EmptyPlay(ByPlaybook):
    name = EMPTY

    def arguments(self, action: str) -> list[str]:
        playbook = Path(self.lab.directory, "empty.yml")
        playbook.write_text("- hosts: all\n  gather_facts: false\n")
        return [str(playbook), "-i", str(self.lab.inventory(self.hosts))]


class Runs:
    """Rows of seconds and CPU seconds by subject, action, hosts and applications.

    :param rows: to which they are added.
    """

    def __init__(self, lab: Lab, scale: Scale, rows: list[Row]) -> None:
        self._lab = lab
        self._scale = scale
        self._part = ""
        self.rows = rows

    def beside_others(self, failures: Failures) -> None:
        """One application on one host, beside all else.

        :param failures: what tells of clients who ask during deploys and rollbacks.
        """
        self._part = "beside others"
        subjects: list[Subject] = []
        firsts: dict[str, list[Timing]] = {}
        times = max(self._scale.others, 1)
        for number in range(times):
            say(f"first runs, {number + 1} of {times}")
            hosts = self._lab.new_hosts(*_BESIDE)
            subjects = [make(self._lab, [host]) for host, make in zip(hosts, _BESIDE.values(), strict=True)]
            for subject in subjects:
                firsts.setdefault(subject.name, []).append(subject.measure(FIRST))
        for subject in subjects:
            self._add(subject, FIRST, firsts[subject.name])
        ours, tutorial, floor = subjects
        say(ACTIONS[UNCHANGED])
        empty = _EmptyPlay(self._lab, ours.hosts)
        self._measure([(subject, UNCHANGED) for subject in (empty, *subjects)], self._scale.rounds)
        say(f"{ACTIONS[CODE]}, {ACTIONS[ROLLBACK]}")
        back_and_forth = [(ours, CODE), (ours, ROLLBACK), (tutorial, CODE), (floor, CODE), (floor, ROLLBACK)]
        self._measure(back_and_forth, self._scale.rounds, failures.watched)
        if self._scale.others:
            say(ACTIONS[DEPENDENCY])
            self._measure([(subject, DEPENDENCY) for subject in subjects], self._scale.others)
        for _round in range(self._scale.others):
            failures.crash(ours)
            failures.crash(tutorial)

    def of_fleets(self) -> None:
        """One application on several hosts; with uv there, as many environments would take pip minutes."""
        self._part = "fleet"
        hosts = self._lab.new_hosts(*(f"bench-{number}" for number in range(1, max(self._scale.fleet) + 1)))
        self._lab.give_uv(hosts)
        whole = self._first(hosts)
        parts = [self._part_of(whole, hosts[:size]) for size in self._scale.fleet]
        # What changes nothing before that after which the hosts differ.
        self._measure_unchanged(parts)
        self._measure_others(parts, CODE, ROLLBACK)

    def of_applications(self) -> None:
        """Several applications on one host, and some of them alone; with uv there."""
        self._part = "applications"
        hosts = self._lab.new_hosts(OURS)
        self._lab.give_uv(hosts)
        whole = self._first(hosts, max(self._scale.applications))
        parts = [self._part_of(whole, hosts, number) for number in self._scale.applications]
        self._measure_unchanged(parts)
        self._measure_others(parts, CODE)

    def _first(self, hosts: Sequence[str], applications: int = 1) -> Subject:
        """What is on virgin hosts after its first run. All of it is small, as what is measured is the run."""
        whole = Collection(self._lab, hosts, applications, workers=1)
        whole.leave_out_gevent()
        say(f"first run on {len(hosts)} hosts with {applications} applications")
        self._add(whole, FIRST, [whole.measure(FIRST)])
        return whole

    def _part_of(self, whole: Subject, hosts: Sequence[str], applications: int = 1) -> Subject:
        part = Collection(self._lab, hosts, applications, workers=1)
        part.source = whole.source
        return part

    def _measure_unchanged(self, parts: Sequence[Subject]) -> None:
        """By size, the smallest first; of that and the greatest a bound is made."""
        say(ACTIONS[UNCHANGED])
        smallest, *between, greatest = parts
        self._measure([(smallest, UNCHANGED), (greatest, UNCHANGED)], self._scale.rounds)
        for part in between:
            self._measure([(part, UNCHANGED)], self._scale.others)

    def _measure_others(self, parts: Sequence[Subject], *actions: str) -> None:
        """By size, where that is asked for."""
        if self._scale.others:
            say(", ".join(ACTIONS[action] for action in actions))
            for part in parts:
                self._measure([(part, action) for action in actions], self._scale.others)

    def _measure(self, runs: Sequence[tuple[Subject, str]], rounds: int, around: Around = _nothing) -> None:
        """Each once a round, one after another, so that what slows the machine slows all alike.

        :param around: what goes on meanwhile.
        """
        timings: list[list[Timing]] = [[] for _run in runs]
        for _round in range(rounds):
            before = None
            for place, run in enumerate(runs):
                subject, action = run
                # What comes right behind a deploy needs none of its own to go back from.
                is_ready = action == ROLLBACK and before == (subject, CODE)
                if not is_ready:
                    subject.prepare(action)
                with around(subject, action):
                    timings[place].append(subject.act(action))
                before = run
        for (subject, action), found in zip(runs, timings, strict=True):
            self._add(subject, action, found)

    def _add(self, subject: Subject, action: str, timings: Sequence[Timing]) -> None:
        seconds, cpu = Samples([one.seconds for one in timings]), Samples([one.cpu for one in timings])
        executions = timings[-1].remote_executions
        row = {
            "part": self._part,
            "subject": subject.name,
            "action": action,
            "hosts": len(subject.hosts),
            "applications": subject.applications,
            "rounds": len(timings),
            "seconds": seconds.values,
            "median": seconds.median,
            "controller_cpu": cpu.median,
            "remote_executions": executions,
        }
        self.rows.append(row)
        counted = "" if executions is None else f", {executions} remote executions"
        where = f"{len(subject.hosts)} hosts, {subject.applications} applications"
        say(f"    {subject.name}, {action}, {where}: {seconds.median:.2f} s, CPU {cpu.median:.2f} s{counted}")


_BESIDE = {OURS: Collection, "bench-tutorial": Tutorial, "bench-floor": Floor}
