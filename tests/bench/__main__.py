"""script/bench, once its environment is there: measure, and write down what was found."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hostlab import controller

from bench import bounds, report
from bench.costs import Costs
from bench.failures import Failures
from bench.lab import QUICK, THOROUGH, Lab, Scale, laboratory, say
from bench.runs import Runs
from bench.serving import Serving

CACHE = controller.CHECKOUT / ".cache" / "bench"
DOCS = controller.CHECKOUT / "docs"


Results = dict[str, Any]


def measure_runs(lab: Lab, scale: Scale, results: Results) -> None:
    failures = Failures(lab)
    Runs(lab, scale, results["runs"]).beside_others(failures)
    results["failures"] = failures.rows


def measure_fleet(lab: Lab, scale: Scale, results: Results) -> None:
    Runs(lab, scale, results["runs"]).of_fleets()


def measure_applications(lab: Lab, scale: Scale, results: Results) -> None:
    Runs(lab, scale, results["runs"]).of_applications()


def measure_serving(lab: Lab, scale: Scale, results: Results) -> None:
    serving = Serving(lab, scale)
    serving.prepare()
    serving.of_servers()
    if scale.others:
        serving.of_limits()
        serving.of_memory()
    results["serving"], results["at_once"], results["memory"] = serving.rows, serving.at_once, serving.memory


def measure_costs(lab: Lab, scale: Scale, results: Results) -> None:
    costs = Costs(lab, scale)
    costs.measure()
    results["costs"] = costs.rows


# In the order in which they find what those before them have put on a host.
PARTS: dict[str, Callable[[Lab, Scale, Results], None]] = {
    "runs": measure_runs,
    "serving": measure_serving,
    "costs": measure_costs,
    "fleet": measure_fleet,
    "applications": measure_applications,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="script/bench", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all by default")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="each thing once, to see that all of it works")
    size.add_argument("--thorough", action="store_true", help="all that can be measured, five times")
    parser.add_argument(
        "--publish", action="store_true", help="write docs/benchmarks.html, docs/benchmarks.json and docs/runs.svg, too"
    )
    given = parser.parse_args()
    unknown = [part for part in given.parts if part not in PARTS]
    if unknown:
        parser.error(f"unknown part {unknown[0]!r}: there are {', '.join(PARTS)}")
    scale = QUICK if given.quick else THOROUGH if given.thorough else Scale()
    start = time.monotonic()
    results: Results = {"machine": report.machine(), "runs": []}
    failed: list[str] = []
    with laboratory() as lab:
        for part in given.parts or PARTS:
            say(f"==> Measuring {part}")
            began = time.monotonic()
            try:
                PARTS[part](lab, scale, results)
            except (RuntimeError, OSError, ValueError, subprocess.SubprocessError) as error:
                # What others have measured is not lost with it.
                failed.append(part)
                say(f"ERROR: {part}: {error}")
            say(f"    {part} took {time.monotonic() - began:.0f} s")
    found = [
        *bounds.of_runs(results["runs"]),
        *bounds.of_serving(results.get("serving", []), results.get("at_once", [])),
        *bounds.of_costs(results.get("costs", [])),
        *bounds.of_failures(results.get("failures", [])),
    ]
    for directory in [CACHE, *([DOCS] if given.publish else [])]:
        report.write_json(Path(directory, "benchmarks.json"), results)
        Path(directory, "benchmarks.html").write_text(report.page(results, found))
    if given.publish:
        Path(DOCS, "runs.svg").write_text(report.picture(results))
    print(report.text(results, found))
    say(f"    all took {time.monotonic() - start:.0f} s; figures and plots are in {CACHE}")
    broken = [bound for bound in found if bound.holds is False]
    return 1 if failed or (broken and not given.quick) else 0


if __name__ == "__main__":
    sys.exit(main())
