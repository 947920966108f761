# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""An application's requirements files: all the text its environment is made from, refused where that is not all.

The format is pip's (pip/_internal/req/req_file.py of pip 26.3, and "Requirements File Format" in its documentation).
"""

from __future__ import annotations

import contextlib
import difflib
import posixpath
import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from ansible_collections.wsgiops.flask.plugins.module_utils._tree import Entry, native_path
from ansible_collections.wsgiops.flask.plugins.plugin_utils._source import SourceError, absence, is_deployed

# ansible-core brings it; ansible-test imports modules where it is not there. Here, as Ansible's processes then have it
# of the one that starts them: it takes longer to be imported than all else of a file of requirements.
with contextlib.suppress(ImportError):
    from packaging.requirements import InvalidRequirement, Requirement

# pip's options of a requirements file and whether they take a value; optparse takes any unique beginning of a long one.
_OPTIONS = {
    "--index-url": True, "--pypi-url": True, "--extra-index-url": True, "--no-index": False, "--find-links": True,
    "--requirement": True, "--constraint": True, "--editable": True, "--hash": True, "--config-settings": True,
    "--no-binary": True, "--only-binary": True, "--prefer-binary": False, "--require-hashes": False,
    "--no-require-hashes": False, "--pre": False, "--all-releases": True, "--only-final": True, "--trusted-host": True,
    "--use-feature": True,
}  # fmt: skip
_SHORT = {"-i": "--index-url", "-f": "--find-links", "-r": "--requirement", "-c": "--constraint", "-e": "--editable",
          "-C": "--config-settings"}  # fmt: skip
_ARCHIVES = (".whl", ".zip", ".tar", ".tgz", ".tbz", ".txz", ".tlz", ".tar.gz", ".tar.bz2", ".tar.xz", ".tar.lz",
             ".tar.lzma")  # fmt: skip  # pip/_internal/utils/filetypes.py

_COMMENT = re.compile(r"(^|\s+)#.*$")
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(\S*)")
_VARIABLE = re.compile(r"\$\{[A-Z0-9_]+\}")  # pip puts the value of an environment variable there
_URL_HASH = re.compile(r"[#&](sha256|sha384|sha512)=")

_LOCAL = (
    "the environment is named by the requirements files alone, so a change of code there would be missed; "
    "put the code in the source itself, or in a wheel on an index"
)


class Requirements(NamedTuple):
    """What an application's environment is made from."""

    files: dict[str, str]  # path relative to the source -> text, the file asked for first
    hashed: bool  # pip's hash-checking mode: some line has --hash, or --require-hashes is set
    names: set[str]  # normalised names (PEP 503) of the required projects, not of constraints
    extras: frozenset[str] = frozenset()  # extras that are required of them, as "name[extra]"


class _Line(NamedTuple):
    """One logical line."""

    file: str
    number: int  # of its first physical line, from 1
    text: str  # continuations joined, comment removed
    constraint: bool

    def error(self, problem: str) -> SourceError:
        """An error about this line. What may be a secret in it is not repeated."""
        return SourceError(f"{self.file}, line {self.number}, {_shown(self.text)}: {problem}")


class _Wanted(NamedTuple):
    """One requirement or constraint."""

    line: _Line
    name: str  # normalised; "" when it cannot be told from the URL
    conditional: bool  # it has an environment marker
    hashed: bool
    extras: frozenset[str] = frozenset()


def read_requirements(root: Path, name: str, entries: Sequence[Entry], exclude: Sequence[str] = ()) -> Requirements:
    """Read the requirements file `name` of the source `root`, with the files it includes (-r, -c).

    `exclude` is what `entries` were listed with; it only makes messages better. A file in a cycle is read once. Raises
    SourceError, naming file, line and cure, for a file that is not deployed, an include from outside, an editable or
    local requirement, credentials in a URL, what pip could not parse, and in hash-checking mode for the first
    requirement without a hash. Options this does not know are left to pip.
    """
    reader = _Reader(root, entries, exclude)
    reader.read(name, constraint=False, included_by=None)
    hashed = "--require-hashes" in reader.options or (
        "--hash" in reader.options and "--no-require-hashes" not in reader.options
    )
    if hashed and (bare := _first_without_hash(reader.wanted)):
        raise bare.line.error(
            "has no --hash while hashes are asked for, so pip would refuse it; write the file anew with hashes for all "
            "(pip-compile --generate-hashes, uv pip compile --generate-hashes)"
        )
    required = [wanted for wanted in reader.wanted if wanted.name and not wanted.line.constraint]
    extras = frozenset(f"{wanted.name}[{extra}]" for wanted in required for extra in wanted.extras)
    return Requirements(reader.files, hashed, {wanted.name for wanted in required}, extras)


