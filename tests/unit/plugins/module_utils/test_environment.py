# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ansible_collections.wsgiops.flask.plugins.module_utils._environment import (
    NAME,
    environment_file,
    read_environment,
    text_of,
)

# What systemd takes for UTF-8 text without a NUL byte: no lone surrogates.
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


def read_environment_file(text: str) -> dict[str, str]:
    """Reads the file as systemd does (systemd.exec(5), EnvironmentFile=), written after its parser in env-file.c.

    A name up to "=", blanks, then quoted and bare pieces up to the end of the line; in double quotes a backslash stands
    for itself but before one of "\\`$ and before a line break, which it takes away.
    """
    found: dict[str, str] = {}
    rest = text
    while rest:
        if rest[0] in "\n;# \t":
            blank = rest[0] in "\n \t"
            rest = rest[1:] if blank else rest.partition("\n")[2]
            continue
        name, _sign, rest = rest.partition("=")
        found[name.strip()], rest = read_value(rest.lstrip(" \t"))
    return found


def read_value(text: str) -> tuple[str, str]:
    value, quoted, position = "", False, 0
    while position < len(text):
        character = text[position]
        following = text[position + 1 : position + 2]
        position += 1
        if character == '"':
            quoted = not quoted
        elif character == "\\" and quoted:
            position += 1
            value += following if following in '"\\`$' else "" if following == "\n" else character + following
        elif character == "\n" and not quoted:
            break
        else:
            assert quoted, f"{character!r} stands outside of quotes"
            value += character
    assert not quoted, "the quotes are not closed"
    return value, text[position:]


VARIABLES = st.dictionaries(st.from_regex(NAME, fullmatch=True), TEXTS)
AWKWARD = {
    "PASSWORD": 'a"b\\c`d$e',
    "LINES": "one\\\ntwo\n",
    "SPACES": "  # no comment; ",
    "EMPTY": "",
    "ENDS": "\\",
    "LIKE_A_LINE": '"\nB="2"\n',
    "RETURNS": "a\r\nb\r",
    "BREAKS": "\u2028\x85\x0b",
}


@given(VARIABLES)
@example(AWKWARD)
def test_systemd_reads_what_was_given(variables: dict[str, str]) -> None:
    assert read_environment_file(environment_file(variables)) == variables


@given(VARIABLES)
@example(AWKWARD)
def test_it_can_be_read_back(variables: dict[str, str]) -> None:
    assert read_environment(environment_file(variables)) == variables


@pytest.mark.parametrize(
    "text", ['A="1"', "A=1\n", "A='1'\n", '# A\nA="1"\n', 'A="1"\n\n', 'A="1" B="2"\n', 'A="1\n', ' A="1"\n', "\n"]
)
def test_what_was_changed_by_hand_is_not_read_back(text: str) -> None:
    with pytest.raises(ValueError, match="the environment file was changed") as refused:
        read_environment(text)
    assert "A" not in str(refused.value)


def test_the_parser_of_this_test_reads_what_the_manual_shows() -> None:
    text = '# comment\n; comment\n\nONE = "a b"\nTWO="joined \\\nline"\nTHREE="\\n \\" \\$"\n'
    assert read_environment_file(text) == {"ONE": "a b", "TWO": "joined line", "THREE": '\\n " $'}


def test_the_order_of_the_variables_does_not_change_the_file() -> None:
    assert environment_file({"B": "2", "A": "1"}) == environment_file({"A": "1", "B": "2"}) == 'A="1"\nB="2"\n'


def test_no_variables_make_an_empty_file() -> None:
    assert environment_file({}) == ""


@pytest.mark.parametrize(("value", "text"), [("", ""), ("yes", "yes"), (0, "0"), (8000, "8000"), (1.5, "1.5")])
def test_strings_and_numbers_are_text(value: str | float, text: str) -> None:
    assert text_of(value) == text


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (True, "a boolean"),
        (False, "a boolean"),
        (None, "empty"),
        (["s3cret"], "a list"),
        ({"s3cret": 1}, "a dictionary"),
        (b"s3cret", "no text"),
    ],
)
def test_what_has_no_one_text_is_refused(value: object, kind: str) -> None:
    with pytest.raises(ValueError, match=f"^is {kind}; accepted are strings and numbers") as refused:
        text_of(value)
    assert "s3cret" not in str(refused.value)


def test_a_nul_byte_is_refused() -> None:
    with pytest.raises(ValueError, match="NUL byte") as refused:
        text_of("s3cret\0")
    assert "s3cret" not in str(refused.value)
