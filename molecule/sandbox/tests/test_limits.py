"""Limits: systemd has them, checks and hooks have them too, and what the host can count is held to."""

from __future__ import annotations

import json
import re

import pytest
from hostlab import controller

STATE = "/var/lib/intruder"

LIMITS = {"memory": "256M", "memory_high": "192M", "cpu": 1.5, "tasks": 64, "open_files": 1200, "oom_policy": "stop"}
PROPERTIES = {
    "MemoryMax": str(256 << 20),
    "MemoryHigh": str(192 << 20),
    "MemorySwapMax": "0",
    "CPUQuotaPerSecUSec": "1.500000s",
    "TasksMax": "64",
    "LimitNOFILE": "1200",
    "LimitNOFILESoft": "1200",
    "OOMPolicy": "stop",
}

# Without network systemd finds next to nothing exposed (systemd-analyze(1), security).
MOST_EXPOSED_WITHOUT_NETWORK = 0.5


def show(unit):
    return f"systemctl show --property={','.join(PROPERTIES)} {unit}"


def properties(shown):
    return dict(line.split("=", 1) for line in shown.splitlines())


def controllers(one):
    """What the host can limit by control group."""
    return one.run("cat /sys/fs/cgroup/cgroup.controllers").split()


@pytest.fixture(scope="module")
def limited(intruder, intruders):
    """The intruder with limits, which notes what its hooks and its checks are allowed."""
    for one in intruders:
        one.run("rm -f %s", f"{STATE}/imports")
    attempts = f"python attempts.py open_files=1200 open_files=1210 > {STATE}/hook"
    intruder.deploy(
        limits=LIMITS,
        network="none",
        hooks={"before_switch": [f"{show('intruder-task.service')} > {STATE}/task", attempts]},
        env={"INTRUDER_NOTES": f"{STATE}/imports"},
    )
    return intruders


def test_systemd_has_all_of_them(limited):
    for one in limited:
        assert properties(one.run(show(one.service))) == PROPERTIES


def test_hooks_have_them_too(limited):
    for one in limited:
        assert properties(one.run("cat %s", f"{STATE}/task")) == PROPERTIES
        outcomes = json.loads(one.run("cat %s", f"{STATE}/hook"))
        assert "Too many open files" in outcomes.pop("open_files=1210")
        assert outcomes == {"open_files=1200": ""}


def test_checks_have_them_too(limited):
    """The check imports the application as the workers do."""
    for one in limited:
        notes = one.run("cat %s", f"{STATE}/imports").splitlines()
        assert notes[0] == "intruder-task.service 1200"
        assert set(notes[1:]) == {f"{one.service} 1200"}


def test_open_files_end_at_the_limit(limited, inside):
    for one in limited:
        outcomes = inside(one, "open_files=1200", "open_files=1210")
        assert outcomes.succeeded == ["open_files=1200"]
        assert "Too many open files" in outcomes["open_files=1210"]


def test_tasks_end_at_the_limit(limited, inside):
    for one in limited:
        if "pids" not in controllers(one):
            pytest.skip("this host has no controller that counts tasks (cgroup.controllers)")
        outcomes = inside(one, "run_threads=20", "run_threads=70")
        assert outcomes.succeeded == ["run_threads=20"]
        assert one.get("/ready").status == 200


def test_without_network_nothing_is_exposed(limited):
    for one in limited:
        told = one.run("systemd-analyze security --no-pager %s", one.service)
        found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", told)
        assert found, told
        assert float(found[1]) <= MOST_EXPOSED_WITHOUT_NETWORK, told


def test_a_worker_that_uses_all_memory_is_replaced(intruder, intruders):
    """The kernel kills it alone, and by default the service goes on."""
    for one in intruders:
        if "memory" not in controllers(one):
            pytest.skip("this host has no controller that limits memory (cgroup.controllers)")
    intruder.deploy(limits={"memory": "256M"})
    for one in intruders:
        master, before = one.master, set(one.workers)
        assert one.get("/hog?megabytes=400").status == 502
        controller.wait_until(lambda one=one: len(one.workers) == 2, 20, "two workers again")
        assert one.master == master
        assert set(one.workers) != before
        assert one.get("/ready").status == 200
