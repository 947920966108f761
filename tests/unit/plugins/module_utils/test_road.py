# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import json
import os
import re
import shutil
import stat
import threading
import time
import typing as t
from collections.abc import Callable
from pathlib import Path

import pytest

from ansible_collections.wsgiops.flask.plugins.module_utils import _files, _gate, _history, _probe, _road
from ansible_collections.wsgiops.flask.plugins.module_utils._release_store import Release, current_release, load
from ansible_collections.wsgiops.flask.plugins.module_utils._road import Road, RoadError
from ansible_collections.wsgiops.flask.tests.unit.plugins.host import JOURNAL, Accounts, Host, connect

DONE = [
    (r"write (release .+)", r"wrote \1"),
    (r"install units", r"installed units"),
    (r"start (.+) \((.+)\), switch from (.+)", r"started \1 (\2)|switched from \3 to \1"),
    (r"stop release (\w+)", r"stopped \1"),
    (r"remove (stray socket .+)", r"removed \1"),
    (r"prune (release|code) (\w+)", r"pruned \1 \2"),
]


def as_done(plan: list[str]) -> list[str]:
    """A plan in the words of what was done; a phrase that has no such words stays."""
    steps = []
    for phrase in plan:
        said = next((re.sub(now, done, phrase) for now, done in DONE if re.fullmatch(now, phrase)), phrase)
        steps += said.split("|")
    return steps


def refuse(host: Host, release: Release) -> str:
    """The error of a release that does not make it."""
    with pytest.raises(RoadError) as refused:
        host.deploy(release)
    return str(refused.value)


def answers(host: Host) -> bool:
    """Whether the application can be reached through ``current``."""
    return _probe.ask_socket(host.layout.upstream, "/", "shop.example.com", 5).status == 200


# --- the way a release goes ---------------------------------------------------------------------------------------


def test_the_first_release(host: Host) -> None:
    release = host.release()
    steps = host.deploy(release)
    assert steps == [
        f"wrote release {release.id}",
        "installed units",
        f"started {release.id} (workers: 2)",
        f"switched from nothing to {release.id}",
    ]
    assert as_done(host.plan) == steps
    assert current_release(host.layout) == release.id
    assert os.readlink(host.layout.current) == f"releases/{release.id}"
    assert host.service.running() == [release.id]
    assert host.service.enabled == {release.id}
    assert _history.activated(host.layout.history) == [release.id]


def test_nginx_reaches_the_release_through_current(host: Host) -> None:
    host.deploy(host.release())
    assert answers(host)


def test_a_release_is_complete_on_the_disk(host: Host, accounts: Accounts) -> None:
    release = host.release(
        environment={"PASSWORD": 's3"cret'},
        secrets={"SECRET_KEY": "k`y"},
        retry=True,
        label="v1.2",
        wsgi="shop:app",
        hooks={"once": ["true"]},
    )
    host.deploy(release)
    home = Path(host.layout.release(release.id))
    found = {}
    for path in [home, *home.rglob("*")]:
        if not path.is_symlink():
            found[str(path.relative_to(home))] = (stat.S_IMODE(path.stat().st_mode), accounts.owner(path))
    assert found == {
        ".": (0o755, (0, 0)),
        "env": (0o600, (0, 0)),
        "gunicorn.conf.py": (0o640, (0, 990)),
        "label": (0o644, (0, 0)),
        "release.json": (0o600, (0, 0)),
        "secrets": (0o600, (0, 0)),
        "systemd": (0o755, (0, 0)),
        "systemd/shop@.service": (0o644, (0, 0)),
        "systemd/shop@.socket": (0o644, (0, 0)),
        "systemd/shop_retry@.service": (0o644, (0, 0)),
        "systemd/shop_retry@.timer": (0o644, (0, 0)),
    }
    assert (home / "env").read_text() == 'PASSWORD="s3\\"cret"\n'
    assert (home / "secrets").read_text() == 'SECRET_KEY="k\\`y"\n'
    assert (home / "code").resolve() == Path(host.layout.code_store, host.code("code-1")).resolve()
    assert (home / "venv").resolve() == Path(host.layout.venvs, "venv-1").resolve()
    assert os.readlink(home / "socket") == host.layout.socket(release.id)
    assert (home / "label").read_text() == 'FLASK_RELEASE_LABEL="v1.2"\n'
    manifest = json.loads((home / "release.json").read_text())
    assert manifest.pop("options") == json.loads(json.dumps(release.options.as_dict()))
    assert manifest == {
        "format": 2,
        "app": "shop",
        "release": release.id,
        "code": host.code("code-1"),
        "venv": "venv-1",
        "files": ["gunicorn.conf.py"],
    }


