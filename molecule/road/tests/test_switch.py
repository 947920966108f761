"""Around the switch: hooks, the look through nginx, confirmation, and applications that exist only once."""

from __future__ import annotations

import re
import time

from hostlab import controller, soak
from hostlab.fixtures import assert_none_failed
from hostlab.service import Systemd

LOG = "/var/lib/shop/hooks.log"


def say(what):
    """A hook that writes down what it is, which release serves then, and what it finds around it."""
    serving = "$(basename $(readlink /opt/shop/current))"
    around = "$(id -un) $FLASK_APP $(pwd) $COLOUR"
    return f'echo {what} $FLASK_RELEASE {serving} {around} >> "$STATE_DIRECTORY/hooks.log"; echo {what} is through'


HOOKS = {
    "once": [say("once")],
    "before_switch": [say("before"), "flask --version", "! touch /opt/shop/by-a-hook"],
    "after_switch": [say("after")],
}


def said(one):
    return [line.split() for line in one.run("cat %s", LOG).splitlines()]


def test_hooks_run_in_the_release_and_its_sandbox(shop, shops):
    shop.deploy()
    before = [one.release for one in shops]
    for one in shops:
        one.run("install --owner shop /dev/null %s", LOG)
    shop.change()
    run = shop.deploy(hooks=HOOKS, env={"COLOUR": "green"})
    where = ["shop", "wsgi:app", shops[0].run("readlink --canonicalize /opt/shop/current/code"), "green"]
    # The first host of the play runs what runs once, before any host switches.
    expected = [[["once", shops[0].release, before[0], *where]], []]
    for one, old, lines in zip(shops, before, expected, strict=True):
        lines += [["before", one.release, old, *where], ["after", one.release, one.release, *where]]
        assert said(one) == lines
        result = run.result("Put the release in service", one.inventory_name)
        assert [(hook["hook"], hook["status"]) for hook in result["hooks"]] == [
            ("before_switch", 0),
            ("before_switch", 0),
            ("before_switch", 0),
            ("after_switch", 0),
        ]
        assert result["hooks"][0]["output"] == "before is through\n"
        assert "Flask 3.1" in result["hooks"][1]["output"]
        # In a sandbox, or without the right to: where systemd does not run it.
        assert re.search("Read-only file system|Permission denied", result["hooks"][2]["output"])
    once = run.result("Run what runs once for all hosts", shops[0].inventory_name)
    assert [hook["output"] for hook in once["hooks"]] == ["once is through\n"]
    # Nothing changed: nothing runs.
    assert set(shop.deploy(hooks=HOOKS, env={"COLOUR": "green"}).changed.values()) == {0}
    assert [said(one) for one in shops] == expected


def test_a_failed_migration_stops_all_hosts(shop, shops, streams):
    shop.deploy()
    before = [(one.release, one.master) for one in shops]
    shop.change()
    with streams() as quick:
        run = shop.deploy(hooks={"once": ["echo no such table: orders; exit 4"]}, check=False)
    assert_none_failed(quick)
    error = run.error(shops[0].inventory_name)
    assert "failed in phase hooks.once" in error
    assert "'echo no such table: orders; exit 4' failed (exit status 4)" in error
    assert f"release {before[0][0]} still serves" in error
    assert "It logged:\nno such table: orders\n" in error
    assert [(one.release, one.master) for one in shops] == before


def test_a_failed_hook_before_the_switch_discards_the_candidate(shop, shops, streams):
    shop.deploy()
    before = [(one.release, one.master, kept(one)) for one in shops]
    shop.change()
    with streams() as quick:
        run = shop.deploy(hooks={"before_switch": ["sleep 60"], "timeout": 2}, check=False)
    assert_none_failed(quick)
    for one, (release, _master, _releases) in zip(shops, before, strict=True):
        error = run.error(one.inventory_name)
        assert "failed in phase hooks.before_switch" in error
        assert "'sleep 60' ran longer than 2 s (hooks.timeout)" in error
        assert f"release {release} still serves" in error
        assert one.history()[-1]["event"] == "refused"
        assert one.manager.there() == {release}
        assert one.sockets == [release]
    assert [(one.release, one.master, kept(one)) for one in shops] == before


def kept(one):
    return one.run("ls %s", f"{one.places.home}/releases").split()


def assert_taken_back(shops, before, run, phase, reason):
    for one, (release, master) in zip(shops, before, strict=True):
        error = run.error(one.inventory_name)
        assert f"failed in phase {phase}" in error
        assert reason in error
        assert f"release {release} serves again" in error
        assert (one.release, one.master) == (release, master)
        last = one.history()[-1]
        assert last["event"] == "taken back"
        assert reason in last["reason"]
        assert last["release"] not in kept(one)
        assert one.manager.there() == {release}
        assert one.sockets == [release]


def test_a_failed_hook_after_the_switch_takes_it_back(shop, shops, streams):
    shop.deploy()
    before = [(one.release, one.master) for one in shops]
    shop.change()
    with streams(rate=100) as quick, streams("/slow?seconds=3", rate=0.5) as slow:
        run = shop.deploy(hooks={"after_switch": ["sleep 1; exit 5"]}, check=False)
    assert_none_failed(quick + slow)
    assert_taken_back(shops, before, run, "hooks.after_switch", "'sleep 1; exit 5' failed (exit status 5)")
    assert set(shop.deploy(check=False).failed.values()) == {0}


