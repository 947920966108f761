# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest

from ansible_collections.wsgiops.flask.plugins.module_utils._layout import (
    KEPT_DATA_MARK,
    Layout,
    claimed_paths,
    is_somebody_elses,
)

RELEASE = "0123456789ab"


def test_every_name_and_path_of_an_application() -> None:
    assert Layout("shop", private=False).names() == {
        "name": "shop",
        "user": "shop",
        "group": "shop",
        "user_comment": "wsgiops.flask application",
        "root": "/opt",
        "home": "/opt/shop",
        "code_store": "/opt/shop/code",
        "venvs": "/opt/shop/venvs",
        "releases": "/opt/shop/releases",
        "current": "/opt/shop/current",
        "upstream": "/opt/shop/current/socket",
        "history": "/opt/shop/history.jsonl",
        "lock": "/opt/shop/.lock",
        "run_lock": "/opt/shop/.running",
        "take_back": "/opt/shop/take-back",
        "take_back_due": "/opt/shop/take-back/due",
        "take_back_command": "/opt/shop/take-back/command",
        "app_ctl": "/opt/shop/app_ctl.sh",
        "disabled": "/opt/shop/disabled",
        "task_lock": "/opt/shop/.task",
        "cron": "/etc/cron.d/shop",
        "run": "/run/shop",
        "state": "/var/lib/shop",
        "cache": "/var/cache/shop",
        "logs": "/var/log/shop",
        "error_log": "/var/log/shop/error.log",
        "access_log": "/var/log/shop/access.log",
        "nginx_site": "/etc/nginx/conf.d/shop.conf",
        "nginx_directory": "/etc/nginx/wsgiops-flask/shop",
        "nginx_front_url": "/etc/nginx/wsgiops-flask/shop/front-url",
        "tmpfiles": "/etc/tmpfiles.d/shop.conf",
        "nginx_access_log": "/var/log/nginx/shop.access.log",
        "nginx_error_log": "/var/log/nginx/shop.error.log",
        "logrotate": "/etc/logrotate.d/shop",
        "service_template": "/etc/systemd/system/shop@.service",
        "socket_template": "/etc/systemd/system/shop@.socket",
        "retry_timer_template": "/etc/systemd/system/shop_retry@.timer",
        "retry_service_template": "/etc/systemd/system/shop_retry@.service",
        "task_unit": "shop-task.service",
        "take_back_timer": "shop-take-back.timer",
        "take_back_unit": "shop-take-back.service",
    }


def test_what_belongs_to_a_release() -> None:
    layout = Layout("shop")
    assert layout.release(RELEASE) == "/opt/shop/releases/0123456789ab"
    assert layout.socket(RELEASE) == "/run/shop/0123456789ab.sock"
    assert layout.service_unit(RELEASE) == "shop@0123456789ab.service"
    assert layout.socket_unit(RELEASE) == "shop@0123456789ab.socket"
    assert layout.retry_timer(RELEASE) == "shop_retry@0123456789ab.timer"
    assert layout.pid_file(RELEASE) == "/run/shop/0123456789ab.pid"
    assert layout.starts(RELEASE) == "/run/shop/0123456789ab.starts"
    assert layout.limited(RELEASE) == "/run/shop/0123456789ab.limited"


def test_no_two_files_of_what_runs_it_have_one_name() -> None:
    layout = Layout("shop")
    names = [os.path.basename(path) for path in layout.control_files]
    assert len(set(names)) == len(names)
    assert layout.needed_files("systemd") | layout.needed_files("cron") <= set(layout.control_files)


def test_another_root_moves_the_home_and_nothing_else() -> None:
    here, there = Layout("shop").names(), Layout("shop", "/srv/apps").names()
    moved = {name for name in here if here[name] != there[name]}
    assert moved == {
        "root", "home", "code_store", "venvs", "releases", "current", "upstream", "history", "lock",
        "run_lock", "take_back", "take_back_due", "take_back_command", "app_ctl", "disabled", "task_lock",
    }  # fmt: skip
    assert there["upstream"] == "/srv/apps/shop/current/socket"


