# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import dataclasses

import pytest

from ansible_collections.wsgiops.flask.plugins.module_utils._layout import Layout, claimed_paths

RELEASE = "0123456789ab"


def test_every_name_and_path_of_an_application() -> None:
    assert Layout("shop").names() == {
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


def test_another_root_moves_the_home_and_nothing_else() -> None:
    here, there = Layout("shop").names(), Layout("shop", "/srv/apps").names()
    moved = {name for name in here if here[name] != there[name]}
    assert moved == {
        "root", "home", "code_store", "venvs", "releases", "current", "upstream", "history", "lock",
        "run_lock", "take_back",
    }  # fmt: skip
    assert there["upstream"] == "/srv/apps/shop/current/socket"


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
