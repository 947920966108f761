# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import datetime
import os
import socket
import subprocess
import sys
import tarfile
from collections.abc import Iterable
from pathlib import Path

import pytest

from ansible_collections.wsgiops.flask.plugins.module_utils._tree import Entry, decode_path, scan, tree_digest
from ansible_collections.wsgiops.flask.plugins.plugin_utils import _source
from ansible_collections.wsgiops.flask.plugins.plugin_utils._source import (
    DEFAULT,
    NEVER,
    SourceError,
    absence,
    is_deployed,
    list_source,
    why_excluded,
    write_archive,
)


def plant(root: Path, *paths: str, **contents: str) -> Path:
    """Make files: empty ones, and `name="text"` with `_` for `/` and `.gitignore` for `gitignore`."""
    for path in paths:
        location = root / path
        location.parent.mkdir(parents=True, exist_ok=True)
        location.touch()
    for name, text in contents.items():
        (root / name.replace("gitignore", ".gitignore").replace("__", "/")).write_text(text)
    return root


def paths(entries: Iterable[Entry]) -> set[str]:
    return {entry.path for entry in entries}


# --- what is listed -----------------------------------------------------------------------------------------------


def test_a_plain_tree_is_listed_as_the_host_scans_it(tmp_path: Path) -> None:
    plant(tmp_path, "shop/__init__.py", "shop/templates/a.html", "wsgi.py", ".flaskenv", "empty-dir/x")
    (tmp_path / "empty-dir" / "x").unlink()
    (tmp_path / "run").write_text("#!/bin/sh")
    (tmp_path / "run").chmod(0o755)
    (tmp_path / "link").symlink_to("shop/templates")
    assert list_source(tmp_path) == scan(tmp_path)


@pytest.mark.parametrize(
    "path",
    [
        ".git/config", "vendored/.git", ".hg/x", "x/.svn/x", ".bzr/x", ".jj/x",
        ".env", "x/.env", ".env/x", ".env.local", ".env.production", ".envrc",
        "instance/shop.sqlite", "instance/__init__.py", "src/instance/config.py",
        "venv/x", "x/.venv/x", "odd-name/lib/x.py",
        "__pycache__/x.pyc", "shop/__pycache__/x.py", ".pytest_cache/x", ".mypy_cache/x", ".ruff_cache/x",
        ".hypothesis/x", ".tox/x", ".nox/x",
    ],
)  # fmt: skip
def test_never_deployed_whatever_exclude_says(tmp_path: Path, path: str) -> None:
    plant(tmp_path, "kept", path, "odd-name/pyvenv.cfg")
    back = ["!*", "!**", *(f"!{text}" for text in (path, f"/{path}", *path.split("/"), *NEVER))]
    plant(tmp_path, gitignore="\n".join(back))
    assert paths(list_source(tmp_path, back)) == {".gitignore", "kept"}
    assert why_excluded(tmp_path, path, back) != ""


@pytest.mark.parametrize(
    "path",
    [
        ".env.example", "x/.env.sample", ".env.template", "environment", "env/x", "my.env",
        "shop/instance/__init__.py", "instance.py", "shop/venv.py", "git/x", ".github/x", ".gitattributes",
    ],
)  # fmt: skip
def test_resembles_what_is_never_deployed(tmp_path: Path, path: str) -> None:
    assert paths(list_source(plant(tmp_path, path))) == {path}
    assert why_excluded(tmp_path, path) == ""


@pytest.mark.parametrize(
    "path",
    [
        "x.pyc", "shop/x.pyo", "node_modules/x", "ui/node_modules/x", ".cache/x", ".coverage", ".coverage.host.1",
        "htmlcov/x", ".idea/x", ".vscode/x", ".x.py.swp", "x.swo", "x.py~", ".#x.py", ".DS_Store", "x/Thumbs.db",
    ],
)  # fmt: skip
def test_not_deployed_unless_asked_for(tmp_path: Path, path: str) -> None:
    plant(tmp_path, "kept", path)
    assert paths(list_source(tmp_path)) == {"kept"}
    back = [f"!{text}" for text in DEFAULT]
    assert paths(list_source(tmp_path, back)) == {"kept", path}
    plant(tmp_path, gitignore="\n".join(back))
    assert paths(list_source(tmp_path)) == {".gitignore", "kept", path}