class _Reader:
    """Reads a requirements file and what it includes, in pip's order."""

    def __init__(self, root: Path, entries: Sequence[Entry], exclude: Sequence[str]) -> None:
        self.files: dict[str, str] = {}
        self.wanted: list[_Wanted] = []
        self.options: set[str] = set()
        self._root, self._entries, self._exclude = root, entries, exclude
        self._seen: set[tuple[str, bool]] = set()

    def read(self, name: str, constraint: bool, included_by: _Line | None) -> None:
        directory = posixpath.dirname(included_by.file) if included_by else ""
        path = posixpath.normpath(posixpath.join(directory, name))
        if _URL.match(name) or name.startswith("file:") or path.startswith("/") or path.split("/")[0] == "..":
            cure = "copy it into the source and name it by a relative path"
            raise _failure(included_by, f"the requirements file {_shown(name)} is outside of the source; {cure}")
        if (path, constraint) in self._seen:
            return
        self._seen.add((path, constraint))
        if path not in self.files:
            self.files[path] = self._text(path, included_by)
        for number, text in _logical_lines(self.files[path]):
            self._take(_Line(path, number, text, constraint))

    def _text(self, path: str, included_by: _Line | None) -> str:
        if not is_deployed(self._root, path, self._entries):
            near = difflib.get_close_matches(path, [entry.path for entry in self._entries], 3)
            hint = f"; the nearest are {', '.join(near)}" if near else ""
            why = absence(self._root, path, self._exclude)
            raise _failure(included_by, f"the requirements file {path!r} {why}{hint}")
        try:
            with open(native_path(self._root, path), "rb") as file:
                return file.read().decode("utf-8-sig")
        except OSError as error:
            raise _failure(included_by, f"the requirements file {path!r} cannot be read ({error.strerror})") from error
        except UnicodeDecodeError as error:
            raise _failure(included_by, f"the requirements file {path!r} is not UTF-8; save it as UTF-8") from error

    def _take(self, line: _Line) -> None:
        if any(_has_credentials(*url) for url in _URL.findall(line.text)):
            # The line is not repeated at all: where a secret ends in a URL that is malformed is anyone's guess.
            raise SourceError(
                f"{line.file}, line {line.number}: a URL with credentials, which would be readable in the release on "
                "every host; take them out, and put them into pip.conf or the netrc file of the hosts"
            )
        tokens = line.text.split(" ")
        cut = next((index for index, token in enumerate(tokens) if token.startswith("-")), len(tokens))
        requirement = " ".join(tokens[:cut]).strip()
        try:
            options = list(_options(_words(" ".join(tokens[cut:]))))
        except ValueError as error:
            raise line.error(f"pip would not accept it ({error})") from error
        self.options |= {option for option, _value in options}
        for option, value in options:
            if option == "--editable":
                raise line.error(f"an editable requirement is refused: {_LOCAL}")
            if option == "--find-links" and not (_URL.match(value) or value.startswith(("/", "file:"))):
                raise line.error(f"a directory of packages in the source is refused: {_LOCAL}")
            if option in ("--requirement", "--constraint") and not requirement:
                self.read(value, option == "--constraint", line)
        if requirement:
            self.wanted.append(_parse(line, requirement, any(option == "--hash" for option, _value in options)))


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """The number of the first physical line and the text of each logical line, without comments and empty ones.

    As pip does it: a backslash at the end joins, except that a line of comment ends what was joined.
    """
    joined: list[str] = []
    first = 0
    lines = text.splitlines()
    for number, line in enumerate(lines, start=1):
        comment = _COMMENT.match(line) is not None
        first = first if joined else number
        goes_on = line.endswith("\\") and not comment
        joined.append(line.strip("\\") if goes_on else f" {line}" if comment else line)
        if goes_on and number < len(lines):
            continue
        if logical := _COMMENT.sub("", "".join(joined)).strip():
            yield first, logical
        joined = []


