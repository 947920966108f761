# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import errno
import hashlib
import os
import stat
import subprocess
import time
import typing as t
from collections.abc import Callable
from pathlib import Path

import pytest

from ansible_collections.wsgiops.flask.plugins.module_utils import _file_set, _undo
from ansible_collections.wsgiops.flask.plugins.module_utils._file_set import FileSet, FileSetError, is_stock
from ansible_collections.wsgiops.flask.plugins.module_utils._files import WantedFile
from ansible_collections.wsgiops.flask.tests.unit.plugins.host import Accounts


@pytest.fixture(autouse=True)
def owners(accounts: Accounts) -> None:
    """Files that anybody can give away."""


@pytest.fixture
def state(notes: Path) -> Path:
    """Where there is what transactions can undo."""
    return notes.parent / "state"


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    directory = tmp_path / "etc"
    directory.mkdir()
    return directory


def shell(script: str) -> list[str]:
    return ["sh", "-c", script]


def wanted(path: Path, content: str, mode: int = 0o644) -> WantedFile:
    return WantedFile(str(path), content, mode)


# --- a transaction that goes through ------------------------------------------------------------------------------


def test_files_change_then_are_checked_then_taken_over(etc: Path, tmp_path: Path, notes: Path) -> None:
    log = tmp_path / "log"
    (etc / "old").write_text("old")
    check = shell(f"echo check $(cat {etc}/new) $(ls {etc}) >> {log}")
    apply = shell(f"echo apply $(ls {notes} | wc -l) >> {log}")
    change = FileSet([wanted(etc / "new", "text\n", 0o600)], [str(etc / "old")], check, apply)
    assert change.pending
    assert change.paths == [str(etc / "new"), str(etc / "old")]
    change.commit()
    assert log.read_text() == "check text new\napply 1\n"
    assert stat.S_IMODE((etc / "new").stat().st_mode) == 0o600
    assert not notes.exists()


def test_a_directory_is_made_where_there_is_none(etc: Path) -> None:
    change = FileSet([wanted(etc / "unit.d" / "new", "text\n")], [], [], [])
    assert change.pending
    change.commit()
    assert (etc / "unit.d" / "new").read_text() == "text\n"
    assert stat.S_IMODE((etc / "unit.d").stat().st_mode) == 0o755


def test_what_is_as_wanted_is_not_touched(etc: Path) -> None:
    FileSet([wanted(etc / "new", "text\n")], [], [], []).commit()
    again = FileSet([wanted(etc / "new", "text\n")], [str(etc / "never")], shell("false"), shell("false"))
    assert not again.pending
    assert (again.paths, again.diff()) == ([], [])


@pytest.mark.parametrize("drift", ["content", "mode", "owner"])
def test_drift_is_put_right(etc: Path, drift: str) -> None:
    FileSet([wanted(etc / "site", "text\n")], [], [], []).commit()
    if drift == "content":
        (etc / "site").write_text("changed by hand\n")
    elif drift == "mode":
        (etc / "site").chmod(0o666)
    else:
        os.chown(etc / "site", 990, 990)
    change = FileSet([wanted(etc / "site", "text\n")], [], [], [])
    assert change.paths == [str(etc / "site")]
    change.commit()
    assert not FileSet([wanted(etc / "site", "text\n")], [], [], []).pending


def test_a_dangling_link_can_be_taken_away(etc: Path) -> None:
    (etc / "enabled").symlink_to("nowhere")
    FileSet([], [str(etc / "enabled")], [], []).commit()
    assert os.listdir(etc) == []


def test_the_diff_shows_every_path(etc: Path) -> None:
    (etc / "site").write_text("old\n")
    (etc / "gone").write_text("away\n")
    (etc / "link").symlink_to("site")
    files = [wanted(etc / "site", "new\n"), wanted(etc / "fresh", "here\n")]
    shown = FileSet(files, [str(etc / "gone"), str(etc / "link")], [], []).diff()
    assert [(entry["before_header"], entry["before"], entry["after"]) for entry in shown] == [
        (str(etc / "site"), "old\n", "new\n"),
        (str(etc / "fresh"), "", "here\n"),
        (str(etc / "gone"), "away\n", ""),
        (str(etc / "link"), "link to site\n", ""),
    ]
    assert all(entry["before_header"] == entry["after_header"] for entry in shown)


