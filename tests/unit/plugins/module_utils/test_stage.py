# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import io
import os
import stat
import tarfile
import typing as t
from collections.abc import Callable
from pathlib import Path

import pytest

from ansible_collections.wsgiops.flask.plugins.module_utils import _stage
from ansible_collections.wsgiops.flask.plugins.module_utils._layout import Layout
from ansible_collections.wsgiops.flask.plugins.module_utils._stage import is_staged, publish, stage
from ansible_collections.wsgiops.flask.plugins.module_utils._tree import scan, tree_digest
from ansible_collections.wsgiops.flask.plugins.plugin_utils._source import list_source, write_archive
from ansible_collections.wsgiops.flask.tests.unit.plugins.host import Accounts

SHOP = 990  # gid of the application's group


class Source(t.NamedTuple):
    """A source on the controller, packed."""

    digest: str
    archive: str


@pytest.fixture
def layout(tmp_path: Path, accounts: Accounts) -> Layout:
    layout = Layout("shop", str(tmp_path / "opt"))
    os.makedirs(layout.code_store)
    return layout


@pytest.fixture
def source(tmp_path: Path) -> Source:
    root = tmp_path / "source"
    (root / "shop").mkdir(parents=True)
    (root / "shop" / "__init__.py").write_text("app = 1\n")
    (root / "run").write_text("#!/bin/sh\n")
    (root / "run").chmod(0o755)
    (root / "link").symlink_to("shop/__init__.py")
    entries = list_source(root)
    archive = tmp_path / "code.tar.gz"
    write_archive(root, entries, archive)
    return Source(tree_digest(entries), str(archive))


@pytest.fixture
def staged(layout: Layout, source: Source) -> Path:
    """The staged code."""
    stage(layout, source.digest, source.archive)
    return Path(layout.code_store, source.digest)


def pack(path: Path, *members: tarfile.TarInfo) -> str:
    with tarfile.open(path, "w") as archive:
        for member in members:
            archive.addfile(member, io.BytesIO(b"x" * member.size))
    return str(path)


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, 1 if kind == tarfile.REGTYPE else 0
    return info


# --- what is staged -----------------------------------------------------------------------------------------------


def test_code_is_staged_whole(layout: Layout, source: Source) -> None:
    assert not is_staged(layout, source.digest)
    stage(layout, source.digest, source.archive)
    assert is_staged(layout, source.digest)
    assert tree_digest(scan(os.path.join(layout.code_store, source.digest))) == source.digest
    assert os.listdir(layout.code_store) == [source.digest]


def test_code_is_roots_and_its_group_alone_may_read_it(staged: Path, accounts: Accounts) -> None:
    found = {}
    for path in [staged, *staged.rglob("*")]:
        assert accounts.owner(path) == (0, SHOP)
        found[str(path.relative_to(staged))] = stat.S_IMODE(path.lstat().st_mode)
    assert found.pop("link")
    assert found == {".": 0o750, "shop": 0o750, "shop/__init__.py": 0o640, "run": 0o750}


@pytest.mark.parametrize(
    "drift",
    [
        lambda code: (code / "shop" / "__init__.py").write_text("app = 2\n"),
        lambda code: (code / "shop" / "evil.py").write_text(""),
        lambda code: (code / "run").unlink(),
        lambda code: (code / "run").chmod(0o640),
        lambda code: (code / "run").chmod(0o755),
        lambda code: (code / "shop").chmod(0o770),
        lambda code: code.chmod(0o755),
        lambda code: os.chown(code / "run", SHOP, SHOP),
        lambda code: os.chown(code / "shop", 0, 0),
        lambda code: os.lchown(code / "link", SHOP, SHOP),
        lambda code: os.mkfifo(code / "pipe"),
    ],
    ids=[
        "content", "extra file", "lost file", "lost x bit", "world-readable", "group-writable", "open directory",
        "foreign owner", "foreign group", "foreign link", "fifo",
    ],
)  # fmt: skip
def test_any_drift_is_seen_and_staging_again_puts_it_right(
    layout: Layout, source: Source, staged: Path, drift: Callable[[Path], object]
) -> None:
    drift(staged)
    assert not is_staged(layout, source.digest, [])
    stage(layout, source.digest, source.archive)
    assert is_staged(layout, source.digest, [])
    assert os.listdir(layout.code_store) == [source.digest]


