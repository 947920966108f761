# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""git's ignore patterns, as gitignore(5) and git's own dir.c and wildmatch.c have them; no git is needed.

Matching is on bytes, so that `?` is one byte and names need not be UTF-8, and always case-sensitive: `core.ignoreCase`
is a property of one machine's disk, the digest of a source must not be.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from ansible_collections.wsgiops.flask.plugins.module_utils._tree import encode_path

_SPECIAL = re.compile(rb"[*?\[\\]")

# ASCII in every locale, and no form feed or vertical tab among the spaces: git has a ctype of its own.
_CLASSES: dict[bytes, frozenset[int]] = {
    name: frozenset(code for code in range(128) if re.match(expression, bytes([code])))
    for name, expression in {
        b"alnum": rb"[0-9A-Za-z]",
        b"alpha": rb"[A-Za-z]",
        b"blank": rb"[ \t]",
        b"cntrl": rb"[\x00-\x1f\x7f]",
        b"digit": rb"[0-9]",
        b"graph": rb"[!-~]",
        b"lower": rb"[a-z]",
        b"print": rb"[ -~]",
        b"punct": rb"[!-/:-@\[-`{-~]",
        b"space": rb"[ \t\n\r]",
        b"upper": rb"[A-Z]",
        b"xdigit": rb"[0-9A-Fa-f]",
    }.items()
}


class _NeverMatches(Exception):
    """The pattern is malformed (an open bracket, a last backslash); git lets such a pattern match nothing."""


class Pattern(NamedTuple):
    """One line of an ignore file."""

    text: str  # as written, for messages
    origin: str  # where it was written, for messages
    negated: bool
    directories_only: bool
    expression: re.Pattern[bytes] | None  # of the whole relative path; None: malformed, matches nothing

    @classmethod
    def parse(cls, line: str, base: str = "", origin: str = "") -> Pattern | None:
        """The pattern of one line without its newline, or None for a comment or an empty one.

        `base` is the directory of the ignore file, relative to the tree ("" for its root).
        """
        if line.startswith("#"):
            return None
        text = _without_trailing_spaces(encode_path(line))
        negated, text = text.startswith(b"!"), text.removeprefix(b"!")
        directories_only, text = text.endswith(b"/"), text.removesuffix(b"/")
        if not text:
            return None
        return cls(line, origin, negated, directories_only, _compile(text, encode_path(base)))

    def matches(self, path: bytes, is_dir: bool) -> bool:
        """Whether the pattern is about this very path; a directory above it is not considered."""
        if self.expression is None or (self.directories_only and not is_dir):
            return False
        return self.expression.fullmatch(path) is not None


class Ignore:
    """An ordered list of patterns, the last match wins."""

    def __init__(self, patterns: Iterable[Pattern] = ()) -> None:
        self.patterns = tuple(patterns)

    def last_match(self, path: str, is_dir: bool) -> Pattern | None:
        """The pattern that decides on `path` alone, be it a `!` one; enough for a walk that prunes as it goes."""
        name = encode_path(path)
        return next((pattern for pattern in reversed(self.patterns) if pattern.matches(name, is_dir)), None)

    def decisive(self, path: str, is_dir: bool) -> Pattern | None:
        """The pattern that decides on `path`: what excludes a directory above it cannot be undone below."""
        for end, character in enumerate(path):
            if character == "/":
                verdict = self.last_match(path[:end], True)
                if verdict and not verdict.negated:
                    return verdict
        return self.last_match(path, is_dir)

    def excluded(self, path: str, is_dir: bool) -> bool:
        """Whether `path`, relative to the tree, is ignored, itself or with a directory above it."""
        verdict = self.decisive(path, is_dir)
        return verdict is not None and not verdict.negated


def parse_lines(text: str, base: str = "", origin: str = "") -> Iterator[Pattern]:
    """The patterns of an ignore file in the directory `base`; each has `origin` with its line number."""
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), start=1):
        pattern = Pattern.parse(line.removesuffix("\r"), base, f"{origin}:{number}")
        if pattern:
            yield pattern