def test_gitignore_files_of_the_source_count_from_the_outermost_in(tmp_path: Path) -> None:
    plant(tmp_path, "a.log", "x/a.log", "x/y/a.log", "x/y/top", "build/lib/a", "x/build/a")
    plant(tmp_path, gitignore="*.log\n/build/\n", x__gitignore="!a.log\n/top", x__y__gitignore="top\na.log\n")
    assert paths(list_source(tmp_path)) == {".gitignore", "x/.gitignore", "x/a.log", "x/build/a", "x/y/.gitignore"}
    assert why_excluded(tmp_path, "a.log") == "pattern '*.log' of .gitignore:1"
    assert why_excluded(tmp_path, "build/lib/a") == "pattern '/build/' of .gitignore:2"
    assert why_excluded(tmp_path, "x/y/a.log") == "pattern 'a.log' of x/y/.gitignore:2"
    assert why_excluded(tmp_path, "x/a.log") == ""


def test_exclude_is_stronger_than_gitignore_files(tmp_path: Path) -> None:
    plant(tmp_path, "static/dist/app.js", "static/app.js", "tests/test_a.py", "x/tests/a", "x/keep")
    plant(tmp_path, gitignore="dist/\n", x__gitignore="!tests\n")
    exclude = ["!/static/dist/", "tests/", "# no pattern", ""]
    assert paths(list_source(tmp_path, exclude)) == {
        ".gitignore", "static/app.js", "static/dist/app.js", "x/.gitignore", "x/keep",
    }  # fmt: skip
    assert why_excluded(tmp_path, "x/tests/a", exclude) == "pattern 'tests/' of exclude:1"


def test_nothing_comes_back_from_an_excluded_directory(tmp_path: Path) -> None:
    plant(tmp_path, "node_modules/a/keep.js", "kept")
    assert paths(list_source(tmp_path, ["!node_modules/a/keep.js", "!keep.js"])) == {"kept"}


def test_excluded_directories_are_not_entered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(tmp_path, "node_modules/a/b", ".git/objects/x", "data/x", "venv2/lib/x", "venv2/pyvenv.cfg", "shop/x")
    entered = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: entered.append(Path(os.fsdecode(path))) or scandir(path))
    list_source(tmp_path, ["/data"])
    assert sorted(entered) == [tmp_path, tmp_path / "shop", tmp_path / "venv2"]  # what venv2 is shows only inside


def test_each_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(tmp_path, "a", "x/b")
    read = []
    file_entry = _source.file_entry
    monkeypatch.setattr(_source, "file_entry", lambda path, location: read.append(path) or file_entry(path, location))
    list_source(tmp_path)
    assert sorted(read) == ["a", "x/b"]


def test_a_gitignore_that_is_a_link_is_not_read(tmp_path: Path) -> None:
    plant(tmp_path, "a", patterns="a")
    (tmp_path / ".gitignore").symlink_to("patterns")
    assert paths(list_source(tmp_path)) == {".gitignore", "a", "patterns"}


def test_a_pattern_for_directories_is_not_about_links(tmp_path: Path) -> None:
    plant(tmp_path, "real/a", "static/a")
    (tmp_path / "x").symlink_to("real")
    assert paths(list_source(tmp_path, ["x/", "static/"])) == {"real/a", "x"}


@pytest.mark.parametrize("name", ["instance", ".venv", "node_modules"])
def test_a_link_in_place_of_a_directory_nobody_deploys(tmp_path: Path, name: str) -> None:
    plant(tmp_path, "a")
    (tmp_path / name).symlink_to("/srv/shared")
    assert paths(list_source(tmp_path)) == {"a"}


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    (Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9\n"))).touch()
    assert list_source(tmp_path) == scan(tmp_path)
    assert list_source(tmp_path, ["caf*"]) == []


def test_the_source_may_be_reached_through_a_link(tmp_path: Path) -> None:
    plant(tmp_path / "real", "a", "link-target")
    (tmp_path / "real" / "l").symlink_to("link-target")
    (tmp_path / "source").symlink_to("real")
    assert list_source(tmp_path / "source") == scan(tmp_path / "real")
    assert why_excluded(tmp_path / "source", "a", ["a"]) == "pattern 'a' of exclude:1"


# --- what is refused ----------------------------------------------------------------------------------------------


def test_no_directory(tmp_path: Path) -> None:
    plant(tmp_path, "file")
    with pytest.raises(SourceError, match=r"the source '.*/none' cannot be listed: No such file"):
        list_source(tmp_path / "none")
    with pytest.raises(SourceError, match="cannot be listed: Not a directory"):
        list_source(tmp_path / "file")


def test_the_source_is_a_virtual_environment(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="is itself a virtual environment; make the environment in a directory"):
        list_source(plant(tmp_path, "pyvenv.cfg", "shop.py"))


def test_a_source_called_instance_is_none(tmp_path: Path) -> None:
    assert paths(list_source(plant(tmp_path / "instance", "a"))) == {"a"}


def test_special_files(tmp_path: Path) -> None:
    os.mkfifo(plant(tmp_path, "x/a") / "x" / "pipe")
    with pytest.raises(SourceError, match="'x/pipe' is a fifo, a socket or a device; remove it or name it"):
        list_source(tmp_path)
    assert paths(list_source(tmp_path, ["pipe"])) == {"x/a"}
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "app.sock"))
        with pytest.raises(SourceError, match=r"'app\.sock' is a fifo"):
            list_source(tmp_path, ["pipe"])


