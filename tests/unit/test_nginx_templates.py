# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The site that the nginx role writes: what of it an application's keys decide."""

from __future__ import annotations

import re
import typing as t
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ansible_collections.wsgiops.flask.tests.unit.rendering import Render, rendering

Directives = Callable[..., list[str]]


@pytest.fixture(scope="module")
def render(repository: Path) -> Iterator[Render]:
    with rendering(repository, "nginx") as render:
        yield render


@pytest.fixture
def directives(render: Render) -> Directives:
    """Values of a directive in the site of an application with further keys."""

    def read(name: str, **keys: t.Any) -> list[str]:
        site = render("lookup('ansible.builtin.template', 'site.conf.j2')", keys)
        return re.findall(rf"^ *{name} (.*);$", site, re.MULTILINE)

    return read


@pytest.mark.parametrize(
    ("logs", "written"),
    [
        ({}, "/var/log/nginx/shop.access.log wsgiops_flask"),
        ({"access": "nginx"}, "/var/log/nginx/shop.access.log wsgiops_flask"),
        ({"access": "both"}, "/var/log/nginx/shop.access.log wsgiops_flask"),
        ({"access": "gunicorn"}, "off"),
        ({"access": "none"}, "off"),
    ],
)
def test_who_writes_access_lines(directives: Directives, logs: dict[str, str], written: str) -> None:
    assert directives("access_log", logs=logs) == [written]


@pytest.mark.parametrize(
    ("restart", "told"),
    [({}, "300"), ({"cooldown": 60}, "60"), ({"cooldown": "60"}, "60"), ({"cooldown": 0}, "120")],
)
def test_when_clients_are_told_to_come_again(directives: Directives, restart: dict[str, t.Any], told: str) -> None:
    assert directives("add_header", restart=restart) == [f"Retry-After {told} always"]
