# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Compared with real git, which has to be installed: the rules are what git does, not what a document says."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from itertools import product
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ansible_collections.wsgiops.flask.plugins.module_utils._tree import decode_path, encode_path
from ansible_collections.wsgiops.flask.plugins.plugin_utils._gitignore import Ignore, Pattern, parse_lines

FILE, DIRECTORY = False, True


# --- a table of our own -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "path", "is_dir", "excluded"),
    [
        # Without a slash: the name, at any depth.
        ("a", "a", FILE, True),
        ("a", "x/y/a", FILE, True),
        ("a", "ab", FILE, False),
        ("a", "a/x", FILE, True),
        # A slash at the beginning or in the middle: from the top.
        ("/a", "a", FILE, True),
        ("/a", "x/a", FILE, False),
        ("x/a", "x/a", FILE, True),
        ("x/a", "y/x/a", FILE, False),
        # A slash at the end: directories, and what is in them.
        ("a/", "a", DIRECTORY, True),
        ("a/", "a", FILE, False),
        ("a/", "x/a/b", FILE, True),
        ("x/a/", "y/x/a", DIRECTORY, False),
        ("a//", "a", DIRECTORY, False),
        # One star and ? stop at a slash.
        ("*.py", "x/y.py", FILE, True),
        ("/*.py", "x/y.py", FILE, False),
        ("x/*", "x/y/z", FILE, True),  # because x/y is
        ("x/*/z", "x/y/z", FILE, True),
        ("x/*/z", "x/z", FILE, False),
        ("x?y", "x/y", FILE, False),
        ("/x?z", "xyz", FILE, True),
        ("?", "ü", FILE, False),  # two bytes
        ("??", "ü", FILE, True),
        # Sets.
        ("[a-c]x", "bx", FILE, True),
        ("[!a-c]x", "bx", FILE, False),
        ("[^a-c]x", "dx", FILE, True),
        ("x[!a]y", "x/y", FILE, False),
        ("/x[!a]y", "x/y", FILE, False),
        ("[]]", "]", FILE, True),
        ("[!]]", "]", FILE, False),
        ("[a-]", "-", FILE, True),
        ("[\\]]", "]", FILE, True),
        ("[a-\\c]", "b", FILE, True),
        ("[a-c-e]", "d", FILE, False),
        ("[--b]", "0", FILE, True),
        ("[[:digit:]_]", "7", FILE, True),
        ("[[:digit:]_]", "_", FILE, True),
        ("[[:digit:]]", "d", FILE, False),
        ("[[:nonsense:]]", "n", FILE, False),
        ("[z-a]", "m", FILE, False),
        ("a[", "a[", FILE, False),
        ("a\\[", "a[", FILE, True),
        # Two stars.
        ("**/a", "a", FILE, True),
        ("**/a", "x/y/a", FILE, True),
        ("x/**", "x/y/z", FILE, True),
        ("x/**", "x", DIRECTORY, False),
        ("x/**/a", "x/a", FILE, True),
        ("x/**/a", "x/y/z/a", FILE, True),
        ("x/**/a", "y/x/a", FILE, False),
        ("x**a", "xya", FILE, True),
        ("/x**z", "x/y/z", FILE, False),
        ("**", "a", FILE, True),
        ("**", "x/a", FILE, True),
        ("/?**/z", "x/y/z", FILE, False),
        ("/?**/z", "x/z", FILE, True),
        ("/x?**", "xa/y", FILE, True),  # because xa is
        ("/x/?**", "x/y", DIRECTORY, True),
        ("?/a**", "x/a/y", DIRECTORY, True),
        ("x/**\\/z", "x/z", FILE, False),
        ("x/**\\/z", "x/y/w/z", FILE, True),
        ("x/***/z", "x/y/w/z", FILE, True),
        ("x/*/**/z", "x/z", FILE, False),
        ("a**/b", "ab", FILE, True),  # odd, but so it is
        # Comments, quoting, spaces.
        ("#a", "#a", FILE, False),
        ("\\#a", "#a", FILE, True),
        ("\\!a", "!a", FILE, True),
        ("\\a", "a", FILE, True),
        ("a\\", "a", FILE, False),
        ("a\\", "a\\", FILE, False),
        ("a\\*", "ab", FILE, False),
        ("a\\*", "a*", FILE, True),
        ("a  ", "a", FILE, True),
        ("a\\ ", "a ", FILE, True),
        ("a\\  ", "a ", FILE, True),
        ("a\\\\ ", "a\\", FILE, True),
        (" a", "a", FILE, False),
        ("a\t", "a", FILE, False),
        ("a.b", "axb", FILE, False),
        ("A", "a", FILE, False),
        # The last match wins, but not below an excluded directory.
        ("*.py\n!a.py", "a.py", FILE, False),
        ("!a.py\n*.py", "a.py", FILE, True),
        ("x\n!x/a", "x/a", FILE, True),
        ("x/*\n!x/a", "x/a", FILE, False),
        ("/*\n!/x\n/x/*\n!/x/y", "x/y/z", FILE, False),
        ("/*\n!/x\n/x/*\n!/x/y", "x/z", FILE, True),
        # Lines.
        ("\ufeffa", "a", FILE, True),
        ("a\r\nb\r\n", "a", FILE, True),
        ("a\r\nb\r\n", "b", FILE, True),
        ("", "a", FILE, False),
        ("/\n!\n!/\n   ", "a", DIRECTORY, False),
    ],
)
def test_table(lines: str, path: str, is_dir: bool, excluded: bool, git: Git) -> None:
    assert Ignore(parse_lines(lines)).excluded(path, is_dir) is excluded
    assert git.excludes(lines, path, is_dir) is excluded