def test_the_diff_tells_of_secrets_that_they_change(etc: Path) -> None:
    """What not everyone may read is one, as long as nothing else is known of it."""
    for name in ("kept", "gone", "opened"):
        (etc / name).write_text("hush\n")
        (etc / name).chmod(0o640)
    files = [wanted(etc / "kept", "other\n", 0o640), wanted(etc / "fresh", "new\n"), wanted(etc / "opened", "public\n")]
    secret = [str(etc / "kept"), str(etc / "fresh")]
    shown = FileSet(files, [str(etc / "gone")], [], [], secret).diff()
    assert [(entry["before_header"], entry["before"], entry["after"]) for entry in shown] == [
        (str(etc / "kept"), "a secret\n", "another secret\n"),
        (str(etc / "fresh"), "", "another secret\n"),
        (str(etc / "opened"), "a secret\n", "public\n"),
        (str(etc / "gone"), "a secret\n", ""),
    ]


# --- one that does not --------------------------------------------------------------------------------------------


def test_a_script_is_no_name_of_a_command(etc: Path) -> None:
    check = [*shell("set -u\necho no\nexit 1"), "nginx -t"]
    with pytest.raises(FileSetError, match=r"^sh -c \.\.\. nginx -t refused the configuration; [^\n]*:\nno$"):
        FileSet([wanted(etc / "site", "new\n")], [], check, []).commit()


@pytest.mark.parametrize("failing", ["check", "apply"])
def test_a_refused_configuration_is_taken_back(etc: Path, tmp_path: Path, failing: str) -> None:
    told = tmp_path / "told"
    (etc / "site").write_bytes(b"old \xff\r\n")
    (etc / "site").chmod(0o640)
    os.chown(etc / "site", 990, 33)
    (etc / "link").symlink_to("site")
    (etc / "gone").write_text("away")
    refuse = shell("echo 'unknown directive \"serv\"'; echo on stderr >&2; exit 1")
    accept = shell(f"cat {etc}/site >> {told}")
    files = [wanted(etc / "site", "new\n"), wanted(etc / "link", "new\n"), wanted(etc / "fresh", "new\n")]
    check, apply = (refuse, accept) if failing == "check" else ([], refuse)
    with pytest.raises(FileSetError) as refused:
        FileSet(files, [str(etc / "gone")], check, apply).commit()

    for part in (
        "refused the configuration; files that this run changed are as before",
        'unknown directive "serv"',
        "on stderr",
    ):
        assert part in str(refused.value)
    assert (etc / "site").read_bytes() == b"old \xff\r\n"
    assert stat.S_IMODE((etc / "site").stat().st_mode) == 0o640
    assert (os.lstat(etc / "site").st_uid, os.lstat(etc / "site").st_gid) == (990, 33)
    assert os.readlink(etc / "link") == "site"
    assert (etc / "gone").read_text() == "away"
    assert sorted(os.listdir(etc)) == ["gone", "link", "site"]
    if failing == "check":
        assert told.read_bytes() == b"old \xff\r\n", "the service was not told that its files are back"


def test_a_command_that_does_not_exist_refuses_too(etc: Path) -> None:
    with pytest.raises(FileSetError, match="no-such-command-here"):
        FileSet([wanted(etc / "site", "")], [], ["no-such-command-here", "-t"], []).commit()
    assert os.listdir(etc) == []


def test_a_file_that_can_not_be_written_takes_the_others_back(etc: Path) -> None:
    files = [wanted(etc / "one", ""), WantedFile(str(etc / "two"), "", 0o644, "root", "nobody-here")]
    with pytest.raises(KeyError, match="nobody-here"):
        FileSet(files, [], [], []).commit()
    assert os.listdir(etc) == []


