"""Rotation under traffic: what is lost of the access lines, and that logrotate has nothing to complain about."""

from __future__ import annotations

import json
import time
from collections import Counter

import pytest
from hostlab import traffic
from hostlab.fixtures import DOMAIN, deployment
from hostlab.service import Systemd

RATE = 300
SECONDS = 10
ROTATIONS = 10
LOG = "/var/log/shop/access.log"

# What copytruncate may lose of all lines: those that are written between the end of a copy and the emptying.
LOST_BY_COPYING = 0.02

TIMER = "/etc/systemd/system/logrotate.timer.d"
HOURLY = "OnCalendar=*-*-* *:00:00"


@pytest.fixture(scope="module")
def shop(shops, tmp_path_factory):
    """One source for all of these tests, so that those that want the same settings find them there."""
    return deployment(shops, tmp_path_factory.mktemp("rotation"))


def rotate_by(shop, method: str, **rotate: object) -> None:
    """No rotated file is taken away here."""
    logs = {"to": "files", "access": "both", "rotate": {"method": method, "keep": 3 * ROTATIONS, **rotate}}
    # A long pause before a restart is for the test that looks at one.
    shop.site(logs=logs, worker_class="gthread", workers=2, restart={"delay": 30, "interval": 600})


def written(one) -> list[str]:
    """Request ids of all access lines, compressed ones among them."""
    text = one.run("sh -c %s", f"zcat --force {LOG}*")
    return [json.loads(line)["request_id"] for line in text.splitlines()]


def assert_no_complaints(one) -> None:
    with one.host.sudo():
        said = one.host.run("logrotate --debug /etc/logrotate.conf").stderr
    found = [line for line in said.splitlines() if line.startswith(("error:", "warning:"))]
    # That it changes nothing is what --debug always says.
    assert [line for line in found if not line.startswith("warning: logrotate in debug mode")] == []
    assert f"considering log {LOG}" in said


def assert_rotation(one, rotations: list[list[str]], most_lost: float) -> str:
    """Rotate under traffic, and find all lines but a part of them in all of the files; returns what to tell."""
    assert_no_complaints(one)
    one.run("sh -c %s", f"rm --force {LOG}.*")
    before = Counter(written(one))
    # The traffic lasts longer where the rotations do.
    with traffic.traffic(one.address, "/health", DOMAIN, rate=RATE, seconds=6 * SECONDS) as stream:
        start = time.monotonic()
        for number, command in enumerate(rotations):
            time.sleep(max(0.0, start + (number + 0.5) * SECONDS / len(rotations) - time.monotonic()))
            one.run(" ".join(command))
        time.sleep(max(0.0, start + SECONDS - time.monotonic()))
    assert stream.failures == [], stream.explain()
    asked = {outcome.answer.headers["X-Request-ID"] for outcome in stream.outcomes}
    found = Counter(written(one)) - before
    assert len(asked) > RATE * SECONDS / 2
    assert set(found) <= asked, "a line that nobody asked for"
    assert set(found.values()) == {1}, "a line twice"
    lost = len(asked - set(found))
    assert lost <= most_lost * len(asked)
    files = one.run("sh -c %s", f"ls {LOG}*").split()
    assert len(files) == len(rotations) + 1
    assert [name for name in files if not name.endswith(".gz")] == [LOG, f"{LOG}.1"]
    assert one.run("stat --format '%%U %%G %%a' %s", LOG) == "shop shop 640"
    answer = one.get("/health")
    assert json.loads(one.run("tail --lines=1 %s", LOG))["request_id"] == answer.headers["X-Request-ID"]
    return f"{one.inventory_name}: {len(asked)} requests, {lost} lines lost in {len(rotations)} rotations"


BY_HAND = ["logrotate", "--force", "/etc/logrotate.d/shop"]


def test_renaming_loses_no_line(shop, shops, capsys):
    rotate_by(shop, "create", size="1K")
    for one in shops:
        # As the timer does it. A service may start five times in ten seconds (systemd-system.conf(5)).
        itself = [one.manager.rotate]
        told = assert_rotation(one, [itself, BY_HAND, BY_HAND, itself, *[BY_HAND] * 6], most_lost=0)
        with capsys.disabled():
            print(f"\n{told}")


def until_next_look(one) -> int:
    """Seconds until logrotate is to run."""
    at = one.run("systemctl show --property=NextElapseUSecRealtime --value logrotate.timer")
    return int(one.run("date --date %s +%%s", at)) - int(one.run("date +%s"))


def test_sizes_are_looked_at_each_hour(shops):
    """The settings are those of the test before this."""
    for one in shops:
        assert "    maxsize 1024\n" in one.run("cat /etc/logrotate.d/shop")
        assert HOURLY in one.run("systemctl show --property=TimersCalendar logrotate.timer")
        # Debian 13 adds up to an hour at random.
        assert until_next_look(one) <= 2 * 3600


def test_a_release_that_is_down_does_not_stop_the_rotation(shops):
    """Neither that of its own logs nor, by a failed run of logrotate, that of others."""
    for one in shops:
        one.run("kill -9 %s", str(one.master))
        assert (
            one.run("systemctl show --property=SubState,MainPID %s", one.service) == "MainPID=0\nSubState=auto-restart"
        )
        one.run(" ".join(BY_HAND))
        assert one.run("stat --format %%s %s", LOG) == "0"
        one.run("systemctl restart %s", one.service)
        assert one.get("/health").status == 200


def test_copying_loses_few_lines(shop, shops, capsys):
    rotate_by(shop, "copytruncate")
    for one in shops:
        # Without a size, logrotate runs as Debian has it.
        if isinstance(one.manager, Systemd):
            assert HOURLY not in one.run("systemctl show --property=TimersCalendar logrotate.timer")
        assert not one.host.file(TIMER).exists
        told = assert_rotation(one, [BY_HAND] * ROTATIONS, LOST_BY_COPYING)
        with capsys.disabled():
            print(f"\n{told}")
