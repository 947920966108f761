"""A service that fails again and again: it rests, says so, tries again by itself, and is nobody's burden later."""

from __future__ import annotations

import datetime
import re

import pytest
from hostlab import controller, soak

# A cool-down that a run of the playbook fits into, and with the rest a limit that trips within some seconds.
COOLDOWN = 10
RESTART = {"burst": 3, "interval": 30, "delay": 0.3, "cooldown": COOLDOWN}
LIMITED = {"restart": RESTART, "workers": 1}
# And one that outlives any test.
PAUSED = {"restart": {**RESTART, "cooldown": 600}, "workers": 1}
NO_COOLDOWN = {"restart": {**RESTART, "cooldown": 0}, "workers": 1}
# More than the limit takes to trip: three starts of a process that fails at its import.
PATIENCE = 30
RETRY_UNITS = "/etc/systemd/system/shop_retry@.timer", "/etc/systemd/system/shop_retry@.service"


# A command of the host, in which SERVICE and SOCKET are the units of the release that is to serve.
UNITS = 'SERVICE="shop@$(basename "$(readlink /opt/shop/current)").service"; SOCKET="${SERVICE%service}socket"; '
AWAIT_LIMIT = "until systemctl is-failed --quiet $SOCKET; do sleep 0.05; done"


def script(one, commands):
    return one.run("timeout %s sh -c %s", str(PATIENCE), UNITS + commands)


@pytest.fixture(autouse=True)
def mended(shops):
    """Hosts on which the failure and what it led to do not outlive their test."""
    yield
    controller.on_each(shops, start_by_hand)


def start_by_hand(one):
    mend(one)
    if one.host.file("/opt/shop/current").exists:
        script(one, "systemctl stop 'shop_retry@*.timer'; systemctl reset-failed; systemctl start $SOCKET $SERVICE")


def mend(one):
    one.run("rm -f /var/lib/shop/broken")


def trip(one):
    """Break what serves; returns when its start limit has tripped."""
    script(one, "touch /var/lib/shop/broken; systemctl kill --signal=KILL $SERVICE; " + AWAIT_LIMIT)


def now(one):
    return float(one.run("date +%s.%N"))


def starts(one, since):
    """How often systemd started the application since a time of the host."""
    said = one.run("journalctl --quiet --output=cat --since=@%s --unit=%s", f"{since:.6f}", "shop@*.service")
    return len(re.findall(r"^Starting shop@", said, re.MULTILINE))


def is_down(one):
    answer = one.get("/process")
    assert answer.status == 503
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "Temporarily unavailable" in answer.body
    return answer


def serves_alone(one):
    """The release serves, and no other unit of the application is there, be it one that waits."""
    assert one.get("/ready").status == 200
    expected, *listed = script(
        one, "echo $SERVICE $SOCKET; systemctl list-units --plain --no-legend 'shop*'"
    ).splitlines()
    assert sorted(unit.split()[0] for unit in listed) == sorted(expected.split())


@pytest.fixture(scope="module")
def resting(shop):
    """The application with a limit that trips soon; nginx knows its cool-down from the playbook site."""
    shop.site(**LIMITED)
    return shop