def test_a_link_to_the_right_code_is_not_the_code(layout: Layout, source: Source, staged: Path) -> None:
    staged.rename(staged.parent.parent / "elsewhere")
    staged.symlink_to("../elsewhere")
    assert not is_staged(layout, source.digest)


def test_code_is_not_staged_where_its_group_is_not_known(tmp_path: Path, accounts: Accounts) -> None:
    layout = Layout("unknown", str(tmp_path / "opt"))
    os.makedirs(os.path.join(layout.code_store, tree_digest([])))
    assert not is_staged(layout, tree_digest([]))


# --- what is refused ----------------------------------------------------------------------------------------------


def test_other_code_than_announced_leaves_nothing(layout: Layout, source: Source) -> None:
    with pytest.raises(ValueError, match=f"holds code {source.digest} where 0000 was announced; did the source change"):
        stage(layout, "0000", source.archive)
    assert os.listdir(layout.code_store) == []


def test_an_archive_that_was_cut_leaves_nothing(layout: Layout, source: Source) -> None:
    content = Path(source.archive).read_bytes()
    Path(source.archive).write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match="the archive can't be unpacked"):
        stage(layout, source.digest, source.archive)
    assert os.listdir(layout.code_store) == []


def test_what_is_staged_stays_when_staging_fails(layout: Layout, source: Source, staged: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="was announced"):
        stage(layout, source.digest, pack(tmp_path / "other.tar", member("other")))
    assert is_staged(layout, source.digest)
    assert os.listdir(layout.code_store) == [source.digest]


def test_what_a_killed_run_left_is_cleared(layout: Layout, source: Source) -> None:
    left = Path(layout.code_store, _stage.STAGING_PREFIX + "abc")
    left.mkdir()
    (left / "half").write_text("")
    other = Path(layout.code_store, "1" * 16)
    other.mkdir()
    stage(layout, source.digest, source.archive)
    assert sorted(os.listdir(layout.code_store)) == sorted([other.name, source.digest])


HOSTILE = {
    "parent": [member("../evil")],
    "hidden parent": [member("shop/../../evil")],
    "absolute": [member("{0}/evil")],
    "device": [member("evil", tarfile.CHRTYPE)],
    "fifo": [member("evil", tarfile.FIFOTYPE)],
    "hard link to a file outside": [member("evil", tarfile.LNKTYPE, "{0}/precious")],
}


@pytest.mark.parametrize("members", HOSTILE.values(), ids=HOSTILE.keys())
@pytest.mark.parametrize("filtered", [True, False], ids=["as this Python does", "without data_filter"])
def test_a_hostile_archive_writes_nothing_outside_and_leaves_nothing(
    layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, members: list[tarfile.TarInfo], filtered: bool
) -> None:
    if not filtered:
        monkeypatch.delattr(tarfile, "data_filter", raising=False)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("mine")
    placed = [member(one.name.format(outside), one.type, one.linkname.format(outside)) for one in members]
    with pytest.raises(ValueError, match="unpacked"):
        stage(layout, "0" * 16, pack(tmp_path / "hostile.tar", *placed))
    assert os.listdir(layout.code_store) == []
    assert sorted(os.listdir(layout.home)) == ["code"]
    assert os.listdir(outside) == ["precious"]
    assert (outside / "precious").read_text() == "mine"


