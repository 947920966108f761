# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import os
import pwd
import types
import typing as t
from collections.abc import Callable
from pathlib import Path

import pytest

from ansible_collections.wsgiops.flask.plugins.module_utils._layout import KEPT_DATA_MARK, USER_COMMENT, claimed_paths
from ansible_collections.wsgiops.flask.plugins.modules import release_info
from ansible_collections.wsgiops.flask.tests.unit.plugins.host import Host, HostLayout

Run = Callable[..., dict[str, t.Any]]
Users = dict[str, str]


@pytest.fixture
def users(monkeypatch: pytest.MonkeyPatch, host: Host) -> Users:
    """Users of the host and their comments."""
    known: Users = {}
    monkeypatch.setattr(pwd, "getpwnam", lambda name: types.SimpleNamespace(pw_uid=0, pw_gecos=known[name]))
    monkeypatch.setattr(release_info, "Layout", HostLayout)
    return known


@pytest.fixture
def info(host: Host, users: Users, run_module: Run) -> Run:
    def run(code: str = "0" * 16) -> dict[str, t.Any]:
        arguments = {"name": "shop", "root": host.layout.root, "source": "shop", "code": code}
        return run_module(release_info, arguments)

    return run


def test_a_host_without_the_application(host: Host, info: Run) -> None:
    os.rmdir(host.layout.code_store)
    os.rmdir(host.layout.venvs)
    assert info() == {"changed": False, "code": "0" * 16, "staged": False, "user_exists": False, "release": None}


def test_a_host_with_it(host: Host, users: Users, info: Run) -> None:
    users["shop"] = USER_COMMENT
    release = host.release()
    host.bring(release)
    os.makedirs(host.layout.release(release.id))
    os.symlink(f"releases/{release.id}", host.layout.current)
    found = info(release.parts.code)
    assert (found["staged"], found["user_exists"], found["release"]) == (True, True, release.id)


@pytest.mark.parametrize("comment", [USER_COMMENT, f"{USER_COMMENT},room,phone"])
def test_its_own_user_may_have_all_paths(host: Host, users: Users, info: Run, comment: str) -> None:
    users["shop"] = comment
    os.makedirs(os.path.join(host.layout.state, "data"))
    assert info()["user_exists"]


@pytest.mark.parametrize("comment", ["", "Ada Lovelace", f"not a {USER_COMMENT}", USER_COMMENT.upper()])
def test_the_user_of_somebody_else_is_refused(users: Users, info: Run, comment: str) -> None:
    users["shop"] = comment
    assert info()["msg"] == (
        "shop: name: 'shop' can't be used on this host: the user shop exists and was made by somebody else; "
        "choose another name for the application"
    )


@pytest.mark.parametrize("number", range(12))
def test_any_path_of_something_else_is_refused(host: Host, info: Run, number: int) -> None:
    os.rmdir(host.layout.code_store)
    os.rmdir(host.layout.venvs)
    paths = [host.layout.home, *claimed_paths(host.layout)]
    assert len(paths) == 12
    os.makedirs(os.path.dirname(paths[number]), exist_ok=True)
    if os.path.isdir(paths[number]):
        Path(paths[number], "something").write_text("")
    else:
        Path(paths[number]).write_text("")
    said = f"{paths[number]} exists and is not a wsgiops.flask application's"
    assert said in info()["msg"]


def test_kept_data_and_empty_directories_are_nobody_elses(host: Host, info: Run) -> None:
    os.rmdir(host.layout.code_store)
    os.rmdir(host.layout.venvs)
    os.makedirs(host.layout.state)
    Path(host.layout.state, KEPT_DATA_MARK).write_text("")
    Path(host.layout.state, "shop.sqlite3").write_text("")
    os.makedirs(host.layout.logs)
    assert not info()["user_exists"]


def test_a_dangling_link_is_something_else(host: Host, info: Run) -> None:
    os.rmdir(host.layout.code_store)
    os.rmdir(host.layout.venvs)
    os.makedirs(os.path.dirname(host.layout.state))
    os.symlink("nowhere", host.layout.state)
    assert f"{host.layout.state} exists and is not" in info()["msg"]
