"""gixy's findings in nginx's configuration, and those of them that are none."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

Finding = dict[str, str]

HASH = "$6$salt$egUxKNxDs8kPfh8iPMNcosMhb2eWah6d3R44JDm5Rj/j/XWR5E33QPd0YmHXoDHOIDR6kL5D3JcQcz0O8FHE00"

# Every key of the front door that adds something to a site, but for those that a host has to have something for.
KEYS = {
    "domains": ["full.example.com", "*.full.example.com"],
    "prefix": "/shop",
    "tls": {"mode": "self_signed", "http3": True, "hsts": 63072000, "hsts_subdomains": True},
    "trusted_proxies": ["198.51.100.0/24", "2001:db8::/32"],
    "static": [{"url": "/static/", "path": "reference"}, {"url": "/media/", "path": "/srv/media"}],
    "worker_class": "gthread",
    "websockets": True,
    "buffering": False,
    "max_body": "1G",
    "rate_limit": {"rate": 50, "burst": 0, "connections": 30},
    "access": {"allow": ["192.0.2.0/24"], "deny": ["192.0.2.1"], "users": {"alice": HASH}},
    "headers": {"content_security_policy": "default-src 'self'", "extra": {"X-Robots-Tag": "noindex"}},
    "nginx_server_extra": "location /shop/own/ { proxy_pass http://unix:/opt/full/current/socket; }",
    "nginx_location_extra": "proxy_set_header X-Extra 1;",
}

# Findings that are none, by check: the directive that is found, all the lines of it that may be, and why.
ACCEPTED = {
    # tls.hsts is off by default, as browsers can't be told to forget it.
    "hsts_header": ("server_name", {"server_name safe.example.com;"}),
    # What nginx answers itself to those that are not let in is a redirect, a page or that there is nothing: none of it
    # is the application's, and a password is asked for after the redirect to TLS.
    "return_bypasses_allow_deny": (
        "return",
        {
            "return 308 https://$host$request_uri;",
            "return 308 /shop/$is_args$args;",
            "return 400;",
            "return 404;",
            "return 502;",
            "return 503;",
        },
    ),
    # The path is a piece of $request_uri, by a map, which gixy does not follow.
    "proxy_pass_normalized": (
        "proxy_pass",
        {"proxy_pass http://app_full/$app_full_path;"},
    ),
}


def readable(text: str) -> str:
    """Configuration without possessive quantifiers, at which gixy's parser of regular expressions ends."""
    return re.sub(r"(?<=[\])*+])\+(?=[|)])", "", text)


def findings(path: Path) -> list[Finding]:
    done = subprocess.run(["gixy", "--format", "json", str(path)], capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    return json.loads(done.stdout)


def assert_nothing_serious(found: Sequence[Finding]) -> None:
    """Of medium severity or higher there is what is accepted, all of it, and nothing else."""
    serious = [finding for finding in found if finding["severity"] in ("MEDIUM", "HIGH")]
    unexplained = [finding for finding in serious if finding["plugin"] not in ACCEPTED]
    assert not unexplained, json.dumps(unexplained, indent=2)
    seen: dict[str, set[str]] = {}
    for finding in serious:
        name = ACCEPTED[finding["plugin"]][0]
        lines = {line.strip() for line in finding["config"].splitlines()}
        seen.setdefault(finding["plugin"], set()).update(line for line in lines if line.startswith(f"{name} "))
    # An explanation that nothing needs any more is to go.
    accepted = {plugin: lines for plugin, (_name, lines) in ACCEPTED.items()}
    assert seen == accepted, f"found {seen}, accepted {accepted}"
