"""Who is started again, by whom and when: cron alone, one process and no more, and not for ever."""

from __future__ import annotations

import re
import time

import pytest
from hostlab import controller
from hostlab.keeping import assert_one_master, back_after_a_kill, check_ten_times_at_once, kill_all

DIES_WHEN_TOLD = "import os\nif os.path.exists('/var/lib/shop/broken'): raise RuntimeError('broken')"
COOLDOWN = 5
LIMIT = {"restart": {"burst": 3, "interval": 120, "delay": 0.5, "cooldown": COOLDOWN}}
PAUSED = {"restart": {**LIMIT["restart"], "cooldown": 600}}


def test_a_killed_master_is_back_by_cron_alone(served, shops, capsys):
    told = controller.on_each(shops, back_after_a_kill)
    with capsys.disabled():
        print("", *told, sep="\n")


def test_ten_checks_at_once_start_one_master(served, shops):
    for one in shops:
        check_ten_times_at_once(one)


def test_a_check_finds_nothing_to_do_where_it_runs(served, shops):
    for one in shops:
        before = one.master, one.workers
        assert one.manager.ctl("cron-check") == (0, "")
        assert (one.master, one.workers) == before


@pytest.fixture
def mended(served, shops):
    """The application without its fault, whatever came of the test."""
    yield
    for one in shops:
        one.run("rm -f /var/lib/shop/broken")
        one.run(f"{one.manager.control} start")
    served.renew()
    served.deploy()


def trip(one):
    """Break what serves, and have the checks try it until they rest.

    One check alone tries again what died at once; on a busy machine a start may take longer to its death.
    """
    one.run("touch /var/lib/shop/broken")
    kill_all(one)
    controller.wait_until(lambda: one.manager.ctl("cron-check")[0] == 1, 60, "the limit trips")
    assert not one.manager.processes()
    refused = one.get("/health")
    assert (refused.status, refused.headers.keys() & {"Retry-After"}) == (503, {"Retry-After"})
    assert one.manager.ctl("status")[0] == 1
    assert f"{one.release}.limited" in one.run("ls /run/shop").split()


def test_what_keeps_failing_rests_and_says_so(mended, served, shops, without_cron):
    served.add(DIES_WHEN_TOLD, "wsgi.py")
    served.deploy(**PAUSED)
    for one in shops:
        trip(one)
        log = one.run("cat %s", one.manager.log_file)
        last = [line for line in log.splitlines() if "app_ctl:" in line][-1]
        assert re.search(r"\b3\b", last), last
        # Later checks leave it alone.
        lines = len(log.splitlines())
        one.manager.ctl("cron-check")
        assert not one.manager.processes()
        assert len(one.run("cat %s", one.manager.log_file).splitlines()) == lines
    status = served.status(check=False)
    assert status.status != 0
    for one in shops:
        found = status.shown("gunicorn_status", one.inventory_name)
        assert found["state"] == "limited"
        assert found["retry"]
        # A start by hand forgets it.
        one.run("rm /var/lib/shop/broken")
        assert one.manager.ctl("start")[0] == 0
        assert one.manager.ctl("status")[0] == 0
        assert one.get("/ready").status == 200
        assert_one_master(one)


def test_a_rest_ends_by_itself_and_with_a_deploy(mended, served, shops, without_cron):
    served.add(DIES_WHEN_TOLD, "wsgi.py")
    served.deploy(**LIMIT)
    for one in shops:
        trip(one)
        one.run("rm /var/lib/shop/broken")
        time.sleep(COOLDOWN + 1)
        assert one.manager.ctl("cron-check")[0] == 0
        assert one.get("/ready").status == 200
        assert one.manager.ctl("status")[0] == 0
        one.run(f"{one.manager.control} start")
        trip(one)
        one.run("rm /var/lib/shop/broken")
    assert set(served.deploy(**LIMIT).failed.values()) == {0}
    for one in shops:
        assert one.get("/ready").status == 200
        assert_one_master(one)
