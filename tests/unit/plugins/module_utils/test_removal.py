# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from ansible_collections.wsgiops.flask.plugins.module_utils._layout import KEPT_DATA_MARK
from ansible_collections.wsgiops.flask.plugins.module_utils._lock import Locked, locked
from ansible_collections.wsgiops.flask.plugins.module_utils._removal import remove_application
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
