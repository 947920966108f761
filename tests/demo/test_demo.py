"""README's commands for a checkout: the demo starts, answers, costs nothing the second time, and goes."""

from __future__ import annotations

import json
import re
import subprocess
import urllib.request

from hostlab import controller, readme, soak


def run(command, timeout=600):
    done = subprocess.run(
        ["bash", "-c", command], cwd=controller.CHECKOUT, capture_output=True, text=True, timeout=timeout, check=False
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout + done.stderr


def test_demo_from_start_to_stop():
    start, stop = (command for command in readme.blocks("bash") if command.startswith("script/demo"))
    output = run(start)
    url = re.search(r"http://localhost:\d+/", output).group()
    with urllib.request.urlopen(url, timeout=10) as answer:
        assert answer.status == 200
        assert b"<html" in answer.read()
    again = run(start)
    assert url in again
    assert "changed=0" in again
    run(stop)
    assert "demo " not in run("script/test-host list")


def test_molecule_works_as_typed_in_the_shell_of_the_tests():
    listed = run("script/test --shell molecule list")
    scenarios = {path.parent.name for path in controller.CHECKOUT.glob("molecule/*/molecule.yml")}
    assert scenarios
    for scenario in scenarios:
        assert scenario in listed


@soak.only
def test_the_benchmark_measures_and_writes_down():
    """Each thing once."""
    (bench,) = (command for command in readme.blocks("bash") if command.startswith("script/bench"))
    output = run(f"{bench} --quick", timeout=1800)
    assert "What clients notice" in output
    found = json.loads((controller.CHECKOUT / ".cache" / "bench" / "benchmarks.json").read_text())
    ours = [row for row in found["failures"] if row["subject"] == "wsgiops.flask"]
    assert {row["event"] for row in ours} == {"a deploy", "a rollback", "kill -9 of the main process"}
    assert all(row["requests"] > 100 for row in ours)
    assert [row["failed"] for row in ours if row["event"] != "kill -9 of the main process"] == [[0], [0]]
    assert "<svg" in (controller.CHECKOUT / ".cache" / "bench" / "benchmarks.html").read_text()
