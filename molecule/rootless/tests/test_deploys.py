"""The road of a release for a user who may become nobody else: the same promises, in a home directory."""

from __future__ import annotations

import os
import time

from hostlab.fixtures import assert_none_failed

DEPLOYS = 20 if os.environ.get("WSGIOPS_SOAK") else 6
IMPORT_FAILS = "import sys\nif '--check-config' not in sys.argv: raise RuntimeError('no licence')"
SECRET = "a-secret-that-nobody-else-reads"


def test_the_user_may_become_nobody_else(shops):
    for one in shops:
        assert one.run("id --user --name") == "deploy"
        assert one.run("id --groups --name") == "deploy"
        assert one.host.run("sudo --non-interactive true").rc != 0


def test_an_unchanged_deploy_changes_nothing(served, shops):
    before = [(one.release, one.master, one.history(), one.run("crontab -l")) for one in shops]
    assert set(served.deploy().changed.values()) == {0}
    assert set(served.deploy("--check").changed.values()) == {0}
    assert [(one.release, one.master, one.history(), one.run("crontab -l")) for one in shops] == before
    for one in shops:
        one.assert_alone()


def test_deploys_in_a_row_lose_no_request(served, shops, streams):
    with (
        streams(rate=100, seconds=DEPLOYS * 60) as quick,
        streams("/slow?seconds=5", rate=0.4, seconds=DEPLOYS * 60) as slow,
    ):
        first = [one.release for one in shops]
        for _number in range(DEPLOYS):
            served.change()
            assert set(served.deploy().failed.values()) == {0}
        time.sleep(1)
    assert_none_failed(quick + slow)
    for one, release, stream in zip(shops, first, quick, strict=True):
        released = [entry["release"] for entry in one.history() if entry["event"] == "activated"]
        released = released[released.index(release) :]
        assert len(set(released)) == DEPLOYS + 1
        assert stream.mixed(released) == []
        assert len(one.run("ls %s", f"{one.places.home}/releases").split()) == 5
        one.assert_alone()


def test_a_bad_release_is_refused_and_the_old_one_serves_on(served, shops, streams):
    before = [(one.release, one.master) for one in shops]
    served.add(IMPORT_FAILS, "wsgi.py")
    with streams() as quick:
        run = served.deploy(check=False)
    assert_none_failed(quick)
    for one in shops:
        assert "RuntimeError: no licence" in run.error(one.inventory_name)
    assert [(one.release, one.master) for one in shops] == before
    served.renew()


def test_a_rollback_brings_the_release_before_back(served, shops, streams):
    served.deploy(env={"NUMBER": "1"})
    before = [one.release for one in shops]
    served.deploy(env={"NUMBER": "2"})
    assert [one.release for one in shops] != before
    with streams() as quick:
        served.rollback()
    assert_none_failed(quick)
    assert [one.release for one in shops] == before
    for one, release in zip(shops, before, strict=True):
        assert one.get("/whoami").json()["release"] == release
        assert one.manager.there() == {release}


def test_a_confirmed_deploy_stays(served, shops):
    served.change()
    served.deploy(confirm=60)
    for one in shops:
        assert not one.manager.armed()
        one.assert_alone()


def test_status_says_what_app_ctl_says(served, shops):
    run = served.status()
    for one in shops:
        found = run.shown("gunicorn_status", one.inventory_name)
        assert (found["state"], found["release"]) == ("serving", one.release)
        assert found["logs"] == f"cat {one.manager.log_file}"
        assert one.manager.ctl("stop")[0] == 0
    run = served.status(check=False)
    for one in shops:
        assert run.shown("gunicorn_status", one.inventory_name)["state"] == "stopped"


def test_nobody_else_reads_what_is_not_theirs(served, shops):
    """Neither others on the host nor, what secrets and data are, the user's own group; not even with an open home."""
    served.deploy(env={"PLAIN": SECRET}, secrets={"SECRET_KEY": SECRET})
    try:
        for one in shops:
            for name in ("env", "secrets"):
                path = f"{one.places.home}/current/{name}"
                assert one.run("stat --dereference --format '%%a %%U' %s", path) == "600 deploy"
            for path in (one.places.state, one.places.cache, one.places.logs):
                assert one.run("stat --format '%%a %%U' %s", path) == "700 deploy"
            one.as_root("chmod o+x /home/deploy")
            read = f"grep --recursive --files-with-matches {SECRET} {one.places.home}/ 2>/dev/null || true"
            as_another = f"setpriv --reuid=nobody --regid=deploy --clear-groups sh -c '{read}'"
            assert one.run("sh -c %s", read) != ""
            assert one.as_root(as_another) == ""
            assert one.run("find %s -perm /022 -not -type l -not -type s", one.places.home) == ""
    finally:
        for one in shops:
            one.as_root("chmod o-x /home/deploy")