def refuse(*_arguments: object) -> None:
    raise PermissionError(13, "Permission denied")


def test_unreadable_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(tmp_path, "x/key")
    monkeypatch.setattr(_source, "file_entry", refuse)  # root, who runs tests in containers, may read anything
    with pytest.raises(SourceError, match=r"'x/key' cannot be read \(Permission denied\); make it readable"):
        list_source(tmp_path)


def test_unreadable_directories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(tmp_path, "x/y/key")
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: refuse() if path.endswith(b"y") else scandir(path))
    with pytest.raises(SourceError, match=r"'x/y' cannot be read \(Permission denied\)"):
        list_source(tmp_path)


def test_unreadable_gitignore(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(tmp_path, "x/.gitignore")
    monkeypatch.setattr(_source, "open", refuse, raising=False)
    with pytest.raises(SourceError, match=r"'x/\.gitignore' cannot be read"):
        list_source(tmp_path)


# --- links --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "target", "kept_as"),
    [
        ("l", "a", "a"),
        ("l", "x/b", "x/b"),
        ("x/l", "../a", "../a"),
        ("x/y/l", "../../x/b", "../../x/b"),
        ("l", "x", "x"),  # a directory
        ("l", "x/y/..", "x"),
        ("l", "./x//b", "x/b"),
        ("l", "x/", "x"),
        ("l", "a/", "a"),
        ("l", "to-x/b", "to-x/b"),  # through another link
        ("l", "to-x", "to-x"),
        ("l", "to-x/y/c", "to-x/y/c"),
        ("l", ".", "."),
        ("x/l", "..", ".."),
    ],
)
def test_links_inside_the_source_stay_links(tmp_path: Path, path: str, target: str, kept_as: str) -> None:
    plant(tmp_path, "a", "x/b", "x/y/c")
    (tmp_path / "to-x").symlink_to("x")
    (tmp_path / path).symlink_to(target)
    entries = {entry.path: entry for entry in list_source(tmp_path)}
    (tmp_path / path).unlink()
    (tmp_path / path).symlink_to(kept_as)
    assert entries[path] == {entry.path: entry for entry in scan(tmp_path)}[path]


@pytest.mark.parametrize(
    ("path", "target", "problem"),
    [
        ("l", "/etc/passwd", "leads out of the source"),
        ("x/l", "../../b", "leads out of the source"),
        ("l", "..", "leads out of the source"),
        ("l", "../source/a", "leads out of the source"),  # back in by a name the host does not have
        ("l", "to-x/../../a", "leads out of the source"),
        ("l", "none", "'none' is not there"),
        ("l", "x/none/b", "'x/none' is not there"),
        ("l", "a/b", "'a/b' is not there"),
        ("l", ".env", r"'\.env' is there but not deployed \('\.env' is never deployed\)"),
        ("l", "x/a.log", r"'x/a\.log' is there but not deployed \(pattern '\*\.log' of x/\.gitignore:1; one with"),
        ("l", "x/secret", r"'x/secret' is there but not deployed \(pattern 'secret' of exclude:1; one with"),
        ("l", "env/bin/python", r"'env' is there but not deployed \(virtual environment\)"),
        ("l", "instance/db", r"'instance' is there but not deployed \('/instance' is never deployed\)"),
        ("l", "empty", r"'empty' is there but not deployed \(nothing in it is\)"),
        ("l", "l", "leads in a circle"),
        ("l", "to-l", "leads in a circle"),
        ("l", "env/../a", "'env' is there but not deployed"),  # the host has no env to come back from
    ],
)
def test_links_to_what_the_host_does_not_have(tmp_path: Path, path: str, target: str, problem: str) -> None:
    source = plant(tmp_path / "source", "a", "x/b", "x/a.log", "x/secret", ".env", "instance/db")
    plant(source, "env/pyvenv.cfg", "env/bin/python", x__gitignore="*.log")
    (source / "empty").mkdir()
    (source / "to-x").symlink_to("x")
    (source / path).symlink_to(target)
    if target == "to-l":
        (source / "to-l").symlink_to("l")
    with pytest.raises(SourceError, match=problem) as caught:
        list_source(source, ["secret"])
    assert f"the link {path!r} -> {target!r} " in str(caught.value)
    assert "exclude it" in str(caught.value)
    assert path not in paths(list_source(source, ["secret", "l", "to-l"]))


