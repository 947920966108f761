"""app_ctl.sh by hand: what it is told stays so, over cron and over a boot."""

from __future__ import annotations

import time

import pytest
from hostlab import controller
from hostlab.by_cron import ctl, switch
from hostlab.fixtures import assert_none_failed
from hostlab.keeping import BOOT, shut_down_and_boot, until_cron_has_looked

COMMANDS = "start stop restart reload reopen status cron-check logs".split()
# LSB's exit codes of status.
RUNS, DEAD, STOPPED = 0, 1, 3


def assert_stopped(one):
    assert one.manager.ctl("status")[0] == STOPPED
    assert not one.manager.processes()
    assert one.sockets == []
    assert one.get("/health").status in (502, 503)


def test_help_has_a_sentence_for_each_command(shops):
    for one in shops:
        lines = [line.split() for line in ctl(one, "help").splitlines() if line.strip()]
        for command in COMMANDS:
            assert [words for words in lines if words[0] == command and len(words) > 3], command
        assert one.manager.ctl("sart")[0] not in (RUNS, DEAD, STOPPED)


def test_what_is_stopped_stays_so_over_a_boot_and_cron_brings_nginx_back(served, shops):
    def stopped(one):
        ctl(one, "stop")
        # What is so already is no error, nor is it one to tell nobody of new files.
        ctl(one, "stop")
        ctl(one, "reopen")
        assert_stopped(one)
        shut_down_and_boot(one)
        controller.wait_until(lambda: one.serves(502) or one.serves(503), BOOT, "nginx is up")
        nginx = one.run("cat %s", one.places.nginx_pid)
        one.run("kill -9 %s", nginx)
        return nginx

    before = controller.on_each(shops, stopped)
    run = served.status(check=False)
    assert run.status != 0
    for one in shops:
        found = run.shown("gunicorn_status", one.inventory_name)
        assert found["state"] == "stopped"
        assert found["reason"] in run.error(one.inventory_name)
    until_cron_has_looked(shops[0])
    for one, nginx in zip(shops, before, strict=True):
        assert one.run("cat %s", one.places.nginx_pid) != nginx
        assert_stopped(one)
        ctl(one, "start")
        assert one.manager.ctl("status")[0] == RUNS
        assert one.get("/ready").status == 200
        one.assert_alone()


@pytest.mark.usefixtures("without_cron")
def test_start_leaves_alone_what_runs_restart_replaces_the_master_and_reload_the_workers(served, shops, streams):
    def replaced(one):
        before = one.master
        assert one.manager.ctl("cron-check") == (0, "")
        ctl(one, "start")
        assert one.master == before
        ctl(one, "stop")
        ctl(one, "restart")
        assert one.master not in (0, before)
        assert one.get("/ready").status == 200
        # As a restart is a start: cron looks after it again.
        one.assert_alone()
        return one.master, set(one.workers)

    def reloaded(one, old):
        ctl(one, "reload")
        controller.wait_until(lambda: len(one.workers) == 4 and not old & set(one.workers), 30, "other workers")

    before = controller.on_each(shops, replaced)
    with streams(rate=50) as quick:
        for one, (_master, old) in zip(shops, before, strict=True):
            reloaded(one, old)
    assert_none_failed(quick)
    assert [one.master for one in shops] == [master for master, _old in before]


def test_stop_ends_all_that_it_started_and_a_release_ends_the_stop(served, shops):
    """Also children that do not hear SIGTERM, and such as left its group; a request on its way is answered first."""

    def ended(one):
        switch(one, "deaf")
        ctl(one, "restart")
        controller.wait_until(one.serves, BOOT, "it serves")
        assert len(one.manager.processes()) > len({one.master, *one.workers}) + 1
        # One request that takes three seconds, under way while the block runs.
        with one.traffic("/slow?seconds=3", rate=0.1, seconds=10) as slow:
            time.sleep(0.5)
            ctl(one, "stop")
        assert slow.outcomes[0].ok, slow.explain()
        assert_stopped(one)
        assert one.said("pgrep --full %s", "while :; do slee[p] 1") == ""
        one.run("rm %s", f"{one.places.state}/deaf")

    controller.on_each(shops, ended)
    # Whoever deploys wants it to run.
    served.change()
    served.deploy()
    for one in shops:
        assert one.get("/ready").status == 200
        one.assert_alone()


def test_limits_and_user_are_those_that_were_asked_for(served, shops):
    """What of a unit's settings needs no systemd."""
    for one in shops:
        limits = one.run("grep 'Max open files' %s", f"/proc/{one.master}/limits").split()
        assert limits[3:5] == ["5000", "5000"]
        status = dict(line.split(":", 1) for line in one.run(f"cat /proc/{one.master}/status").splitlines())
        assert status["NoNewPrivs"].strip() == "1"
        assert status["CapEff"].strip() == "0" * 16
        user = one.places.user
        assert status["Uid"].split() == [one.run("id --user %s", user)] * 4
        assert status["Groups"].split() in ([], [one.run("id --group %s", user)])
        assert one.run(f"readlink /proc/{one.master}/fd/0") == "/dev/null"
        # No terminal's end is its own, and its group is what a stop may kill.
        terminal, group = one.run(f"ps -o tty=,pgid= -p {one.master}").split()
        assert terminal == "?"
        assert set(map(int, one.run("pgrep --pgroup %s", group).split())) == one.manager.processes()


def test_logs_shows_the_last_of_the_log(served, shops):
    for one in shops:
        assert ctl(one, "logs").splitlines()[-1] == one.run("tail --lines=1 %s", one.manager.log_file)
