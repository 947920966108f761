"""The figures as a table, as JSON, and as a page with plots."""

from __future__ import annotations

import html
import json
import os
import platform
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pygal
from pygal.style import Style

from bench.bounds import Bound

STYLE = Style(background="#ffffff", plot_background="#ffffff", colors=("#2563eb", "#f59e0b", "#10b981", "#9ca3af"))


def machine() -> dict[str, Any]:
    """What was measured on. Figures of one machine say nothing of another; ratios of one run do."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    return {"cpus": os.cpu_count(), "cpu": model, "kernel": platform.release(), "date": time.strftime("%Y-%m-%d")}


def write_json(path: Path, results: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=1) + "\n")


def table(rows: Sequence[dict[str, Any]], columns: dict[str, str]) -> list[list[str]]:
    """Rows of text, the heading first.

    :param columns: heading by field.
    """
    return [list(columns.values()), *([_shown(row.get(field)) for field in columns] for row in rows)]


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.2f}" if value < 100 else f"{value:.0f}"
    if isinstance(value, list):
        return " ".join(map(_shown, value))
    return str(value)


def as_text(lines: Sequence[Sequence[str]]) -> str:
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def as_html(lines: Sequence[Sequence[str]]) -> str:
    def row(cells: Iterable[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    return "<table>" + row(lines[0], "th") + "".join(row(line, "td") for line in lines[1:]) + "</table>"


RUNS = {
    "part": "part",
    "subject": "by",
    "action": "run",
    "hosts": "hosts",
    "applications": "applications",
    "rounds": "rounds",
    "median": "seconds",
    "controller_cpu": "CPU seconds of the controller",
    "remote_executions": "remote executions",
}
SERVING = {
    "server": "server",
    "route": "route",
    "way": "way",
    "connections": "connections",
    "rounds": "rounds",
    "rate": "requests/s",
    "p50_ms": "p50 ms",
    "p99_ms": "p99 ms",
    "failed": "failed",
}
MEMORY = {"server": "worker class", "preload": "preload", "worker_kib": "KiB of a worker"}
AT_ONCE = {
    "server": "server",
    "route": "route",
    "connections": "connections",
    "rounds": "rounds",
    "through_nginx": "requests/s through nginx",
    "bare": "requests/s bare",
    "ratio": "ratio",
    "failed": "failed through nginx",
}
COSTS = {
    "what": "default, and beside it",
    "rounds": "rounds",
    "default": "µs of CPU a request, default",
    "without": "beside it",
    "cost": "cost, share of the default's",
}
FAILURES = {
    "subject": "by",
    "event": "event",
    "requests": "requests",
    "failed": "failed in each round",
    "longest_pause": "longest time without an answer, s",
}
TABLES = {"runs": RUNS, "serving": SERVING, "at_once": AT_ONCE, "memory": MEMORY, "costs": COSTS, "failures": FAILURES}
TITLES = {
    "runs": "How long a run takes",
    "serving": "What a host serves",
    "at_once": "Through nginx and bare, under load at the same time on one CPU",
    "memory": "Memory of a worker",
    "costs": "What logs, sandbox and socket activation cost",
    "failures": "What clients notice",
}


def text(results: dict[str, Any], bounds: Sequence[Bound]) -> str:
    """All of it for a terminal."""
    parts = [
        f"{TITLES[name]}\n{as_text(table(results[name], columns))}"
        for name, columns in TABLES.items()
        if results.get(name)
    ]
    verdicts = [str(bound) for bound in bounds if bound.value is not None]
    return "\n\n".join([*parts, *(["\n".join(["What has to hold", *verdicts])] if verdicts else [])])


def page(results: dict[str, Any], bounds: Sequence[Bound]) -> str:
    """All of it as one page that needs nothing else."""
    on = results["machine"]
    body = [
        "<h1>Benchmarks of wsgiops.flask</h1>",
        f"<p>Medians, and for ratios the medians of those of each round, measured by <code>script/bench</code> on"
        f" {html.escape(on['date'])}:"
        f" {on['cpus']} CPUs ({html.escape(on['cpu'])}) for the controller, the hosts and the load together."
        " Compare within a plot, not with other machines.</p>",
    ]
    verdicts = [bound for bound in bounds if bound.value is not None]
    if verdicts:
        rows = [[bound.what, f"{bound.value:.2f}", ("≥ " if bound.at_least else "≤ ") + f"{bound.limit:.3g}",
                 "yes" if bound.holds else "no"] for bound in verdicts]  # fmt: skip
        body += ["<h2>What has to hold</h2>", as_html([["ratio of one run", "measured", "has to be", "holds"], *rows])]
    for name, columns in TABLES.items():
        if results.get(name):
            plots = _PLOTS.get(name, lambda rows: [])(results[name])
            body += [f"<h2>{TITLES[name]}</h2>", *(f"<figure>{plot}</figure>" for plot in plots)]
            body += ["<details><summary>All figures</summary>", as_html(table(results[name], columns)), "</details>"]
    return _PAGE.format(body="\n".join(body))


def picture(results: dict[str, Any]) -> str:
    """The first plot of runs, for README; empty where none were measured."""
    return next(iter(_plots_of_runs(results["runs"])), "")


def _plots_of_runs(rows: Sequence[dict[str, Any]]) -> list[str]:
    beside = [row for row in rows if row["part"] == "beside others"]
    actions = list(dict.fromkeys(row["action"] for row in beside))
    subjects = list(dict.fromkeys(row["subject"] for row in beside))
    plots = []
    if beside:
        values = {
            subject: [
                _first(row["median"] for row in beside if (row["subject"], row["action"]) == (subject, action))
                for action in actions
            ]
            for subject in subjects
        }
        plots.append(_bars("Seconds of a run, one application on one host", actions, values))
    for part, field in (("fleet", "hosts"), ("applications", "applications")):
        found = [row for row in rows if row["part"] == part]
        sizes = sorted({row[field] for row in found})
        if found:
            kinds = [
                action
                for action in dict.fromkeys(row["action"] for row in found)
                if action in ("unchanged", "code", "rollback")
            ]
            values = {
                kind: [
                    _first(row["median"] for row in found if (row["action"], row[field]) == (kind, size))
                    for size in sizes
                ]
                for kind in kinds
            }
            plots.append(_bars(f"Seconds of a run by number of {field}", [str(size) for size in sizes], values))
    return plots


def _plots_of_serving(rows: Sequence[dict[str, Any]]) -> list[str]:
    plots = []
    for route in dict.fromkeys(row["route"] for row in rows):
        found = [row for row in rows if row["route"] == route]
        labels = [f"{server}, {count}" for server in dict.fromkeys(row["server"] for row in found)
                  for count in sorted({row["connections"] for row in found if row["server"] == server})]  # fmt: skip
        ways = list(dict.fromkeys(row["way"] for row in found))
        values = {
            way: [
                _first(
                    row["rate"]
                    for row in found
                    if row["way"] == way and f"{row['server']}, {row['connections']}" == label
                )
                for label in labels
            ]
            for way in ways
        }
        plots.append(_bars(f"Requests a second, route: {route}; server, connections", labels, values))
    return plots


def _first(values: Iterable[float]) -> float | None:
    return next(iter(values), None)


def _bars(title: str, labels: Sequence[str], values: dict[str, list[float | None]]) -> str:
    chart = pygal.HorizontalBar(
        style=STYLE, js=(), title=title, width=900, height=140 + 26 * len(labels) * len(values),
        legend_at_bottom=True, disable_xml_declaration=True, print_values=True,
        formatter=lambda value: "" if value is None else f"{value:.1f}" if value < 100 else f"{value:.0f}",
    )  # fmt: skip
    # pygal draws from below.
    chart.x_labels = list(reversed(labels))
    for name, row in values.items():
        chart.add(name, list(reversed(row)))
    return chart.render(is_unicode=True)


_PLOTS = {"runs": _plots_of_runs, "serving": _plots_of_serving}

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Benchmarks of wsgiops.flask</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1f2937 }}
table {{ border-collapse: collapse; font-size: .9rem }}
th, td {{ text-align: left; padding: .2rem .8rem .2rem 0; border-bottom: 1px solid #e5e7eb }}
figure {{ margin: 1rem 0 }}
</style>
{body}
</html>
"""
