"""The playbooks on hosts without systemd: what they do, and what they say."""

from __future__ import annotations

RUNS = 0


def test_a_host_on_which_no_cron_runs_is_refused_and_put_right_with_all_that_was_changed(served, shops):
    """Nobody would bring the application back. What serves serves on."""
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
    damages = "echo true >>/opt/shop/app_ctl.sh; chmod 755 /etc/cron.d/shop; sed -i 1d /etc/cron.d/wsgiops-flask-nginx"
    for one in shops:
        one.run("sh -c %s", damages)
    # The playbook site has cron started, too.
    assert all(served.site().changed.values())
    for one in shops:
        assert one.manager.ctl("status")[0] == RUNS
        assert one.get("/whoami").json()["release"] == one.release
        assert "true" not in one.run("tail --lines=1 /opt/shop/app_ctl.sh").split()
        one.assert_alone()
    after = [(one.release, one.master, one.history()) for one in shops]
    assert set(served.site().changed.values()) == {0}
    assert set(served.site("--check").changed.values()) == {0}
    assert [(one.release, one.master, one.history()) for one in shops] == after
