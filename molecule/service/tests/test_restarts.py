"""restart.policy and restart.delay: who is started again, and when, without a request that would do it."""

from __future__ import annotations

import pytest
from hostlab import controller

KEYS = {"worker_class": "sync", "workers": 2}
CRASH, CLEAN_END = "KILL", "TERM"


@pytest.fixture
def end(shops, running):
    """A function that ends the main process on all hosts, and returns which it was, and the service's state later."""

    def with_signal(signal, seconds):
        def end_one(case):
            one, was = case
            waits = f"kill -s {signal} {was.main}; while [ -e /proc/{was.main} ]; do sleep 0.01; done; sleep {seconds}"
            show = f"systemctl show --property=ActiveState --value shop@{was.release}.service"
            return was.main, one.run("timeout 30 sh -c %s", f"{waits}; {show}")

        return controller.on_each(list(zip(shops, running(), strict=True)), end_one)

    yield with_signal
    for one in shops:
        one.run("systemctl start %s", one.service)


@pytest.fixture
def await_others(shops, running):
    """A function that waits for other main processes; no request is made that might start them."""

    def wait(ended):
        def awake():
            # A process that has not said READY yet does not know what SIGTERM is.
            up = all(shown(one, one.service, "ActiveState") == ["ActiveState=active"] for one in shops)
            return up and all(found.main != main for found, (main, _state) in zip(running(), ended, strict=True))

        controller.wait_until(awake, 15, "it runs again")

    return wait


def shown(one, unit, *properties):
    return one.run("systemctl show --property=%s %s", ",".join(properties), unit).splitlines()


def test_by_default_a_crash_is_mended_and_a_clean_end_waits_for_a_request(shop, shops, end, await_others):
    shop.have(**KEYS)
    for one in shops:
        unit = ("Restart", "RestartUSec", "StartLimitBurst", "StartLimitIntervalUSec")
        assert set(shown(one, one.service, *unit)) == {
            "Restart=on-failure",
            "RestartUSec=1s",
            "StartLimitBurst=5",
            "StartLimitIntervalUSec=1min",
        }
        timer = shown(one, f"shop_retry@{one.release}.timer", "TimersMonotonic")
        assert "OnActiveUSec=5min" in timer[0]
    await_others(end(CRASH, 0))
    assert [state for _main, state in end(CLEAN_END, 3)] == ["inactive"] * len(shops)
    for one in shops:
        assert one.get("/ready").status == 200
        assert shown(one, one.service, "ActiveState") == ["ActiveState=active"]


def test_always_starts_again_what_ended_well_and_the_delay_is_kept(shop, shops, end, await_others):
    shop.deploy(**KEYS, restart={"policy": "always", "delay": 4})
    ended = end(CLEAN_END, 3)
    assert [state for _main, state in ended] == ["activating"] * len(shops)
    await_others(ended)


def test_never_leaves_a_crash_to_the_next_request(shop, shops, end):
    shop.deploy(**KEYS, restart={"policy": "never"})
    assert [state for _main, state in end(CRASH, 3)] == ["failed"] * len(shops)
    status = shop.status()
    for one in shops:
        found = status.shown("gunicorn_status", one.inventory_name)
        assert found["state"] == "idle"
        assert found["reason"] == "its last end was signal 9; the next request starts it"
        assert one.get("/ready").status == 200
        assert shown(one, one.service, "ActiveState") == ["ActiveState=active"]
