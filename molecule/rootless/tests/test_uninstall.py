"""Removal, the last of all: nothing of the application is left but the data, nor that when it was asked for."""

from __future__ import annotations

from hostlab import controller

OTHERS = "7 3 * * * true # a backup"
MARK = ".kept-by-wsgiops-flask"


def remove(shop, *arguments):
    limit = ("--limit", ",".join(shop.hosts), "-e", "flask_remove=shop")
    return controller.playbook(*limit, *arguments, name="playbooks/remove.yml")


def assert_gone(one):
    assert not one.manager.processes()
    assert one.as_root("pgrep --list-full --full '[/]apps/shop' || true") == ""
    assert one.run("crontab -l") == OTHERS
    assert one.as_root("find /etc /opt /run /srv /usr/local /var /tmp -name '*shop*' -o -name '*wsgiops*'") == ""


def test_remove_leaves_nothing_but_the_data(shop, shops):
    for one in shops:
        one.run("sh -c %s", f'{{ echo "{OTHERS}"; crontab -l; }} | crontab -')
        one.run("touch %s", f"{one.places.state}/precious")
    remove(shop)
    for one in shops:
        assert_gone(one)
        assert one.run("ls -A %s", one.places.home) == "state"
        assert {"precious", MARK} <= set(one.run("ls -A %s", one.places.state).split())
    assert set(remove(shop).changed.values()) == {0}
    # It finds its data again.
    shop.site()
    for one in shops:
        one.assert_alone()
        assert "precious" in one.run("ls %s", one.places.state).split()
    remove(shop, "-e", "flask_remove_data=true")
    for one in shops:
        assert_gone(one)
        assert one.run("find /home/deploy -name '*shop*' -o -name apps") == ""
        one.run("crontab -r")
    assert set(remove(shop, "-e", "flask_remove_data=true").changed.values()) == {0}
