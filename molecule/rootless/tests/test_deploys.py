"""A site for a user who may become nobody else."""

from __future__ import annotations

import pytest

SECRET = "a-secret-that-nobody-else-reads"


def test_the_user_may_become_nobody_else(shops):
    for one in shops:
        assert one.run("id --user --name") == "deploy"
        assert one.run("id --groups --name") == "deploy"
        assert one.host.run("sudo --non-interactive true").rc != 0
    # Of one host systemd has the command: it is root's.
    assert [one.host.file("/run/systemd/system").exists for one in shops] == [True, False]


def test_an_unchanged_site_changes_nothing(served, shops):
    # Its own keys are also the site's, which a deploy leaves alone.
    served.site()
    before = [(one.release, one.master, one.history(), one.run("crontab -l")) for one in shops]
    assert set(served.site().changed.values()) == {0}
    assert [(one.release, one.master, one.history(), one.run("crontab -l")) for one in shops] == before
    for one in shops:
        one.assert_alone()


def test_what_root_alone_could_see_to_is_told(shop):
    run = shop.deploy("--check", limits={"tasks": 512}, network="none")
    for setting, who in (("limits.tasks: 512", "root"), ("network: none", "systemd")):
        said = f"shop: {setting} is not enforced on this host: cron runs the application, and only {who} could"
        assert said in " ".join(run.output.split()), run.output[-3000:]


@pytest.fixture
def open_homes(shops):
    for one in shops:
        one.as_root("chmod o+x /home/deploy")
    yield
    for one in shops:
        one.as_root("chmod o-x /home/deploy")


def test_nobody_else_reads_what_is_not_theirs(served, shops, open_homes):
    """Neither others on the host nor, what secrets and data are, the user's own group; not even with an open home."""
    served.deploy(env={"PLAIN": SECRET}, secrets={"SECRET_KEY": SECRET})
    for one in shops:
        for name in ("env", "secrets"):
            path = f"{one.places.home}/current/{name}"
            assert one.run("stat --dereference --format '%%a %%U' %s", path) == "600 deploy"
        for path in (one.places.state, one.places.cache, one.places.logs):
            assert one.run("stat --format '%%a %%U' %s", path) == "700 deploy"
        read = f"grep --recursive --files-with-matches {SECRET} {one.places.home}/ 2>/dev/null || true"
        as_another = f"setpriv --reuid=nobody --regid=deploy --clear-groups sh -c '{read}'"
        assert one.run("sh -c %s", read) != ""
        assert one.as_root(as_another) == ""
        assert one.run("find %s -perm /022 -not -type l -not -type s", one.places.home) == ""
        # Nor does another user stop it.
        refused = one.as_root(f"setpriv --reuid=nobody --clear-groups {one.manager.control} stop 2>&1 || true")
        assert "this is for deploy to do, and not for nobody" in refused
        assert "this is for deploy to do, and not for root" in one.as_root(f"{one.manager.control} stop 2>&1 || true")
        one.assert_alone()
