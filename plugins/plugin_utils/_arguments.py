# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the controller adds to the arguments of modules before they go to a host: digests and texts of files here."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

from ansible_collections.wsgiops.flask.plugins.module_utils._environment import text_of
from ansible_collections.wsgiops.flask.plugins.module_utils._tree import tree_digest
from ansible_collections.wsgiops.flask.plugins.plugin_utils._paths import source_directory
from ansible_collections.wsgiops.flask.plugins.plugin_utils._requirements import read_requirements
from ansible_collections.wsgiops.flask.plugins.plugin_utils._source import Entry, SourceError, list_source

Arguments = dict[str, t.Any]


class ArgumentsError(Exception):
    """Arguments that can't be completed; the text names the application and says why."""


def listed_source(arguments: Arguments, variables: t.Mapping[str, t.Any]) -> tuple[Path, list[Entry]]:
    """The directory that ``source`` means, and what of it is to be deployed.

    :raises ArgumentsError: when it can't be read.
    """
    root = source_directory(arguments.get("source", ""), variables)
    try:
        return root, list_source(root, arguments.get("exclude", ()))
    except SourceError as error:
        raise ArgumentsError(f"{arguments.get('name')}: source: {error}") from error


def for_release_info(arguments: Arguments, variables: t.Mapping[str, t.Any]) -> Arguments:
    """With the digest of the source.

    :raises ArgumentsError: when that can't be read.
    """
    _root, entries = listed_source(arguments, variables)
    return {**arguments, "code": tree_digest(entries)}


def for_venv(arguments: Arguments, variables: t.Mapping[str, t.Any]) -> Arguments:
    """With the texts of the requirement files, and whether hashes are to be verified.

    :raises ArgumentsError: when they can't be read.
    """
    root, entries = listed_source(arguments, variables)
    requirements = arguments.get("requirements", "requirements.txt")
    try:
        found = read_requirements(root, requirements, entries, arguments.get("exclude", ()))
    except SourceError as error:
        raise ArgumentsError(f"{arguments.get('name')}: {error}") from error
    return {**arguments, "texts": found.files, "hashed": found.hashed}


def for_release(arguments: Arguments) -> Arguments:
    """With environment and secrets as one text each, which is masked as a whole: a masked "1" would mask each 1.

    :raises ArgumentsError: when one of them has no text.
    """
    completed = dict(arguments)
    for option in ("environment", "secrets"):
        variables = completed.pop(option, None)
        if variables:
            completed[option] = json.dumps(_texts(arguments.get("name"), option, variables))
    return completed


def _texts(app: str | None, option: str, variables: t.Any) -> dict[str, str]:
    if not isinstance(variables, dict):
        raise ArgumentsError(f"{app}: {option}: accepted is a dictionary of strings and numbers")
    texts = {}
    for name, value in variables.items():
        try:
            texts[str(name)] = text_of(value)
        except ValueError as error:
            raise ArgumentsError(f"{app}: {option}: {name} {error}") from error
    return texts
