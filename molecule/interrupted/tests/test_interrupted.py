"""A first run that is cut off half-way is completed by the next, and leaves nothing half-made behind."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest
from hostlab import controller, traffic

HOSTS = {kind: [f"{kind}-debian12", f"{kind}-debian13"] for kind in ("cut-off", "power-cut", "killed")}
SECONDS = 120


def on(host, script):
    return controller.test_host("exec", host, "sh", "-c", script)


def start(kind, tmp_path):
    return controller.running_playbook("--limit", ",".join(HOSTS[kind]), log=tmp_path / "first.log")


def complete(kind):
    """The next run succeeds, the one after it has nothing to do, and the application serves."""
    hosts = HOSTS[kind]
    for host in hosts:
        assert on(host, "ls /opt/shop/current 2>/dev/null || true") == ""
    limit = ("--limit", ",".join(hosts))
    controller.playbook(*limit)
    assert controller.playbook(*limit).changed == dict.fromkeys(hosts, 0)
    for host in hosts:
        facts = traffic.get(controller.test_host("address", host), "/whoami", "shop.example.com").json()
        assert on(host, "ls /opt/shop/releases /run/shop").split() == [
            "/opt/shop/releases:",
            facts["release"],
            "/run/shop:",
            f"{facts['release']}.sock",
        ]
        assert on(host, "ls -A /opt/shop/code /opt/shop/venvs | wc -l") == "5"  # two headings, a blank, one entry each


def test_controller_dies_while_packages_are_installed(tmp_path):
    """apt goes on without its controller; the next run waits for its lock."""
    with start("cut-off", tmp_path) as process:
        for host in HOSTS["cut-off"]:
            on(host, f"timeout {SECONDS} sh -c 'until [ -e /var/lib/dpkg/info/nginx.list ]; do sleep 0.05; done'")
        controller.kill_group(process)
    complete("cut-off")


def cut_power(host):
    on(host, f"timeout {SECONDS} sh -c 'until ls /opt/shop/venvs/*/bin/pip; do sleep 0.05; done'")
    controller.test_host("kill", host)


def test_power_is_cut_while_the_environment_is_built(tmp_path):
    with start("power-cut", tmp_path) as process, ThreadPoolExecutor() as pool:
        list(pool.map(cut_power, HOSTS["power-cut"]))
        controller.kill_group(process)
    for host in HOSTS["power-cut"]:
        controller.test_host("restart", host)
        assert on(host, "ls /opt/shop/venvs/*/wsgiops.json 2>/dev/null || true") == ""
    complete("power-cut")


@pytest.fixture
def killers():
    """On each host a loop that kills the process which holds the application's lock once a release has been written."""
    script = (
        "until ls /opt/shop/releases/*/release.json; do sleep 0.01; done; "
        'kill -9 "$(sed -E \'s/.*"pid": ([0-9]+).*/\\1/\' /opt/shop/.lock)"'
    )
    waiting = [
        subprocess.Popen(
            [controller.CHECKOUT / "script/test-host", "exec", host, "timeout", str(SECONDS), "sh", "-c", script]
        )
        for host in HOSTS["killed"]
    ]
    yield waiting
    for process in waiting:
        process.kill()
        process.wait(timeout=30)


def test_host_process_is_killed_while_the_release_starts(tmp_path, killers):
    with start("killed", tmp_path) as process:
        assert [killer.wait(timeout=SECONDS) for killer in killers] == [0, 0]
        assert process.wait(timeout=SECONDS) == 2
    assert "failed=1" in (tmp_path / "first.log").read_text()
    complete("killed")