def test_an_unchanged_release_costs_nothing(host: Host) -> None:
    host.deploy(host.release())
    before, acts = host.snapshot(), list(host.service.acts)
    assert host.deploy(host.release()) == []
    assert host.plan == []
    assert (host.snapshot(), host.service.acts) == (before, acts)


def test_a_plan_changes_nothing(host: Host) -> None:
    host.deploy(host.release())
    before, acts = host.snapshot(), list(host.service.acts)
    assert Road(host.release(text="workers = 2\n", units="[Unit]\n\n"), host.service).plan()  # type: ignore[arg-type]
    assert (host.snapshot(), host.service.acts) == (before, acts)


@pytest.mark.parametrize(
    "change",
    [
        {"code": "code-2"},
        {"venv": "venv-2"},
        {"text": "workers = 2\n"},
        {"environment": {"DEBUG": "1"}},
        {"secrets": {"SECRET_KEY": "1"}},
        {"units": "[Unit]\nDescription=2\n"},
        {"retry": True},
    ],
    ids=lambda change: next(iter(change)),
)
def test_any_change_starts_beside_switches_and_stops_the_old(host: Host, change: dict[str, t.Any]) -> None:
    old, new = host.release(), host.release(**change)
    host.deploy(old)
    host.service.acts.clear()
    steps = host.deploy(new)
    assert steps == [
        f"wrote release {new.id}",
        *(["installed units"] if {"units", "retry"} & set(change) else []),
        f"started {new.id} (workers: 2)",
        f"switched from {old.id} to {new.id}",
        f"stopped {old.id}",
    ]
    assert as_done(host.plan) == steps
    assert current_release(host.layout) == new.id
    assert host.service.running() == [new.id]
    assert host.service.enabled == {new.id}
    acts = host.service.acts
    assert acts.index(f"start {new.id}") < acts.index(f"stop {old.id}")
    assert os.path.isdir(host.layout.release(old.id)), "there is nothing to roll back to"


def test_a_new_release_runs_with_its_own_units(host: Host) -> None:
    host.deploy(host.release())
    new = host.release(units="[Unit]\nDescription=2\n")
    host.deploy(new)
    assert set(host.service.unit(new.id).templates.values()) == {"[Unit]\nDescription=2\n"}
    assert not host.service.state(new.id).needs_reload


