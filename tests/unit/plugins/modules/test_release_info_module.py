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

from ansible_collections.wsgiops.flask.plugins.module_utils import _services, _task_release_info
from ansible_collections.wsgiops.flask.plugins.module_utils._layout import KEPT_DATA_MARK, USER_COMMENT, claimed_paths
from ansible_collections.wsgiops.flask.tests.unit.plugins.host import Host, HostLayout

Run = Callable[..., dict[str, t.Any]]
Users = dict[str, str]


@pytest.fixture
def users(monkeypatch: pytest.MonkeyPatch, host: Host) -> Users:
    """Users of the host and their comments."""
    known: Users = {}
    monkeypatch.setattr(pwd, "getpwnam", lambda name: types.SimpleNamespace(pw_uid=0, pw_gecos=known[name]))
    monkeypatch.setattr(_task_release_info, "Layout", HostLayout)
    return known


@pytest.fixture
def info(host: Host, users: Users, run_module: Run) -> Run:
    def run(code: str = "0" * 16, service: str = "auto") -> dict[str, t.Any]:
        arguments = {"name": "shop", "root": host.layout.root, "source": "shop", "code": code, "service": service}
        return run_module("release_info", arguments)

    return run


def test_a_host_without_the_application(host: Host, info: Run) -> None:
    os.rmdir(host.layout.code_store)
    os.rmdir(host.layout.venvs)
    assert info() == {
        "changed": False,
        "code": "0" * 16,
        "staged": False,
        "user_exists": False,
        "release": None,
        "service": "systemd",
    }


@pytest.mark.parametrize(("asked", "booted", "found"), [
    ("auto", True, "systemd"), ("auto", False, "cron"), ("cron", True, "cron"), ("systemd", True, "systemd"),
])  # fmt: skip
def test_what_runs_applications_on_the_host(
    users: Users, info: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, asked: str, booted: bool, found: str
) -> None:
    users["shop"] = USER_COMMENT
    monkeypatch.setattr(_services, "SYSTEMD_RUNS", str(tmp_path if booted else tmp_path / "nowhere"))
    assert info(service=asked)["service"] == found


def test_systemd_where_it_does_not_run_the_host_is_refused(
    info: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(_services, "SYSTEMD_RUNS", str(tmp_path / "nowhere"))
    assert info(service="systemd")["msg"] == (
        "shop: service: 'systemd' is not accepted: systemd does not run this host; "
        "leave service out, or set it to auto or cron"
    )


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


@pytest.mark.parametrize("number", range(13))
def test_any_path_of_something_else_is_refused(host: Host, info: Run, number: int) -> None:
    os.rmdir(host.layout.code_store)
    os.rmdir(host.layout.venvs)
    paths = [host.layout.home, *claimed_paths(host.layout)]
    assert len(paths) == 13
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


# -- without root ------------------------------------------------------------------------------------------------------


@pytest.fixture
def private(host: Host, run_module: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The module as a user runs it, by default one that is not root, with `flask_become: false`."""

    def run(user: int = 1001, private: bool = True, root: str = "", **more: t.Any) -> dict[str, t.Any]:
        monkeypatch.setattr(os, "geteuid", lambda: user)
        arguments = {"name": "shop", "root": root or host.layout.root, "source": "shop", "code": "0" * 16}
        return run_module("release_info", {**arguments, "private": private, **more})

    return run


def test_without_root_there_is_no_user_to_make(host: Host, private: Run) -> None:
    os.rmdir(host.layout.code_store)
    os.rmdir(host.layout.venvs)
    found = private()
    assert (found["user_exists"], found["staged"], found["service"]) == (True, False, "cron")


@pytest.mark.parametrize(("user", "asked", "said"), [
    (0, True, "shop: flask_become: false is not accepted: root runs this; log in as an ordinary user"),
    (1001, False, "shop: flask_become: true is not accepted: it does not make this user root"),
])  # fmt: skip
def test_who_runs_it_and_flask_become_have_to_agree(private: Run, user: int, asked: bool, said: str) -> None:
    assert private(user, asked)["msg"] == said


def test_systemd_is_refused_without_root(private: Run) -> None:
    assert private(service="systemd")["msg"] == (
        "shop: service: 'systemd' is not accepted: it takes root, and flask_become is false; "
        "leave service out, or set it to auto or cron"
    )


@pytest.mark.parametrize(("length", "accepted"), [(107, True), (108, False)])
def test_a_socket_has_to_have_a_name(private: Run, tmp_path: Path, length: int, accepted: bool) -> None:
    rest = len("/shop/run/0123456789ab.sock")
    root = str(tmp_path / "x")
    root += "x" * (length - rest - len(root))
    said = private(root=root).get("msg", "")
    assert said.startswith("" if accepted else f"shop: flask_root: '{root}' is not accepted: the path of a socket, ")
    assert bool(said) is not accepted


def test_a_directory_that_the_user_has_for_something_else_is_refused(host: Host, private: Run) -> None:
    assert "exists and is not a wsgiops.flask application's; choose another name" in private()["msg"]
    Path(host.layout.lock).write_text("")
    assert private()["user_exists"]
