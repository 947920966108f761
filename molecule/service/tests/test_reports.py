"""The playbook status: what it says of an application, of none, and how it ends."""

from __future__ import annotations

import datetime
import json

import pytest
from hostlab import controller

KEYS = {"worker_class": "sync", "workers": 2}


@pytest.fixture
def back(shops):
    """Hosts on which the application runs, however the test ended."""
    yield
    for one in shops:
        one.run("systemctl start %s %s", one.service.replace(".service", ".socket"), one.service)


def report(run, one, name="shop"):
    found = run.shown("gunicorn_status", one.inventory_name)
    assert found["application"] == name
    assert set(run.changed.values()) == {0}
    return found


def test_the_state_of_an_application_is_told_for_each_host(shop, shops, back):
    shop.deploy(**KEYS, release_label="v7")
    desk = {**shop.app, "name": "desk", "domains": ["desk.example.com"]}
    both = shop.directory / "both.json"
    both.write_text(json.dumps({"flask_apps": [{**shop.app, **KEYS}, desk]}))

    mains = [one.master for one in shops]
    for one, main in zip(shops, mains, strict=True):
        one.run("kill -9 %s", str(main))
        controller.wait_until(lambda one=one, main=main: one.master not in (0, main), 10, "it runs again")
        assert one.get("/ready").status == 200
    before = [(one.master, one.workers, one.history(), one.run("find /opt/shop /run/shop -ls")) for one in shops]
    run = shop.status("-e", f"@{both}", "-e", "flask_only=shop")
    for one in shops:
        found = report(run, one)
        event = one.history()[-1]
        started = datetime.datetime.fromisoformat(found.pop("started")).timestamp()
        shown = one.run("systemctl show --timestamp=unix --property=ExecMainStartTimestamp --value %s", one.service)
        assert abs(started - float(shown.removeprefix("@"))) <= 1
        assert found.pop("memory") > 2**20
        assert found == {
            "application": "shop",
            "state": "serving",
            "reason": "",
            "release": one.release,
            "label": "v7",
            "restarts": 1,
            "workers": 2,
            "retry": None,
            "last_event": {key: event.get(key) for key in ("time", "event", "release", "reason")},
            "logs": "journalctl -u 'shop@*'",
        }
    after = [(one.master, one.workers, one.history(), one.run("find /opt/shop /run/shop -ls")) for one in shops]
    assert after == before

    run = shop.status("-e", f"@{both}", check=False)
    assert run.status != 0
    for one in shops:
        found = report(run, one, "desk")
        assert (found["state"], found["reason"]) == ("absent", "no release serves")
        error = run.error(one.inventory_name)
        assert error == f"{one.inventory_name}: desk is absent: no release serves."

    for one in shops:
        one.run("systemctl kill --kill-whom=main --signal=SIGTERM %s", one.service)
        controller.wait_until(lambda one=one: one.master == 0, 10, "it has ended")
    run = shop.status()
    for one in shops:
        found = report(run, one)
        assert (found["state"], found["reason"]) == ("idle", "it was stopped; the next request starts it")
        assert (found["started"], found["workers"], found["memory"]) == (None, 0, None)

    for one in shops:
        one.run("systemctl stop %s %s", one.service.replace(".service", ".socket"), one.service)
        assert one.get("/ready").status == 503
    run = shop.status(check=False)
    assert run.status != 0
    for one in shops:
        found = report(run, one)
        assert (found["state"], found["reason"]) == ("stopped", "it was stopped; requests get status 503")
        assert "shop is stopped: it was stopped" in run.error(one.inventory_name)


def test_a_name_that_no_application_has_is_refused(shop):
    run = shop.status("-e", "flask_only=shpo", check=False)
    assert run.status != 0
    assert "shpo" in run.output
    assert "gunicorn_status" not in run.output
