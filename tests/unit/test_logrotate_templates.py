# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the logrotate role has on a host, by what runs that."""

from __future__ import annotations

import re
import typing as t
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.wsgiops.flask.tests.unit.rendering import Render, rendering

CRON = {"ansible_facts": {"service_mgr": "sysvinit"}}
FILES: dict[str, t.Any] = {"logs": {"to": "files"}}
SIZE: dict[str, t.Any] = {"logs": {"to": "files", "rotate": {"size": "1M"}}}


@pytest.fixture(scope="module")
def render(repository: Path) -> Iterator[Render]:
    with rendering(repository, "logrotate") as found:
        yield found


def paths(render: Render, keys: dict[str, t.Any], **variables: t.Any) -> list[str]:
    return [file["path"] for file in render("__logrotate_files", keys, **variables)]


@pytest.mark.parametrize(
    ("keys", "by_systemd", "by_cron"),
    [
        ({}, [], ["/etc/logrotate.d/shop"]),
        ({"logs": {"to": "journal"}}, [], ["/etc/logrotate.d/shop"]),
        (FILES, ["/etc/logrotate.d/shop"], ["/etc/logrotate.d/shop"]),
        (
            SIZE,
            ["/etc/logrotate.d/shop", "/etc/systemd/system/logrotate.timer.d/wsgiops-flask-shop.conf"],
            ["/etc/logrotate.d/shop", "/etc/cron.d/shop_logrotate"],
        ),
    ],
    ids=str,
)
def test_files_are_what_runs_the_host_needs(
    render: Render, keys: dict[str, t.Any], by_systemd: list[str], by_cron: list[str]
) -> None:
    assert paths(render, keys) == by_systemd
    assert paths(render, keys, ansible_facts={"service_mgr": "systemd"}) == by_systemd
    assert paths(render, keys, **CRON) == by_cron
    assert set(by_systemd + by_cron) <= set(render("__logrotate_paths", keys))


def test_whoever_runs_the_application_has_it_open_new_files(render: Render) -> None:
    [of_systemd], [of_cron] = (render("__logrotate_files", FILES, **more) for more in ({}, CRON))
    assert "systemctl kill" in of_systemd["content"]
    assert "app_ctl" not in of_systemd["content"]
    script = re.search(r"postrotate\n(.*)    endscript", of_cron["content"], re.DOTALL)
    assert script is not None
    assert script[1] == "        '/opt/shop/app_ctl.sh' reopen\n"
    [elsewhere] = render("__logrotate_files", FILES, **CRON, flask_root="/srv/apps")
    assert "'/srv/apps/shop/app_ctl.sh' reopen\n" in elsewhere["content"]


# Lines of the rotation that go and come with a key of logs.rotate, or with what else the application says.
WITHOUT_CREATE = [
    "-create 0640 shop shop",
    "-sharedscripts",
    "-postrotate",
    "-systemctl list-units --plain --no-legend --state=active 'shop@*.service' | cut -d ' ' -f 1 |",
    "-xargs --no-run-if-empty systemctl kill --kill-whom=main --signal=USR1",
    "-endscript",
]
CHANGES: list[tuple[dict[str, t.Any], list[str]]] = [
    ({"rotate": {"frequency": "daily"}}, []),
    ({"rotate": {"frequency": "weekly"}}, ["-daily", "+weekly"]),
    ({"rotate": {"frequency": "monthly"}}, ["-daily", "+monthly"]),
    ({"rotate": {"keep": "30"}}, ["-rotate 7", "+rotate 30"]),
    ({"rotate": {"size": "1M"}}, ["+maxsize 1048576"]),
    ({"rotate": {"size": 4096}}, ["+maxsize 4096"]),
    ({"rotate": {"method": "create"}}, []),
    ({"rotate": {"method": "copytruncate"}}, ["+copytruncate", *WITHOUT_CREATE]),
    ({"access": "none"}, []),
    ({"access": "gunicorn"}, ["-/var/log/shop/error.log {", "+/var/log/shop/error.log /var/log/shop/access.log {"]),
    ({"access": "both"}, ["-/var/log/shop/error.log {", "+/var/log/shop/error.log /var/log/shop/access.log {"]),
]


def directives(render: Render, logs: dict[str, t.Any], **variables: t.Any) -> list[str]:
    """The lines of an application's rotation."""
    lines = render("__logrotate_file", {"logs": {"to": "files", **logs}}, **variables)["content"].splitlines()
    return [line.strip() for line in lines if not line.strip().startswith("#")]


def test_a_rotation_without_further_keys(render: Render) -> None:
    """Every line of it: a week of days, none of them lost, all but the newest compressed."""
    assert directives(render, {}) == [
        "/var/log/shop/error.log {",
        "daily",
        "rotate 7",
        "missingok",
        "notifempty",
        "compress",
        "delaycompress",
        "su shop shop",
        *(line[1:] for line in WITHOUT_CREATE),
        "}",
    ]


@pytest.mark.parametrize(("logs", "changes"), CHANGES, ids=str)
def test_what_a_key_changes(render: Render, logs: dict[str, t.Any], changes: list[str]) -> None:
    before, after = Counter(directives(render, {})), Counter(directives(render, logs))
    gone = [line[1:] for line in changes if line.startswith("-")]
    come = [line[1:] for line in changes if line.startswith("+")]
    assert (sorted((before - after).elements()), sorted((after - before).elements())) == (sorted(gone), sorted(come))


def test_without_root_it_rotates_as_who_owns_it(render: Render) -> None:
    """logrotate knows no other user then, and a file's owner is whoever makes it."""
    lines = directives(render, {}, flask_become=False, flask_root="/home/deploy/apps")
    assert lines[0] == "/home/deploy/apps/shop/log/error.log {"
    assert [line for line in lines if line.startswith(("su ", "create "))] == ["create 0640"]


def test_cron_understands_the_hourly_line(render: Render) -> None:
    content = render("__logrotate_hourly_file", SIZE, **CRON)["content"]
    lines = [line for line in content.splitlines() if not line.startswith("#")]
    assert lines == [
        "0 * * * * root flock --nonblock /etc/logrotate.conf /usr/sbin/logrotate /etc/logrotate.conf >/dev/null 2>&1"
    ]
    assert content.endswith("\n")
    assert "%" not in content
    assert "." not in Path(render("__logrotate_cron_path", SIZE)).name


def test_packages_are_those_of_the_host(render: Render) -> None:
    assert render("__logrotate_packages", {}) == ["logrotate"]
    assert render("__logrotate_packages", {}, **CRON) == ["logrotate", "cron"]