def test_without_the_data_filter_the_member_is_named(
    layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(tarfile, "data_filter", raising=False)
    with pytest.raises(ValueError, match=r"the archive holds '\.\./evil', which may not be unpacked"):
        stage(layout, "0" * 16, pack(tmp_path / "hostile.tar", member("fine"), member("../evil")))


def test_the_data_filter_is_used_where_python_has_it(
    layout: Layout, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(tarfile, "data_filter", object(), raising=False)
    monkeypatch.setattr(tarfile.TarFile, "extractall", lambda _tar, _path, **options: asked.append(options))
    with pytest.raises(ValueError, match="was announced"):
        stage(layout, source.digest, source.archive)
    assert asked == [{"filter": "data"}]


def test_a_link_in_an_archive_leads_nowhere_outside(
    layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(tarfile, "data_filter", raising=False)
    outside = tmp_path / "outside"
    outside.mkdir()
    link, below = tarfile.TarInfo("x"), tarfile.TarInfo("x/below")
    link.type, link.linkname, below.size = tarfile.SYMTYPE, str(outside), 1
    with tarfile.open(tmp_path / "linked.tar", "w") as archive:
        archive.addfile(link)
        archive.addfile(below, io.BytesIO(b"x"))
    with pytest.raises(ValueError, match="'x/below', which may not be unpacked"):
        stage(layout, "0" * 16, str(tmp_path / "linked.tar"))
    assert os.listdir(outside) == []


def test_what_is_no_archive_is_told(layout: Layout, tmp_path: Path) -> None:
    (tmp_path / "cut.tar").write_bytes(b"nonsense")
    with pytest.raises(ValueError, match="the archive can't be unpacked"):
        stage(layout, "0" * 16, str(tmp_path / "cut.tar"))


# --- what is public -----------------------------------------------------------------------------------------------


@pytest.fixture
def pages(tmp_path: Path) -> Source:
    """Code with a directory of pages in it, and others whose names begin alike."""
    root = tmp_path / "pages"
    for name in ("shop/static/css", "shop/static2", "shop/templates"):
        (root / name).mkdir(parents=True)
    for name in ("shop/static/css/a.css", "shop/static/run", "shop/static2/b", "shop/templates/c", "wsgi.py"):
        (root / name).write_text(name)
    (root / "shop/static/run").chmod(0o755)
    entries = list_source(root)
    write_archive(root, entries, tmp_path / "pages.tar.gz")
    return Source(tree_digest(entries), str(tmp_path / "pages.tar.gz"))


OPEN = {
    "shop/static/css": 0o755,
    "shop/static/css/a.css": 0o644,
    "shop/static/run": 0o755,
    "shop/static": 0o755,
    "shop": 0o751,
    ".": 0o751,
}


def modes(root: Path) -> dict[str, int]:
    """What others may do with, by path."""
    paths = [root, *root.rglob("*")]
    found = {str(path.relative_to(root)): stat.S_IMODE(path.stat().st_mode) for path in paths}
    return {path: mode for path, mode in found.items() if mode & 0o007}


def test_everyone_may_read_what_is_public_and_pass_what_is_above(layout: Layout, pages: Source) -> None:
    stage(layout, pages.digest, pages.archive, ["shop/static"])
    assert modes(Path(layout.code_store, pages.digest)) == OPEN


def test_what_is_public_is_changed_in_place(layout: Layout, pages: Source) -> None:
    stage(layout, pages.digest, pages.archive)
    root = Path(layout.code_store, pages.digest)
    place = root.stat().st_ino
    assert modes(root) == {}
    publish(layout, ["shop/static"])
    assert modes(root) == OPEN
    publish(layout, [])
    assert modes(root) == {}
    assert root.stat().st_ino == place


def test_code_is_staged_with_what_is_public_as_wanted(layout: Layout, pages: Source) -> None:
    stage(layout, pages.digest, pages.archive, ["shop/static"])
    assert is_staged(layout, pages.digest, ["shop/static"])
    assert not is_staged(layout, pages.digest, [])
    assert not is_staged(layout, pages.digest, ["shop/templates", "shop/static"])
    # Whoever does not ask takes both.
    assert is_staged(layout, pages.digest)
    publish(layout, [])
    assert is_staged(layout, pages.digest)
    assert is_staged(layout, pages.digest, [])


def test_older_code_is_public_alike(layout: Layout, pages: Source, source: Source, tmp_path: Path) -> None:
    """A rollback leads to it, and nginx's site stays as it is."""
    stage(layout, pages.digest, pages.archive)
    stage(layout, source.digest, source.archive, ["shop/static"])
    assert modes(Path(layout.code_store, pages.digest)) == OPEN
    stage(layout, source.digest, source.archive)
    assert modes(Path(layout.code_store, pages.digest)) == {}


@pytest.mark.parametrize("mode", [0o642, 0o660, 0o600])
def test_what_others_may_write_is_not_staged_for_anybody(layout: Layout, pages: Source, mode: int) -> None:
    stage(layout, pages.digest, pages.archive, ["shop/static"])
    Path(layout.code_store, pages.digest, "wsgi.py").chmod(mode)
    assert not is_staged(layout, pages.digest)
