# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import dataclasses
import datetime
import json
import os
import subprocess
import sys
import typing as t
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.wsgiops.flask.plugins.module_utils import _history
from ansible_collections.wsgiops.flask.plugins.module_utils._layout import Layout
from ansible_collections.wsgiops.flask.plugins.module_utils._status import WELL, log_command, memory_of, status
from ansible_collections.wsgiops.flask.tests.unit.plugins.host import Host

MIB = 1 << 20

# 2026-11-21, noon in UTC.
NOON = 1795262400.0


def look(host: Host) -> dict[str, t.Any]:
    return dataclasses.asdict(status(host.layout, host.service))  # type: ignore[arg-type]


# --- the whole of it ----------------------------------------------------------------------------------------------


def test_a_release_that_serves_is_told_with_all_that_is_known_of_it(host: Host) -> None:
    release = host.release(label="v1.2")
    host.deploy(release)
    host.service.reported = {"started": NOON + 0.75, "restarts": 3}
    found = look(host)
    age = datetime.datetime.now(datetime.UTC) - datetime.datetime.fromisoformat(found["last_event"].pop("time"))
    assert age < datetime.timedelta(minutes=1)
    assert found == {
        "application": "shop",
        "state": "serving",
        "reason": "",
        "release": release.id,
        "label": "v1.2",
        "started": "2026-11-21T12:00:00+00:00",
        "restarts": 3,
        "workers": 2,
        "memory": 50 * MIB,
        "retry": None,
        "last_event": {"event": "activated", "release": release.id, "reason": None},
        "logs": "journalctl -u 'shop@*'",
    }
    assert json.loads(json.dumps(found)) == found


def test_looking_changes_nothing(host: Host) -> None:
    host.deploy(host.release())
    before, acts = host.snapshot(), list(host.service.acts)
    look(host)
    assert (host.snapshot(), host.service.acts) == (before, acts)


def test_the_newest_event_is_told_with_its_reason(host: Host) -> None:
    good = host.release()
    host.deploy(good)
    _history.record(host.layout.history, _history.REFUSED, "0123456789ab", good.id, "v2", "not ready")
    found = look(host)
    assert found["release"] == good.id
    event = {key: found["last_event"][key] for key in ("event", "release", "reason")}
    assert event == {"event": "refused", "release": "0123456789ab", "reason": "not ready"}


def test_without_a_history_there_is_no_newest_event(host: Host) -> None:
    host.deploy(host.release())
    os.unlink(host.layout.history)
    assert look(host)["last_event"] == {"time": None, "event": None, "release": None, "reason": None}


def test_where_no_release_was_put_in_service_there_is_none(host: Host) -> None:
    def known() -> dict[str, t.Any]:
        return {name: value for name, value in look(host).items() if value is not None}

    expected = {"application": "shop", "state": "absent", "reason": "no release serves"}
    assert known() == expected
    host.deploy(host.release())
    os.unlink(host.layout.current)
    assert known() == expected


# --- states -------------------------------------------------------------------------------------------------------

DEAD = {"service": "failed", "main_pid": 0, "started": 0.0, "ended": "exit status 3"}
TRIPPED = {**DEAD, "socket": "failed", "socket_result": "service-start-limit-hit", "restarts": 5}
REFUSED = "requests get status 503"


@pytest.mark.parametrize(
    ("reported", "state", "reason"),
    [
        ({}, "serving", ""),
        # What ended before the process that serves now is no news.
        ({"ended": "signal 9", "restarts": 1}, "serving", ""),
        ({"socket": "failed"}, "stopped", f"its socket is gone: {REFUSED}"),
        ({"socket": "inactive"}, "stopped", f"its socket is gone: {REFUSED}"),
        ({"service": "activating"}, "starting", ""),
        ({"service": "reloading"}, "starting", ""),
        (
            {**DEAD, "service": "activating"},
            "starting",
            "its last end was exit status 3; it is being started again",
        ),
        (
            {"service": "deactivating", "ended": "systemd's, since it gave no sign of life (watchdog)"},
            "starting",
            "its last end was systemd's, since it gave no sign of life (watchdog); it is being started again",
        ),
        ({**DEAD, "service": "inactive", "ended": ""}, "idle", "it was stopped; the next request starts it"),
        (DEAD, "idle", "its last end was exit status 3; the next request starts it"),
        (
            {**TRIPPED, "retry": NOON},
            "limited",
            f"its start limit tripped (5 starts within 1min): its last end was exit status 3; {REFUSED}; "
            "it is tried again at 2026-11-21T12:00:00+00:00",
        ),
        (
            {**TRIPPED, "limit": "3 starts within 10s"},
            "limited",
            f"its start limit tripped (3 starts within 10s): its last end was exit status 3; {REFUSED}; "
            "it is not tried again",
        ),
        (
            {**TRIPPED, "service": "inactive", "socket_result": "trigger-limit-hit", "ended": ""},
            "limited",
            f"its start limit tripped (5 starts within 1min): it was stopped; {REFUSED}; it is not tried again",
        ),
        (
            {**DEAD, "service": "inactive", "socket": "inactive", "ended": ""},
            "stopped",
            f"it was stopped; {REFUSED}",
        ),
        ({**DEAD, "socket": "inactive"}, "stopped", f"its last end was exit status 3; {REFUSED}"),
        (
            {**DEAD, "socket": "failed", "socket_result": "resources"},
            "stopped",
            f"its last end was exit status 3; {REFUSED}",
        ),
        # It is being tried again.
        (
            {**TRIPPED, "service": "activating", "socket": "active"},
            "starting",
            "its last end was exit status 3; it is being started again",
        ),
    ],
)
def test_state_and_reason(host: Host, reported: dict[str, t.Any], state: str, reason: str) -> None:
    host.deploy(host.release())
    host.service.reported = reported
    found = look(host)
    assert (found["state"], found["reason"]) == (state, reason)


