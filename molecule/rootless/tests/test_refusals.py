"""What a user without root may not have: an error that says so and names the cure, and what runs runs on."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
from hostlab import controller


@contextlib.contextmanager
def changed_by_root(shops, do: str, undo: str) -> Iterator[None]:
    for one in shops:
        one.as_root(do)
    try:
        yield
    finally:
        for one in shops:
            one.as_root(undo)


REFUSALS = {
    "cron is for others": ("echo root >/etc/cron.allow", "rm /etc/cron.allow", "deploy in /etc/cron.allow"),
    "there is no crontab": (
        "mv /usr/bin/crontab /usr/bin/crontab.away",
        "mv /usr/bin/crontab.away /usr/bin/crontab",
        "there is no command crontab on this host: have cron installed",
    ),
    "the disk is read-only": (
        "mount --bind /home/deploy/apps /home/deploy/apps && mount -o remount,bind,ro /home/deploy/apps",
        "umount --lazy /home/deploy/apps",
        "Read-only file system",
    ),
}


@pytest.mark.parametrize("why", REFUSALS)
def test_a_deploy_that_can_not_be_says_why_and_changes_nothing(served, shops, why):
    do, undo, said = REFUSALS[why]
    before = [(one.release, one.master) for one in shops]
    served.change()
    with changed_by_root(shops, do, undo):
        run = served.deploy(check=False)
    for one in shops:
        assert said in run.error(one.inventory_name)
        assert one.get("/ready").status == 200
    assert [(one.release, one.master) for one in shops] == before
    served.deploy()
    for one in shops:
        one.assert_alone()


def test_a_directory_of_the_users_own_is_left_alone(served, shops):
    for one in shops:
        one.run("sh -c %s", "mkdir ~/apps/desk && echo mine >~/apps/desk/notes")
    try:
        run = served.deploy(check=False, name="desk")
        removal = ("--limit", ",".join(served.hosts), "-e", "flask_remove=desk", "-e", "flask_remove_data=true")
        removed = controller.playbook(*removal, name="playbooks/remove.yml", check=False)
        for one in shops:
            for failed in (run, removed):
                assert "/home/deploy/apps/desk" in failed.error(one.inventory_name)
            assert one.run("ls -A ~/apps/desk") == "notes"
    finally:
        for one in shops:
            one.run("rm -r ~/apps/desk")


@pytest.mark.parametrize("name", ["deploy", "remove"])
def test_root_is_sent_away(served, shops, name):
    arguments = [*served.arguments({}), "-e", "ansible_user=root", "-e", "flask_remove=shop"]
    run = controller.playbook(*arguments, name=f"playbooks/{name}.yml", check=False)
    for one in shops:
        error = run.error(one.inventory_name)
        assert error.startswith("flask_become: false is not accepted: root runs this")
        one.assert_alone()
