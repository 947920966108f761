"""Rotation under traffic: what is lost of the lines of both logs, and that logrotate has nothing to complain about."""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections import Counter

import pytest
from hostlab import controller
from hostlab.fixtures import deployment
from hostlab.service import Systemd
from hostlab.traffic import Outcome

RATE = 300
SECONDS = 6
ROTATIONS = 10
LOG, ERROR_LOG = "/var/log/shop/access.log", "/var/log/shop/error.log"

# Half of the requests have the application itself log a line, which goes to the error log.
SILENT, LOGGED = "/health", "/slow?seconds=0"

# Lines that a rotation with copytruncate may lose of a log: those that are written between the end of a copy and the
# emptying. README says so, and that it is up to 3 of 300 a second as a rule.
LOST_BY_COPYING = 6

GTHREAD = {"worker_class": "gthread", "workers": 2}
GEVENT = {"server": "gevent"}

STATE = "/run/rotation.state"
TIMER = "/etc/systemd/system/logrotate.timer.d"
HOURLY = "OnCalendar=*-*-* *:00:00"


@pytest.fixture(scope="module")
def shop(shops, tmp_path_factory):
    """One source for all of these tests, so that those that want the same settings find them there."""
    found = deployment(shops, tmp_path_factory.mktemp("rotation"))
    # The server gevent has none.
    del found.app["workers"]
    return found


def rotate_by(shop, method: str, server: dict[str, object], **rotate: object) -> None:
    """No rotated file is taken away here."""
    logs = {"to": "files", "access": "both", "rotate": {"method": method, "keep": 3 * ROTATIONS, **rotate}}
    # A long pause before a restart is for the test that looks at one.
    shop.site("--tags", "deploy,logrotate", logs=logs, restart={"delay": 30, "interval": 600}, **server)


def ids(one, log: str) -> Counter[str]:
    """Request ids of all lines that a log has of requests, compressed ones among them."""
    text = one.run("sh -c %s", f"zcat --force {log}*")
    if log == ERROR_LOG:
        return Counter(re.findall(r"^INFO \[(\S+)\] waited ", text, re.MULTILINE))
    return Counter(json.loads(line)["request_id"] for line in text.splitlines())


def assert_no_complaints(one) -> None:
    with one.host.sudo():
        said = one.host.run("logrotate --debug /etc/logrotate.conf").stderr
    found = [line for line in said.splitlines() if line.startswith(("error:", "warning:"))]
    # That it changes nothing is what --debug always says.
    assert [line for line in found if not line.startswith("warning: logrotate in debug mode")] == []
    assert f"considering log {LOG}" in said


def by_traffic(one, rotations: list[list[str]]) -> dict[str, list[Outcome]]:
    """Rotate under traffic; what came of the requests, by path."""
    streams = {}
    with contextlib.ExitStack() as stack:
        # The traffic lasts longer where the rotations do.
        for path in (SILENT, LOGGED):
            streams[path] = stack.enter_context(one.traffic(path, rate=RATE / 2, seconds=6 * SECONDS))
        start = time.monotonic()
        for number, command in enumerate(rotations):
            time.sleep(max(0.0, start + (number + 0.5) * SECONDS / len(rotations) - time.monotonic()))
            one.run(" ".join(command))
        time.sleep(max(0.0, start + SECONDS - time.monotonic()))
    for stream in streams.values():
        assert stream.failures == [], stream.explain()
    return {path: stream.outcomes for path, stream in streams.items()}


