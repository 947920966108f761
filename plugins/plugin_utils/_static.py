# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Validation of the directories that nginx serves by itself."""

from __future__ import annotations

import difflib
import re
import typing as t
from pathlib import Path

from ansible_collections.wsgiops.flask.plugins.plugin_utils._values import App, has_dots, is_in, is_path, number

KEYS = ("url", "path", "cache")

# Unreserved characters of a URI (RFC 3986, section 2.3), between slashes: nginx puts what follows behind the directory.
URL = re.compile(r"(?:/[A-Za-z0-9._~-]+)+/")

# A year, which is as long as caches keep anything (RFC 2616, section 14.21, and what browsers make of it).
LONGEST = 31_536_000

# Where nothing is that a client should get, and the applications' code, which a relative path stands for.
CLOSED_PATHS = tuple(f"/{name}" for name in "boot dev etc home opt proc root run sys tmp var/log".split())


def static_problems(app: App, resolve: t.Callable[[str], Path]) -> list[str]:
    """What is wrong with the key static of an application of the right shape, each with a cure.

    :param resolve: turns the text of a path into the file on the controller that it means.
    """
    found: list[str] = []
    urls: set[str] = set()
    for position, item in enumerate(app.get("static") or (), start=1):
        name = f"static: entry {position}"
        problems = [f"{name}: {problem}" for problem in _problems(app, item, resolve)]
        if not problems and item["url"] in urls:
            problems = [f"{name}: url: {item['url']!r} stands there already; leave one out"]
        found += problems
        urls.add(str(item.get("url")))
    return found


def _problems(app: App, item: App, resolve: t.Callable[[str], Path]) -> t.Iterator[str]:
    for key in item:
        if key not in KEYS:
            near = difflib.get_close_matches(str(key), KEYS, n=1, cutoff=0.5)
            yield f"{key}: unknown key; " + (f"did you mean {near[0]}?" if near else f"accepted are {', '.join(KEYS)}")
    for key, rule in (("url", _url_rule), ("path", _path_rule)):
        value = item.get(key)
        if not isinstance(value, str):
            yield f"{key}: is required, a string"
        elif broken := rule(value, app, resolve):
            yield f"{key}: {value!r} is not accepted: {broken}"
    seconds = number(item.get("cache", 0))
    if seconds is None or not 0 <= seconds <= LONGEST:
        yield f"cache: {item['cache']!r} is not accepted: whole seconds from 0 to {LONGEST}"


def _url_rule(url: str, _app: App, _resolve: t.Callable[[str], Path]) -> str | None:
    """The rule that a URL breaks, if it does."""
    if URL.fullmatch(url) and not has_dots(url):
        return None
    near = "/" + "".join(f"{segment}/" for segment in url.strip().split("/") if segment)
    hint = f"; did you mean {near!r}?" if URL.fullmatch(near) and not has_dots(near) else ""
    return f"segments of letters, digits and ._~-, with a slash in front of each and one at the end{hint}"


def _path_rule(path: str, app: App, resolve: t.Callable[[str], Path]) -> str | None:
    """The rule that a directory breaks, if it does."""
    if not is_path(path, absolute=path.startswith("/")):
        return (
            "a path without . and .. in it and no slash at its end, of letters, digits and ._+,=@~-, "
            "absolute on the host or relative in the source"
        )
    if path.startswith("/"):
        if is_in(path, CLOSED_PATHS) or path in ("/var", "/var/lib", f"/var/lib/{app.get('name')}"):
            own = f"/var/lib/{app.get('name')}/media"
            return (
                f"it holds more than clients should get; give a directory of its own, such as {own}, or one below /srv"
            )
        return None
    root = resolve(str(app.get("source", "")))
    return None if (root / path).is_dir() else f"there is no such directory in {root}"
