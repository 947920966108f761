"""Who keeps it running: the user's own crontab, in which all other lines stay as they are."""

from __future__ import annotations

import json
import time

import pytest
from hostlab import controller
from hostlab.by_cron import as_cron_does, ctl

OTHERS = "MAILTO=nobody\n7 3 * * * true # a backup\n"
GONE = ("-e", "flask_remove_data=true", "-e")


def test_other_lines_of_the_crontab_stay(served, shops):
    wholes = []
    for one in shops:
        block = one.run("crontab -l")
        one.run("sh -c %s", f"{{ printf '{OTHERS}'; crontab -l; printf '# behind\\n'; }} | crontab -")
        whole = one.run("crontab -l")
        assert whole == f"{OTHERS}{block}\n# behind"
        wholes.append((block, whole))
        # What is changed by hand is put right in its place.
        one.run("sh -c %s", "crontab -l | sed '/cron-check --boot/d' | crontab -")
    assert all(served.deploy().changed.values())
    for one, (block, whole) in zip(shops, wholes, strict=True):
        assert one.run("crontab -l") == whole
        one.run("sh -c %s", "crontab -l | sed '/^MAILTO/d; /backup$/d; /^# behind$/d' | crontab -")
        assert one.run("crontab -l") == block


def test_the_own_nginx_stays_stopped_when_the_user_stops_it(served, shops):
    """With the commands of app_ctl.sh, of a script of its own."""

    def stopped(one):
        keep = one.places.keep_nginx
        assert one.run("%s status", keep).startswith("nginx runs, process ")
        assert one.run("%s stop", keep) == "nginx was stopped"
        as_cron_does(one, "* * * * *")
        with pytest.raises(OSError, match="refused"):
            one.get("/health")
        status = one.host.run("%s status", keep)
        assert (status.rc, "stopped by hand" in status.stdout) == (3, True)
        assert one.run("%s start", keep) == "nginx was started"
        assert one.get("/health").status == 200

    controller.on_each(shops, stopped)


def test_two_applications_of_one_user_share_a_crontab_and_nginx_and_not_their_end(served, shops, streams):
    desk = {**served.app, "name": "desk", "domains": ["desk.example.com"], "workers": 1}
    served.site("-e", json.dumps({"flask_apps": [served.app, desk]}))
    desks = [one.named("desk") for one in shops]
    for one, other in zip(shops, desks, strict=True):
        assert {two.get("/whoami").json()["release"] for two in (one, other)} == {one.release, other.release}
        one.run("kill -9 %s %s", str(one.master), str(other.master))
        as_cron_does(one, "* * * * *")
        for two in (one, other):
            controller.wait_until(two.serves, 10, "it serves")
            two.assert_alone()
    with streams(rate=50) as quick:
        limit = ("--limit", ",".join(served.hosts))
        controller.playbook(*limit, *GONE, "flask_remove=desk", name="playbooks/remove.yml")
    for one, other, stream in zip(shops, desks, quick, strict=True):
        assert stream.outcomes
        assert stream.failures == [], stream.explain()
        assert "desk" not in one.run("crontab -l")
        assert not other.manager.processes()
        assert one.run("ls ~/apps").split() == ["nginx", "shop"]
        assert not other.serves()
        one.assert_alone()


def test_on_a_host_of_systemds_it_outlives_the_sessions_of_its_user(served, shops):
    """What ends with them there is not what cron started (logind.conf(5)), unless its administrator wants that."""
    one = shops[0]
    state = "loginctl show-user --property=State --value deploy"
    assert "KillUserProcesses=yes" not in one.as_root("cat /etc/systemd/logind.conf").splitlines()
    # Started by a command over SSH, as a deploy does it, and not by cron.
    ctl(one, "restart")
    before = one.master
    assert one.as_root(state) == "active"
    one.as_root("pkill -u deploy -x 'sshd.*' || true")
    controller.wait_until(lambda: one.as_root(state) == "closing", 20, "the user has logged out")
    time.sleep(2)
    assert one.as_root(f"cat /proc/{before}/comm") != ""
    assert one.serves()
    assert one.master == before
