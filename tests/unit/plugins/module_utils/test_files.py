# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from ansible_collections.wsgiops.flask.plugins.module_utils import _files
from ansible_collections.wsgiops.flask.plugins.module_utils._files import WantedFile
from ansible_collections.wsgiops.flask.tests.unit.plugins.host import Accounts

pytestmark = pytest.mark.usefixtures("accounts")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


# --- write --------------------------------------------------------------------------------------------------------


def test_a_file_is_written_with_content_mode_and_owner(tmp_path: Path, accounts: Accounts) -> None:
    path = tmp_path / "env"
    wanted = WantedFile(str(path), "line\r\nother\udcff\n", 0o640, "root", "shop")
    assert not _files.matches(wanted)
    _files.write(wanted)
    assert path.read_bytes() == b"line\r\nother\xff\n"
    assert mode(path) == 0o640
    assert accounts.owner(path) == (0, 990)
    assert _files.matches(wanted)


def test_the_umask_takes_no_bits_away(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        _files.write(WantedFile(str(tmp_path / "unit"), "", 0o644))
        _files.ensure_directory(str(tmp_path / "releases"), 0o755)
    finally:
        os.umask(before)
    assert mode(tmp_path / "unit") == 0o644
    assert mode(tmp_path / "releases") == 0o755


def test_what_is_being_written_is_readable_to_its_owner_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    fchmod = os.fchmod

    def spy(descriptor: int, wanted: int) -> None:
        found = os.fstat(descriptor)
        seen.append((found.st_size, stat.S_IMODE(found.st_mode)))
        fchmod(descriptor, wanted)

    monkeypatch.setattr(os, "fchmod", spy)
    before = os.umask(0)
    try:
        _files.write(WantedFile(str(tmp_path / "env"), "A=1\n", 0o600))
    finally:
        os.umask(before)
    assert seen == [(4, 0o600)]


def test_a_file_is_replaced_by_a_rename(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "site.conf"
    path.write_text("old")
    on_disk = []

    def rename(source: str, target: str) -> None:
        on_disk.append((path.read_text(), Path(source).read_text(), mode(Path(source))))
        Path(source).replace(target)

    monkeypatch.setattr(os, "rename", rename)
    with path.open() as reader:
        _files.write(WantedFile(str(path), "new", 0o600))
        assert reader.read() == "old"
    assert on_disk == [("old", "new", 0o600)]
    assert path.read_text() == "new"


def test_what_stood_there_stays_when_the_write_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "site.conf"
    path.write_text("old")

    def full(descriptor: int) -> None:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        _files.write(WantedFile(str(path), "new"))
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What goes to the disk, and when it becomes visible."""
    seen: list[str] = []
    rename = os.rename

    def fsync(descriptor: int) -> None:
        found = os.fstat(descriptor)
        seen.append("directory synced" if stat.S_ISDIR(found.st_mode) else f"{found.st_size} bytes synced")

    def visible(source: str, target: str) -> None:
        seen.append("renamed")
        rename(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "rename", visible)
    return seen


def test_a_power_cut_leaves_the_old_file_or_the_whole_new_one(tmp_path: Path, events: list[str]) -> None:
    _files.write(WantedFile(str(tmp_path / "unit"), "text\n"))
    assert events == ["5 bytes synced", "renamed", "directory synced"]


def test_a_power_cut_leaves_the_old_link_or_the_new_one(tmp_path: Path, events: list[str]) -> None:
    _files.replace_link("releases/a", str(tmp_path / "current"))
    assert events == ["renamed", "directory synced"]


def test_an_unknown_group_changes_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="nobody-here"):
        _files.write(WantedFile(str(tmp_path / "x"), "", 0o644, "root", "nobody-here"))
    assert list(tmp_path.iterdir()) == []


# --- matches and read_text ----------------------------------------------------------------------------------------


def test_any_difference_is_seen(tmp_path: Path, accounts: Accounts) -> None:
    path = tmp_path / "unit"
    wanted = WantedFile(str(path), "text\n", 0o644)
    _files.write(wanted)

    path.chmod(0o664)
    assert not _files.matches(wanted)
    path.chmod(0o644)
    assert _files.matches(wanted)

    accounts.chown(path, 990, 0)
    assert not _files.matches(wanted)
    accounts.chown(path, 0, 990)
    assert not _files.matches(wanted)
    accounts.chown(path, 0, 0)
    assert _files.matches(wanted)

    path.write_text("text\n\n")
    assert not _files.matches(wanted)


def test_a_link_to_the_right_file_is_not_the_file(tmp_path: Path) -> None:
    wanted = WantedFile(str(tmp_path / "unit"), "text\n")
    _files.write(WantedFile(str(tmp_path / "other"), "text\n"))
    (tmp_path / "unit").symlink_to("other")
    assert not _files.matches(wanted)
    _files.write(wanted)
    assert not (tmp_path / "unit").is_symlink()


def test_a_file_below_a_file_and_one_of_an_unknown_user_are_not_there(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert not _files.matches(WantedFile(str(tmp_path / "file" / "unit"), ""))
    assert not _files.matches(WantedFile(str(tmp_path / "file"), "", 0o644, "nobody-here", "root"))


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"a\r\n")
    (tmp_path / "link").symlink_to("file")
    assert _files.read_text(str(tmp_path / "file")) == "a\r\n"
    assert _files.read_text(str(tmp_path / "link")) is None
    assert _files.read_text(str(tmp_path)) is None
    assert _files.read_text(str(tmp_path / "none")) is None


# --- links and directories ----------------------------------------------------------------------------------------


def test_a_link_is_replaced_by_a_rename(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = tmp_path / "current"
    _files.replace_link("releases/a", str(link))
    (tmp_path / "current.wsgiops-new").symlink_to("left by a crash")
    before = []

    def rename(source: str, target: str) -> None:
        before.append(os.readlink(target))
        Path(source).replace(target)

    monkeypatch.setattr(os, "rename", rename)
    _files.replace_link("releases/b", str(link))
    assert before == ["releases/a"]
    assert os.readlink(link) == "releases/b"
    assert list(tmp_path.iterdir()) == [link]


def test_a_directory_is_made_as_wanted_once(tmp_path: Path, accounts: Accounts) -> None:
    path = tmp_path / "shop"
    assert _files.ensure_directory(str(path), 0o750, 0, 990)
    assert (mode(path), accounts.owner(path)) == (0o750, (0, 990))
    assert not _files.ensure_directory(str(path), 0o750, 0, 990)

    path.chmod(0o777)
    assert _files.ensure_directory(str(path), 0o750, 0, 990)
    assert mode(path) == 0o750

    assert _files.ensure_directory(str(path), 0o750)
    assert accounts.owner(path) == (0, 0)


@pytest.mark.parametrize("kind", ["file", "link"])
def test_what_is_no_directory_stays_and_is_an_error(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "shop"
    if kind == "file":
        path.write_text("mine")
    else:
        path.symlink_to(tmp_path)
    with pytest.raises(FileExistsError):
        _files.ensure_directory(str(path), 0o700)
    assert path.is_symlink() if kind == "link" else path.read_text() == "mine"


def test_a_parent_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        _files.ensure_directory(str(tmp_path / "no" / "such"), 0o755)


def test_remove_follows_no_link(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "data").write_text("here")
    release = tmp_path / "release"
    release.mkdir()
    (release / "code").symlink_to(precious)
    (tmp_path / "link").symlink_to(precious)

    assert _files.remove(str(release))
    assert _files.remove(str(tmp_path / "link"))
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]
    assert (precious / "data").read_text() == "here"


def test_remove_takes_files_and_dangling_links_and_says_when_there_is_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "dangling").symlink_to("nowhere")
    assert _files.remove(str(tmp_path / "file"))
    assert _files.remove(str(tmp_path / "dangling"))
    assert not _files.remove(str(tmp_path / "file"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["directory", "link"])
def test_a_directory_that_somebody_made_stays_as_it_is(tmp_path: Path, accounts: Accounts, kind: str) -> None:
    path = tmp_path / "srv"
    path.mkdir(mode=0o700)
    os.chown(path, 990, 990)
    there = path if kind == "directory" else tmp_path / "opt"
    if kind == "link":
        there.symlink_to(path)
    _files.ensure_exists(str(there))
    assert (mode(path), accounts.owner(path)) == (0o700, (990, 990))
    assert there.is_symlink() == (kind == "link")


def test_a_directory_that_is_not_there_is_made_for_everyone_to_pass(tmp_path: Path, accounts: Accounts) -> None:
    _files.ensure_exists(str(tmp_path / "srv"))
    assert mode(tmp_path / "srv") == 0o755
