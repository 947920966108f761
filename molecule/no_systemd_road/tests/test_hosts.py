"""What the tests of this scenario rest on: these hosts have no systemd."""

from __future__ import annotations


def test_nothing_of_systemd_runs(shops):
    for one in shops:
        assert not one.host.file("/run/systemd/system").exists
        assert one.said("sh -c %s", "command -v systemctl") == ""
        assert "systemd" not in one.run("ps -e -o comm=")
        assert one.master > 0
