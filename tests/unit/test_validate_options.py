# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What may stand on the command line: the task with which playbooks refuse the rest, as they run it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import typing as t
from collections.abc import Callable
from pathlib import Path

import pytest

# What the playbooks know by then of flask_apps and flask_only.
CHOSEN = {"__present": [{"name": "shop"}], "__only": []}

Refused = Callable[..., list[str]]


@pytest.fixture
def refused(repository: Path, tmp_path: Path) -> Refused:
    """What is told of several sets of options, one text each, empty for nothing."""

    def run(*options: dict[str, t.Any]) -> list[str]:
        tasks = str(repository / "playbooks" / "tasks" / "validate_options.yml")
        hosts = {f"host{number}": {**CHOSEN, **variables} for number, variables in enumerate(options)}
        inventory = {"all": {"hosts": hosts, "vars": {"ansible_connection": "local"}}}
        (tmp_path / "inventory.json").write_text(json.dumps(inventory))
        play = [{"hosts": "all", "gather_facts": False, "tasks": [{"import_tasks": tasks}]}]
        (tmp_path / "play.json").write_text(json.dumps(play))
        done = subprocess.run(
            ["ansible-playbook", "-i", "inventory.json", "play.json"],
            cwd=tmp_path,
            env={**os.environ, "ANSIBLE_NOCOLOR": "true"},
            capture_output=True,
            text=True,
            check=False,
        )
        told = dict(re.findall(r"^fatal: \[(host\d+)\]: FAILED! => (\{.*\})$", done.stdout, re.MULTILINE))
        well = set(re.findall(r"^ok: \[(host\d+)\]", done.stdout, re.MULTILINE))
        assert well ^ set(told) == set(hosts), done.stdout + done.stderr
        return [json.loads(told[host])["msg"] if host in told else "" for host in hosts]

    return run


NUMBERS = {
    "nginx_port": (1024, 65535),
    "nginx_client_timeout": (1, 3600),
    "nginx_read_timeout": (1, 86400),
    "nginx_retry_after": (1, 86400),
    "nginx_worker_connections": (0, 32768),
}
BOOLEANS = ["nginx_catch_all", "nginx_hardening", "nginx_ipv6", "nginx_probe"]
VERSION = "a version of nginx, such as 1.26"
ADDRESS = "an address and a port, such as 127.0.0.1:8081 or [::1]:8081, or nothing"

# Values that are not accepted, and what is; in the order in which they are told.
WRONG: dict[str, tuple[list[t.Any], str]] = {
    **{
        name: ([low - 1, high + 1, "x", 1.5], f"a number from {low} to {high}") for name, (low, high) in NUMBERS.items()
    },
    **{name: (["perhaps", 2, ""], "true or false") for name in BOOLEANS},
    "nginx_version": (["new", "1", "1.2.3.4", "1.26; x", 1], VERSION),
    "nginx_status_address": (
        ["nonsense", "8081", "127.0.0.1", "localhost:8081", "127.0.0.1:0", "::1:8081", "127.0.0.1:8081; x"],
        ADDRESS,
    ),
}
RIGHT: dict[str, list[t.Any]] = {
    **{name: [low, high, str(low)] for name, (low, high) in NUMBERS.items()},
    **{name: [True, False, "yes", "Off", 0] for name in BOOLEANS},
    "nginx_version": ["1.22", "1.26.3", 1.26],
    "nginx_status_address": ["", "127.0.0.1:8081", "[::1]:81"],
}


def rounds(values: dict[str, list[t.Any]]) -> list[dict[str, t.Any]]:
    """The first value of each, the second one of each that has one, and so on."""
    longest = max(map(len, values.values()))
    return [{name: known[at] for name, known in values.items() if at < len(known)} for at in range(longest)]


def test_each_wrong_option_is_told_with_what_is_accepted(refused: Refused) -> None:
    wrong = rounds({name: values for name, (values, _rule) in WRONG.items()})
    for options, told in zip(wrong, refused(*wrong), strict=True):
        problems = [f"{name}: '{value}' is not accepted: {WRONG[name][1]}." for name, value in options.items()]
        assert told == " ".join([*problems, "Nothing was changed."])


def test_what_is_accepted_is_accepted(refused: Refused) -> None:
    right = [{}, *rounds(RIGHT)]
    assert refused(*right) == [""] * len(right)


def test_options_of_playbooks_are_told_with_them(refused: Refused) -> None:
    [told] = refused({"nginx_port": 80, "flask_become": False, "nginx_mode": "system", "flask_root": "/a b"})
    for name in ("nginx_port: '80'", "nginx_mode: 'system'", "flask_root: '/a b'"):
        assert name in told
