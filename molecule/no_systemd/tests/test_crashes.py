"""Who is started again, by whom and when: cron alone, one process and no more, and not for ever."""

from __future__ import annotations

import re
import time

import pytest
from hostlab import controller
from hostlab.by_cron import REST, ctl, switch
from hostlab.keeping import (
    BOOT,
    assert_one_master,
    back_by_cron,
    check_ten_times_at_once,
    cut_the_power,
    kill_all,
    kill_master,
)

RATE = 20


def test_a_killed_master_is_back_by_cron_alone_and_what_ran_after_a_power_cut(served, shops, streams, capsys):
    """What of it clients see is measured: README has it."""
    with streams("/health", rate=RATE) as requests:
        killed = controller.on_each(shops, kill_master)
        # Who asks meanwhile, and cron has not looked yet, learns that it is on its way.
        run = served.status()
        if time.time() // 60 == killed[0][1] // 60:
            for one in shops:
                found = run.shown("gunicorn_status", one.inventory_name)
                assert (found["state"], "within a minute" in found["reason"]) == ("starting", True), found
        back = [
            (lambda one=one, before=before, when=when: back_by_cron(one, before, when))
            for one, (before, when) in zip(shops, killed, strict=True)
        ]
        crashes = controller.on_each(back, lambda wait: wait())
    told = []
    for one, crash, stream in zip(shops, crashes, requests, strict=True):
        assert_one_master(one)
        # 502 for what was in hand, 503 for what nobody took.
        assert {outcome.answer and outcome.answer.status for outcome in stream.failures} <= {502, 503}, stream.explain()
        last = max(outcome.started for outcome in stream.failures) - min(outcome.started for outcome in stream.failures)
        failed = f"{len(stream.failures)} of {len(stream.outcomes)} requests failed"
        told.append(f"{crash}; at {RATE} requests/s {failed}, the last {last:.1f} s after the first")
    with capsys.disabled():
        print("", *told, sep="\n")
    controller.on_each(shops, cut_the_power)
    for one in shops:
        controller.wait_until(one.serves, BOOT, "the application answers after a boot")
        assert one.manager.ctl("status")[0] == 0
        one.assert_alone()


def test_ten_checks_at_once_start_one_master(served, shops):
    controller.on_each(shops, check_ten_times_at_once)


def trip(one):
    """Break what serves, and have the checks try it until they rest.

    One check alone tries again what died at once; on a busy machine a start may take longer to its death.
    """
    switch(one, "broken")
    kill_all(one)
    controller.wait_until(lambda: one.manager.ctl("cron-check")[0] == 1, 60, "the limit trips")
    assert not one.manager.processes()
    refused = one.get("/health")
    assert (refused.status, refused.headers.keys() & {"Retry-After"}) == (503, {"Retry-After"})
    assert one.manager.ctl("status")[0] == 1
    assert f"{one.release}.limited" in one.run("ls %s", one.places.run).split()


def mend(one):
    one.run("rm %s", f"{one.places.state}/broken")


@pytest.mark.usefixtures("without_cron")
def test_what_keeps_failing_rests_and_says_so_until_it_is_tried_again(served, shops):
    """By cron after the rest, by a start by hand at once, and by a deploy."""

    def rests(one):
        trip(one)
        log = one.run("cat %s", one.manager.log_file)
        last = [line for line in log.splitlines() if "app_ctl:" in line][-1]
        assert re.search(r"\b3\b", last), last
        # Later checks leave it alone.
        one.manager.ctl("cron-check")
        assert not one.manager.processes()
        assert len(one.run("cat %s", one.manager.log_file).splitlines()) == len(log.splitlines())

    def is_tried_again(one):
        mend(one)
        controller.wait_until(
            lambda: one.manager.ctl("cron-check")[0] == 0 and one.serves(), REST + BOOT, "the rest is over"
        )
        assert one.manager.ctl("status")[0] == 0
        # What failed before the rest counts no more.
        trip(one)
        mend(one)
        ctl(one, "start")
        assert one.manager.ctl("status")[0] == 0
        assert one.get("/ready").status == 200
        assert_one_master(one)
        trip(one)
        mend(one)

    controller.on_each(shops, rests)
    status = served.status(check=False)
    assert status.status != 0
    for one in shops:
        found = status.shown("gunicorn_status", one.inventory_name)
        assert found["state"] == "limited"
        assert found["retry"]
    controller.on_each(shops, is_tried_again)
    assert set(served.deploy().failed.values()) == {0}
    for one in shops:
        assert one.get("/ready").status == 200
        assert_one_master(one)
