"""Who keeps it running: the user's own crontab, in which all other lines stay as they are."""

from __future__ import annotations

import time

from hostlab import controller
from hostlab.keeping import assert_one_master, back_after_a_kill, check_ten_times_at_once, serves

BOOT = 30
RUNS, STOPPED = 0, 3

OTHERS = "MAILTO=nobody\n7 3 * * * true # a backup\n"


def test_a_killed_master_is_back_by_cron_alone(served, shops, capsys):
    told = controller.on_each(shops, back_after_a_kill)
    with capsys.disabled():
        print("", *told, sep="\n")


def test_ten_checks_at_once_start_one_master(served, shops):
    for one in shops:
        check_ten_times_at_once(one)


def restart(shops):
    controller.on_each(shops, lambda one: controller.test_host("restart", one.inventory_name))


def test_stopped_stays_stopped_and_what_ran_runs_after_a_boot(served, shops):
    for one in shops:
        assert one.manager.ctl("stop")[0] == 0
    restart(shops)
    # The next full minute of the host, and what cron starts then.
    time.sleep(60 - int(shops[0].run("date +%-S")) + 5)
    for one in shops:
        assert one.manager.ctl("status")[0] == STOPPED
        assert not one.manager.processes()
        assert one.manager.ctl("start")[0] == RUNS
        one.assert_alone()
    restart(shops)
    for one in shops:
        controller.wait_until(lambda one=one: serves(one), BOOT, "the application answers after a boot")
        assert_one_master(one)


def test_other_lines_of_the_crontab_stay(served, shops):
    for one in shops:
        block = one.run("crontab -l")
        one.run("sh -c %s", f"{{ printf '{OTHERS}'; crontab -l; printf '# behind\\n'; }} | crontab -")
        whole = one.run("crontab -l")
        assert whole == f"{OTHERS}{block}\n# behind"
        # What is changed by hand is put right in its place.
        one.run("sh -c %s", "crontab -l | sed '/cron-check --boot/d' | crontab -")
    assert all(served.deploy().changed.values())
    for one in shops:
        assert one.run("crontab -l") == whole
    assert set(served.deploy().changed.values()) == {0}
    for one in shops:
        one.run("sh -c %s", "crontab -l | sed '/^MAILTO/d; /backup$/d; /^# behind$/d' | crontab -")
        assert one.run("crontab -l") == block