def test_a_service_that_keeps_failing_rests_and_tries_again_by_itself(resting, shops):
    resting.have(**LIMITED)
    begins = controller.on_each(shops, now)
    controller.on_each(shops, trip)
    for one in shops:
        assert is_down(one).headers["Retry-After"] == str(COOLDOWN)

    status = resting.status(check=False)
    assert status.status != 0
    told = []
    for one, begin in zip(shops, begins, strict=True):
        found = status.shown("gunicorn_status", one.inventory_name)
        assert found["state"] == "limited"
        retry = datetime.datetime.fromisoformat(found["retry"]).timestamp()
        assert begin + COOLDOWN < retry < begin + COOLDOWN + PATIENCE
        reason = re.fullmatch(
            r"its start limit tripped \(3 starts within 30s\): its last end was exit status [13]; "
            r"requests get status 503; it is tried again at (\S+)",
            found["reason"],
        )
        assert reason, found["reason"]
        assert reason[1] == found["retry"]
        assert f"shop is limited: {found['reason']}" in status.error(one.inventory_name)
        # One of those that the limit allows may be the deploy's.
        assert RESTART["burst"] - 1 <= starts(one, begin) <= RESTART["burst"]
        told.append((one, retry))

    def rests_again(case):
        """Still broken: it is tried at the time that was told, and rests once more."""
        one, retry = case
        unit = f"shop_retry@{one.release}"
        tried = f"journalctl --quiet --since=@{retry - 1:.0f} --unit={unit}.service | grep -q Start"
        one.run("timeout %s sh -c %s", str(PATIENCE), f"until {tried}; do sleep 0.1; done")
        assert now(one) < retry + 3
        script(one, AWAIT_LIMIT)
        is_down(one)
        assert one.run("systemctl is-active %s", f"{unit}.timer") == "active"
        mend(one)

    def comes_back(one):
        controller.wait_until(lambda: one.get("/ready").status == 200, COOLDOWN + 5, "it serves again by itself")
        serves_alone(one)

    controller.on_each(told, rests_again)
    controller.on_each(shops, comes_back)


CURES = {
    "the same release": PAUSED,
    "another release": {**PAUSED, "workers": 2},
    "a release without a cool-down": NO_COOLDOWN,
}


@pytest.mark.parametrize(
    "cure", [pytest.param(cure, marks=soak.only if cure == "another release" else ()) for cure in CURES]
)
def test_a_deploy_in_the_pause_ends_it(resting, shops, cure):
    resting.have(**PAUSED)
    controller.on_each(shops, trip)
    for one in shops:
        is_down(one)
        mend(one)
    resting.deploy(**CURES[cure])
    # No timer is left that would start anything later.
    controller.on_each(shops, serves_alone)


def test_without_a_cool_down_it_stays_down_until_the_next_deploy(resting, shops):
    resting.have(**NO_COOLDOWN)
    for one in shops:
        assert not any(one.host.file(path).exists for path in RETRY_UNITS)
    controller.on_each(shops, trip)
    controller.on_each(shops, mend)
    status = resting.status(check=False)
    assert status.status != 0
    for one in shops:
        found = status.shown("gunicorn_status", one.inventory_name)
        assert (found["state"], found["retry"]) == ("limited", None)
        assert found["reason"].endswith("requests get status 503; it is not tried again")
        is_down(one)
    run = resting.deploy(**NO_COOLDOWN)
    assert set(run.changed.values()) == {1}
    for one in shops:
        serves_alone(one)


def test_what_is_stopped_by_hand_in_the_pause_stays_stopped(resting, shops):
    resting.have(**PAUSED)
    controller.on_each(shops, trip)
    timers = "systemctl list-units --plain --no-legend 'shop_retry@*'"
    assert all(one.run(timers) for one in shops)
    for one in shops:
        script(one, "systemctl stop $SOCKET $SERVICE")
        mend(one)
        assert one.run(timers) == ""
    status = resting.status(check=False)
    assert status.status != 0
    for one in shops:
        is_down(one)
        found = status.shown("gunicorn_status", one.inventory_name)
        assert (found["state"], found["retry"]) == ("limited", None)


def test_removal_in_the_pause_leaves_nothing_that_starts_again(resting, shops):
    resting.have(**PAUSED)
    for one in shops:
        assert all(one.host.file(path).exists for path in RETRY_UNITS)
    controller.on_each(shops, trip)
    gone = ("-e", "flask_remove=shop", "-e", "flask_remove_data=true")
    controller.playbook(*gone, name="playbooks/remove.yml")
    for one in shops:
        assert one.run("systemctl list-units --all --no-legend 'shop*'") == ""
        assert one.run("find /etc/systemd/system /run/systemd/transient -name 'shop*'") == ""
