"""Who keeps it running: the user's own crontab, in which all other lines stay as they are."""

from __future__ import annotations

import time

from hostlab import controller

# Cron looks once a minute, and a start takes some seconds more on a busy machine.
BACK = 75
SOON = 10
# Workers of a dead master look for it after half of the timeout of 30 s at the latest (gunicorn), and leave.
LEFT_ALONE = 30
BOOT = 30
RUNS, STOPPED = 0, 3

OTHERS = "MAILTO=nobody\n7 3 * * * true # a backup\n"


def serves(one):
    try:
        return one.get("/health").status == 200
    except OSError:
        return False


def assert_one_master(one):
    one.assert_alone()
    controller.wait_until(
        lambda: one.manager.processes() == {one.master, *one.workers}, LEFT_ALONE, "one master and its workers"
    )


def test_a_killed_master_is_back_by_cron_alone(served, shops, capsys):
    def back(one):
        before = one.master
        killed = time.monotonic()
        one.run("kill -9 %s", str(before))
        controller.wait_until(lambda: one.master not in (0, before) and serves(one), BACK, "another master serves")
        seconds = time.monotonic() - killed
        assert_one_master(one)
        return f"{one.inventory_name}: a killed master was back after {seconds:.1f} s"

    told = controller.on_each(shops, back)
    with capsys.disabled():
        print("", *told, sep="\n")


def test_ten_checks_at_once_start_one_master(served, shops):
    for one in shops:
        one.run(f"kill -9 {' '.join(map(str, one.manager.processes()))}")
        controller.wait_until(lambda one=one: not one.manager.processes(), SOON, "no process is there")
        one.run("sh -c %s", f"for check in 1 2 3 4 5 6 7 8 9 10; do {one.manager.control} cron-check & done; wait")
        controller.wait_until(lambda one=one: serves(one), SOON, "it serves")
        assert_one_master(one)


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