def _without_trailing_spaces(text: bytes) -> bytes:
    """Spaces (not tabs) at the end do not count unless a backslash quotes them."""
    stripped = text.rstrip(b" ")
    backslashes = len(stripped) - len(stripped.rstrip(b"\\"))
    return text[: len(stripped) + 1] if backslashes % 2 else stripped


def _compile(text: bytes, base: bytes) -> re.Pattern[bytes] | None:
    """The expression of a pattern without `!` and final slash, over the path relative to the tree."""
    prefix = re.escape(base) + b"/" if base else b""
    try:
        if b"/" not in text:
            # Without a slash it is about the name alone, at any depth below its file.
            body = b"(?:.*/)?" + _translate(text)
        else:
            text = text.removeprefix(b"/")
            special = _SPECIAL.search(text)
            # git compares what comes before the first special character as it is and matches the rest on its own, so
            # that `**` right behind it counts as being at the beginning: `a**/b` is `a` and then `**/b`.
            literal = special.start() if special else len(text)
            body = re.escape(text[:literal]) + _translate(text[literal:])
    except _NeverMatches:
        return None
    return re.compile(prefix + body, re.DOTALL)


def _translate(text: bytes) -> bytes:
    """A regular expression for a glob over a path."""
    result = []
    position = 0
    while position < len(text):
        here = text[position : position + 1]
        if here == b"*":
            expression, position = _stars(text, position)
        elif here == b"?":
            expression, position = b"[^/]", position + 1
        elif here == b"[":
            expression, position = _bracket(text, position + 1)
        elif here == b"\\":
            expression, position = re.escape(_byte(text, position + 1)), position + 2
        else:
            expression, position = re.escape(here), position + 1
        result.append(expression)
    return b"".join(result)


def _stars(text: bytes, start: int) -> tuple[bytes, int]:
    """The expression of the stars that begin at `start`, and where the rest begins."""
    end = start
    while text[end : end + 1] == b"*":
        end += 1
    begins_part = start == 0 or text[start - 1 : start] == b"/"
    if not (begins_part and end - start > 1):
        return b"[^/]*", end
    if text[end : end + 1] == b"/":
        return b"(?:.*/)?", end + 1
    if end == len(text) or text[end : end + 2] == b"\\/":
        return b".*", end
    return b"[^/]*", end


def _bracket(text: bytes, position: int) -> tuple[bytes, int]:
    """The expression of the set whose first character is at `position`, and where the rest begins (wildmatch.c)."""
    negated = text[position : position + 1] in (b"!", b"^")
    position += negated
    members: set[int] = set()
    previous: int | None = None
    first = True
    while first or _byte(text, position) != b"]":
        first = False
        here = _byte(text, position)
        if here == b"\\":
            position += 1
            previous = _byte(text, position)[0]
            members.add(previous)
        elif here == b"-" and previous is not None and text[position + 1 : position + 2] != b"]":
            position += 1
            if _byte(text, position) == b"\\":
                position += 1
            members.update(range(previous, _byte(text, position)[0] + 1))
            previous = None
        elif text[position : position + 2] == b"[:" and (name := _class_name(text, position)) is not None:
            if name not in _CLASSES:
                raise _NeverMatches
            members |= _CLASSES[name]
            position += len(name) + 3
            previous = None
        else:
            previous = here[0]
            members.add(previous)
        position += 1
    if negated:
        members = set(range(256)) - members
    members.discard(ord("/"))
    if not members:
        raise _NeverMatches
    return b"[" + b"".join(b"\\x%02x" % code for code in sorted(members)) + b"]", position + 1


def _class_name(text: bytes, position: int) -> bytes | None:
    """The name in `[:name:]` at `position`; None when the next `]` does not close one: then `[` is a plain member."""
    end = text.find(b"]", position + 2)
    if end < 0:
        raise _NeverMatches
    inner = text[position + 2 : end]
    return inner[:-1] if inner.endswith(b":") else None


def _byte(text: bytes, position: int) -> bytes:
    """The byte at `position`; the pattern has to go on there."""
    if position >= len(text):
        raise _NeverMatches
    return text[position : position + 1]
