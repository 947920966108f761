# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import os
import pwd
import stat
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from ansible_collections.wsgiops.flask.plugins.module_utils import _crontab
from ansible_collections.wsgiops.flask.plugins.module_utils._layout import KEPT_DATA_MARK, USER_COMMENT, Layout
from ansible_collections.wsgiops.flask.plugins.module_utils._lock import Locked, locked
from ansible_collections.wsgiops.flask.plugins.module_utils._removal import remove_application
from ansible_collections.wsgiops.flask.plugins.module_utils._service_cron import Cron
from ansible_collections.wsgiops.flask.tests.unit.plugins.host import Host

Remove = Callable[..., list[str]]


@pytest.fixture
def remove(host: Host) -> Remove:
    def run(remove_data: bool = False, lock_wait: float = 0, dry_run: bool = False) -> list[str]:
        return remove_application(host.layout, host.service, remove_data, lock_wait, dry_run)  # type: ignore[arg-type]

    return run


@pytest.fixture
def deployed(host: Host) -> str:
    """A host with a release that serves, a leftover that starts at boot, data, logs, and a neighbour's files."""
    host.deploy(host.release(retry=True))
    host.service.enabled.add("leftover")
    layout = host.layout
    for directory in (layout.state, layout.cache, layout.logs, layout.run, os.path.dirname(layout.nginx_site)):
        os.makedirs(directory, exist_ok=True)
    Path(layout.state, "shop.sqlite3").write_text("data")
    Path(layout.error_log).write_text("log")
    Path(layout.nginx_site).write_text("site")
    os.makedirs(layout.state + "-2")
    return os.path.basename(os.readlink(layout.current))


def below(layout_root: str) -> set[str]:
    base = Path(layout_root).parent
    return {str(path.relative_to(base)) for path in base.rglob("*") if not path.is_dir()}


def test_nothing_of_the_application_stays_but_its_data(host: Host, deployed: str, remove: Remove) -> None:
    layout = host.layout
    steps = remove()
    assert steps == [
        f"stop release {deployed}",
        "stop release leftover",
        f"remove {layout.service_template}",
        f"remove {layout.socket_template}",
        f"remove {layout.retry_timer_template}",
        f"remove {layout.retry_service_template}",
        f"keep {layout.state}, closed to everyone but root",
        f"remove {layout.run}",
        f"remove {layout.cache}",
        f"remove {layout.logs}",
        f"remove {layout.home}",
    ]
    assert below(layout.root) == {
        "var/lib/shop/shop.sqlite3",
        f"var/lib/shop/{KEPT_DATA_MARK}",
        "etc/nginx/conf.d/shop.conf",  # the nginx role's
    }
    assert os.path.isdir(layout.state + "-2")
    assert host.service.running() == []
    assert host.service.releases() == []


def test_systemd_forgets_the_units(host: Host, deployed: str, remove: Remove) -> None:
    remove()
    assert host.service.acts[-1] == "daemon-reload"
    assert not host.service.state(deployed).needs_reload


def test_what_would_bring_a_release_back_is_ended_first(host: Host, deployed: str, remove: Remove) -> None:
    host.service.arm(["take-back"], 60)
    host.service.acts.clear()
    remove(dry_run=True)
    assert host.service.acts == []
    remove()
    assert host.service.acts[0] == "end-tasks"
    assert host.service.armed is None


def test_kept_data_is_roots_alone(host: Host, deployed: str, remove: Remove) -> None:
    os.chown(host.layout.state, 990, 990)
    remove()
    found = os.lstat(host.layout.state)
    assert (stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid) == (0o700, 0, 0)
    mark = os.lstat(os.path.join(host.layout.state, KEPT_DATA_MARK))
    assert (stat.S_IMODE(mark.st_mode), mark.st_uid) == (0o600, 0)


def test_data_goes_when_asked_for(host: Host, deployed: str, remove: Remove) -> None:
    assert f"remove {host.layout.state}" in remove(remove_data=True)
    assert below(host.layout.root) == {"etc/nginx/conf.d/shop.conf"}


def test_kept_data_can_be_removed_later(host: Host, deployed: str, remove: Remove) -> None:
    remove()
    assert remove(remove_data=True) == [f"remove {host.layout.state}"]
    assert not os.path.exists(host.layout.state)


def test_the_second_removal_has_nothing_to_do(host: Host, deployed: str, remove: Remove) -> None:
    remove()
    assert remove() == []


@pytest.mark.parametrize("remove_data", [True, False])
def test_a_dry_run_says_the_same_and_changes_nothing(
    host: Host, deployed: str, remove: Remove, remove_data: bool
) -> None:
    before, acts = host.snapshot(), list(host.service.acts)
    said = remove(remove_data, dry_run=True)
    assert (host.snapshot(), host.service.acts) == (before, acts)
    assert said == remove(remove_data)


def test_a_link_to_the_data_is_taken_and_not_followed(
    host: Host, deployed: str, remove: Remove, tmp_path: Path
) -> None:
    (tmp_path / "precious").write_text("mine")
    os.rmdir(host.layout.cache)
    os.symlink(tmp_path, host.layout.cache)
    remove()
    assert not os.path.lexists(host.layout.cache)
    assert (tmp_path / "precious").read_text() == "mine"