def test_commands_speak_english(etc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    with pytest.raises(FileSetError, match=r"locale C$"):
        FileSet([wanted(etc / "site", "")], [], shell("echo locale $LC_ALL; exit 1"), []).commit()


class Asked:
    """A probe that finds what it is told to."""

    def __init__(self, problem: str, look: Callable[[], object] = lambda: None) -> None:
        self.found: list[object] = []
        self._problem, self._look = problem, look

    def problem(self) -> str:
        self.found.append(self._look())
        return self._problem


def test_a_probe_is_asked_once_after_the_take_over(etc: Path, tmp_path: Path, notes: Path) -> None:
    log = tmp_path / "log"
    probe = Asked("", log.read_text)
    change = [wanted(etc / "site", "new\n")]
    FileSet(change, [], [], shell(f"echo apply >> {log}"), probe=probe).commit()
    assert probe.found == ["apply\n"]
    assert not FileSet(change, [], [], shell(f"echo apply >> {log}"), probe=probe).pending
    assert not notes.exists()


@pytest.mark.parametrize(
    ("again", "outcome"), [("true", "and in use again"), ("false", "but could not be taken over again")]
)
def test_what_does_not_serve_is_taken_back(etc: Path, tmp_path: Path, again: str, outcome: str) -> None:
    (etc / "site").write_text("old\n")
    told = tmp_path / "told"
    apply = shell(f"cat {etc}/site >> {told}; if [ $(wc -l < {told}) = 2 ]; then {again}; fi")
    change = FileSet([wanted(etc / "site", "new\n")], [], [], apply, probe=Asked("shop: status 500"))
    with pytest.raises(FileSetError) as refused:
        change.commit()
    assert str(refused.value) == f"shop: status 500. Files that this run changed are as before, {outcome}."
    assert (etc / "site").read_text() == "old\n"
    assert told.read_text() == "new\nold\n"


def test_what_is_not_taken_over_is_not_asked(etc: Path) -> None:
    probe = Asked("")
    with pytest.raises(FileSetError):
        FileSet([wanted(etc / "site", "new\n")], [], [], shell("false"), probe=probe).commit()
    assert probe.found == []


# --- one that was interrupted -------------------------------------------------------------------------------------


def die_in_check(change: FileSet | None = None, etc: Path | None = None, apply: list[str] | None = None) -> None:
    """Run a transaction that is killed once its files are in place, before there is a verdict on them."""
    child = os.fork()
    if child == 0:
        try:
            kill = shell("kill -9 $PPID")
            (change or FileSet([wanted(t.cast("Path", etc) / "site", "new\n")], [], kill, apply or [])).commit()
        finally:
            os._exit(1)
    _pid, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status)