# An application that is well on its own socket, and not behind nginx.
ONLY_ALONE = """
from flask import request
@app.before_request
def alone():
    return ("not behind a proxy", 500) if request.path == "/ready" and request.headers.get("X-Request-ID") else None
"""


def test_a_release_that_fails_behind_nginx_is_taken_back(shop, shops, streams):
    shop.deploy()
    before = [(one.release, one.master) for one in shops]
    services = [one.manager.definition(one.release) for one in shops]
    shop.add(ONLY_ALONE, "wsgi.py")
    with streams(rate=100) as quick:
        run = shop.deploy(check=False, graceful_timeout=10)
    assert_none_failed(quick)
    reason = "through nginx (http://127.0.0.1, Host shop.example.com): GET /ready was answered with status 500"
    assert_taken_back(shops, before, run, "probe", reason)
    # What runs it went back together with the link.
    assert [one.manager.definition(one.release) for one in shops] == services
    shop.renew()
    assert set(shop.deploy().failed.values()) == {0}


@soak.only
def test_a_confirmed_deploy_stays(shop, shops):
    shop.change()
    shop.deploy(confirm=5)
    released = [one.release for one in shops]
    for one in shops:
        assert one.history()[-1]["event"] == "confirmed"
        assert not one.manager.armed()
        assert "take-back" not in one.run("ls %s", one.places.home)
    assert set(shop.deploy(confirm=5).changed.values()) == {0}
    time.sleep(7)
    assert [one.release for one in shops] == released


# What a hook may not do, something beside it does once the new release serves.
CUT_OFF = "until [ $(basename $(readlink {home}/current)) != {release} ]; do sleep 0.05; done; {ssh_off}"
SEE_IT_TAKEN_BACK = "until tail -n 1 {home}/history.jsonl | grep 'taken back'; do sleep 0.2; done; {ssh_on}"
# Seconds: cron looks once a minute.
PATIENCE = "150"


def test_a_deploy_that_cuts_off_its_deployer_undoes_itself(shop, shops, streams):
    """SSH goes away with the switch: nobody can confirm, and nobody has to come and help."""
    shop.deploy()
    before = [one.release for one in shops]
    shop.change()
    with streams() as quick:
        for one, release in zip(shops, before, strict=True):
            watch = CUT_OFF.format(home=one.places.home, release=release, ssh_off=one.manager.ssh_off)
            controller.in_background(one.inventory_name, watch)
        run = shop.deploy("-e", "ansible_timeout=5", confirm=10, check=False)
        assert run.status != 0
        for one in shops:
            back = SEE_IT_TAKEN_BACK.format(home=one.places.home, ssh_on=one.manager.ssh_on)
            controller.test_host("exec", one.inventory_name, "timeout", PATIENCE, "sh", "-c", back)
    assert_none_failed(quick)
    assert [one.release for one in shops] == before
    for one in shops:
        last = one.history()[-1]
        assert (last["event"], last["reason"]) == ("taken back", "not confirmed within 10 s")
    # What is in the inventory comes back with the next run.
    assert set(shop.deploy(confirm=10).failed.values()) == {0}
    assert [one.release for one in shops] != before


# A second process of it does not start; the kernel lets go of the lock when the first has ended.
ONLY_ONE = """
import fcntl, os
only = open(os.environ["STATE_DIRECTORY"] + "/only-one", "w")
fcntl.flock(only, fcntl.LOCK_EX | fcntl.LOCK_NB)
"""


def test_an_application_that_may_exist_only_once_never_does_twice(shop, shops, streams):
    """Requests wait for the new one."""
    shop.add(ONLY_ONE)
    options = {"overlap": False, "worker_class": "gthread", "workers": 1}
    shop.deploy(**options)
    with streams() as quick, streams("/slow?seconds=2", rate=0.4) as slow:
        for _number in range(3):
            shop.change()
            shop.deploy(**options)
        shop.rollback()
    assert_none_failed(quick + slow)
    for stream in quick:
        assert len({outcome.answer.json()["release"] for outcome in stream.outcomes}) == 4
    # A release that fails costs what queued for it, and the one before serves again.
    before = [one.release for one in shops]
    shop.add("raise RuntimeError('on import')")
    run = shop.deploy(**options, check=False)
    for one, release in zip(shops, before, strict=True):
        assert "failed in phase start" in run.error(one.inventory_name)
        assert f"release {release} serves again" in run.error(one.inventory_name)
        assert one.get("/whoami").json()["release"] == release
    # A boot starts the current one alone, be both enabled.
    for one in shops:
        other = next(entry for entry in kept(one) if entry != one.release)
        if isinstance(one.manager, Systemd):
            one.run("systemctl enable --quiet %s %s", f"shop@{other}.service", f"shop@{other}.socket")
        controller.test_host("restart", one.inventory_name)
        controller.wait_until(one.serves, 30, "the application answers after a boot")
        assert one.get("/whoami").json()["release"] == one.release
        assert one.manager.main_pid(other) == 0
    shop.renew()
    assert set(shop.deploy().failed.values()) == {0}
