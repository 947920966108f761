"""gixy's look at the configuration of several applications at once."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

HASH = "$6$salt$egUxKNxDs8kPfh8iPMNcosMhb2eWah6d3R44JDm5Rj/j/XWR5E33QPd0YmHXoDHOIDR6kL5D3JcQcz0O8FHE00"

# Every key of the front door that adds something to a site.
ALL = {
    "domains": ["full.example.com", "*.full.example.com"],
    "prefix": "/shop",
    "tls": {"mode": "self_signed", "http3": True, "hsts": 63072000, "hsts_subdomains": True},
    "trusted_proxies": ["198.51.100.0/24", "2001:db8::/32"],
    "worker_class": "gthread",
    "websockets": True,
    "buffering": False,
    "max_body": "1G",
    "rate_limit": {"rate": 50, "burst": 0, "connections": 30},
    "access": {"allow": ["192.0.2.0/24"], "deny": ["192.0.2.1"], "users": {"alice": HASH}},
    "headers": {"content_security_policy": "default-src 'self'", "extra": {"X-Robots-Tag": "noindex"}},
    "nginx_server_extra": "gzip_types text/css;",
    "nginx_location_extra": "proxy_set_header X-Extra 1;",
}

# Findings that are none, by check: a text that is in the configuration that is found, and why.
ACCEPTED = {
    # tls.hsts is off by default, as browsers can't be told to forget it.
    "hsts_header": "server_name safe.example.com;",
    # What nginx answers itself to those that are not let in is a redirect, a page or that there is nothing: none of it
    # is the application's, and a password is asked for after the redirect to TLS.
    "return_bypasses_allow_deny": "server_name full.example.com",
    # The path is a piece of $request_uri, by a map, which gixy does not follow.
    "proxy_pass_normalized": "proxy_pass http://unix:/opt/full/current/socket:$app_full_path;",
}


def ours(dump: str) -> set[str]:
    """The files of nginx's dump that the collection wrote."""
    return set(re.findall(r"^# configuration file (\S+):\n# Managed by the Ansible collection", dump, re.MULTILINE))


def readable(dump: str) -> str:
    """The dump without possessive quantifiers, at which gixy's parser of regular expressions ends."""
    return re.sub(r"(?<=[\])*+])\+(?=[|)])", "", dump)


@pytest.fixture(scope="module")
def dumps(serve, app, shops) -> dict[str, str]:
    """All of nginx's configuration, by host."""
    apps = [
        app("plain"),
        app("safe", tls={"mode": "self_signed"}),
        app("resting", maintenance=True),
        app("full", **ALL),
    ]
    # Their sites alone, which are all that is read.
    serve(apps, "--tags", "nginx")
    return {one.inventory_name: one.run("sh -c %s", "nginx -T 2>/dev/null") for one in shops}


def findings(dump: Path) -> list[dict[str, str]]:
    done = subprocess.run(["gixy", "--format", "json", str(dump)], capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    return json.loads(done.stdout)


def explained(finding: dict[str, str]) -> bool:
    return finding["plugin"] in ACCEPTED and ACCEPTED[finding["plugin"]] in finding["config"]


def test_gixy_finds_nothing(dumps, tmp_path):
    for name, dump in dumps.items():
        files = ours(dump)
        assert {Path(file).name for file in files} >= {"plain.conf", "safe.conf", "resting.conf", "full.conf"}
        path = tmp_path / name
        path.write_text(readable(dump))
        found = [finding for finding in findings(path) if finding["file"] in files]
        serious = [finding for finding in found if finding["severity"] in ("MEDIUM", "HIGH")]
        unexplained = [finding for finding in serious if not explained(finding)]
        assert not unexplained, json.dumps(unexplained, indent=2)
        # An explanation that nothing needs any more is to go.
        assert {finding["plugin"] for finding in serious} == set(ACCEPTED)


@pytest.mark.parametrize(
    ("file", "line", "wrong", "plugin"),
    [
        ("full.conf", "proxy_set_header Host $host;", "proxy_set_header Host $http_host;", "host_spoofing"),
        ("plain.conf", "absolute_redirect off;", "return 302 https://$host$uri;", "http_splitting"),
        ("safe.conf", "ssl_protocols TLSv1.2 TLSv1.3;", "ssl_protocols TLSv1 TLSv1.2;", "weak_ssl_tls"),
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