def assert_rotation(one, rotations: list[list[str]], most_lost: int) -> str:
    """Rotate under traffic, and find all lines but ``most_lost`` for each time in all of the files; what to tell."""
    assert_no_complaints(one)
    one.run("sh -c %s", f"rm --force {LOG}.* {ERROR_LOG}.*")
    before = {log: ids(one, log) for log in (LOG, ERROR_LOG)}
    # A machine that is busy with other scenarios does not come to all of it.
    least = (0.5 if controller.is_busy() else 0.9) * RATE
    outcomes = by_traffic(one, rotations)
    asked = {path: {outcome.answer.headers["X-Request-ID"] for outcome in found} for path, found in outcomes.items()}
    lost = {}
    for log, expected in ((LOG, asked[SILENT] | asked[LOGGED]), (ERROR_LOG, asked[LOGGED])):
        found = ids(one, log) - before[log]
        assert set(found) <= expected, f"{log}: a line that nobody asked for"
        assert set(found.values()) <= {1}, f"{log}: a line twice"
        lost[log] = len(expected - set(found))
        assert lost[log] <= most_lost * len(rotations), f"{log}: {lost[log]} lines lost"
    every = [outcome for found in outcomes.values() for outcome in found]
    rate = len(every) / (max(outcome.ended for outcome in every) - min(outcome.started for outcome in every))
    assert rate > least
    files = one.run("sh -c %s", f"ls {LOG}*").split()
    assert len(files) == len(rotations) + 1
    assert [name for name in files if not name.endswith(".gz")] == [LOG, f"{LOG}.1"]
    assert one.run("stat --format '%%U %%G %%a' %s", LOG) == "shop shop 640"
    for log, path in ((LOG, SILENT), (ERROR_LOG, LOGGED)):
        answer = one.get(path)
        assert answer.headers["X-Request-ID"] in one.run("tail --lines=1 %s", log)
    return (
        f"{one.inventory_name}: {len(every)} requests, {rate:.0f} a second, {lost[LOG]} access lines and "
        f"{lost[ERROR_LOG]} lines of the application lost in {len(rotations)} rotations"
    )


BY_HAND = ["logrotate", "--force", "/etc/logrotate.d/shop"]


def assert_renaming_loses_no_line(shops, capsys) -> None:
    for one in shops:
        # As the timer does it. A service may start five times in ten seconds (systemd-system.conf(5)).
        itself = [one.manager.rotate]
        told = assert_rotation(one, [itself, BY_HAND, BY_HAND, itself, *[BY_HAND] * 6], most_lost=0)
        with capsys.disabled():
            print(f"\n{told}")


def test_renaming_loses_no_line(shop, shops, capsys):
    rotate_by(shop, "create", GTHREAD, size="1K")
    assert_renaming_loses_no_line(shops, capsys)


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
    rotate_by(shop, "copytruncate", GTHREAD)
    for one in shops:
        # Without a size, logrotate runs as Debian has it.
        if isinstance(one.manager, Systemd):
            assert HOURLY not in one.run("systemctl show --property=TimersCalendar logrotate.timer")
        assert not one.host.file(TIMER).exists
        one.get(SILENT)
        inode = one.run("stat --format %%i %s", LOG)
        told = assert_rotation(one, [BY_HAND] * ROTATIONS, LOST_BY_COPYING)
        # Who has the file open need not know.
        assert one.run("stat --format %%i %s", LOG) == inode
        with capsys.disabled():
            print(f"\n{told}")


def test_a_log_is_rotated_once_a_day(shops):
    """By default; the settings are those of the test before this, without a size."""
    for one in shops:
        for age, rotated in (("today", False), ("25 hours ago", True)):
            one.get(SILENT)
            before = one.run("stat --format %%s %s", LOG)
            last = one.run("date --date %s +%%Y-%%-m-%%-d-%%-H:%%-M:%%-S", age)
            state = "".join(f'\\n"{log}" {last}' for log in (LOG, ERROR_LOG))
            one.run("sh -c %s", f"printf 'logrotate state -- version 2{state}\\n' >{STATE}")
            one.run(f"logrotate --state {STATE} /etc/logrotate.d/shop")
            assert (one.run("stat --format %%s %s", LOG) != before) == rotated, age
        one.run(f"rm {STATE}")


def test_the_server_gevent_loses_no_line_either(shop, shops, capsys):
    rotate_by(shop, "create", GEVENT, size="1K")
    assert_renaming_loses_no_line(shops, capsys)
