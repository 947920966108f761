"""How long a person waits for a run: beside an empty play, a shell script and a tutorial's playbook, and for many."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bench.lab import OURS, Lab, Samples, Scale, Timing, in_rounds, say
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

    def beside_others(self) -> None:
        """One application on one host, beside all else."""
        self._part = "beside others"
        subjects: list[Subject] = []
        firsts: dict[str, list[Timing]] = {}
        for number in range(self._scale.others):
            say(f"first runs, {number + 1} of {self._scale.others}")
            subjects = [make(self._lab, [self._lab.new_host(host)]) for host, make in _BESIDE.items()]
            for subject in subjects:
                firsts.setdefault(subject.name, []).append(subject.measure(FIRST))
        for subject in subjects:
            self._add(subject, FIRST, firsts[subject.name])
        for action in (UNCHANGED, CODE, DEPENDENCY, ROLLBACK):
            say(ACTIONS[action])
            able = [subject for subject in subjects if action != ROLLBACK or not isinstance(subject, Tutorial)]
            empty = [_EmptyPlay(self._lab, subjects[0].hosts)] if action == UNCHANGED else []
            self._measure([*empty, *able], action, self._rounds(action != DEPENDENCY))

    def of_fleets(self) -> None:
        """One application on several hosts."""
        self._part = "fleet"
        hosts = [self._lab.new_host(f"bench-{number}") for number in range(1, max(self._scale.fleet) + 1)]
        say(f"first run on {len(hosts)} hosts")
        whole = Collection(self._lab, hosts, **_SMALL)
        self._add(whole, FIRST, [whole.measure(FIRST)])
        # All that change nothing before those after which the hosts differ.
        for action in (UNCHANGED, CODE, ROLLBACK):
            say(ACTIONS[action])
            for size in self._scale.fleet:
                part = Collection(self._lab, hosts[:size], **_SMALL)
                part.source = whole.source
                of_a_bound = size in (min(self._scale.fleet), max(self._scale.fleet))
                self._measure([part], action, self._rounds(of_a_bound and action == UNCHANGED))

    def of_applications(self) -> None:
        """Several applications on one host, and some of them alone."""
        self._part = "applications"
        numbers = sorted(self._scale.applications, reverse=True)
        whole = Collection(self._lab, [self._lab.new_host(OURS)], numbers[0], **_SMALL)
        say(f"first run with {numbers[0]} applications")
        self._add(whole, FIRST, [whole.measure(FIRST)])
        for action in (UNCHANGED, CODE):
            say(ACTIONS[action])
            for number in numbers:
                some = Collection(self._lab, whole.hosts, number, **_SMALL)
                some.source = whole.source
                of_a_bound = number in (numbers[0], numbers[-1])
                self._measure([some], action, self._rounds(of_a_bound and action == UNCHANGED))

    def _rounds(self, of_a_bound: bool) -> int:
        return self._scale.rounds if of_a_bound else self._scale.others

    def _measure(self, subjects: Sequence[Subject], action: str, rounds: int) -> None:
        timings: dict[str, list[Timing]] = {subject.name: [] for subject in subjects}

        def measure(subject: Subject) -> Callable[[], float]:
            def once() -> float:
                timings[subject.name].append(subject.measure(action))
                return timings[subject.name][-1].seconds

            return once

        in_rounds(rounds, {subject.name: measure(subject) for subject in subjects})
        for subject in subjects:
            self._add(subject, action, timings[subject.name])

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

# Where many run at a time they are to be small: what is measured is the run.
_SMALL = {"workers": 1}
