"""README's commands for a checkout: the demo starts, answers, costs nothing the second time, and goes."""

from __future__ import annotations

import re
import subprocess
import urllib.request

from hostlab import controller, readme


def run(command):
    done = subprocess.run(
        ["bash", "-c", command], cwd=controller.CHECKOUT, capture_output=True, text=True, timeout=600, check=False
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