def test_a_release_that_is_down_has_neither_a_start_nor_memory(host: Host) -> None:
    release = host.release()
    host.deploy(release)
    host.service.stop(release.id)
    host.service.reported = {**TRIPPED, "retry": NOON, "memory": 0}
    found = look(host)
    assert (found["started"], found["memory"], found["workers"], found["restarts"]) == (None, None, 0, 5)
    assert found["retry"] == "2026-11-21T12:00:00+00:00"


def test_requests_are_answered_in_three_states() -> None:
    assert set(WELL) == {"serving", "starting", "idle"}


# --- logs ---------------------------------------------------------------------------------------------------------


def test_the_command_shows_where_the_output_went() -> None:
    assert log_command(Layout("shop"), "journal") == "journalctl -u 'shop@*'"
    assert log_command(Layout("shop"), "files") == "cat /var/log/shop/error.log"


def test_the_command_is_that_of_the_release_that_serves(host: Host) -> None:
    host.deploy(host.release(logs_to="files"))
    assert look(host)["logs"] == f"cat {host.layout.error_log}"


# --- memory -------------------------------------------------------------------------------------------------------

# A process with 64 MiB that it shares with a child; says both ids.
FORK = """
import os, sys, time
shared = bytearray(b"x" * (64 << 20))
child = os.fork()
if child:
    print(os.getpid(), child, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def pair() -> Iterator[list[int]]:
    """The ids of two processes that share 64 MiB; they end with their standard input."""
    with subprocess.Popen([sys.executable, "-c", FORK], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        yield [int(pid) for pid in process.stdout.readline().split()]


def test_memory_that_processes_share_is_counted_once(pair: list[int]) -> None:
    each = [t.cast("int", memory_of([pid])) for pid in pair]
    assert all(32 * MIB < one < 64 * MIB for one in each)
    assert 64 * MIB < t.cast("int", memory_of(pair)) < 96 * MIB
    assert memory_of(pair) == pytest.approx(sum(each), rel=0.05)


def test_what_has_ended_takes_no_memory(pair: list[int]) -> None:
    with subprocess.Popen(["true"]) as ended:
        pass
    assert memory_of([0, ended.pid]) is None
    assert memory_of([]) is None
    assert memory_of([ended.pid, *pair]) == pytest.approx(memory_of(pair), rel=0.05)


def test_a_process_that_nobody_has_waited_for_yet_takes_none() -> None:
    with subprocess.Popen(["true"], stdout=subprocess.PIPE) as zombie:
        assert zombie.stdout
        zombie.stdout.read()
        os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
        assert not memory_of([zombie.pid])


def test_where_the_host_counts_no_memory_the_processes_are_looked_at(host: Host, pair: list[int]) -> None:
    release = host.release()
    host.deploy(release)
    main, worker = pair
    host.service.unit(release.id).workers = {worker}
    host.service.reported = {"memory": 0, "main_pid": main}
    assert look(host)["memory"] == pytest.approx(memory_of(pair), rel=0.05)
    host.service.reported = {"memory": 4096, "main_pid": main}
    assert look(host)["memory"] == 4096


def test_the_table_of_the_kernel_is_the_one_that_is_meant(pair: list[int]) -> None:
    """Its other lines are parts of the one that counts."""
    table = Path("/proc", str(pair[0]), "smaps").read_text()
    kibibytes = sum(int(line.split()[1]) for line in table.splitlines() if line.startswith("Pss:"))
    assert memory_of(pair[:1]) == pytest.approx(1024 * kibibytes, rel=0.05)