def _words(text: str) -> list[str]:
    """Words of a line of options, by the rules of a shell, which a line of hashes does without: that is much faster."""
    if re.search(r"[\"'\\]", text):
        return shlex.split(text)
    return [word for word in re.split(r"[ \t\r\n]+", text) if word]


def _options(tokens: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Options under their long name with their value, as optparse reads them. Raises ValueError for a missing value."""
    rest = iter(tokens)
    for token in rest:
        if token.startswith("--"):
            written, given, value = token.partition("=")
            fitting = [option for option in _OPTIONS if option.startswith(written)]
            option = written if written in _OPTIONS else fitting[0] if len(fitting) == 1 else ""
        else:
            option, given, value = _SHORT.get(token[:2], ""), token[2:], token[2:]
        if not option:
            continue
        if _OPTIONS[option] and not given:
            try:
                value = next(rest)
            except StopIteration:
                raise ValueError(f"{option} needs a value") from None
        yield option, value


def _parse(line: _Line, text: str, has_hash: bool) -> _Wanted:
    """Read one requirement. Raises SourceError for a local one and for what is none."""
    if _URL.match(text):
        if _is_local_url(text):
            raise line.error(f"a requirement by local path is refused: {_LOCAL}")
        return _Wanted(line, _name_in_url(text), "; " in text, has_hash or bool(_URL_HASH.search(text)))
    before_marker = text.split(";")[0].strip()
    try:
        requirement = Requirement(text)
    except InvalidRequirement as error:
        if text.startswith("file:") or "/" in before_marker or before_marker.startswith("."):
            raise line.error(f"a requirement by local path is refused: {_LOCAL}") from None
        raise line.error(f"pip would not accept it ({_redacted(str(error).splitlines()[0])})") from error
    url = requirement.url
    if _is_local_url(url) if url else before_marker.lower().endswith(_ARCHIVES):
        raise line.error(f"a requirement by local path is refused: {_LOCAL}")
    hashed = has_hash or bool(url and _URL_HASH.search(url))
    extras = frozenset(_normalized(extra) for extra in requirement.extras)
    return _Wanted(line, _normalized(requirement.name), requirement.marker is not None, hashed, extras)


def _normalized(name: str) -> str:
    """A project's name as indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _is_local_url(url: str) -> bool:
    scheme = _URL.match(url)
    return scheme is None or scheme[1].lower().split("+")[-1] == "file"


def _name_in_url(url: str) -> str:
    """The project's name in a URL without `name @`: from #egg= or the file name of a wheel; "" when it has neither."""
    egg = re.search(r"[#&]egg=([A-Za-z0-9._-]+)", url)
    wheel = re.search(r"/([A-Za-z0-9._]+)-[^/\s]*\.whl(?=$|[#?\s])", url)
    name = egg or wheel
    return _normalized(name[1]) if name else ""


def _has_credentials(scheme: str, rest: str) -> bool:
    """Whether a URL (without its "scheme://") has a secret in it that is not the value of an environment variable."""
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    userinfo, at, _host = authority.rpartition("@")
    if not at:
        # A password with a raw "/" in it ends the authority early: what stands for a port is no number then.
        return "@" in rest and re.search(r":(?!\d*$)[^\]]*$", authority) is not None
    user, colon, password = userinfo.partition(":")
    if not colon and "ssh" in scheme.lower():
        return False  # git@host: over ssh the secret is a key
    # A user alone (https://TOKEN@host), or with an empty password, may be a token.
    return _VARIABLE.sub("", password or user) != ""


def _first_without_hash(wanted: Sequence[_Wanted]) -> _Wanted | None:
    """The first requirement pip's hash-checking mode certainly refuses.

    Seen with pip 26.3: the hash may also come from a constraint or from an earlier line for the same project. One with
    a marker may not apply on the host and is then not looked at.
    """
    covered = {one.name for one in wanted if one.hashed and one.line.constraint}
    for one in wanted:
        if one.hashed:
            covered.add(one.name)
        elif not (one.line.constraint or one.conditional or one.name in covered):
            return one
    return None


def _failure(included_by: _Line | None, problem: str) -> SourceError:
    return included_by.error(problem) if included_by else SourceError(problem)


def _redacted(text: str) -> str:
    return re.sub(r"://\S*@", "://***@", text)


def _shown(text: str) -> str:
    return repr(_redacted(text))
