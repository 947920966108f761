"""An application that goes from systemd to cron, and back."""

from __future__ import annotations


def test_what_runs_the_application_changes_without_a_lost_request(shop, shops, streams):
    shop.site()
    with streams() as running:
        shop.site(service="cron")
        by_cron = [one.release for one in shops]
        shop.site()
    for one, release, stream in zip(shops, by_cron, running, strict=True):
        assert stream.failures == [], stream.explain()
        assert one.release != release
        # Neither leaves anything of the other's, nor a process.
        assert "shop" not in one.run("ls /etc/cron.d").split()
        assert "app_ctl.sh" not in one.run("ls /opt/shop").split()
        assert one.run("sh -c %s", f"pgrep --full [r]eleases/{release}/ || true") == ""
        assert one.run("systemctl is-active %s", one.service) == "active"
