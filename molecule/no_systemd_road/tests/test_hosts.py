"""What the tests of this scenario rest on, and what is said of a disk that is full."""

from __future__ import annotations

from hostlab import controller

ROOTS, USERS = "root", "deploy"


def test_nothing_of_systemd_runs_and_the_user_may_become_nobody_else(shops):
    for one in shops:
        assert not one.host.file("/run/systemd/system").exists
        assert one.said("sh -c %s", "command -v systemctl") == ""
        assert "systemd" not in one.run("ps -e -o comm=")
        assert one.master > 0
    assert [one.host.run("id -un").stdout.strip() for one in shops] == [ROOTS, USERS]
    assert shops[1].host.run("sudo --non-interactive true").rc != 0


def small(one):
    """Have all of the application on a small file system of its own, with a copy of what was there."""
    home = one.places.home
    owner, mode = one.run("stat --format '%%U %%a' %s", home).split()
    one.as_root(
        f"mount -t tmpfs -o size=$(( $(du -sk {home} | cut -f 1) * 3 / 2 ))k,mode={mode} small /mnt && "
        f"chown {owner}: /mnt && cp -a {home}/. /mnt/ && mount --move /mnt {home}"
    )


def fill(one):
    one.as_root(f"cat /dev/zero >{one.places.home}/filler 2>/dev/null || df {one.places.home} | grep '100%'")


def listing(one):
    """All that is there but what tells of what was done, and what a process that died leaves unchanged."""
    ignored = "-not -name history.jsonl -not -name filler"
    return one.run("sh -c %s", f"find {one.places.home} {ignored} | sort")


def test_a_full_disk_costs_nothing(shop, shops, streams):
    """In the code store and in the directory of the release; for the user it is the whole home that is full."""
    shop.deploy()
    for one in shops:
        one.run(f"{one.manager.control} stop")
    controller.on_each(shops, small)
    try:
        for one in shops:
            one.run(f"{one.manager.control} start")
        before = [(one.release, one.master, listing(one)) for one in shops]
        controller.on_each(shops, fill)
        larger = {"env": {"LARGE": "x" * 100_000}}
        with streams() as quick:
            of_release = shop.deploy(check=False, **larger)
            shop.change()
            of_code = shop.deploy(check=False)
        for run in (of_release, of_code):
            for one in shops:
                assert "No space left on device" in run.error(one.inventory_name)
        assert all(stream.outcomes and not stream.failures for stream in quick)
        for one in shops:
            one.as_root(f"rm {one.places.home}/filler")
        assert [(one.release, one.master, listing(one)) for one in shops] == before
        assert set(shop.deploy(**larger).failed.values()) == {0}
    finally:
        for one in shops:
            one.run(f"{one.manager.control} stop")
            one.as_root(f"umount --lazy {one.places.home}")
            one.run(f"{one.manager.control} start")
