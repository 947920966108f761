"""What has to hold, as ratios of what one run has measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from bench import costs, failures
from bench.lab import Samples
from bench.serving import OF_BOUNDS, THROUGH_NGINX

Rows = Sequence[dict[str, Any]]


@dataclass(frozen=True)
class Bound:
    """A ratio or number, and what it may be at most, or has to be at least.

    :param value: None when this run has not measured it.
    """

    what: str
    value: float | None
    limit: float
    at_least: bool = False

    @property
    def holds(self) -> bool | None:
        if self.value is None:
            return None
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    def __str__(self) -> str:
        side = "at least" if self.at_least else "at most"
        found = "not measured" if self.value is None else f"{self.value:.2f}"
        verdict = {None: " ", True: "holds", False: "BROKEN"}[self.holds]
        return f"{self.what}: {found} ({side} {self.limit:g}) {verdict}"


def _one(rows: Rows, field: str, **wanted: object) -> Any:
    """A field of the row that has some values; None where there is none."""
    found = [row[field] for row in rows if all(row[name] == value for name, value in wanted.items())]
    return found[0] if found else None


def _ratio(upper: Sequence[float] | None, lower: Sequence[float] | None) -> float | None:
    """The median of the ratios of each round, as what slows the machine for a while slows both of a round."""
    if not upper or not lower:
        return None
    return Samples([one / other for one, other in zip(upper, lower, strict=False)]).median


def of_runs(rows: Rows) -> Iterator[Bound]:
    def seconds(
        subject: str, action: str, part: str = "beside others", hosts: int = 1, applications: int = 1
    ) -> list[float] | None:
        of = {"subject": subject, "action": action, "part": part, "hosts": hosts, "applications": applications}
        return _one(rows, "seconds", **of)

    ours = "wsgiops.flask"
    unchanged, code = seconds(ours, "unchanged"), seconds("tutorial", "code")
    yield Bound("no-op site / empty play", _ratio(unchanged, seconds("empty play", "unchanged")), 5)
    yield Bound("no-op site / tutorial's no-op", _ratio(unchanged, seconds("tutorial", "unchanged")), 0.25)
    executions = _one(rows, "remote_executions", subject=ours, action="unchanged", part="beside others")
    yield Bound("remote executions of a no-op site", executions, 6)
    yield Bound("code-only deploy / tutorial's", _ratio(seconds(ours, "code"), code), 0.5)
    yield Bound("rollback / tutorial's code-only deploy", _ratio(seconds(ours, "rollback"), code), 1 / 3)
    one, eight = (seconds(ours, "unchanged", "fleet", hosts) for hosts in (1, 8))
    yield Bound("no-op site, 8 hosts / 1", _ratio(eight, one), 3)
    one, ten = (seconds(ours, "unchanged", "applications", 1, applications) for applications in (1, 10))
    yield Bound("no-op site, 10 applications / 1", _ratio(ten, one), 4)


def of_serving(rows: Rows, at_once: Rows) -> Iterator[Bound]:
    for server, route, connections in OF_BOUNDS:
        ratio = _one(at_once, "ratio", server=server, route=route, connections=connections)
        yield Bound(f"{server}, {route}, {connections} connections: through nginx / bare", ratio, 0.85, True)
    failed = [row["failed"] for row in [*(row for row in rows if row["way"] == THROUGH_NGINX), *at_once]]
    yield Bound("requests through nginx that failed", float(sum(failed)) if failed else None, 0)


def of_failures(rows: Rows) -> Iterator[Bound]:
    for event in failures.EVENTS.values():
        failed = _one(rows, "failed", subject="wsgiops.flask", event=event)
        yield Bound(f"requests that {event} at 50/s failed", None if failed is None else float(sum(failed)), 0)


def of_costs(rows: Rows) -> Iterator[Bound]:
    what = "cost of access lines, sandbox and socket activation together"
    yield Bound(what, _one(rows, "cost", what=costs.TOGETHER), 0.05)
