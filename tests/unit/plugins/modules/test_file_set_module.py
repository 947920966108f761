# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import json
import os
import typing as t
from collections.abc import Callable
from pathlib import Path

import pytest

from ansible_collections.wsgiops.flask.plugins.module_utils import _file_set, _undo
from ansible_collections.wsgiops.flask.plugins.modules import file_set
from ansible_collections.wsgiops.flask.tests.unit.plugins.host import Front, Host, UnixServer

Run = Callable[..., dict[str, t.Any]]


@pytest.fixture
def etc(tmp_path: Path, accounts: object) -> Path:
    directory = tmp_path / "etc"
    directory.mkdir()
    (directory / "old").write_text("away\n")
    return directory


@pytest.fixture
def arguments(etc: Path) -> dict[str, t.Any]:
    """One file to have, one not to have, and commands that write down that they ran."""
    return {
        "files": [{"path": str(etc / "site"), "content": "here\n", "mode": "0640", "group": "shop"}],
        "absent": [str(etc / "old")],
        "check": ["sh", "-c", f"echo check >> {etc}/log"],
        "apply": ["sh", "-c", f"echo apply >> {etc}/log"],
    }


def test_files_change_once(etc: Path, arguments: dict[str, t.Any], run_module: Run) -> None:
    result = run_module(file_set, arguments)
    assert result["changed"]
    assert result["paths"] == [str(etc / "site"), str(etc / "old")]
    assert (etc / "site").read_text() == "here\n"
    assert (etc / "site").stat().st_mode & 0o777 == 0o640
    assert not (etc / "old").exists()
    assert (etc / "log").read_text() == "check\napply\n"

    again = run_module(file_set, arguments)
    assert (again["changed"], again["paths"], again["diff"]) == (False, [], [])
    assert (etc / "log").read_text() == "check\napply\n"


def test_a_file_without_text_is_not_to_be_there(etc: Path, arguments: dict[str, t.Any], run_module: Run) -> None:
    arguments.update(files=[{"path": str(etc / "old"), "content": ""}], absent=[])
    assert run_module(file_set, arguments)["paths"] == [str(etc / "old")]
    assert not (etc / "old").exists()
    assert not run_module(file_set, arguments)["changed"]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a 1;\n  b 2;\n", "a 1;\n  b 9; # ours\n"),
        ("a 1;\n  b 7; # ours\n", "a 1;\n  b 9; # ours\n"),
        ("a 1;\n  b 9; # ours\n", None),
        ("a 1;\n  b 3;\n", None),
        (None, None),
    ],
)
def test_lines_in_a_file_of_somebody_elses(
    etc: Path, arguments: dict[str, t.Any], run_module: Run, text: str | None, wanted: str | None
) -> None:
    path = etc / "theirs"
    if text is not None:
        path.write_text(text)
        path.chmod(0o604)
    edit = {"path": str(path), "regexp": r"^(\s*)b (2;|\d+; # ours)$", "replace": r"\1b 9; # ours"}
    arguments = {**arguments, "files": [], "absent": [], "edits": [edit]}
    result = run_module(file_set, arguments)
    assert (result["changed"], result["paths"]) == (wanted is not None, [str(path)] if wanted else [])
    assert (path.read_text() if text is not None else None) == (wanted or text)
    if text is not None:
        assert path.stat().st_mode & 0o777 == 0o604
    assert not run_module(file_set, arguments)["changed"]


def test_lines_are_as_before_when_they_are_refused(etc: Path, arguments: dict[str, t.Any], run_module: Run) -> None:
    (etc / "theirs").write_text("b 2;\n")
    edit = {"path": str(etc / "theirs"), "regexp": "^b 2;$", "replace": "b x;"}
    said = run_module(file_set, {**arguments, "files": [], "absent": [], "edits": [edit], "check": ["false"]})
    assert "refused the configuration" in said["msg"]
    assert (etc / "theirs").read_text() == "b 2;\n"


def test_a_secret_is_written_and_not_told(etc: Path, arguments: dict[str, t.Any], run_module: Run) -> None:
    arguments["files"] = [{"path": str(etc / "users"), "secret": "alice:hush\n", "mode": "0640"}]
    said = run_module(file_set, arguments, diff=True)
    assert (etc / "users").read_text() == "alice:hush\n"
    assert "hush" not in str(said)
    assert said["diff"][0]["after"] == "another secret\n"
    assert not run_module(file_set, arguments)["changed"]


@pytest.mark.parametrize(("texts", "said"), [({}, "one of the following"), ({"content": "", "secret": ""}, "mutually")])
def test_a_file_has_one_text(etc: Path, run_module: Run, texts: dict[str, str], said: str) -> None:
    assert said in run_module(file_set, {"files": [{"path": str(etc / "users"), **texts}]})["msg"]
    assert os.listdir(etc) == ["old"]


def test_check_mode_says_the_same_and_changes_nothing(etc: Path, arguments: dict[str, t.Any], run_module: Run) -> None:
    said = run_module(file_set, arguments, check_mode=True, diff=True)
    assert os.listdir(etc) == ["old"]
    assert [(entry["after_header"], entry["before"], entry["after"]) for entry in said["diff"]] == [
        (str(etc / "site"), "", "here\n"),
        (str(etc / "old"), "away\n", ""),
    ]
    assert said == run_module(file_set, arguments, diff=True)


