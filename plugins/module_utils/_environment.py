# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Environment variables in the format of systemd's ``EnvironmentFile=`` (systemd.exec(5))."""

from __future__ import annotations

import re
import typing as t

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

# Inside double quotes a backslash takes the meaning from just these (systemd, env-file.c, SHELL_NEED_ESCAPE); before
# any other character it stands for itself.
_ESCAPED = re.compile(r'(["\\`$])')
_UNESCAPED = re.compile(r'\\(["\\`$])')


def text_of(value: t.Any) -> str:
    """A variable's value as the application reads it.

    :raises ValueError: when it is neither a string nor a number, or holds a NUL byte, which no variable can.
    """
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        kinds: t.Dict[type, str] = {bool: "a boolean", type(None): "empty", list: "a list", dict: "a dictionary"}
        # Ansible's own lists and dictionaries are kinds of these.
        kind = next((name for known, name in kinds.items() if isinstance(value, known)), "no text")
        raise ValueError("is {0}; accepted are strings and numbers, quoted as the application reads them".format(kind))
    text = str(value)
    if "\0" in text:
        raise ValueError("holds a NUL byte, which no environment variable can")
    return text


def environment_file(variables: t.Mapping[str, str]) -> str:
    """The file's text, one variable a line, sorted; line breaks within a value stay inside its quotes."""
    lines = ['{0}="{1}"'.format(name, _ESCAPED.sub(r"\\\1", variables[name])) for name in sorted(variables)]
    return "".join(line + "\n" for line in lines)


_LINE = re.compile(r'([A-Za-z_][A-Za-z0-9_]*)="((?:[^"\\]|\\.)*)"\n', re.DOTALL)


def read_environment(text: str) -> t.Dict[str, str]:
    """The variables of a file that ``environment_file`` wrote.

    :raises ValueError: when it is of another form: somebody changed it.
    """
    variables = {}
    position = 0
    while position < len(text):
        match = _LINE.match(text, position)
        if not match:
            raise ValueError("the environment file was changed")
        variables[match.group(1)] = _UNESCAPED.sub(r"\1", match.group(2))
        position = match.end()
    return variables
