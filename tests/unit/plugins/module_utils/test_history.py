# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import datetime
import json
import os
from pathlib import Path

import pytest

from ansible_collections.wsgiops.flask.plugins.module_utils import _history


@pytest.fixture
def history(tmp_path: Path) -> str:
    return str(tmp_path / "history.jsonl")


def test_an_event_says_what_when_by_whom_and_what_was_before(history: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_USER", "ada")
    _history.record(history, "activated", "b", "a")
    entry = json.loads(Path(history).read_text())
    age = datetime.datetime.now(datetime.UTC) - datetime.datetime.fromisoformat(entry.pop("time"))
    assert datetime.timedelta() <= age < datetime.timedelta(minutes=1)
    assert entry == {"event": "activated", "release": "b", "previous": "a", "by": "ada"}


def test_an_event_has_the_label_and_the_reason_that_there_are(history: str) -> None:
    _history.record(history, _history.REFUSED, "b", "a", "v1.2", "not ready")
    entry = json.loads(Path(history).read_text())
    assert (entry["label"], entry["reason"]) == ("v1.2", "not ready")


def test_without_sudo_it_was_root(history: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SUDO_USER", raising=False)
    _history.record(history, "activated", "a", None)
    entry = json.loads(Path(history).read_text())
    assert (entry["by"], entry["previous"]) == ("root", None)


def test_releases_are_in_the_order_of_their_last_activation(history: str) -> None:
    for release in ("a", "b", "c", "a"):
        _history.record(history, "activated", release, None)
    assert _history.activated(history) == ["a", "c", "b"]


@pytest.mark.parametrize(
    ("events", "good"),
    [
        ("+a +b +c", "c b a"),
        ("+a +b -b", "a"),
        ("+a +b -b +a", "a"),
        ("+a +b -b +b", "b a"),
        ("+a -a +b -b", ""),
        ("+a +b ?b !c", "b a"),
    ],
)
def test_what_was_taken_back_since_is_not_good(history: str, events: str, good: str) -> None:
    kinds = {"+": _history.ACTIVATED, "-": _history.TAKEN_BACK, "!": _history.REFUSED, "?": _history.CONFIRMED}
    for event in events.split():
        _history.record(history, kinds[event[0]], event[1], None)
    assert _history.good(history) == good.split()


def test_other_events_activate_nothing(history: str) -> None:
    _history.record(history, "activated", "a", None)
    _history.record(history, "refused", "b", "a")
    assert _history.activated(history) == ["a"]


def test_a_line_that_was_cut_is_passed_over(history: str) -> None:
    _history.record(history, "activated", "a", None)
    _history.record(history, "activated", "b", "a")
    text = Path(history).read_text()
    Path(history).write_text(text[:-20])
    assert _history.activated(history) == ["a"]


def test_an_event_is_on_the_disk_when_it_is_recorded(history: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: sizes.append(os.fstat(descriptor).st_size))
    _history.record(history, "activated", "a", None)
    assert sizes == [os.path.getsize(history)]


def test_nothing_was_activated_where_there_is_no_history(history: str) -> None:
    assert _history.activated(history) == _history.good(history) == []


def test_an_event_after_a_line_that_was_cut_counts(history: str) -> None:
    _history.record(history, "activated", "a", None)
    with open(history, "a") as file:
        file.write('{"time": "2026-')
    _history.record(history, "activated", "b", "a")
    assert _history.activated(history) == ["b", "a"]


def test_the_newest_event_is_told_with_all_that_is_known_of_it(history: str) -> None:
    assert _history.last(history) == {}
    _history.record(history, _history.ACTIVATED, "a", None)
    _history.record(history, _history.REFUSED, "b", "a", "v1.2", "not ready")
    assert _history.last(history) == json.loads(Path(history).read_text().splitlines()[-1])
    assert _history.last(history)["reason"] == "not ready"
    with open(history, "a") as file:
        file.write('{"time": "2026-')
    assert _history.last(history)["release"] == "b"


def test_what_served_first_is_older_however_often_it_served_since(history: str) -> None:
    for release in ("a", "b", "a"):
        _history.record(history, "activated", release, None)
    assert _history.is_older(history, "a", "b")
    assert not _history.is_older(history, "b", "a")
    assert not _history.is_older(history, "a", "a")
    assert not _history.is_older(history, "c", "a")