def test_a_refused_configuration_is_a_failure_with_its_words(
    etc: Path, arguments: dict[str, t.Any], run_module: Run
) -> None:
    result = run_module(file_set, {**arguments, "check": ["sh", "-c", "echo no such directive; exit 1"]})
    assert result["failed"]
    assert result["msg"].endswith(
        "refused the configuration; files that this run changed are as before:\nno such directive"
    )
    assert sorted(os.listdir(etc)) == ["log", "old"]


def test_an_unknown_group_and_a_strange_mode_are_failures(
    etc: Path, arguments: dict[str, t.Any], run_module: Run
) -> None:
    [wanted] = arguments["files"]
    result = run_module(file_set, {**arguments, "files": [{**wanted, "group": "nobody-here"}]})
    assert result["failed"]
    assert "nobody-here" in result["msg"]
    result = run_module(file_set, {**arguments, "files": [{**wanted, "mode": "u=rw"}]})
    assert result["msg"] == f"{etc}/site: mode: 'u=rw' is not octal, such as '0644'"
    assert os.listdir(etc) == ["old"]


def test_stock_files_alone_go(etc: Path, run_module: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    (etc / "changed").write_text("")
    monkeypatch.setattr(_file_set, "is_stock", lambda path: path == str(etc / "old"))
    result = run_module(file_set, {"absent_if_stock": [str(etc / "old"), str(etc / "changed")]})
    assert result["paths"] == [str(etc / "old")]
    assert os.listdir(etc) == ["changed"]


def test_a_site_that_hands_nothing_on_is_taken_back(
    host: Host, front: Front, arguments: dict[str, t.Any], etc: Path, run_module: Run
) -> None:
    server = UnixServer(host.layout.upstream)
    server.serve()
    probe = {"name": "shop", "url": front.url + "/nowhere", "host": "shop.example.com", "path": "/ready"}
    arguments["probe"] = {**probe, "upstream": host.layout.upstream}
    front.says = {None: 403}  # type: ignore[dict-item]
    result = run_module(file_set, arguments)
    assert result["failed"]
    assert "shop: nginx does not serve the application" in result["msg"]
    assert not (etc / "site").exists()
    front.says.clear()
    asked = len(front.requests)
    assert run_module(file_set, arguments, check_mode=True)["changed"]
    assert len(front.requests) == asked
    for changed in (True, False):
        assert run_module(file_set, arguments)["changed"] is changed
        assert len(front.requests) == asked + 1
    server.close()


def test_what_all_sites_share_is_taken_back_when_one_serves_no_more(
    host: Host, front: Front, arguments: dict[str, t.Any], etc: Path, run_module: Run
) -> None:
    server = UnixServer(host.layout.upstream)
    server.serve()
    probe = {"name": "shop", "url": front.url, "host": "shop.example.com", "path": "/ready", "status": 200}
    (etc / "shop.json").write_text(json.dumps({**probe, "upstream": host.layout.upstream}))
    arguments["probes"] = f"{etc}/*.json"
    assert run_module(file_set, arguments, check_mode=True)["changed"]
    assert front.requests == []
    arguments["apply"] = ["sh", "-c", f"[ ! -e {etc}/site ] || touch {etc}/taken-over"]

    # It is asked before, too.
    answer = front.answer
    front.answer = lambda *asked: (404, "") if (etc / "taken-over").exists() else answer(*asked)  # type: ignore
    result = run_module(file_set, arguments)
    assert "shop: nginx does not serve the application" in result["msg"]
    assert not (etc / "site").exists()

    # What did not serve before is no reason.
    assert run_module(file_set, arguments)["changed"]
    assert (etc / "site").exists()
    server.close()


def test_where_a_client_meets_something_else_nothing_is_asked(arguments: dict[str, t.Any], run_module: Run) -> None:
    probe = {"name": "shop", "url": "", "host": "shop.example.com", "path": "/ready", "upstream": "/"}
    assert run_module(file_set, {**arguments, "probe": probe})["changed"]


@pytest.fixture
def cut_off(etc: Path, arguments: dict[str, t.Any]) -> str:
    """A run has changed a file and died; says what stood there."""
    (etc / "site").write_text("before\n")
    with _undo.alone():
        _undo.begin([str(etc / "site")], ["sh", "-c", f"cat {etc}/site >> {etc}/log"])
        (etc / "site").write_text("half-way\n")
    return "before\n"


def test_what_a_run_left_half_way_is_undone_first(
    etc: Path, arguments: dict[str, t.Any], run_module: Run, cut_off: str
) -> None:
    checked = run_module(file_set, arguments, check_mode=True)
    assert checked["changed"]
    assert (etc / "site").read_text() == "half-way\n"
    # Neither of the two is about the other's files.
    arguments["files"], arguments["absent"] = [], []
    result = run_module(file_set, arguments)
    assert (result["changed"], result["paths"]) == (True, [])
    assert (etc / "site").read_text() == (etc / "log").read_text() == cut_off
    assert not run_module(file_set, arguments)["changed"]
