"""Removal, the last of all: nothing of the application is left, nor of what kept it running."""

from __future__ import annotations

from hostlab import controller

ROOTS = "/etc /opt /run /srv /usr/local /var /tmp /home /root"
GONE = ("-e", "flask_remove=shop", "-e", "flask_remove_data=true")
OTHERS = "/etc/cron.d/somebodys"


def traces(one, name):
    """Everything on the host that has the name in it."""
    found = one.run(f"find {ROOTS} -name '*{name}*'")
    crontabs = one.said(f"grep -r {name} /etc/cron* /var/spool/cron")
    processes = one.said(f"pgrep --list-full --full '[/]{name}'")
    accounts = one.said(f"getent passwd {name}; getent group {name}")
    return [line for text in (found, crontabs, processes, accounts) for line in text.splitlines()]


def test_remove_leaves_no_cron_line_process_or_file(served, shops):
    # What left the application's group and forgot its variables is still its user's.
    lost = "setpriv --reuid shop --regid shop --clear-groups env -i setsid --fork sleep 1000 >/dev/null 2>&1"
    uids = []
    for one in shops:
        one.run("sh -c %s", f"echo '# a line of somebody else' >{OTHERS}")
        one.run("sh -c %s", lost)
        uids.append(one.run("id --user shop"))
        assert traces(one, "shop")
    limit = ("--limit", ",".join(served.hosts))
    controller.playbook(*limit, *GONE, name="playbooks/remove.yml")
    for one, uid in zip(shops, uids, strict=True):
        assert one.said("pgrep --list-full --uid %s", uid) == ""
        assert traces(one, "shop") == []
        assert traces(one, "wsgiops") == []
        assert one.host.file(OTHERS).exists
    assert set(controller.playbook(*limit, *GONE, name="playbooks/remove.yml").changed.values()) == {0}
