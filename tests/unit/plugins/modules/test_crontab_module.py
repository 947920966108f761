# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import typing as t
from collections.abc import Callable
from pathlib import Path

import pytest

from ansible_collections.wsgiops.flask.plugins.modules import crontab

Run = Callable[..., dict[str, t.Any]]

OTHERS = "MAILTO=me\n@daily mine\n"
BLOCK = "# BEGIN wsgiops.flask _nginx\n@reboot a\n# END wsgiops.flask _nginx\n"


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The crontab of whoever runs the tests."""
    found = tmp_path / "table"
    command = tmp_path / "crontab"
    command.write_text(f"#!/bin/sh\ncase $1 in -l) cat {found};; -r) rm {found};; -) cat >{found};; esac\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    found.write_text(OTHERS)
    return found


@pytest.mark.parametrize("check_mode", [True, False])
def test_lines_come_and_go(table: Path, run_module: Run, check_mode: bool) -> None:
    arguments = {"name": "_nginx", "lines": "@reboot a\n"}
    result = run_module(crontab, arguments, check_mode)
    assert (result["changed"], result["diff"]["before"], result["diff"]["after"]) == (True, "", "@reboot a\n")
    assert table.read_text() == (OTHERS if check_mode else OTHERS + BLOCK)
    table.write_text(BLOCK + OTHERS)
    assert not run_module(crontab, arguments, check_mode)["changed"]
    assert run_module(crontab, {"name": "_nginx"}, check_mode)["changed"]
    assert table.read_text() == (BLOCK if check_mode else "") + OTHERS
    table.write_text(OTHERS)
    assert not run_module(crontab, {"name": "_nginx"}, check_mode)["changed"]


def test_a_user_who_may_have_none_is_told(table: Path, run_module: Run) -> None:
    (table.parent / "crontab").write_text("#!/bin/sh\necho not allowed >&2; exit 1\n")
    result = run_module(crontab, {"name": "_nginx", "lines": "@reboot a\n"})
    assert result["failed"]
    assert "not allowed" in result["msg"]
    assert "cron.allow" in result["msg"]
