"""The server gevent: one process that all requests share, on the same road and with the same promises."""

from __future__ import annotations

import re
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hostlab import controller
from hostlab.fixtures import assert_none_failed

TIMEOUT = 4
GUNICORN = {"worker_class": "sync", "workers": 2}


@pytest.fixture(scope="module")
def keys(alone):
    """The application under the server gevent, with a watchdog that a test can wait for."""
    return {**alone, "timeout": TIMEOUT, "worker_connections": 40}


def said(one, found):
    """What the process that serves has written."""
    unit = f"shop@{found.release}.service"
    return one.run("journalctl --quiet --output=cat _SYSTEMD_UNIT=%s _PID=%s", unit, str(found.main))


def test_the_road_from_gunicorn_and_back_costs_no_request(shop, shops, streams, running, keys):
    shop.have(**GUNICORN)
    gunicorn = [found.release for found in running()]
    with streams(rate=50) as quick, streams("/slow?seconds=3", rate=0.5) as slow:
        run = shop.deploy(**keys, release_label="alone")
        alone = running()
        for one, found in zip(shops, alone, strict=True):
            steps = run.result("Put the release in service", one.inventory_name)["steps"]
            assert f"started {found.release} (alone) (one process)" in steps
            group = one.run("systemctl show --property=ControlGroup --value %s", f"shop@{found.release}.service")
            assert one.run("cat %s", f"/sys/fs/cgroup{group}/cgroup.procs") == str(found.main)
            facts = one.get("/whoami").json()
            assert (facts["worker_class"], facts["versions"]["gunicorn"]) == ("gevent", None)
        shop.rollback()
        assert [found.release for found in running()] == gunicorn
        shop.rollback("-e", "release=alone")
        assert [found.release for found in running()] == [found.release for found in alone]
        shop.deploy(**GUNICORN)
        assert [found.release for found in running()] == gunicorn
    assert_none_failed(quick + slow)
    for old, new, stream in zip(gunicorn, alone, quick, strict=True):
        assert {outcome.answer.json()["release"] for outcome in stream.outcomes} == {old, new.release}


def test_requests_share_the_process_and_run_at_the_same_time(shop, shops, running, keys):
    shop.have(**keys)

    def ask(one):
        first = one.get("/process").json()["call"]
        start = time.monotonic()
        with ThreadPoolExecutor(max_workers=40) as pool:
            slow = list(pool.map(one.get, ["/slow?seconds=1"] * 40))
            seconds = time.monotonic() - start
            calls = [answer.json() for answer in pool.map(one.get, ["/process"] * 40)]
        return first, {answer.json()["pid"] for answer in slow}, seconds, calls

    for found, (first, pids, seconds, calls) in zip(running(), controller.on_each(shops, ask), strict=True):
        assert pids == {call["pid"] for call in calls} == {found.main}
        assert 1 <= seconds < 5
        assert sorted(call["call"] for call in calls) == list(range(first + 1, first + 41))


def test_worker_connections_is_the_number_of_requests_at_a_time(shop, shops, keys):
    shop.have(**{**keys, "worker_connections": 5})

    def look(one):
        start = time.monotonic()
        with ThreadPoolExecutor(max_workers=10) as pool:
            assert {answer.status for answer in pool.map(one.get, ["/slow?seconds=1"] * 10)} == {200}
        assert 2 <= time.monotonic() - start < 4

    controller.on_each(shops, look)


def test_it_starts_clean_listens_on_its_socket_alone_and_says_what_fails(shop, shops, running, keys):
    shop.have(**keys)
    for one, found in zip(shops, running(), strict=True):
        start = said(one, found)
        assert "ready" in start
        assert not re.search("ERROR|WARNING|Traceback", start, re.IGNORECASE), start
        rows = one.run("ss --no-header --listening --processes --tcp --udp --unix").splitlines()
        assert [row.split()[4] for row in rows if f"pid={found.main}," in row] == [f"/run/shop/{found.release}.sock"]
        assert one.get("/raise").status == 500
        assert "RuntimeError: raised in a request" in said(one, found).removeprefix(start)
        score = one.run("systemd-analyze security --no-pager %s", f"shop@{found.release}.service")
        assert float(re.search(r"Overall exposure level for \S+: ([\d.]+)", score)[1]) <= 1.1


