"""What a user without root may not have: an error that says so and names the cure, and what runs runs on."""

from __future__ import annotations

from hostlab import controller, soak

APPS = "/home/deploy/apps"
# What root does, how it is undone, and what the user is told.
REFUSALS = {
    "cron is for others": ("echo root >/etc/cron.allow", "rm /etc/cron.allow", "deploy in /etc/cron.allow"),
    "there is no crontab": (
        "mv /usr/bin/crontab /usr/bin/crontab.away",
        "mv /usr/bin/crontab.away /usr/bin/crontab",
        "there is no command crontab on this host: have cron installed",
    ),
    "no cron runs": (
        "main=$(cat /run/crond.pid); if [ -d /run/systemd/system ]; then systemctl stop cron; else kill $main; fi",
        "if [ -d /run/systemd/system ]; then systemctl start cron; else /usr/sbin/cron; fi",
        "no cron daemon runs on this host, which would bring the application back after a crash or a boot; its "
        "administrator has to start it",
    ),
    "the disk is read-only": (
        f"mount --bind {APPS} {APPS} && mount -o remount,bind,ro {APPS}",
        f"umount --lazy {APPS}",
        "Read-only file system",
    ),
}


# Which of them each host meets, one run after the other; in the long run each meets all.
RUNS = [
    ("cron is for others", "there is no crontab"),
    ("the disk is read-only", "no cron runs"),
]
if soak.IS_ON:
    RUNS += [(second, first) for first, second in RUNS]


def test_a_deploy_that_can_not_be_says_why_and_changes_nothing(served, shops):
    before = [(one.release, one.master) for one in shops]
    served.change()
    for reasons in RUNS:
        chosen = [(one, *REFUSALS[why]) for one, why in zip(shops, reasons, strict=True)]
        for one, do, _undo, _said in chosen:
            one.as_root(do)
        try:
            run = served.deploy(check=False)
        finally:
            for one, _do, undo, _said in chosen:
                one.as_root(undo)
        for one, _do, _undo, said in chosen:
            assert said in run.error(one.inventory_name)
            assert one.get("/ready").status == 200
        assert [(one.release, one.master) for one in shops] == before
    served.deploy()
    for one in shops:
        assert (one.release, one.master) not in before
        one.assert_alone()


def test_root_is_sent_away(served, shops):
    for name in ("deploy", "remove"):
        arguments = [*served.arguments({}), "-e", "ansible_user=root", "-e", "flask_remove=shop"]
        run = controller.playbook(*arguments, name=f"playbooks/{name}.yml", check=False)
        for one in shops:
            error = run.error(one.inventory_name)
            assert error.startswith("flask_become: false is not accepted: root runs this")
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
                assert f"{APPS}/desk" in failed.error(one.inventory_name)
            assert one.run("ls -A ~/apps/desk") == "notes"
    finally:
        for one in shops:
            one.run("rm -r ~/apps/desk")
