# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ansible_collections.wsgiops.flask.plugins.module_utils import _crontab

Command = Callable[[str, str], Path]
LINES = "* * * * * /home/deploy/apps/shop/app_ctl.sh cron-check\n"
BLOCK = f"# BEGIN wsgiops.flask shop\n{LINES}# END wsgiops.flask shop\n"
OTHERS = "MAILTO=me\n7 3 * * * backup --all\n"

# crontab(1) of Debian, with a file in place of its spool.
CRONTAB = """
table={table}
case $1 in
  -l) [ -e $table ] && exec cat $table; echo "no crontab for deploy" >&2; exit 1 ;;
  -r) exec rm $table ;;
  -) cat >$table.new && {slowly} mv $table.new $table ;;
esac
"""


@pytest.fixture
def table(tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's crontab, which is not there."""
    monkeypatch.setenv("HOME", str(tmp_path))
    found = tmp_path / "table"
    command("crontab", CRONTAB.format(table=found, slowly=""))
    return found


def test_lines_come_and_go(table: Path) -> None:
    assert _crontab.lines_of("shop") is None
    _crontab.set_lines("shop", LINES)
    assert table.read_text() == BLOCK
    assert _crontab.lines_of("shop") == LINES
    _crontab.set_lines("shop", None)
    assert not table.exists()


@pytest.mark.parametrize("others", [OTHERS, OTHERS.rstrip("\n"), "# \xe4 comment\n\n\n"])
def test_other_lines_stay_as_they_are(table: Path, others: str) -> None:
    table.write_text(others)
    # A last line without an end gets one: cron would not run it.
    whole = others if others.endswith("\n") else others + "\n"
    _crontab.set_lines("shop", LINES)
    assert table.read_text() == whole + BLOCK
    _crontab.set_lines("shop", None)
    assert table.read_text() == whole


def test_what_is_no_text_stays_as_it_is(table: Path) -> None:
    table.write_bytes(b"# \xff\n")
    _crontab.set_lines("shop", LINES)
    assert table.read_bytes() == b"# \xff\n" + BLOCK.encode()


def test_lines_keep_their_place_when_they_change(table: Path) -> None:
    table.write_text(f"# before\n{BLOCK}# after\n")
    _crontab.set_lines("shop", "@reboot other\n")
    assert table.read_text() == (
        "# before\n# BEGIN wsgiops.flask shop\n@reboot other\n# END wsgiops.flask shop\n# after\n"
    )


def test_applications_whose_names_begin_alike_are_told_apart(table: Path) -> None:
    _crontab.set_lines("shop-2", "@reboot two\n")
    _crontab.set_lines("shop", LINES)
    _crontab.set_lines("shop", None)
    assert _crontab.lines_of("shop-2") == "@reboot two\n"
    assert _crontab.lines_of("shop") is None


def test_a_block_without_an_end_is_left_alone(table: Path) -> None:
    """Who knows what of the lines behind it is somebody else's."""
    table.write_text(f"# BEGIN wsgiops.flask shop\n{OTHERS}")
    _crontab.set_lines("shop", LINES)
    assert table.read_text() == f"# BEGIN wsgiops.flask shop\n{OTHERS}{BLOCK}"


def test_nothing_is_written_where_all_is_well(table: Path, command: Command) -> None:
    table.write_text(BLOCK)
    command("crontab", f"[ $1 = -l ] && exec cat {table}; echo written >&2; exit 1")
    _crontab.set_lines("shop", LINES)


def test_of_two_runs_at_a_time_none_loses_its_lines(table: Path, command: Command) -> None:
    command("crontab", CRONTAB.format(table=table, slowly="sleep 0.2;"))
    names = ["shop", "desk", "till"]
    with ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(lambda name: _crontab.set_lines(name, f"@reboot {name}\n"), names))
    assert [_crontab.lines_of(name) for name in names] == [f"@reboot {name}\n" for name in names]


def test_a_home_that_is_not_there_is_no_reason_to_fail(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/nonexistent")
    _crontab.set_lines("shop", LINES)
    assert table.read_text() == BLOCK


@pytest.mark.parametrize("act", [lambda: _crontab.lines_of("shop"), lambda: _crontab.set_lines("shop", LINES)])
def test_a_user_who_may_not_use_cron_is_told_the_cure(table: Path, command: Command, act: Callable[[], object]) -> None:
    command("crontab", "echo 'You (deploy) are not allowed to use this program (crontab)' >&2; exit 1")
    with pytest.raises(_crontab.CrontabError, match=r"^crontab: You \(deploy\) are not allowed .*/etc/cron\.allow"):
        act()


def test_a_crontab_that_is_refused_is_an_error(table: Path, command: Command) -> None:
    command("crontab", "[ $1 != -l ] || { echo 'no crontab for deploy' >&2; exit 1; }; echo 'disk full' >&2; exit 1")
    with pytest.raises(_crontab.CrontabError, match=r"^crontab: disk full; "):
        _crontab.set_lines("shop", LINES)


def test_a_host_without_crontab_is_told_apart(table: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    with pytest.raises(_crontab.CrontabError, match="no command crontab on this host: have cron installed"):
        _crontab.lines_of("shop")


@pytest.mark.parametrize("words", ["no crontab for deploy", "crontab: can't open 'deploy': No such file or directory"])
def test_having_none_is_no_error(table: Path, command: Command, words: str) -> None:
    command("crontab", f'echo "{words}" >&2; exit 1')
    assert _crontab.lines_of("shop") is None
