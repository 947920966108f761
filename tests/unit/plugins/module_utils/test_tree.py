# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ansible_collections.wsgiops.flask.plugins.module_utils import _tree
from ansible_collections.wsgiops.flask.plugins.module_utils._tree import (
    Entry,
    decode_path,
    encode_path,
    scan,
    tree_digest,
)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def build(root: Path) -> Path:
    (root / "shop" / "empty").mkdir(parents=True)
    (root / "shop" / "__init__.py").write_bytes(b"app = 1\n")
    (root / "run").write_bytes(b"#!/bin/sh\n")
    (root / "run").chmod(0o755)
    (root / "shop" / "link").symlink_to("../run")
    (root / "dir-link").symlink_to("shop")
    return root


def test_scan_lists_files_and_links_by_the_bytes_of_their_paths(tmp_path: Path) -> None:
    (build(tmp_path) / "Z").write_bytes(b"")
    assert scan(tmp_path) == [
        Entry("Z", "file", False, sha256(b"")),
        Entry("dir-link", "link", False, sha256(b"shop")),
        Entry("run", "file", True, sha256(b"#!/bin/sh\n")),
        Entry("shop/__init__.py", "file", False, sha256(b"app = 1\n")),
        Entry("shop/link", "link", False, sha256(b"../run")),
    ]


def test_the_digest_is_pinned() -> None:
    """Hosts keep digests that earlier versions wrote: a change of the encoding would be a new release everywhere."""
    entries = [
        Entry("b", "link", False, sha256(b"a")),
        Entry("a", "file", True, sha256(b"")),
    ]
    written = b"".join(
        b"%d:%b," % (len(field), field)
        for field in (b"a", b"file", b"x", sha256(b"").encode(), b"b", b"link", b"-", sha256(b"a").encode())
    )
    assert tree_digest(entries) == sha256(written)[:16] == "9ef13a5518ffeadb"
    assert tree_digest([]) == "e3b0c44298fc1c14"


def test_the_digest_does_not_depend_on_umask_time_order_or_empty_directories(tmp_path: Path) -> None:
    one = build(tmp_path / "one")
    before = os.umask(0o077)
    try:
        other = build(tmp_path / "other")
    finally:
        os.umask(before)
    (other / "run").chmod(0o700)
    (other / "shop" / "__init__.py").chmod(0o611)
    os.utime(other / "run", (1, 1))
    (other / "shop" / "empty").rmdir()
    assert tree_digest(scan(one)) == tree_digest(reversed(scan(other)))


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda root: (root / "run").chmod(0o655), id="owner's x bit"),
        pytest.param(lambda root: (root / "run").write_bytes(b"#!/bin/sh\r"), id="content"),
        pytest.param(lambda root: (root / "run").rename(root / "ran"), id="name"),
        pytest.param(lambda root: (root / "new").write_bytes(b""), id="added"),
        pytest.param(lambda root: (root / "dir-link").unlink(), id="removed"),
        pytest.param(lambda root: ((root / "dir-link").unlink(), (root / "dir-link").symlink_to("shop/")), id="target"),
        pytest.param(lambda root: ((root / "dir-link").unlink(), (root / "dir-link").write_text("shop")), id="kind"),
    ],
)
def test_any_other_change_is_another_digest(tmp_path: Path, change) -> None:
    root = build(tmp_path)
    before = tree_digest(scan(root))
    change(root)
    assert tree_digest(scan(root)) != before


def test_large_files_are_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_tree, "_CHUNK", 3)
    (tmp_path / "file").write_bytes(b"0123456789")
    assert scan(tmp_path)[0].digest == sha256(b"0123456789")


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    name = b"caf\xe9\n"
    (tmp_path / "d").mkdir()
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/d/" + name)).write_bytes(b"")
    (entry,) = scan(tmp_path)
    assert encode_path(entry.path) == b"d/" + name
    assert len(tree_digest([entry])) == 16


def test_the_locale_takes_no_part(tmp_path: Path) -> None:
    """Python decodes names by the locale, and a host's is not the controller's."""
    for name in (b"\xc3\xbc", b"caf\xe9", b"z"):
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_bytes(b"")
    program = (
        "import sys; from ansible_collections.wsgiops.flask.plugins.module_utils._tree import scan, tree_digest; "
        "print(sys.getfilesystemencoding(), tree_digest(scan(sys.argv[1])))"
    )
    environment = {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONCOERCECLOCALE": "0", "LC_ALL": "POSIX"}
    outputs = [
        subprocess.run(
            [sys.executable, "-X", f"utf8={utf8}", "-c", program, str(tmp_path)],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        for utf8 in (0, 1)
    ]
    assert outputs[0][0] != outputs[1][0]
    assert outputs[0][1] == outputs[1][1] == tree_digest(scan(tmp_path))


def test_special_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    os.mkfifo(tmp_path / "d" / "pipe")
    with pytest.raises(ValueError, match="'d/pipe' is neither"):
        scan(tmp_path)
    (tmp_path / "d" / "pipe").unlink()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "sock"))
        with pytest.raises(ValueError, match="'sock' is neither"):
            scan(tmp_path)


def test_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(".")
    (tmp_path / "nowhere").symlink_to("/does/not/exist")
    assert [entry.kind for entry in scan(tmp_path)] == ["link", "link"]


def test_what_is_no_directory_raises(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(NotADirectoryError):
        scan(tmp_path / "file")


def test_a_path_twice_is_an_error() -> None:
    with pytest.raises(ValueError, match="two entries have the path 'a'"):
        tree_digest([Entry("a", "file", False, sha256(b"")), Entry("a", "file", True, sha256(b""))])


names = st.binary(min_size=1, max_size=6).map(decode_path)
trees = st.lists(
    st.builds(Entry, names, st.sampled_from(["file", "link"]), st.booleans(), st.text("0123456789abcdef", max_size=4)),
    max_size=4,
    unique_by=lambda entry: entry.path,
)


@settings(max_examples=300, derandomize=True, database=None, deadline=None)
@given(trees, trees)
@example([Entry("a", "file", False, "1"), Entry("b", "link", False, "2")], [Entry("a4:file-1b", "link", False, "2")])
def test_different_trees_have_different_digests(one: list[Entry], other: list[Entry]) -> None:
    assert (tree_digest(one) == tree_digest(other)) == (sorted(one) == sorted(other))


@settings(max_examples=200, derandomize=True, database=None, deadline=None)
@given(st.binary(max_size=20))
def test_names_survive_decoding(name: bytes) -> None:
    assert encode_path(decode_path(name)) == name