def test_a_link_through_a_link_that_leads_out(tmp_path: Path) -> None:
    source = plant(tmp_path / "source", "a")
    (source / "b").symlink_to("c/x")
    (source / "c").symlink_to("/etc")
    with pytest.raises(SourceError, match="leads out of the source"):
        list_source(source)


@pytest.mark.parametrize("other", ["b", "c"])
def test_a_target_that_normalising_would_change(tmp_path: Path, other: str) -> None:
    plant(tmp_path, other, "x/b", "x/y/c")
    (tmp_path / "to-y").symlink_to("x/y")
    (tmp_path / "l").symlink_to("to-y/../b")  # x/b, while ./b is another file or none
    with pytest.raises(SourceError, match=r"'l' -> 'to-y/\.\./b' goes back with '\.\.' from behind another link"):
        list_source(tmp_path)


# --- questions of the files that build on it ----------------------------------------------------------------------


def test_is_deployed(tmp_path: Path) -> None:
    plant(tmp_path, "a", "x/b", "excluded")
    (tmp_path / "to-x").symlink_to("x")
    (tmp_path / "to-a").symlink_to("a")
    entries = list_source(tmp_path, ["/excluded"])
    deployed = [path for path in ("a", "x/b", "to-x/b", "to-a") if is_deployed(tmp_path, path, entries)]
    assert deployed == ["a", "x/b", "to-x/b", "to-a"]
    absent = [path for path in ("excluded", "x", "to-x", "to-x/c", "c") if is_deployed(tmp_path, path, entries)]
    assert absent == []


def test_absence(tmp_path: Path) -> None:
    plant(tmp_path, "a", "x/b")
    assert absence(tmp_path, "c") == "is not there"
    assert absence(tmp_path, "a/c") == "is not there"
    assert (
        absence(tmp_path, "x/b", ["x"])
        == "is there but not deployed (pattern 'x' of exclude:1; one with '!' in `exclude` overrules it)"
    )
    assert absence(tmp_path, "a") == "is there but not deployed (it is excluded)"


# --- the archive --------------------------------------------------------------------------------------------------


def odd_source(root: Path) -> Path:
    long = "long-" * 30
    plant(root, "shop/__init__.py", "-rf", "a b\n'\"$x;", "ü", "back\\slash", f"{long}/{long}/{long}.py", ".env")
    Path(os.fsdecode(os.fsencode(root) + b"/caf\xe9")).write_bytes(b"\0" * 70_000)
    (root / "run").write_text("#!/bin/sh")
    (root / "run").chmod(0o711)
    (root / "shop" / "secretive").write_text("x")
    (root / "shop" / "secretive").chmod(0o600)
    (root / "to-dir").symlink_to("./shop/")
    (root / "to-long").symlink_to(f"{long}/{long}/{long}.py")
    return root


