# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import typing as t
from collections.abc import Callable
from pathlib import Path

import pytest

from ansible_collections.wsgiops.flask.plugins.plugin_utils._static import LONGEST, static_problems

Check = Callable[..., list[str]]

URL_RULE = "segments of letters, digits and ._~-, with a slash in front of each and one at the end"
PATH_RULE = (
    "a path without . and .. in it and no slash at its end, of letters, digits and ._+,=@~-, "
    "absolute on the host or relative in the source"
)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "shop" / "static").mkdir(parents=True)
    (tmp_path / "shop" / "app.py").touch()
    return tmp_path


@pytest.fixture
def check(source: Path) -> Check:
    """Problems of an application that has nginx serve some directories."""

    def run(*static: t.Any) -> list[str]:
        return static_problems({"name": "shop", "source": str(source), "static": list(static)}, Path)

    return run


def entry(**keys: t.Any) -> dict[str, t.Any]:
    return {"url": "/static/", "path": "shop/static", **keys}


def test_what_is_accepted(check: Check) -> None:
    assert check() == []
    assert (
        check(
            entry(),
            {"url": "/media/a.b_c~d-e/", "path": "/var/lib/shop/media", "cache": 0},
            {"url": "/.well-known/x/", "path": "/srv/x", "cache": str(LONGEST)},
            {"url": "/fonts/", "path": "/usr/share/fonts"},
        )
        == []
    )


@pytest.mark.parametrize(
    ("url", "near"),
    [
        ("static", "/static/"),
        ("/static", "/static/"),
        ("//static//", "/static/"),
        ("/", None),
        ("", None),
        ("/a/../b/", None),
        ("/a b/", None),
        ("/a$b/", None),
        ("/a;b/", None),
        ("/a/\n", "/a/"),
    ],
)
def test_a_url_is_refused(check: Check, url: str, near: str | None) -> None:
    hint = f"; did you mean {near!r}?" if near else ""
    assert check(entry(url=url)) == [f"static: entry 1: url: {url!r} is not accepted: {URL_RULE}{hint}"]


@pytest.mark.parametrize("path", ["", "a/../b", "./static", "static/", "/srv/", "a b", "a$b", "a//b", "~/x y"])
def test_what_is_no_path_is_refused(check: Check, path: str) -> None:
    assert check(entry(path=path)) == [f"static: entry 1: path: {path!r} is not accepted: {PATH_RULE}"]


@pytest.mark.parametrize(
    "path",
    ["/etc", "/etc/nginx", "/opt/shop", "/var/lib", "/var/lib/shop", "/home/me", "/root", "/proc/1", "/var/log/x"],
)
def test_what_clients_should_not_get_is_refused(check: Check, path: str) -> None:
    [problem] = check(entry(path=path))
    assert problem.startswith(
        f"static: entry 1: path: {path!r} is not accepted: it holds more than clients should get; "
    )
    assert "/var/lib/shop/media" in problem


@pytest.mark.parametrize("path", ["static", "shop/app.py"])
def test_a_directory_of_the_source_is_there(check: Check, source: Path, path: str) -> None:
    said = f"static: entry 1: path: {path!r} is not accepted: there is no such directory in {source}"
    assert check(entry(path=path)) == [said]


@pytest.mark.parametrize("cache", [-1, LONGEST + 1, "1h", 1.5, None, True])
def test_a_time_is_refused(check: Check, cache: t.Any) -> None:
    said = f"static: entry 1: cache: {cache!r} is not accepted: whole seconds from 0 to {LONGEST}"
    assert check(entry(cache=cache)) == [said]


def test_keys_are_known_and_there(check: Check) -> None:
    assert check({"ulr": "/static/", "path": 5, "size": 1}) == [
        "static: entry 1: ulr: unknown key; did you mean url?",
        "static: entry 1: size: unknown key; accepted are url, path, cache",
        "static: entry 1: url: is required, a string",
        "static: entry 1: path: is required, a string",
    ]


def test_a_url_is_one_directory(check: Check) -> None:
    assert check(entry(), entry(path="/srv/x")) == [
        "static: entry 2: url: '/static/' stands there already; leave one out"
    ]