def test_a_nested_file_is_about_its_directory_only() -> None:
    ignore = Ignore([*parse_lines("*.log"), *parse_lines("!keep.log\n/top\nm/n\nany", base="x/y")])
    assert ignore.excluded("keep.log", FILE)
    assert not ignore.excluded("x/y/z/keep.log", FILE)
    assert ignore.excluded("x/y/top", FILE)
    assert not ignore.excluded("x/y/z/top", FILE)
    assert not ignore.excluded("top", FILE)
    assert ignore.excluded("x/y/m/n", FILE)
    assert ignore.excluded("x/y/z/any", FILE)
    assert not ignore.excluded("x/yy/any", FILE)


def test_the_directory_of_a_nested_file_is_not_a_pattern() -> None:
    assert Ignore(parse_lines("a", base="[x]")).excluded("[x]/a", FILE)
    assert not Ignore(parse_lines("a", base="[x]")).excluded("x/a", FILE)


def test_the_deciding_pattern_is_told() -> None:
    ignore = Ignore(parse_lines("# first\n\n*.py \n!a.py", origin=".gitignore"))
    verdict = ignore.decisive("b.py", FILE)
    assert (verdict.text, verdict.origin) == ("*.py ", ".gitignore:3")
    verdict = ignore.decisive("a.py", FILE)
    assert (verdict.negated, verdict.origin) == (True, ".gitignore:4")
    assert ignore.decisive("c", FILE) is None


def test_only_a_walk_may_ask_for_a_path_alone() -> None:
    ignore = Ignore(parse_lines("x/"))
    assert ignore.last_match("x/a", FILE) is None
    assert ignore.excluded("x/a", FILE)


def test_a_single_line() -> None:
    pattern = Pattern.parse("x*/ ")
    assert pattern is not None
    assert pattern.matches(b"xy", DIRECTORY)
    assert not pattern.matches(b"xy", FILE)
    assert not pattern.matches(b"xy/z", DIRECTORY)


@pytest.mark.parametrize("line", ["", "#", "# x", "   ", "/", "!", "!/"])
def test_what_is_no_pattern(line: str) -> None:
    assert Pattern.parse(line) is None


def test_names_that_are_not_utf8() -> None:
    assert Ignore(parse_lines(decode_path(b"caf\xe9"))).excluded(decode_path(b"caf\xe9"), FILE)
    assert Ignore(parse_lines("caf?")).excluded(decode_path(b"caf\xe9"), FILE)


# --- compared with git --------------------------------------------------------------------------------------------

# What the alphabet of the patterns below can be about; small, so that patterns do match.
NAMES = ("a", "b", "ab", "a.b", "!a", "#a", "a b", "a ", "[", "]", "-", "\\", "a*", "ü", "aaa")


