"""gixy's look at the configuration of several applications at once."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from nginx_lint import KEYS, assert_nothing_serious, findings, readable


def ours(dump: str) -> set[str]:
    """The files of nginx's dump that the collection wrote."""
    return set(re.findall(r"^# configuration file (\S+):\n# Managed by the Ansible collection", dump, re.MULTILINE))


@pytest.fixture(scope="module")
def dumps(serve, app, shops) -> dict[str, str]:
    """All of nginx's configuration, by host."""
    apps = [
        app("plain"),
        app("safe", tls={"mode": "self_signed"}),
        app("resting", maintenance=True),
        app("full", **KEYS),
    ]
    # What all share, and their sites, which are all that is read.
    serve(apps, "--tags", "nginx", "-e", "nginx_status_address=127.0.0.1:8081")
    return {one.inventory_name: one.run("sh -c %s", "nginx -T 2>/dev/null") for one in shops}


def test_gixy_finds_nothing(dumps, tmp_path):
    for name, dump in dumps.items():
        files = ours(dump)
        assert {Path(file).name for file in files} >= {"plain.conf", "safe.conf", "resting.conf", "full.conf"}
        for directive in ("stub_status;", "alias /opt/full/current/code/reference/;"):
            assert directive in dump
        path = tmp_path / name
        path.write_text(readable(dump))
        assert_nothing_serious([finding for finding in findings(path) if finding["file"] in files])


@pytest.mark.parametrize(
    ("file", "line", "wrong", "plugin"),
    [
        ("full.conf", "proxy_set_header Host $host;", "proxy_set_header Host $http_host;", "host_spoofing"),
        ("plain.conf", "absolute_redirect off;", "return 302 https://$host$uri;", "http_splitting"),
        ("safe.conf", "ssl_protocols TLSv1.2 TLSv1.3;", "ssl_protocols TLSv1 TLSv1.2;", "weak_ssl_tls"),
        ("full.conf", "location ^~ /shop/static/ {", "location ^~ /shop/static {", "alias_traversal"),
    ],
)
def test_gixy_would_find_a_mistake(dumps, tmp_path, file, line, wrong, plugin):
    """The files are read, and what is in them is understood."""
    for name, dump in dumps.items():
        before, marker, rest = readable(dump).partition(f"/conf.d/{file}:\n")
        assert line in rest
        path = tmp_path / name
        path.write_text(before + marker + rest.replace(line, wrong, 1))
        assert plugin in {each["plugin"] for each in findings(path) if each["file"].endswith(file)}