def test_a_bad_release_is_refused_with_its_traceback(shop, shops, streams, running, keys):
    shop.have(**keys)
    before = running()
    for when, phase in (("always", "check"), ("as a service", "start")):
        with streams() as quick:
            run = shop.deploy(**keys, env={"FAILS": when}, check=False)
        assert_none_failed(quick)
        for one, found in zip(shops, before, strict=True):
            error = run.error(one.inventory_name)
            assert f"failed in phase {phase}" in error
            assert f"release {found.release} still serves" in error
            assert "Traceback (most recent call last)" in error
            assert "wsgi.py" in error
            assert "RuntimeError: told to fail" in error
            assert error.endswith("\nThe service's log: journalctl -u 'shop@*'")
    assert running() == before


@pytest.mark.parametrize("command", ["kill -TERM {main}", "systemctl restart shop@{release}.service"])
def test_a_stop_lets_slow_requests_finish(shop, shops, streams, running, keys, command):
    """Those that come meanwhile wait in the socket for the next process."""
    shop.have(**keys)
    before = running()
    with streams("/process", rate=50) as quick, ThreadPoolExecutor(max_workers=2) as pool:
        slow = [pool.submit(one.get, "/slow?seconds=3") for one in shops]
        time.sleep(0.5)

        def stop(case):
            one, was = case
            one.run(command.format(main=was.main, release=was.release))

        controller.on_each(list(zip(shops, before, strict=True)), stop)
        for answer, was in zip(slow, before, strict=True):
            assert answer.result().json()["pid"] == was.main
        time.sleep(1)
    assert_none_failed(quick)
    for was, found in zip(before, running(), strict=True):
        assert found.main not in (0, was.main)


def test_a_killed_process_costs_no_request_that_comes_after_it(shop, shops, streams, running, keys):
    shop.have(**keys)
    before = running()

    def die(case):
        one, was = case
        one.run("timeout 30 sh -c %s", f"kill -9 {was.main}; while [ -e /proc/{was.main} ]; do sleep 0.01; done")
        return time.monotonic()

    with streams("/process", rate=50) as quick:
        time.sleep(0.5)
        ends = controller.on_each(list(zip(shops, before, strict=True)), die)
        time.sleep(1)
    for stream, end, was, found in zip(quick, ends, before, running(), strict=True):
        assert all(outcome.started < end for outcome in stream.failures), stream.explain()
        assert len([outcome for outcome in stream.outcomes if outcome.started > end]) > 40
        assert found.main not in (0, was.main)


@pytest.mark.parametrize("fault", ["busy loop", "stopped process"])
def test_a_process_that_gives_no_sign_of_life_is_killed_and_started_again(shop, shops, streams, running, keys, fault):
    shop.have(**keys)
    before = running()

    def block(case):
        one, was = case
        start = time.monotonic()
        if fault == "busy loop":
            assert one.get("/spin?seconds=30").status == 502
        else:
            one.run("kill -STOP %s", str(was.main))
        controller.wait_until(lambda: one.get("/process").status == 200, 20, "it serves again")
        return time.monotonic() - start

    with streams("/process", rate=5) as quick:
        time.sleep(0.5)
        times = controller.on_each(list(zip(shops, before, strict=True)), block)
        time.sleep(1)
    for one, was, found, stream, seconds in zip(shops, before, running(), quick, times, strict=True):
        assert TIMEOUT - 1 <= seconds < TIMEOUT + 8
        assert found.main not in (0, was.main)
        said_of_it = one.run("journalctl --quiet --output=cat --since=-30s --unit=%s", f"shop@{was.release}.service")
        assert "Watchdog timeout" in said_of_it
        # It had taken those of its last seconds; what it had not taken waited in the socket.
        assert len(stream.failures) <= 5 * (TIMEOUT + 1), stream.explain()
        assert stream.outcomes[-1].ok