def test_what_is_extracted_has_the_digest_of_the_source(tmp_path: Path) -> None:
    source = odd_source(tmp_path / "source")
    entries = list_source(source)
    write_archive(source, entries, tmp_path / "a.tar.gz")
    extract = "with tarfile.open(sys.argv[1]) as a: a.extractall(sys.argv[2], **options)"
    program = f"options = {{'filter': 'data'}} if hasattr(tarfile, 'data_filter') else {{}}\n{extract}"
    commands = {
        "python": [sys.executable, "-c", f"import sys, tarfile\n{program}", "a.tar.gz", "python"],
        "python-ascii": [
            sys.executable,
            "-X",
            "utf8=0",
            "-c",
            f"import sys, tarfile\n{program}",
            "a.tar.gz",
            "python-ascii",
        ],
        "tar": ["tar", "--extract", "--file", "a.tar.gz", "--directory", "tar"],
    }
    for directory, command in commands.items():
        (tmp_path / directory).mkdir()
        environment = {"PATH": os.environ["PATH"], "LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0"}
        subprocess.run(command, cwd=tmp_path, env=environment, check=True)
        assert scan(tmp_path / directory) == entries, directory
        assert tree_digest(scan(tmp_path / directory)) == tree_digest(entries)


def test_the_archive_tells_nothing_but_the_entries(tmp_path: Path) -> None:
    source = odd_source(tmp_path / "source")
    entries = list_source(source)
    write_archive(source, entries, tmp_path / "one.tar.gz")
    for directory, _directories, names in os.walk(source):
        for name in names:
            os.utime(os.path.join(directory, name), (1, 1), follow_symlinks=False)
    (source / "run").chmod(0o755)
    write_archive(source, list(reversed(list_source(source))), tmp_path / "two.tgz")
    assert (tmp_path / "one.tar.gz").read_bytes() == (tmp_path / "two.tgz").read_bytes()
    with tarfile.open(tmp_path / "one.tar.gz", encoding="utf-8") as archive:
        members = archive.getmembers()
    assert [member.name for member in members] == [entry.path for entry in entries]
    assert {(m.uid, m.gid, m.uname, m.gname) for m in members} == {(0, 0, "", "")}
    assert {member.mode for member in members if member.isfile()} == {0o644, 0o755}
    assert [member.name for member in members if member.mode == 0o755] == ["run"]


def test_files_have_the_time_of_their_content(tmp_path: Path) -> None:
    """By time and size web servers tell whether a client has the file already."""
    source = tmp_path / "source"
    source.mkdir()
    for name, text in (("one", "a"), ("same", "a"), ("other", "b")):
        (source / name).write_text(text)
    write_archive(source, list_source(source), tmp_path / "code.tar.gz")
    with tarfile.open(tmp_path / "code.tar.gz") as archive:
        times = {member.name: member.mtime for member in archive.getmembers()}
    assert times["one"] == times["same"] != times["other"]
    assert all(datetime.datetime.fromtimestamp(time, datetime.UTC).year in range(2000, 2020) for time in times.values())


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda file: file.write_text("longer"), id="longer"),
        pytest.param(lambda file: file.write_text("othe"), id="other"),
        pytest.param(lambda file: file.write_text(""), id="shorter"),
        pytest.param(lambda file: file.unlink(), id="gone"),
        pytest.param(lambda file: (file.unlink(), file.mkdir()), id="directory"),
    ],
)
@pytest.mark.parametrize("name", ["file", "link"])
def test_a_source_that_changes_meanwhile(tmp_path: Path, change, name: str) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "file").write_text("text")
    (source / "link").symlink_to("file")
    entries = list_source(source)
    if name == "link":
        (source / "link").unlink()
        (source / "link").write_text("x")
    change(source / name)
    with pytest.raises(SourceError, match=f"'{name}' changed while it was being archived"):
        write_archive(source, entries, tmp_path / "a.tar.gz")
    assert not (tmp_path / "a.tar.gz").exists()


def test_a_link_that_changes_meanwhile(tmp_path: Path) -> None:
    source = plant(tmp_path / "source", "a", "b")
    (source / "link").symlink_to("a")
    entries = list_source(source)
    (source / "link").unlink()
    (source / "link").symlink_to("b")
    with pytest.raises(SourceError, match="'link' changed"):
        write_archive(source, entries, tmp_path / "a.tar.gz")


def test_a_file_that_shrinks_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The header with the size is written before the content."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "file").write_text("text")
    entries = list_source(source)
    monkeypatch.setattr(_source.os, "fstat", lambda _: os.stat_result((0o100644, 0, 0, 1, 0, 0, 9, 0, 0, 0)))
    with pytest.raises(SourceError, match="'file' changed"):
        write_archive(source, entries, tmp_path / "a.tar.gz")


def test_decoded_names_of_entries_are_those_of_the_disk(tmp_path: Path) -> None:
    (Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))).touch()
    assert [entry.path for entry in list_source(tmp_path)] == [decode_path(b"caf\xe9")]