@pytest.fixture(params=["the next run", "the next start of nginx"])
def come_next(
    request: pytest.FixtureRequest, nginx_scripts: Path, command: Callable[[str, str], Path]
) -> Callable[[], str]:
    """Whoever comes next and undoes what is to be undone; says of what."""

    def start() -> str:
        # Tests need not be root.
        command("id", "echo 0")
        done = subprocess.run(["sh", nginx_scripts / "undo.sh"], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    def run() -> str:
        return "something" if _file_set.recover() else ""

    return run if request.param == "the next run" else start


def snapshot(directory: Path) -> dict[str, tuple[int, str]]:
    """Mode and content, or target, by name."""
    return {
        path.name: (
            path.lstat().st_mode,
            os.readlink(path) if path.is_symlink() else path.read_bytes().decode("latin-1"),
        )
        for path in directory.iterdir()
    }


@pytest.fixture
def before(etc: Path) -> dict[str, tuple[int, str]]:
    """What stands there: files, one of them not for everyone, a link, and one that leads nowhere."""
    (etc / "site").write_bytes(b"old \xff\r\n")
    (etc / "site").chmod(0o640)
    (etc / "with a blank").write_text("old")
    (etc / "gone").write_text("away")
    (etc / "link").symlink_to("site")
    (etc / "dangling").symlink_to("nowhere")
    return snapshot(etc)


def change_all(etc: Path, check: list[str], apply: list[str]) -> FileSet:
    names = ["site", "with a blank", "link", "dangling", "fresh", "deep/fresh"]
    return FileSet([wanted(etc / name, "new\n") for name in names], [str(etc / "gone")], check, apply)


def test_what_a_killed_run_changed_is_undone_by_whoever_comes_next(
    etc: Path, tmp_path: Path, state: Path, before: dict[str, tuple[int, str]], come_next: Callable[[], str]
) -> None:
    told = tmp_path / "told"
    os.chown(etc / "site", 990, 33)
    die_in_check(change_all(etc, shell("kill -9 $PPID"), shell(f"cat {etc}/site >> {told}")))
    assert (etc / "site").read_text() == (etc / "link").read_text() == (etc / "deep" / "fresh").read_text() == "new\n"
    assert not (etc / "gone").exists()
    assert stat.S_IMODE(state.stat().st_mode) == 0o700

    assert come_next()
    (etc / "deep").rmdir()
    assert snapshot(etc) == before
    # The next run tells the service, which may have taken the change over; who starts it need not.
    assert not told.exists() or told.read_bytes() == b"old \xff\r\n"
    assert not state.exists()
    assert come_next() == ""


def test_who_comes_next_goes_on_where_another_was_cut_off(
    etc: Path, before: dict[str, tuple[int, str]], come_next: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    die_in_check(change_all(etc, shell("kill -9 $PPID"), []))
    with monkeypatch.context() as patched:
        patched.setattr(_undo, "_move", interrupted_after(2, _undo._move))
        with pytest.raises(KeyboardInterrupt):
            _file_set.recover()
    assert come_next()
    (etc / "deep").rmdir()
    assert snapshot(etc) == before


def interrupted_after(count: int, function: Callable[..., None]) -> Callable[..., None]:
    done: list[int] = []

    def call(*arguments: object) -> None:
        if len(done) == count:
            raise KeyboardInterrupt
        done.append(1)
        function(*arguments)

    return call


def test_from_another_file_system_it_is_copied(
    etc: Path,
    accounts: Accounts,
    before: dict[str, tuple[int, str]],
    command: Callable[[str, str], Path],
    come_next: Callable[[], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    os.chown(etc / "site", 990, 33)
    die_in_check(change_all(etc, shell("kill -9 $PPID"), []))
    rename = os.rename

    def refuse(source: str, target: str) -> None:
        if os.path.dirname(source).endswith("/undo"):
            raise OSError(errno.EXDEV, "another file system")
        rename(source, target)

    monkeypatch.setattr(os, "rename", refuse)
    # What stat says of the file system is another one each time.
    command("stat", "date +%N")
    assert come_next()
    (etc / "deep").rmdir()
    assert snapshot(etc) == before


def test_the_next_run_does_what_a_killed_one_began(etc: Path, tmp_path: Path, notes: Path) -> None:
    told = tmp_path / "told"
    apply = shell(f"cat {etc}/site >> {told} || true")
    (etc / "site").write_text("old\n")
    die_in_check(etc=etc, apply=apply)
    assert (etc / "site").read_text() == "new\n"
    assert not told.exists()
    assert stat.S_IMODE(notes.stat().st_mode) == 0o700

    following = FileSet([wanted(etc / "site", "new\n")], [], [], apply)
    assert following.pending
    following.commit()
    assert told.read_text() == "old\nnew\n"
    assert not FileSet([wanted(etc / "site", "new\n")], [], [], apply).pending
    assert not notes.exists()


def test_who_can_not_be_told_is_told_by_those_who_tell_the_same_service(etc: Path, notes: Path) -> None:
    die_in_check(etc=etc, apply=shell("false"))
    FileSet([wanted(etc / "other", "")], [], [], shell("true")).commit()
    assert os.listdir(etc) == ["other"]
    assert len(os.listdir(notes)) == 1
    assert FileSet([], [], [], shell("false")).pending
    assert not FileSet([wanted(etc / "other", "")], [], [], shell("true")).pending


def test_a_living_run_is_left_alone(etc: Path, nginx_scripts: Path, command: Callable[[str, str], Path]) -> None:
    """It may be the one that starts nginx."""
    command("id", "echo 0")
    FileSet([wanted(etc / "site", "new\n")], [], [], ["sh", str(nginx_scripts / "undo.sh")]).commit()
    assert (etc / "site").read_text() == "new\n"


def test_of_two_runs_one_waits_for_the_other(etc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    child = os.fork()
    if child == 0:
        slowly = shell(f"touch {etc}/begun; sleep 1")
        FileSet([wanted(etc / "site", "first\n")], [], slowly, []).commit()
        os._exit(0)
    while not (etc / "begun").exists():
        time.sleep(0.01)
    change = FileSet([wanted(etc / "site", "second\n")], [], shell(f"test ! -e {etc}/other"), [])
    with monkeypatch.context() as patched:
        patched.setattr(_undo, "PATIENCE", 0.2)
        with pytest.raises(
            FileSetError, match=rf"^another run .* come to its end \(process {child}\); nothing was changed$"
        ):
            change.commit()
    assert (etc / "site").read_text() == "first\n"
    change.commit()
    assert (etc / "site").read_text() == "second\n"
    assert os.waitpid(child, 0)[1] == 0


def test_what_could_not_be_undone_is_not_begun(etc: Path, state: Path) -> None:
    (etc / "directory").mkdir()
    for name, error in (("two\nlines", ValueError), ("directory", OSError)):
        change = FileSet([wanted(etc / "site", "new\n"), wanted(etc / name, "new\n")], [], shell("true"), [])
        with pytest.raises(error):
            change.commit()
        assert os.listdir(etc) == ["directory"]
        assert not state.exists()


def test_units_that_are_as_before_are_read_again(
    nginx_scripts: Path, tmp_path: Path, state: Path, command: Callable[[str, str], Path]
) -> None:
    command("id", "echo 0")
    for name in ("mkdir", "mv", "rm", "sync", "rmdir", "stat"):
        command(name, f"echo {name} >> {tmp_path}/calls")
    command("systemctl", f'echo "systemctl $*" >> {tmp_path}/calls')
    (state / "undo").mkdir(parents=True)
    for path, reads in (("/etc/nginx/conf.d/shop.conf", False), ("/etc/systemd/system/nginx.service.d/x.conf", True)):
        (state / "undo" / "list").write_text(f"- {path}\n")
        subprocess.run(["sh", nginx_scripts / "undo.sh"], check=True)
        calls = (tmp_path / "calls").read_text().splitlines()
        assert (calls[-1] == "systemctl daemon-reload") == reads


def test_a_take_over_that_fails_is_tried_again(etc: Path, tmp_path: Path) -> None:
    apply = shell(f"test -e {tmp_path}/service-is-up")
    change = [wanted(etc / "site", "new\n")]
    with pytest.raises(FileSetError):
        FileSet(change, [], [], apply).commit()
    (tmp_path / "service-is-up").write_text("")
    assert FileSet([], [], [], apply).pending
    FileSet(change, [], [], apply).commit()
    assert not FileSet(change, [], [], apply).pending


# --- stock files --------------------------------------------------------------------------------------------------


@pytest.fixture
def shipped(etc: Path, command: Callable[[str, str], Path]) -> Path:
    """A file as the fake package database knows it."""
    path = etc / "default"
    path.write_text("welcome\n")
    digest = hashlib.md5(path.read_bytes()).hexdigest()
    # dpkg-query(1): the field Conffiles has path and MD5, and a mark of what is of no use any more.
    listing = f"echo; echo ' /etc/other 00'; echo ' {path.resolve()} {digest}'; echo ' /etc/old 11 obsolete'"
    command("dpkg-query", f'case "$*" in "--show --showformat="*"{{Conffiles}}"*) {listing} ;; esac')
    return path


def test_a_file_as_its_package_shipped_it_is_stock(shipped: Path) -> None:
    assert is_stock(str(shipped))


def test_a_link_stands_for_what_it_leads_to(shipped: Path) -> None:
    link = shipped.parent / "enabled"
    link.symlink_to("default")
    assert is_stock(str(link))


def test_a_changed_file_is_not_stock(shipped: Path) -> None:
    shipped.write_text("welcome!\n")
    assert not is_stock(str(shipped))


def test_a_copy_of_a_stock_file_is_not_stock(shipped: Path) -> None:
    copy = shipped.parent / "copy"
    copy.write_bytes(shipped.read_bytes())
    assert not is_stock(str(copy))


def test_what_is_not_there_is_not_stock(shipped: Path) -> None:
    shipped.unlink()
    (shipped.parent / "dangling").symlink_to("default")
    assert not is_stock(str(shipped))
    assert not is_stock(str(shipped.parent / "dangling"))
    assert not is_stock(str(shipped.parent))