class Git:
    """A repository with a fixed tree of directories and files, which answers for any ignore files in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(root),
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "LC_ALL": "C",
        }
        self._run("init", "--quiet", "--template=")
        self.paths: dict[str, bool] = {}

    def add(self, path: str, is_dir: bool) -> None:
        location = self.root / path
        location.parent.mkdir(parents=True, exist_ok=True)
        if is_dir:
            location.mkdir(exist_ok=True)
        else:
            location.touch()
        self.paths[path] = is_dir

    def decisive(self, files: Mapping[str, str]) -> dict[str, str]:
        """For each path of the tree "FILE:LINE:PATTERN" of what decides on it, or "", by the ignore files `files`."""
        for name, text in files.items():
            (self.root / name).write_bytes(encode_path(text))
        asked = b"".join(encode_path(path) + b"\0" for path in self.paths)
        output = self._run("check-ignore", "--no-index", "--stdin", "-z", "-v", "-n", stdin=asked)
        for name in files:
            (self.root / name).unlink()
        fields = [decode_path(field) for field in output.split(b"\0")[:-1]]
        assert len(fields) == 4 * len(self.paths)
        records = zip(*[iter(fields)] * 4, strict=True)
        return {path: f"{file}:{line}:{text}" if file else "" for file, line, text, path in records}

    def excludes(self, text: str, path: str, is_dir: bool) -> bool:
        """Whether git leaves out `path` of a tree in which it is all there is."""
        self.paths = {}
        self.add(path, is_dir)
        try:
            verdict = self.decisive({".gitignore": text})[path]
        finally:
            top = path.split("/")[0]
            subprocess.run(["rm", "-rf", "--", self.root / top], check=True)
        return verdict != "" and not verdict.split(":", 2)[2].startswith("!")

    def _run(self, *arguments: str, stdin: bytes = b"") -> bytes:
        command = ["git", "-C", str(self.root), *arguments]
        done = subprocess.run(command, input=stdin, capture_output=True, env=self._environment, check=False)
        # check-ignore's 1 is "none of them is ignored".
        assert done.returncode in (0, 1), done.stderr.decode()
        return done.stdout


@pytest.fixture(scope="module")
def git(tmp_path_factory: pytest.TempPathFactory) -> Git:
    return Git(tmp_path_factory.mktemp("table"))


@pytest.fixture(scope="module")
def forest(tmp_path_factory: pytest.TempPathFactory) -> Git:
    """Every name at two depths, at the second as a file or a directory, and some at a third."""
    repository = Git(tmp_path_factory.mktemp("forest"))
    for one, two in product(NAMES, NAMES):
        repository.add(one, DIRECTORY)
        repository.add(f"{one}/{two}", FILE if len(one + two) % 2 else DIRECTORY)
    for one, two, three in product(("a", "ab", "["), ("a b", "aaa", "b"), NAMES):
        if repository.paths[f"{one}/{two}"] is DIRECTORY:
            repository.add(f"{one}/{two}/{three}", FILE)
    return repository


def ours(repository: Git, files: Mapping[str, str]) -> dict[str, str]:
    """The same as Git.decisive, by the code under test."""
    patterns = [
        pattern
        for name, text in sorted(files.items(), key=lambda item: item[0].count("/"))
        for pattern in parse_lines(text, name.rpartition("/")[0], name)
    ]
    ignore = Ignore(patterns)
    verdicts = {path: ignore.decisive(path, is_dir) for path, is_dir in repository.paths.items()}
    return {path: verdict.origin if verdict else "" for path, verdict in verdicts.items()}


pieces = st.sampled_from(
    [
        *("a", "b", "a", "b", "ü", ".", " ", "!", "#", "-", "]", "\t"),
        *("\\", "\\\\", "\\ ", "\\#", "\\!", "\\a", "\\*", "\\["),
        *("*", "*", "**", "***", "?", "/", "/", "/", "**/", "/**", "/**/", "\\/", "*/", "/*"),
        *("[", "[a]", "[!a]", "[^a]", "[a-b]", "[b-a]", "[]", "[]a]", "[!]a]", "[a-]", "[-a]", "[a", "[\\]", "[\\]a]"),
        *("[[:alpha:]]", "[[:al:]]", "[[:punct:]a]", "[![:space:]]", "[[:alpha]", "[[:]", "[[::]]"),
        *("[--b]", "[a-\\b]", "[/]"),
    ]
)
lines = st.tuples(st.sampled_from(["", "", "!", "/", "!/"]), st.lists(pieces, min_size=1, max_size=5)).map(
    lambda parts: parts[0] + "".join(parts[1])
)
texts = st.lists(lines, max_size=5).map("\n".join)


@settings(max_examples=400, derandomize=True, database=None, deadline=None)
@given(top=texts, nested=texts)
@example(top="a**/b\n!a**/a", nested="")
@example(top="ab/aaa/*\n!a", nested="/[\n\\")
def test_the_deciding_pattern_is_git_s(forest: Git, top: str, nested: str) -> None:
    files = {".gitignore": top, "ab/.gitignore": nested, "a/b/.gitignore": nested}
    theirs = {path: ":".join(verdict.split(":")[:2]) for path, verdict in forest.decisive(files).items()}
    assert ours(forest, files) == theirs


CLASSES = "alnum alpha blank cntrl digit graph lower print punct space upper xdigit".split()


def test_classes_have_git_s_members(tmp_path: Path) -> None:
    repository = Git(tmp_path)
    for code in range(1, 256):
        if chr(code) not in "./":
            repository.add(decode_path(b"x" + bytes([code])), FILE)
    for name in CLASSES:
        files = {".gitignore": f"x[[:{name}:]]\nx[![:{name}:]]"}
        theirs = {path: ":".join(verdict.split(":")[:2]) for path, verdict in repository.decisive(files).items()}
        assert ours(repository, files) == theirs, name
