"""The playbooks on hosts without systemd: what they do, and what they say."""

from __future__ import annotations

from hostlab import controller

RUNS, STOPPED = 0, 3
IMPORT_FAILS = "import sys\nif '--check-config' not in sys.argv: raise RuntimeError('no licence')"


def test_an_unchanged_site_changes_nothing(shop, shops):
    shop.site()
    before = [(one.release, one.master, one.history()) for one in shops]
    assert set(shop.site().changed.values()) == {0}
    assert set(shop.site("--check").changed.values()) == {0}
    assert [(one.release, one.master, one.history()) for one in shops] == before


def test_status_says_what_app_ctl_says(served, shops):
    run = served.status()
    for one in shops:
        found = run.shown("gunicorn_status", one.inventory_name)
        assert (found["state"], found["release"], found["workers"]) == ("serving", one.release, len(one.workers))
        assert found["logs"] == f"cat {one.manager.log_file}"
        status, said = one.manager.ctl("status")
        assert status == RUNS
        assert one.release in said
        assert str(one.master) in said
        assert one.manager.ctl("stop")[0] == 0
    run = served.status(check=False)
    assert run.status != 0
    for one in shops:
        found = run.shown("gunicorn_status", one.inventory_name)
        assert found["state"] == "stopped"
        assert found["reason"] in run.error(one.inventory_name)
        assert one.manager.ctl("status")[0] == STOPPED


def test_an_error_names_the_log(served, shops):
    before = [one.release for one in shops]
    served.add(IMPORT_FAILS, "wsgi.py")
    run = served.deploy(check=False)
    served.renew()
    for one in shops:
        error = run.error(one.inventory_name)
        assert "RuntimeError: no licence" in error
        assert error.endswith(f"The service's log: cat {one.manager.log_file}")
        assert "no licence" in one.run("cat %s", one.manager.log_file)
        assert one.get("/ready").status == 200
    assert [one.release for one in shops] == before
    served.deploy()


def test_what_was_changed_by_hand_is_put_right(served, shops):
    damages = "echo true >>/opt/shop/app_ctl.sh; chmod 755 /etc/cron.d/shop; sed -i 1d /etc/cron.d/wsgiops-flask-nginx"
    for one in shops:
        one.run("sh -c %s", damages)
    assert all(served.site().changed.values())
    assert set(served.site().changed.values()) == {0}
    for one in shops:
        assert one.manager.ctl("status")[0] == RUNS
        assert one.get("/whoami").json()["release"] == one.release
        assert "true" not in one.run("tail --lines=1 /opt/shop/app_ctl.sh").split()


def test_a_host_on_which_no_cron_runs_is_refused(served, shops):
    """Nobody would bring the application back."""
    before = [one.release for one in shops]
    for one in shops:
        one.run("sh -c %s", "kill $(cat /run/crond.pid)")
    served.change()
    run = served.deploy(check=False)
    for one in shops:
        assert "no cron daemon runs on this host" in run.error(one.inventory_name)
        assert "start it, as with 'service cron start'" in run.error(one.inventory_name)
        assert one.get("/ready").status == 200
    assert [one.release for one in shops] == before
    # The playbook site has it started.
    served.site()
    for one in shops:
        one.assert_alone()


def test_a_killed_nginx_is_back_by_cron(served, shops):
    def back(one):
        one.run("pkill -KILL -x nginx")
        controller.wait_until(lambda: answers(one), 75, "nginx answers")

    controller.on_each(shops, back)


def answers(one):
    try:
        return one.get("/health").status == 200
    except OSError:
        return False
