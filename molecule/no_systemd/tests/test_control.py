"""app_ctl.sh by hand: what it is told stays so, over cron and over a boot."""

from __future__ import annotations

import time

import pytest
from hostlab import controller, traffic
from hostlab.fixtures import assert_none_failed

COMMANDS = "start stop restart reload reopen status cron-check logs".split()
# LSB's exit codes of status.
RUNS, DEAD, STOPPED = 0, 1, 3
BOOT = 30


def ctl(one, *arguments):
    status, said = one.manager.ctl(*arguments)
    assert status == 0, f"{arguments}: {said}\n{one.manager.log()}"
    return said


def answers(one, status=200):
    try:
        return one.get("/health").status == status
    except OSError:
        return False


def assert_stopped(one):
    assert one.manager.ctl("status")[0] == STOPPED
    assert not one.manager.processes()
    assert one.sockets == []
    assert one.get("/health").status in (502, 503)


def until_cron_has_looked(one):
    """Wait for the next full minute of the host, and for what cron starts then."""
    time.sleep(60 - int(one.run("date +%-S")) + 5)


def reboot(one):
    controller.test_host("restart", one.inventory_name)


def test_help_has_a_sentence_for_each_command(shops):
    for one in shops:
        lines = [line.split() for line in ctl(one, "help").splitlines() if line.strip()]
        for command in COMMANDS:
            assert [words for words in lines if words[0] == command and len(words) > 3], command
        assert one.manager.ctl("sart")[0] not in (RUNS, DEAD, STOPPED)


def test_stopped_stays_stopped_and_what_ran_runs_after_a_boot(served, shops):
    for one in shops:
        ctl(one, "stop")
        # What is so already is no error.
        ctl(one, "stop")
        assert_stopped(one)
    controller.on_each(shops, reboot)
    for one in shops:
        controller.wait_until(lambda one=one: answers(one, 502) or answers(one, 503), BOOT, "nginx is up")
    until_cron_has_looked(shops[0])
    for one in shops:
        assert_stopped(one)
        ctl(one, "start")
        assert one.manager.ctl("status")[0] == RUNS
        assert one.get("/ready").status == 200
        one.assert_alone()
    controller.on_each(shops, reboot)
    for one in shops:
        controller.wait_until(lambda one=one: answers(one), BOOT, "the application answers after a boot")
        assert one.manager.ctl("status")[0] == RUNS
        one.assert_alone()


def test_a_release_put_in_service_ends_a_stop(served, shops):
    """Whoever deploys wants it to run."""
    for one in shops:
        ctl(one, "stop")
    served.change()
    served.deploy()
    for one in shops:
        assert one.get("/ready").status == 200
        one.assert_alone()


def test_start_leaves_alone_what_runs(served, shops):
    for one in shops:
        before = one.master
        ctl(one, "start")
        assert one.master == before


def test_restart_replaces_the_master_and_reload_the_workers_alone(served, shops, streams):
    for one in shops:
        before = one.master
        ctl(one, "restart")
        assert one.master not in (0, before)
        assert one.get("/ready").status == 200
    before = [(one.master, set(one.workers)) for one in shops]
    with streams(rate=50) as quick:
        for one, (_master, old) in zip(shops, before, strict=True):
            ctl(one, "reload")
            controller.wait_until(
                lambda one=one, old=old: len(one.workers) == 4 and not old & set(one.workers), 30, "other workers"
            )
    assert_none_failed(quick)
    assert [one.master for one in shops] == [master for master, _old in before]


def test_reopen_finds_nothing_to_tell_where_nothing_runs(served, shops):
    for one in shops:
        ctl(one, "stop")
        ctl(one, "reopen")
        assert_stopped(one)
        ctl(one, "start")


DEAF = """
import subprocess, sys
if "--check-config" not in sys.argv:
    subprocess.Popen(["sh", "-c", "trap '' TERM HUP; while :; do sleep 1; done"])
"""


@pytest.fixture
def renewed(served):
    yield
    served.renew()
    served.deploy()


def test_stop_ends_the_whole_group(renewed, served, shops):
    """Children that do not hear SIGTERM, too; and a request that was on its way is answered first."""
    served.add(DEAF, "wsgi.py")
    served.deploy(graceful_timeout=10)
    for one in shops:
        assert len(one.manager.processes()) > len({one.master, *one.workers})
        with slow_request(one) as slow:
            time.sleep(0.5)
            ctl(one, "stop")
        assert slow.outcomes[0].ok, slow.explain()
        assert_stopped(one)
        assert one.said("pgrep --full %s", "while :; do slee[p] 1") == ""


def slow_request(one):
    """One request that takes three seconds, under way while the block runs."""
    return traffic.traffic(one.address, "/slow?seconds=3", "shop.example.com", rate=0.1, seconds=10)


def test_limits_and_user_are_those_that_were_asked_for(served, shops):
    """What of a unit's settings needs no systemd."""
    served.have(limits={"open_files": 5000})
    for one in shops:
        limits = one.run("grep 'Max open files' %s", f"/proc/{one.master}/limits").split()
        assert limits[3:5] == ["5000", "5000"]
        status = dict(line.split(":", 1) for line in one.run(f"cat /proc/{one.master}/status").splitlines())
        assert status["NoNewPrivs"].strip() == "1"
        assert status["CapEff"].strip() == "0" * 16
        uid = one.run("id --user shop")
        assert status["Uid"].split() == [uid] * 4
        assert status["Groups"].split() in ([], [one.run("id --group shop")])
        assert one.run(f"readlink /proc/{one.master}/fd/0") == "/dev/null"
        # No terminal's end is its own, and its group is what a stop may kill.
        terminal, group = one.run(f"ps -o tty=,pgid= -p {one.master}").split()
        assert terminal == "?"
        assert set(map(int, one.run("pgrep --pgroup %s", group).split())) == one.manager.processes()


def test_logs_shows_the_last_of_the_log(served, shops):
    for one in shops:
        assert ctl(one, "logs").splitlines()[-1] == one.run("tail --lines=1 %s", one.manager.log_file)