def test_traffic_moves_once_the_new_release_has_answered(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the moment of the rename the new release has answered a request for its first domain, and starts at boot."""
    old, new = host.release(), host.release(code="code-2")
    host.deploy(old)
    seen = []
    replace_link = _files.replace_link

    def spy(target: str, link: str) -> None:
        if link == host.layout.current:
            server = host.service.unit(new.id).server
            assert server
            seen.append((target, [headers["Host"] for _path, headers in server.requests], set(host.service.enabled)))
        replace_link(target, link)

    monkeypatch.setattr(_files, "replace_link", spy)
    host.deploy(new)
    assert seen == [(f"releases/{new.id}", ["shop.example.com"], {old.id, new.id})]


def test_a_return_to_an_earlier_release_is_a_switch(host: Host) -> None:
    old, new = host.release(), host.release(code="code-2")
    host.deploy(old)
    host.deploy(new)
    steps = host.deploy(old)
    assert steps == [f"started {old.id} (workers: 2)", f"switched from {new.id} to {old.id}", f"stopped {new.id}"]
    assert as_done(host.plan) == steps
    assert _history.activated(host.layout.history) == [old.id, new.id]


@pytest.mark.parametrize(
    ("options", "workers"),
    [
        ({"workers": "7", "memory": "32M"}, "workers: 7"),
        ({"workers": "auto"}, "workers: 16, 2 x 8 CPUs"),
        ({"workers": "auto", "cpus": 1.5}, "workers: 4, 2 x 2 CPUs (limits.cpu 1.5)"),
        (
            {"workers": "auto", "memory": "512M"},
            "workers: 3, limits.memory 512M holds 3 of 128 MiB; 2 x 8 CPUs would be 16",
        ),
        ({"server": "gevent"}, "one process"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_plan_and_steps_say_how_many_workers_there_are_and_why(
    host: Host, monkeypatch: pytest.MonkeyPatch, options: dict[str, t.Any], workers: str
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(8)))
    release = host.release(**options)
    assert f"started {release.id} ({workers})" in host.deploy(release)
    assert f"start {release.id} ({workers}), switch from nothing" in host.plan


# --- unit templates -----------------------------------------------------------------------------------------------


def templates(host: Host) -> dict[str, str]:
    """The unit templates that systemd reads, by file name."""
    directory = Path(host.layout.service_template).parent
    return {path.name: path.read_text() for path in directory.iterdir()}


def test_templates_that_a_release_does_not_have_go_and_come_back_with_the_one_that_has_them(host: Host) -> None:
    """As with a cool-down that is switched off, and then brought back."""
    old, new = host.release(retry=True), host.release()
    assert old.id != new.id
    host.deploy(old)
    assert templates(host) == old.parts.units
    assert set(templates(host)) == {"shop@.service", "shop@.socket", "shop_retry@.timer", "shop_retry@.service"}
    for release in (new, load(host.layout, old.id)):
        steps = host.deploy(release)
        assert "install units" in host.plan
        assert "installed units" in steps
        assert templates(host) == release.parts.units
        assert set(host.service.unit(release.id).templates) == set(release.parts.units), "systemd has not read them"
        assert not host.service.state(release.id).needs_reload
        assert host.deploy(release) == host.plan == []


@pytest.mark.parametrize("kept", [True, False], ids=["goes", "comes"])
def test_a_failed_candidate_leaves_the_set_of_templates_as_it_was(host: Host, kept: bool) -> None:
    good = host.release(retry=kept)
    host.deploy(good)
    before = standing(host)
    refuse(host, host.release(code="code-2", retry=not kept, behaviour="die"))
    assert standing(host) == before
    assert templates(host) == good.parts.units
    assert not host.service.state(good.id).needs_reload


def test_a_failed_first_release_leaves_no_template_at_all(host: Host) -> None:
    refuse(host, host.release(retry=True, behaviour="die"))
    assert templates(host) == {}


@pytest.mark.parametrize("harm", ["lost", "stray"])
def test_a_template_that_is_lost_or_stray_is_put_right(host: Host, harm: str) -> None:
    release = host.release(retry=harm == "lost")
    host.deploy(release)
    path = Path(host.layout.retry_timer_template)
    if harm == "lost":
        path.unlink()
    else:
        path.write_text("[Timer]\nOnActiveSec=1\n")
    steps = host.deploy(release)
    assert (host.plan[0], steps[0]) == ("install units", "installed units")
    assert templates(host) == release.parts.units
    assert not host.service.state(release.id).needs_reload
    assert host.deploy(release) == []


def test_templates_that_somebody_took_from_the_release_before_are_not_taken_from_systemd_too(host: Host) -> None:
    good, bad = host.release(), host.release(code="code-2", units="[Unit]\nDescription=2\n", behaviour="die")
    host.deploy(good)
    shutil.rmtree(Path(good.home, "systemd"))
    refuse(host, bad)
    assert templates(host) == bad.parts.units
    assert host.service.running() == [good.id]


def test_one_template_that_somebody_took_from_the_release_before_is_not_taken_from_systemd_too(host: Host) -> None:
    good, bad = host.release(), host.release(code="code-2", units="[Unit]\nDescription=2\n", behaviour="die")
    host.deploy(good)
    Path(good.home, "systemd", "shop@.socket").unlink()
    refuse(host, bad)
    assert set(templates(host)) == {"shop@.service", "shop@.socket"}


def test_what_stands_in_place_of_a_template_of_the_release_before_does_not_stop_the_way_back(host: Host) -> None:
    good, bad = host.release(), host.release(code="code-2", units="[Unit]\nDescription=2\n", behaviour="die")
    host.deploy(good)
    template = Path(good.home, "systemd", "shop@.socket")
    template.unlink()
    template.symlink_to("/dev/null")
    assert f"release {good.id} still serves" in refuse(host, bad)


# --- letting the old one finish -----------------------------------------------------------------------------------


def test_the_old_release_stops_when_its_last_request_is_through(host: Host) -> None:
    old = host.release()
    host.deploy(old)
    request = connect(host.layout.socket(old.id))
    thread = threading.Timer(0.3, request.close)
    thread.start()
    host.deploy(host.release(code="code-2"))
    assert host.service.busy_at_stop[old.id] == 0
    thread.join()


def test_a_request_without_end_is_not_waited_for_without_end(host: Host) -> None:
    old = host.release()
    host.deploy(old)
    with connect(host.layout.socket(old.id)):
        host.deploy(host.release(code="code-2", drain_timeout=0.3))
    assert host.service.busy_at_stop[old.id] == 1


# --- a release that does not make it ------------------------------------------------------------------------------

FAILURES = {
    "mute": ("ready", r"not ready within 0\.3 s \(health\.timeout\): no answer to GET /ready: none within 0\.\d+ s"),
    "die": ("start", "its main process ended before it was ready"),
    "refuse": ("start", "systemctl start {id}: exit code 3"),
}


def test_a_slow_first_page_is_waited_for(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_gate, "FIRST_PROBE_TIMEOUT", 0.1)
    release = host.release(behaviour="slow")
    host.deploy(release)
    assert current_release(host.layout) == release.id


def standing(host: Host) -> dict[str, tuple[int, str]]:
    """What is on the host but the second code, which the next road prunes, and the history."""
    candidates = (host.code("code-2"), "history.jsonl")
    return {path: what for path, what in host.snapshot().items() if not any(name in path for name in candidates)}


def entries(host: Host) -> list[dict[str, t.Any]]:
    """The history, oldest first."""
    return [json.loads(line) for line in Path(host.layout.history).read_text().splitlines()]


def events(host: Host) -> list[tuple[str, str, str | None]]:
    """Event, release and the release before, from the history."""
    return [(entry["event"], entry["release"], entry["previous"]) for entry in entries(host)]


@pytest.mark.parametrize("behaviour", FAILURES)
def test_a_candidate_that_fails_is_removed_and_what_served_still_serves(host: Host, behaviour: str) -> None:
    good = host.release()
    host.deploy(good)
    before = standing(host)
    bad = host.release(code="code-2", behaviour=behaviour, health={"timeout": 0.3})
    text = refuse(host, bad)

    phase, reason = FAILURES[behaviour]
    assert re.fullmatch(
        rf"shop: release {bad.id} failed in phase {phase} after \d\.\d s: {reason.format(id=bad.id)}; "
        rf"release {good.id} still serves\. It logged:\nthe words of {bad.id}" + re.escape(JOURNAL),
        text,
    )
    assert standing(host) == before
    assert current_release(host.layout) == good.id
    assert host.service.running() == [good.id]
    assert host.service.enabled == {good.id}
    assert host.service.releases() == [good.id]
    assert _history.activated(host.layout.history) == [good.id]
    assert events(host)[-1] == ("refused", bad.id, good.id)
    assert re.fullmatch(reason.format(id=bad.id), entries(host)[-1]["reason"])


@pytest.mark.parametrize("behaviour", FAILURES)
def test_a_first_release_that_fails_leaves_nothing_in_service(host: Host, behaviour: str) -> None:
    bad = host.release(behaviour=behaviour, health={"timeout": 0.3})
    assert "; no release serves. It logged:" in refuse(host, bad)
    assert os.listdir(host.layout.releases) == []
    assert host.service.releases() == []
    assert current_release(host.layout) is None


def test_a_fixed_release_goes_through_after_a_failed_one(host: Host) -> None:
    refuse(host, host.release(behaviour="die"))
    fixed = host.release(code="code-2")
    host.deploy(fixed)
    assert current_release(host.layout) == fixed.id


def test_a_release_that_served_before_stays_to_be_gone_back_to(host: Host) -> None:
    earlier, good = host.release(), host.release(code="code-2")
    host.deploy(earlier)
    host.deploy(good)
    refuse(host, host.release(behaviour="die"))
    assert sorted(os.listdir(host.layout.releases)) == sorted([earlier.id, good.id])
    assert host.service.releases() == [good.id]


# --- what a failed release logged ---------------------------------------------------------------------------------


def test_what_a_release_logged_in_earlier_runs_is_not_shown(host: Host) -> None:
    bad = host.release(behaviour="die")
    host.service.journal.append((time.time() - 60, bad.id, "words of another day"))
    assert refuse(host, bad).endswith(f"It logged:\nthe words of {bad.id}{JOURNAL}")


def test_what_a_release_logged_to_its_file_in_this_run_is_shown(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    os.makedirs(host.layout.logs)
    log = Path(host.layout.error_log)
    log.write_bytes(b"words of another day\n")
    start = host.service.start

    def start_and_log(release: str) -> None:
        with log.open("ab") as handle:
            handle.write(b"no module named \xff\n")
        start(release)

    monkeypatch.setattr(host.service, "start", start_and_log)
    bad = host.release(behaviour="die", logs_to="files")
    said = f"It logged:\nthe words of {bad.id}\nno module named \ufffd\nThe service's log: cat {log}"
    assert refuse(host, bad).endswith(said)


def test_a_long_log_has_its_beginning_and_its_end_shown(host: Host) -> None:
    bad = host.release(behaviour="die")
    host.service.journal += [(time.time() + 60, bad.id, f"line {number}") for number in range(1000)]
    shown = refuse(host, bad).removesuffix(JOURNAL).splitlines()[1:]
    assert shown[:2] == ["line 0", "line 1"]
    assert shown[_road.LOG_HEAD] == "[...]"
    assert len(shown) == _road.LOG_HEAD + 1 + _road.LOG_TAIL
    assert shown[-2:] == ["line 999", f"the words of {bad.id}"]


def test_a_release_that_logged_nothing(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host.service, "log", lambda _release, _since: [])
    assert refuse(host, host.release(behaviour="die")).endswith(f"It logged:\n(nothing){JOURNAL}")


# --- parts that are gone ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("store", "kind"), [("code_store", "code"), ("venvs", "virtual environment")])
def test_a_part_that_another_run_removed_is_an_error_that_changes_nothing(host: Host, store: str, kind: str) -> None:
    host.deploy(host.release())
    lost = host.release(code="code-2", venv="venv-2")
    host.bring(lost)
    path = os.path.join(getattr(host.layout, store), host.code("code-2") if kind == "code" else "venv-2")
    shutil.rmtree(path)
    before = host.snapshot()
    with pytest.raises(RoadError) as refused:
        host.travel(lost)
    said = f"shop: {kind} {path} is not on this host, another run may have removed it: run again"
    assert str(refused.value) == said
    assert host.snapshot() == before


# --- healing ------------------------------------------------------------------------------------------------------


def lose_socket(host: Host, release: str) -> None:
    os.unlink(host.layout.socket(release))


def kill(host: Host, release: str) -> None:
    host.service._stop(release)


def fail_socket(host: Host, release: str) -> None:
    host.service.unit(release).socket = "failed"


def age(host: Host, release: str) -> None:
    host.service.unit(release).started -= 3600


@pytest.mark.parametrize(
    ("harm", "step"),
    [
        (kill, "start {id}, which is inactive"),
        (lose_socket, "bring back the socket of {id}"),
        (fail_socket, "bring back the socket of {id}"),
        (age, "restart {id}, which is older than its parts"),
        (lambda host, release: host.service.enabled.clear(), "enable {id} at boot"),
    ],
    ids=["stopped", "socket file", "socket unit", "older than its parts", "not at boot"],
)
def test_what_does_not_run_as_it_should_is_healed(host: Host, harm: Callable[[Host, str], None], step: str) -> None:
    release = host.release()
    host.deploy(release)
    harm(host, release.id)
    steps = host.deploy(release)
    assert steps == [step.format(id=release.id)]
    assert as_done(host.plan) == steps
    assert host.service.running() == [release.id]
    assert host.service.enabled == {release.id}
    assert answers(host)
    assert host.deploy(release) == []


def test_a_release_that_can_not_be_healed_stays(host: Host) -> None:
    release = host.release()
    host.deploy(release)
    kill(host, release.id)
    text = refuse(host, host.release(behaviour="mute", health={"timeout": 0.3}))
    assert "; it is the current release. It logged:" in text
    assert current_release(host.layout) == release.id
    assert os.path.isdir(host.layout.release(release.id))


@pytest.mark.parametrize("name", ["gunicorn.conf.py", "env", "secrets", "systemd/shop@.service"])
@pytest.mark.parametrize("drift", ["content", "mode", "owner", "lost"])
def test_a_file_changed_by_hand_is_put_right_and_the_service_restarted(host: Host, name: str, drift: str) -> None:
    release = host.release(environment={"A": "1"}, secrets={"B": "1"})
    host.deploy(release)
    before, pid = host.snapshot(), host.service.state(release.id).main_pid
    path = Path(host.layout.release(release.id), name)
    if drift == "content":
        path.write_text(path.read_text() + "# changed by hand\n")
    elif drift == "mode":
        path.chmod(0o666)
    elif drift == "owner":
        os.chown(path, 990, 990)
    else:
        path.unlink()
    steps = host.deploy(release)
    assert host.plan[0] == f"write release {release.id}"
    assert steps[0] == f"wrote release {release.id}"
    assert host.snapshot() == before
    assert host.service.state(release.id).main_pid != pid
    assert host.deploy(release) == []


@pytest.mark.parametrize("name", ["label", "release.json"])
@pytest.mark.parametrize("drift", ["content", "mode", "lost"])
def test_a_note_changed_by_hand_is_put_right_without_a_restart(host: Host, name: str, drift: str) -> None:
    release = host.release(label="v1.2")
    host.deploy(release)
    before, acts = host.snapshot(), list(host.service.acts)
    path = Path(host.layout.release(release.id), name)
    if drift == "content":
        path.write_text("changed by hand\n")
    elif drift == "mode":
        path.chmod(0o666)
    else:
        path.unlink()
    assert host.deploy(release) == [f"wrote release {release.id} (v1.2)"]
    assert host.plan == [f"write release {release.id} (v1.2)"]
    assert host.snapshot() == before
    assert host.service.acts == acts
    assert host.deploy(release) == []


@pytest.mark.parametrize(
    "options", [{"label": "v1.3"}, {"health": {"timeout": 5}}, {"hooks": {"once": ["true"]}}, {"drain_timeout": 5}]
)
def test_another_label_or_way_is_no_other_release(host: Host, options: dict[str, t.Any]) -> None:
    old, new = host.release(label="v1.2"), host.release(**{"label": "v1.2", **options})
    assert old.id == new.id
    host.deploy(old)
    acts = list(host.service.acts)
    assert host.deploy(new) == [f"wrote release {new.title}"]
    assert host.service.acts == acts
    assert load(host.layout, new.id).options.as_dict() == json.loads(json.dumps(new.options.as_dict()))
    assert host.deploy(new) == []


def test_a_release_is_called_by_its_label_too(host: Host) -> None:
    old, new = host.release(label="v1.2"), host.release(code="code-2", label="v1.3")
    assert host.deploy(old)[-1] == f"switched from nothing to {old.id} (v1.2)"
    assert f"switched from {old.id} (v1.2) to {new.id} (v1.3)" in host.deploy(new)
    assert f"start {new.id} (v1.3) (workers: 2), switch from {old.id} (v1.2)" in host.plan
    assert [entry["label"] for entry in entries(host)] == ["v1.2", "v1.3"]
    text = refuse(host, host.release(code="code-3", behaviour="die"))
    assert f"; release {new.id} (v1.3) still serves." in text


@pytest.mark.parametrize("name", ["code", "venv", "socket"])
@pytest.mark.parametrize("drift", ["elsewhere", "lost"])
def test_a_link_changed_by_hand_is_put_right(host: Host, name: str, drift: str) -> None:
    release = host.release()
    host.deploy(release)
    before = host.snapshot()
    link = Path(host.layout.release(release.id), name)
    link.unlink()
    if drift == "elsewhere":
        link.symlink_to("/nowhere")
    assert host.deploy(release)[0] == f"wrote release {release.id}"
    assert host.snapshot() == before


def test_a_unit_changed_by_hand_is_put_right_and_the_service_restarted(host: Host) -> None:
    release = host.release()
    host.deploy(release)
    Path(host.layout.service_template).write_text("[Service]\nUser=root\n")
    host.service.daemon_reload()
    steps = host.deploy(release)
    assert host.plan[0] == "install units"
    assert steps[0] == "installed units"
    assert set(host.service.unit(release.id).templates.values()) == {"[Unit]\n"}
    assert host.deploy(release) == []


@pytest.mark.parametrize("part", ["release", "unit"])
def test_what_was_put_right_is_a_restart_whatever_the_clock_says(host: Host, part: str) -> None:
    release = host.release()
    host.deploy(release)
    pid = host.service.state(release.id).main_pid
    host.service.unit(release.id).started += 3600
    inside = os.path.join(host.layout.release(release.id), "gunicorn.conf.py")
    Path(inside if part == "release" else host.layout.socket_template).write_text("changed by hand\n")
    host.deploy(release)
    assert host.service.state(release.id).main_pid != pid


def test_units_that_systemd_has_not_read_are_read(host: Host) -> None:
    release = host.release()
    host.deploy(release)
    host.service._loaded = {}
    host.deploy(release)
    assert not host.service.state(release.id).needs_reload


def test_a_clock_that_was_set_back_restarts_nothing(host: Host) -> None:
    release = host.release()
    host.deploy(release)
    host.service.unit(release.id).started = 1e9
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_road.time, "time", lambda: 1e9 + 10)
        assert host.deploy(release) == []


def test_current_leading_nowhere_is_no_release(host: Host) -> None:
    release = host.release()
    host.deploy(release)
    shutil.rmtree(host.layout.release(release.id))
    assert current_release(host.layout) is None
    host.deploy(release)
    assert current_release(host.layout) == release.id


# --- what an interrupted run left ---------------------------------------------------------------------------------


def interrupt(*_arguments: object) -> None:
    raise KeyboardInterrupt


@pytest.fixture
def interrupted(host: Host, monkeypatch: pytest.MonkeyPatch) -> tuple[Release, Release]:
    """A good release, and one whose run died after the start of the candidate."""
    good, candidate = host.release(), host.release(code="code-2")
    host.deploy(good)
    with monkeypatch.context() as patch:
        patch.setattr(_gate.Gate, "ready", interrupt)
        with pytest.raises(KeyboardInterrupt):
            host.deploy(candidate)
    assert host.service.running() == sorted([good.id, candidate.id])
    return good, candidate


def test_the_same_release_goes_through_at_the_next_run(host: Host, interrupted: tuple[Release, Release]) -> None:
    good, candidate = interrupted
    pid = host.service.state(candidate.id).main_pid
    steps = host.deploy(candidate)
    assert steps == [
        f"started {candidate.id} (workers: 2)",
        f"switched from {good.id} to {candidate.id}",
        f"stopped {good.id}",
    ]
    assert as_done(host.plan) == steps
    assert host.service.running() == [candidate.id]
    assert host.service.state(candidate.id).main_pid != pid, "it may run with what it was before"


def test_the_release_before_it_stops_the_orphan(host: Host, interrupted: tuple[Release, Release]) -> None:
    good, candidate = interrupted
    steps = host.deploy(good)
    assert steps[:2] == [f"stopped {candidate.id}", f"pruned release {candidate.id}"]
    assert as_done(host.plan)[:2] == steps[:2]
    assert host.service.running() == [good.id]
    assert host.service.releases() == [good.id]
    assert os.listdir(host.layout.releases) == [good.id]
    assert host.deploy(good) == []


def test_a_switch_that_was_not_recorded_is_recorded_by_the_next_run(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = host.release(), host.release(code="code-2")
    host.deploy(old)
    with monkeypatch.context() as patch:
        patch.setattr(_history, "record", interrupt)
        with pytest.raises(KeyboardInterrupt):
            host.deploy(new)
    assert host.deploy(new) == as_done(host.plan) == [f"record the activation of {new.id}", f"stopped {old.id}"]
    assert _history.activated(host.layout.history) == [new.id, old.id]
    assert sorted(os.listdir(host.layout.releases)) == sorted([old.id, new.id])


@pytest.mark.parametrize("leftover", ["failed", "enabled"])
def test_an_orphan_that_does_not_run_goes_too(host: Host, leftover: str) -> None:
    release = host.release()
    host.deploy(release)
    if leftover == "failed":
        host.service.unit("0123456789ab").service = "failed"
    else:
        host.service.enabled.add("0123456789ab")
    steps = host.deploy(release)
    assert steps == ["stopped 0123456789ab"]
    assert as_done(host.plan) == steps
    assert host.service.releases() == [release.id]


def test_a_socket_that_nobody_knows_goes(host: Host) -> None:
    release = host.release()
    host.deploy(release)
    stray = Path(host.layout.run, "0123456789ab.sock")
    stray.write_text("")
    Path(host.layout.run, "shop.pid").write_text("not ours")
    steps = host.deploy(release)
    assert steps == [f"removed stray socket {stray}"]
    assert as_done(host.plan) == steps
    assert sorted(os.listdir(host.layout.run)) == [f"{release.id}.sock", "shop.pid"]
    assert answers(host)


def test_the_socket_that_a_dead_release_left_is_no_stray(host: Host) -> None:
    release = host.release()
    host.deploy(release)
    kill(host, release.id)
    host.service.enabled.clear()
    Path(host.layout.socket(release.id)).write_text("")
    steps = [f"start {release.id}, which is inactive", f"enable {release.id} at boot"]
    assert host.deploy(release) == host.plan == steps
    assert answers(host)


def test_the_socket_of_an_orphan_goes_with_it(host: Host) -> None:
    release, orphan = host.release(), host.release(code="code-2")
    host.deploy(release)
    host.bring(orphan)
    orphan.write()
    host.service.listen(orphan.id)
    steps = host.deploy(release)
    assert f"stopped {orphan.id}" in steps
    assert os.listdir(host.layout.run) == [f"{release.id}.sock"]


# --- pruning ------------------------------------------------------------------------------------------------------


def test_five_releases_are_kept_the_current_one_among_them(host: Host) -> None:
    releases = [host.release(code=f"code-{number}") for number in range(8)]
    for release in releases:
        host.deploy(release)
        kept = os.listdir(host.layout.releases)
        assert release.id in kept
        assert len(kept) <= _road.KEEP_RELEASES == 5
    kept_ids = {release.id for release in releases[-5:]}
    assert set(os.listdir(host.layout.releases)) == kept_ids
    assert set(os.listdir(host.layout.code_store)) == {host.code(f"code-{number}") for number in range(3, 8)}
    assert os.listdir(host.layout.venvs) == ["venv-1"]
    assert f"prune release {releases[2].id}" in host.plan


def test_as_many_releases_are_kept_as_is_asked_for(host: Host) -> None:
    releases = [host.release(code=f"code-{number}") for number in range(4)]
    for release in releases:
        host.deploy(release, keep=2)
    assert set(os.listdir(host.layout.releases)) == {release.id for release in releases[2:]}
    assert f"prune release {releases[1].id}" in host.plan


def test_what_counts_is_the_last_activation(host: Host) -> None:
    releases = [host.release(code=f"code-{number}") for number in range(6)]
    for release in releases[:5]:
        host.deploy(release)
    host.deploy(releases[0])
    host.deploy(releases[5])
    ids = [release.id for release in releases]
    assert set(ids) - set(os.listdir(host.layout.releases)) == {ids[1]}


def test_an_environment_that_a_kept_release_uses_stays(host: Host) -> None:
    host.deploy(host.release(venv="venv-1"))
    host.deploy(host.release(venv="venv-2"))
    for number in range(2, 6):
        host.deploy(host.release(code=f"code-{number}", venv="venv-2"))
    assert os.listdir(host.layout.venvs) == ["venv-2"]
    host.deploy(host.release(code="code-2", venv="venv-2"))
    assert os.listdir(host.layout.venvs) == ["venv-2"]


def test_current_is_kept_when_the_history_is_lost(host: Host) -> None:
    release = host.release()
    host.deploy(release)
    os.unlink(host.layout.history)
    assert host.deploy(release) == host.plan == [f"record the activation of {release.id}"]
    assert _history.activated(host.layout.history) == [release.id]
    assert host.deploy(release) == host.plan == []
    assert os.listdir(host.layout.releases) == [release.id]


def test_a_failed_candidate_leaves_the_units_of_what_serves(host: Host) -> None:
    good = host.release(units="[Unit]\nDescription=good\n")
    host.deploy(good)
    refuse(host, host.release(units="[Unit]\nDescription=bad\n", code="code-2", behaviour="die"))
    for path in (host.layout.service_template, host.layout.socket_template):
        assert Path(path).read_text() == good.parts.units[os.path.basename(path)]
    assert not host.service.state(good.id).needs_reload


def test_a_failed_candidate_with_the_same_units_costs_what_serves_no_restart(host: Host) -> None:
    good = host.release()
    host.deploy(good)
    pid = host.service.state(good.id).main_pid
    refuse(host, host.release(code="code-2", behaviour="die"))
    assert host.deploy(good) == []
    assert host.service.state(good.id).main_pid == pid


def test_a_failed_candidate_leaves_no_code_and_an_environment_for_the_next(host: Host) -> None:
    good = host.release()
    host.deploy(good)
    refuse(host, host.release(code="code-2", venv="venv-2", behaviour="die"))
    assert os.listdir(host.layout.code_store) == [good.parts.code]
    assert sorted(os.listdir(host.layout.venvs)) == ["venv-1", "venv-2"]


def test_a_failed_first_release_leaves_no_units(host: Host) -> None:
    refuse(host, host.release(behaviour="die"))
    assert os.listdir(os.path.dirname(host.layout.service_template)) == []


def test_the_plan_names_code_that_no_release_uses(host: Host) -> None:
    release = host.release()
    host.deploy(release)
    os.makedirs(os.path.join(host.layout.code_store, "staged-by-a-failed-run"))
    assert host.travel(release) == ["pruned code staged-by-a-failed-run"]
    assert host.plan == ["prune code staged-by-a-failed-run"]


def test_the_plan_names_the_restart_after_a_lost_file(host: Host) -> None:
    release = host.release()
    host.deploy(release)
    Path(host.layout.release(release.id), "gunicorn.conf.py").unlink()
    steps = host.travel(release)
    assert len(steps) == len(host.plan) == 2, (host.plan, steps)


def test_a_candidate_that_can_not_be_enabled_is_removed(host: Host) -> None:
    good = host.release()
    host.deploy(good)
    host.service.refuses = "enable"
    with pytest.raises(RoadError):
        host.deploy(host.release(code="code-2"))
    assert host.service.running() == [good.id]
    assert os.listdir(host.layout.releases) == [good.id]


def test_a_service_that_is_only_not_enabled_is_not_restarted(host: Host) -> None:
    release = host.release()
    host.deploy(release)
    pid = host.service.state(release.id).main_pid
    host.service.enabled.clear()
    host.travel(release)
    assert host.service.state(release.id).main_pid == pid
    assert host.service.enabled == {release.id}


def test_the_previous_release_is_kept_when_the_history_is_lost(host: Host) -> None:
    old, new = host.release(), host.release(code="code-2")
    host.deploy(old)
    os.unlink(host.layout.history)
    host.deploy(new)
    assert os.path.isdir(host.layout.release(old.id))
