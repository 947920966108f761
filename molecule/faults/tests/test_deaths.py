"""Whoever dies on the road, and wherever: the host serves the old or the new release, and the next run is green."""

from __future__ import annotations

import contextlib
import shlex
import time

import pytest
from hostlab import controller, soak
from hostlab.fixtures import assert_none_failed

SECONDS = 60
IN_THE_CHECK = "import sys, time\nif '--check-config' in sys.argv: time.sleep(4)"
IN_THE_START = "import sys, time\nif '--check-config' not in sys.argv: time.sleep(4)"
SWITCHED = "[ $(basename $(readlink {home}/current)) != {old} ]"

TWO_SOCKETS = "[ $(ls {run} | grep -c '[.]sock$') = 2 ]"
IN_A_TASK = "({in_a_task})"
IN_A_HOOK = f"{TWO_SOCKETS} && {IN_A_TASK} && sleep 0.5"

# What makes the road stay at a point, keys and source, and how the host tells that it is there.
POINTS = {
    "check": (IN_THE_CHECK, {}, IN_A_TASK),
    "start": (IN_THE_START, {}, TWO_SOCKETS),
    "before the switch": ("", {"hooks": {"before_switch": ["sleep 4"]}}, f"{TWO_SOCKETS} && {IN_A_TASK} && sleep 1"),
    "after the switch": ("", {"hooks": {"after_switch": ["sleep 4"]}}, SWITCHED),
    "drain": ("", {}, SWITCHED),
}
# A hook that ends some time after it was told to.
GO = "$STATE_DIRECTORY/go"
STAYS = f'timeout {SECONDS} sh -c "until [ -e {GO} ]; do sleep 0.2; done" && sleep 8 && rm -f {GO}'
CUT = "main=$({ssh_main}); for pid in $(pgrep -x 'sshd.*'); do [ $pid = $main ] || kill -9 $pid; done"
KILL = 'kill -9 "$(sed -E \'s/.*"pid": ([0-9]+).*/\\1/\' "$1")"'
FREE = f'flock --timeout {SECONDS} "$1" true'


def lock(one):
    return f"{one.places.home}/.lock"


def await_point(one, condition, old=""):
    places = one.places
    reached = condition.format(old=old, in_a_task=one.manager.in_a_task, home=places.home, run=places.run)
    one.as_root(f"timeout {SECONDS} sh -c {shlex.quote(f'until {reached}; do sleep 0.05; done')} >&2")


@contextlib.contextmanager
def a_run(shop, tmp_path, keys):
    log = tmp_path / "first.log"
    with controller.running_playbook(*shop.arguments(keys), log=log, name="playbooks/deploy.yml") as process:
        yield process


# By default each death at two points or three, and each point by one death or two; in the long run each at each.
DEATHS = {
    "controller": ("start", "after the switch", "drain"),
    "connection": ("check", "before the switch"),
    "process": ("check", "after the switch", "drain"),
}


@pytest.mark.parametrize(
    ("death", "point"),
    [
        pytest.param(death, point, marks=() if point in points else soak.only)
        for death, points in DEATHS.items()
        for point in POINTS
    ],
)
def test_a_death_on_the_road(deployed, shops, streams, tmp_path, point, death):
    line, keys, condition = POINTS[point]
    deployed.renew()
    deployed.change()
    deployed.add(line)
    old = [one.release for one in shops]
    slow = streams("/slow?seconds=4", rate=0.5) if point == "drain" else contextlib.nullcontext([])
    with streams() as quick, slow as long, a_run(deployed, tmp_path, keys) as process:
        for one, release in zip(shops, old, strict=True):
            await_point(one, condition, release)
        if death == "controller":
            controller.kill_group(process)
        for one in shops:
            if death != "controller":
                cut = CUT.format(ssh_main=one.manager.ssh_main)
                one.as_root(cut if death == "connection" else KILL, lock(one))
        if death != "controller":
            assert process.wait(timeout=SECONDS) != 0
        if death != "process":
            # Deaf to the loss of its controller, the road goes on to its end.
            for one in shops:
                one.as_root(FREE, lock(one))
            assert not {one.release for one in shops} & set(old)
            for one in shops:
                one.assert_alone()
        # At once: what is still under way is waited for.
        again = deployed.deploy(**keys)
        assert set(again.failed.values()) == {0}
        time.sleep(0.5)
    assert_none_failed(quick + long)
    assert not {one.release for one in shops} & set(old)
    for one in shops:
        one.assert_alone()
        home = one.places.home
        used = one.run("sh -c %s", f"cd {home}/releases && readlink */code | sort --unique").replace("../../code/", "")
        assert one.run("ls -A %s", f"{home}/code") == used


