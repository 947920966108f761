"""How nginx runs: closed in, started again when it dies, and otherwise as Debian's nginx does."""

from __future__ import annotations

import contextlib
import json
import re
import time

from hostlab import controller
from hostlab.fixtures import assert_none_failed

DROP_IN = "/etc/systemd/system/nginx.service.d/wsgiops-flask.conf"
SITE_LOG = "/var/log/nginx/shop.access.log"


def main_pid(one) -> int:
    return int(one.run("systemctl show --property=MainPID --value nginx.service"))


def workers(one) -> set[str]:
    return set(one.run("pgrep --parent %s", str(main_pid(one))).split())


def is_closed_in(one) -> bool:
    """Whether the nginx that runs, and not only its unit, can't change the system."""
    with one.host.sudo():
        return one.host.run("nsenter --mount --target %s touch /etc/by-nginx", str(main_pid(one))).rc != 0


def answers(one) -> bool:
    try:
        return one.get("/health").status == 200
    except OSError:
        return False


def test_nginx_was_installed_into_its_sandbox(shops):
    for one in shops:
        # Ten times the number that systemd-analyze shows, which rounds.
        one.run("systemd-analyze security --no-pager --threshold=26 nginx.service")
        assert is_closed_in(one)
        limits = one.run("grep 'Max open files' /proc/%s/limits", str(main_pid(one))).split()
        # A test host may have a lower limit of its own.
        assert int(limits[3]) == min(65536, int(one.run("cat /proc/1/limits | awk '/open files/ { print $5 }'")))
        assert one.run("stat --format %U /var/lib/nginx/body /var/lib/nginx/proxy") == "www-data\nwww-data"


def test_nginx_is_back_after_its_death(shops):
    for one in shops:
        before = main_pid(one)
        one.run("kill -9 %s", str(before))
        controller.wait_until(lambda one=one: answers(one), 10, "an nginx that answers")
        assert main_pid(one) != before


def test_a_dead_worker_is_replaced(shops):
    for one in shops:
        before = workers(one)
        one.run(f"kill -9 {' '.join(before)}")
        controller.wait_until(lambda one=one: answers(one), 10, "a worker that answers")
        assert not workers(one) & before


def test_reload_and_upgrade_lose_no_request(shops, streams):
    """The upgrade is what Debian's package does when it is configured: a new binary takes over the sockets."""
    before = [(main_pid(one), workers(one)) for one in shops]
    with streams(rate=100) as quick:
        for one in shops:
            one.run("systemctl reload nginx.service")
        time.sleep(2)
        for one, (master, old) in zip(shops, before, strict=True):
            assert main_pid(one) == master
            assert not workers(one) & old
            one.run("invoke-rc.d nginx upgrade")
        time.sleep(2)
    assert_none_failed(quick)
    for one, (master, _) in zip(shops, before, strict=True):
        assert main_pid(one) != master
        assert is_closed_in(one)


def test_debians_rotation_works(shops):
    """The lines before are in the old file, those after in the new one, which is the workers'."""
    for one in shops:
        first = one.get("/health?before").headers["X-Request-ID"]
        one.run("logrotate --force /etc/logrotate.d/nginx")
        controller.wait_until(lambda one=one: one.get("/health?after") and one.run("cat %s", SITE_LOG), 10, "lines")
        assert first in one.run("cat %s", f"{SITE_LOG}.1")
        found = [json.loads(line)["path"] for line in one.run("cat %s", SITE_LOG).splitlines()]
        assert set(found) == {"/health?after"}
        assert one.run("stat --format '%%U %%G %%a' %s", SITE_LOG) == "www-data adm 640"


def test_nginx_has_nothing_to_complain_about(shops):
    """What it can't do in its sandbox it would tell as an alert."""
    for one in shops:
        said = one.run("sh -c 'zcat --force /var/log/nginx/error.log*'").splitlines()
        bad = [line for line in said if re.search(r"\[(alert|crit|emerg)\]", line)]
        # The deaths that tests before this brought about.
        assert [line for line in bad if "exited on signal 9" not in line] == []


@contextlib.contextmanager
def site_of_somebody_else(shops):
    """A site that logs where the sandbox lets nobody write."""
    path = "/etc/nginx/conf.d/other.conf"
    for one in shops:
        one.run("sh -c %s", f"echo 'server {{ listen 8080; access_log /root/other.log; }}' >{path}")
    yield
    for one in shops:
        one.run("rm --force %s /root/other.log", path)


def restart(one) -> str:
    return one.run("systemctl show --property=Restart --value nginx.service")


def test_hardening_is_an_option_and_restarts_nothing(shop, shops):
    """Off and on again. Where nginx could not start in it any more, which the next boot would show, it is refused."""
    before = [main_pid(one) for one in shops]
    shop.site("-e", "nginx_hardening=false")
    for one in shops:
        assert not one.host.file(DROP_IN.rsplit("/", 1)[0]).exists
        assert restart(one) == "no"

    with site_of_somebody_else(shops):
        run = shop.site(check=False)
    for one in shops:
        error = run.error(one.inventory_name)
        assert 'open() "/root/other.log" failed (30: Read-only file system)' in error
        assert error.endswith("nginx_hardening: false leaves it as it is.")
        assert not one.host.file(DROP_IN.rsplit("/", 1)[0]).exists
        assert restart(one) == "no"

    run = shop.site()
    assert run.output.count("nginx runs and was not restarted") == len(shops)
    assert [restart(one) for one in shops] == ["on-failure"] * len(shops)
    assert [main_pid(one) for one in shops] == before