def test_without_root_all_of_it_is_below_the_root() -> None:
    layout = Layout("shop", "/home/deploy/apps", private=True)
    paths = {name: path for name, path in layout.names().items() if path.startswith("/")}
    here = {name for name, path in paths.items() if path.startswith("/home/deploy/apps")}
    assert set(paths) - here == {
        "service_template",
        "socket_template",
        "retry_timer_template",
        "retry_service_template",
    }
    assert {name: path.removeprefix("/home/deploy/apps/") for name, path in paths.items() if "nginx" in name} == {
        "nginx_site": "nginx/conf.d/shop.conf",
        "nginx_directory": "shop/nginx",
        "nginx_front_url": "shop/nginx/front-url",
        "nginx_access_log": "nginx/log/shop.access.log",
        "nginx_error_log": "nginx/log/shop.error.log",
    }
    assert paths["tmpfiles"] == "/home/deploy/apps/shop/tmpfiles.conf"


def test_the_socket_of_the_longest_name_has_room() -> None:
    assert len(Layout("x" * 31).socket(RELEASE)) <= 107  # bytes: unix(7)


def test_a_layout_does_not_change() -> None:
    layout = Layout("shop")
    with pytest.raises(dataclasses.FrozenInstanceError):
        layout.name = "desk"  # type: ignore[misc]


def test_no_two_applications_claim_a_path() -> None:
    claimed = claimed_paths(Layout("shop"))
    assert len(set(claimed)) == len(claimed)
    assert not set(claimed) & set(claimed_paths(Layout("shop-2")))
    assert not any(path.startswith("/opt/") for path in claimed)


def test_without_root_all_that_is_written_is_below_the_home() -> None:
    here, there = Layout("shop", "/home/deploy/apps", False), Layout("shop", "/home/deploy/apps", True)
    changed = {name: there.names()[name] for name in here.names() if here.names()[name] != there.names()[name]}
    assert {name: changed[name] for name in ("run", "state", "cache", "logs", "error_log", "access_log")} == {
        "run": "/home/deploy/apps/shop/run",
        "state": "/home/deploy/apps/shop/state",
        "cache": "/home/deploy/apps/shop/cache",
        "logs": "/home/deploy/apps/shop/log",
        "error_log": "/home/deploy/apps/shop/log/error.log",
        "access_log": "/home/deploy/apps/shop/log/access.log",
    }
    assert changed["cron"] == "/home/deploy/apps/shop/crontab"
    assert changed["logrotate"] == "/home/deploy/apps/shop/logrotate.conf"
    assert there.socket(RELEASE) == "/home/deploy/apps/shop/run/0123456789ab.sock"
    assert there.needed_files("cron") == {there.app_ctl, there.cron}
    assert claimed_paths(there) == []


def test_who_runs_it_says_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    for user, private in ((0, False), (1001, True)):
        monkeypatch.setattr(os, "geteuid", lambda user=user: user)
        assert Layout("shop").private is private


def test_a_directory_that_a_user_has_for_something_else_is_told_from_an_applications(tmp_path: Path) -> None:
    layout = Layout("shop", str(tmp_path), private=True)
    home = tmp_path / "shop"
    assert not is_somebody_elses(layout)
    home.write_text("")
    assert is_somebody_elses(layout)
    home.unlink()
    home.mkdir()
    assert not is_somebody_elses(layout)
    (home / "wsgi.py").write_text("")
    assert is_somebody_elses(layout)
    assert not is_somebody_elses(Layout("shop", str(tmp_path), private=False))
    (home / "state").mkdir()
    assert is_somebody_elses(layout)
    (home / "state" / KEPT_DATA_MARK).write_text("")
    assert not is_somebody_elses(layout)
    (home / "state" / KEPT_DATA_MARK).unlink()
    (home / ".lock").write_text("")
    assert not is_somebody_elses(layout)
