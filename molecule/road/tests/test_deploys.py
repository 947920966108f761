"""Deploys under traffic: none costs a request, and none lets an old release answer after a new one has."""

from __future__ import annotations

import time

from hostlab import soak
from hostlab.fixtures import assert_none_failed

DEPLOYS = 60 if soak.IS_ON else 5
WORKERS = (
    # Slow requests hold two of them at a time, and each takes one of the old release into its drain.
    {"worker_class": "sync", "workers": 6},
    {"worker_class": "gthread", "workers": 2, "threads": 8},
    {"worker_class": "gevent", "workers": 2},
)

# Where Ansible has to look for the interpreter first, that is one more.
COUNTED = ("-vvv", "-e", "ansible_python_interpreter=/usr/bin/python3")


def activations(shop):
    return [entry["release"] for entry in shop.history() if entry["event"] == "activated"]


def test_deploys_in_a_row_lose_no_request(shop, shops, streams):
    """Every deploy is a change of the code and of the worker class, so each class takes over from each other one."""
    shop.deploy(**WORKERS[-1])
    before = [len(activations(one)) for one in shops]
    with (
        streams(rate=100, seconds=DEPLOYS * 60) as quick,
        streams("/slow?seconds=2", rate=1, seconds=DEPLOYS * 60) as slow,
    ):
        for number in range(DEPLOYS):
            shop.change()
            run = shop.deploy(**WORKERS[number % len(WORKERS)])
            assert set(run.failed.values()) == {0}
        time.sleep(1)
    assert_none_failed(quick + slow)
    for one, first, stream in zip(shops, before, quick, strict=True):
        released = activations(one)[first - 1 :]
        assert len(set(released)) == DEPLOYS + 1
        assert stream.mixed(released) == []
        assert {outcome.answer.json()["release"] for outcome in stream.outcomes} == set(released)
        assert len(one.run("ls %s", f"{one.places.home}/releases").split()) == 5


def test_an_unchanged_deploy_does_nothing_in_three_tasks(shop, shops, capsys):
    shop.deploy()
    before = [(one.release, one.master, one.history()) for one in shops]
    run = shop.deploy(*COUNTED)
    assert set(run.changed.values()) == {0}
    assert [(one.release, one.master, one.history()) for one in shops] == before
    counted = run.remote_executions(shops[0].inventory_name)
    with capsys.disabled():
        print(f"\nan unchanged deploy takes {counted} remote executions on {len(shops)} hosts")
    assert counted <= 3 * len(shops)


def test_a_change_of_code_takes_eight_executions(shop, shops, capsys):
    shop.deploy()
    shop.change()
    run = shop.deploy(*COUNTED)
    assert set(run.changed.values()) == {2}
    counted = run.remote_executions(shops[0].inventory_name)
    with capsys.disabled():
        print(f"\na deploy of changed code takes {counted} remote executions on {len(shops)} hosts")
    assert counted <= 8 * len(shops)


def test_a_check_is_a_plan(shop, shops):
    shop.deploy()
    before = [(one.release, one.master, one.history()) for one in shops]
    shop.change()
    run = shop.deploy("--check", "--diff", timeout=31)
    for one, (release, _master, _history) in zip(shops, before, strict=True):
        plan = run.result("Put the release in service", one.inventory_name)
        assert f"start {plan['release']} (workers: 4), switch from {release}" in plan["steps"]
        assert plan["release"] != release
    assert "+timeout = 31" in run.output
    assert [(one.release, one.master, one.history()) for one in shops] == before


def test_deploy_leaves_all_but_the_release_alone(shop, shops):
    """No packages and no nginx: what the playbook site looks after stays as it is."""
    for one in shops:
        one.run("sh -c %s", "echo '# by hand' >> /etc/nginx/conf.d/shop.conf")
    shop.change()
    shop.deploy()
    for one in shops:
        assert one.run("tail -n 1 /etc/nginx/conf.d/shop.conf") == "# by hand"
    # A tag is safe alone: nginx is put right, the changed code stays where it is.
    before = [(one.release, one.master) for one in shops]
    shop.change()
    assert set(shop.site("--tags", "nginx").changed.values()) == {1}
    assert [(one.release, one.master) for one in shops] == before
    assert set(shop.site("--tags", "logrotate,packages").changed.values()) == {0}
    assert set(shop.site("--tags", "deploy").changed.values()) == {2}
    assert set(shop.site().changed.values()) == {0}


def test_a_limit_deploys_on_one_host_alone(shop, shops):
    shop.deploy()
    others = shops[1].release, shops[1].master
    shop.change()
    shop.hosts = [shops[0].inventory_name]
    shop.deploy()
    assert shops[0].release != others[0]
    assert (shops[1].release, shops[1].master) == others


def test_a_host_that_was_not_prepared_is_refused(shop, shops):
    run = shop.deploy(name="ledger", domains=["ledger.example.com"], check=False)
    for one in shops:
        assert "run the playbook wsgiops.flask.site once" in run.error(one.inventory_name)
        assert not one.host.file("/opt/ledger").exists


@soak.only
def test_releases_beyond_those_to_keep_go(shop, shops):
    for _number in range(3):
        shop.change()
        shop.deploy(keep_releases=2)
    for one in shops:
        kept = one.run("ls /opt/shop/releases").split()
        assert sorted(kept) == sorted(activations(one)[-2:])
        assert len(one.run("ls -A /opt/shop/code").split()) == 2


@soak.only
def test_a_label_is_shown_wherever_the_id_is(shop, shops):
    shop.change()
    first = shop.deploy(release_label="v1.0")
    shop.change()
    second = shop.deploy(release_label="v1.1")
    for one in shops:
        old = first.result("Put the release in service", one.inventory_name)
        new = second.result("Put the release in service", one.inventory_name)
        assert (old["label"], new["label"]) == ("v1.0", "v1.1")
        assert f"switched from {old['release']} (v1.0) to {new['release']} (v1.1)" in new["steps"]
        assert f"stopped {old['release']} (v1.0)" in new["steps"]
        assert one.history()[-1]["label"] == "v1.1"
        assert one.get("/whoami").json()["release_label"] == "v1.1"
    # Another name for the same content: no new release, and nothing is started.
    masters = [one.master for one in shops]
    assert set(shop.deploy(release_label="stable").changed.values()) == {1}
    assert [one.master for one in shops] == masters
    failed = shop.deploy(release_label="v1.2", env={"FLASK_PROXY_HOPS": "many"}, check=False)
    for one in shops:
        error = failed.error(one.inventory_name)
        assert "(v1.2) failed in phase check" in error
        assert f"release {one.release} (stable) still serves" in error