def test_the_next_run_waits_for_the_one_that_lost_its_controller(deployed, shops, streams, tmp_path):
    deployed.change()
    keys = {"hooks": {"before_switch": ["sleep 5"]}}
    with streams() as quick:
        with a_run(deployed, tmp_path, keys) as process:
            for one in shops:
                await_point(one, IN_A_HOOK)
            controller.kill_group(process)
        run = deployed.deploy(**keys)
    assert_none_failed(quick)
    assert set(run.failed.values()) == set(run.changed.values()) == {0}
    for one in shops:
        one.assert_alone()


def test_of_two_runs_at_once_one_wins_and_the_other_says_who_does(deployed, shops, streams, tmp_path):
    deployed.change()
    with streams() as quick, a_run(deployed, tmp_path, {"hooks": {"before_switch": [STAYS]}}) as process:
        for one in shops:
            await_point(one, IN_A_HOOK)
        refused = deployed.deploy(check=False, workers=3)
        for one in shops:
            one.as_root("touch $1/go", one.places.state)
        waited = deployed.deploy("-e", "flask_lock_wait=60", workers=2)
        assert process.wait(timeout=SECONDS) == 0
    assert_none_failed(quick)
    for one in shops:
        first, second = [entry["release"] for entry in one.history()[-2:]]
        error = refused.error(one.inventory_name)
        assert f"(release {first}) holds it since 20" in error
        assert "locked by another run: process " in error
        assert "flask_lock_wait" in error
        assert second == one.release == waited.result("Put the release in service", one.inventory_name)["release"]


@pytest.mark.parametrize("point", [pytest.param("before the switch", marks=soak.only), "after the switch"])
def test_a_power_cut_on_the_road(deployed, shops, tmp_path, point):
    """The current release serves after the boot, and the next run finishes what was begun."""
    _line, keys, condition = POINTS[point]
    deployed.renew()
    old = [one.release for one in shops]
    deployed.change()
    with a_run(deployed, tmp_path, keys):
        for one, release in zip(shops, old, strict=True):
            await_point(one, condition, release)
        for one in shops:
            controller.test_host("kill", one.inventory_name)
    for one, before in zip(shops, old, strict=True):
        controller.test_host("restart", one.inventory_name)
        controller.wait_until(one.serves, 30, "the application answers after a boot")
        release = one.get("/whoami").json()["release"]
        assert release == one.release
        assert (release == before) == (point == "before the switch")
    assert set(deployed.deploy(**keys).failed.values()) == {0}
    for one in shops:
        one.assert_alone()


DIES_WHEN_TOLD = "import os\nif os.path.exists('/var/lib/shop/broken'): raise RuntimeError('broken')"
LIMIT = {"restart": {"burst": 3, "interval": 120}}


@pytest.fixture
def unbroken(shops):
    """What makes the release fail is gone after the test."""
    yield
    for one in shops:
        one.run("rm -f /var/lib/shop/broken")


@pytest.mark.parametrize("cure", ["another release", pytest.param("the same release", marks=soak.only)])
def test_a_crash_loop_ends_with_its_cause(deployed, shops, unbroken, cure):
    deployed.renew()
    deployed.add(DIES_WHEN_TOLD)
    deployed.deploy(**LIMIT)
    for one in shops:
        one.run("sh -c %s", f"touch /var/lib/shop/broken && kill -9 {one.master}")
        tripped = f"systemctl is-failed {one.service.replace('.service', '.socket')}"
        controller.wait_until(lambda one=one, tripped=tripped: "failed" in on_any(one, tripped), 30, "the limit trips")
        assert one.get("/health").status == 503
    if cure == "another release":
        deployed.renew()
        deployed.change()
    else:
        for one in shops:
            one.run("rm /var/lib/shop/broken")
    assert set(deployed.deploy(**LIMIT).failed.values()) == {0}
    for one in shops:
        assert one.get("/ready").status == 200
        one.assert_alone()


def on_any(one, command):
    with one.host.sudo():
        return one.host.run(command).stdout