def test_a_run_that_changes_the_application_is_waited_for(host: Host, deployed: str, remove: Remove) -> None:
    with (
        locked(host.layout.lock, "release 0123456789ab", 0),
        pytest.raises(Locked, match=r"\(release 0123456789ab\) holds it"),
    ):
        remove()
    assert host.service.running() == [deployed]
    assert remove()


def test_where_nothing_is_there_is_nothing_to_do(host: Host, remove: Remove) -> None:
    os.removedirs(host.layout.code_store)
    os.removedirs(host.layout.venvs)
    assert remove() == []
    assert not os.path.exists(host.layout.home)


# -- without root ------------------------------------------------------------------------------------------------------

OTHERS = "7 3 * * * backup\n"


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The crontab of the user, with the application's lines and others."""
    found = tmp_path / "table"
    found.write_text(OTHERS)
    monkeypatch.setattr(_crontab, "_read", found.read_text)
    monkeypatch.setattr(_crontab, "_crontab", lambda _arguments, text="": found.write_text(text))
    return found


@pytest.fixture
def private(tmp_path: Path, table: Path) -> Layout:
    """An application that an ordinary user has, and one beside it."""
    layout = Layout("shop", str(tmp_path / "apps"), private=True)
    for directory in (layout.releases, layout.run, layout.state, layout.cache, layout.logs):
        os.makedirs(directory)
    for path in (layout.lock, layout.app_ctl, layout.history, layout.state + "/shop.sqlite3", layout.error_log):
        Path(path).write_text("")
    Path(layout.cron).write_text("* * * * * cron-check\n")
    Cron(layout).daemon_reload()
    assert "cron-check" in table.read_text()
    return layout


def take_away(layout: Layout, remove_data: bool = False, dry_run: bool = False) -> list[str]:
    return remove_application(layout, Cron(layout), remove_data, 0, dry_run)  # type: ignore[arg-type]


def test_of_a_users_application_the_data_stays_and_lines_of_others(private: Layout, table: Path) -> None:
    said = take_away(private, dry_run=True)
    steps = take_away(private)
    # That which has cron leave the application alone meanwhile is new.
    assert said == [step for step in steps if step != f"remove {private.disabled}"]
    assert f"keep {private.state}" in steps
    assert "remove its lines of the crontab" in steps
    assert os.listdir(private.home) == ["state"]
    assert sorted(os.listdir(private.state)) == [KEPT_DATA_MARK, "shop.sqlite3"]
    assert table.read_text() == OTHERS
    assert take_away(private) == []
    assert os.listdir(private.home) == ["state"]


def test_of_a_users_application_nothing_stays_when_asked_for(private: Layout, table: Path) -> None:
    assert take_away(private, remove_data=True, dry_run=True) == take_away(private, remove_data=True)
    assert os.listdir(private.root) == []
    assert take_away(private, remove_data=True) == []


def test_a_users_other_applications_stay(private: Layout) -> None:
    os.makedirs(os.path.join(private.root, "desk"))
    take_away(private, remove_data=True)
    assert os.listdir(private.root) == ["desk"]


USER = 54321


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("comment", [USER_COMMENT, "somebody's"])
def test_what_else_runs_as_the_user_ends_unless_the_user_is_somebody_elses(
    host: Host, deployed: str, remove: Remove, monkeypatch: pytest.MonkeyPatch, comment: str
) -> None:
    """Who runs something can't be removed (userdel(8))."""
    user = SimpleNamespace(pw_uid=USER, pw_gid=USER, pw_gecos=comment)
    command = ["setpriv", "--reuid", str(USER), "--clear-groups", "sh", "-c", "trap '' TERM; while :; do sleep 1; done"]
    with subprocess.Popen(command, start_new_session=True) as process:
        try:
            while os.stat(f"/proc/{process.pid}").st_uid != USER:
                time.sleep(0.01)
            monkeypatch.setattr(pwd, "getpwnam", lambda _name: user)
            said = "end what else runs as shop"
            ours = comment == USER_COMMENT
            assert (said in remove(dry_run=True)) == ours
            assert process.poll() is None
            assert (said in remove()) == ours
            assert (process.poll() is not None) == ours
        finally:
            process.kill()
        monkeypatch.undo()


def test_lines_that_are_left_in_the_crontab_go(private: Layout, table: Path) -> None:
    """Of a directory that was deleted by hand."""
    os.rename(private.home, private.root + "/elsewhere")
    assert take_away(private) == ["remove its lines of the crontab"]
    assert table.read_text() == OTHERS


def test_a_directory_that_the_user_has_for_something_else_is_left_alone(private: Layout) -> None:
    os.unlink(private.lock)
    with pytest.raises(ValueError, match=r"/apps/shop is not a wsgiops\.flask application's, and is left alone"):
        take_away(private)
    assert os.path.exists(private.app_ctl)
