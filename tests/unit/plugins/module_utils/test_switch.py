# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The road around the switch: hooks, the probe through nginx, one release at a time, confirmation, the ways back."""

from __future__ import annotations

import errno
import json
import os
import re
import stat
import threading
import typing as t
from pathlib import Path

import pytest

from ansible_collections.wsgiops.flask.plugins.module_utils import _files, _gate, _history, _probe, _take_back
from ansible_collections.wsgiops.flask.plugins.module_utils._release_store import Release, current_release
from ansible_collections.wsgiops.flask.plugins.module_utils._road import Road, RoadError
from ansible_collections.wsgiops.flask.plugins.module_utils._service import TaskResult
from ansible_collections.wsgiops.flask.tests.unit.plugins.host import (
    JOURNAL,
    Accounts,
    Behaviour,
    Front,
    Host,
    connect,
)


def refuse(host: Host, release: Release, **options: t.Any) -> str:
    """The error of a release that does not make it."""
    with pytest.raises(RoadError) as refused:
        host.deploy(release, **options)
    return str(refused.value)


def events(host: Host) -> list[tuple[str, str]]:
    """Event and release, from the history."""
    entries = [json.loads(line) for line in Path(host.layout.history).read_text().splitlines()]
    return [(entry["event"], entry["release"]) for entry in entries]


def serves(host: Host, release: Release) -> None:
    """That this release and no other runs, starts at boot, is reached, and is what systemd's templates are for."""
    assert current_release(host.layout) == release.id
    assert host.service.running() == host.service.releases() == [release.id]
    assert host.service.enabled == {release.id}
    assert _probe.ask_socket(host.layout.upstream, "/", "shop.example.com", 5).status == 200
    assert release.stale_units() == release.stale_content() == []
    assert not host.service.state(release.id).needs_reload


def nothing_serves(host: Host) -> None:
    assert not os.path.lexists(host.layout.current)
    assert host.service.releases() == []
    assert os.listdir(host.layout.releases) == []
    assert os.listdir(os.path.dirname(host.layout.service_template)) == []


def spy(host: Host, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str | None]]:
    """Hooks, starts, stops and switches as they come, each with the release that serves at that moment."""
    seen: list[tuple[str, str | None]] = []
    service = host.service
    run_task, start, stop, abort = service.run_task, service.start, service.stop, service.abort
    replace_link = _files.replace_link

    def note(what: str) -> None:
        seen.append((what, current_release(host.layout)))

    def spy_on_tasks(release: str, text: str, command: list[str], *rest: t.Any) -> TaskResult:
        note(command[-1] if command[0] == "/bin/sh" else "check")
        return run_task(release, text, command, *rest)

    def spy_on_start(release: str) -> None:
        note(f"start {release}")
        start(release)

    def spy_on_stop(release: str) -> None:
        note(f"stop {release}")
        stop(release)

    def spy_on_abort(release: str) -> None:
        note(f"abort {release}")
        abort(release)

    def spy_on_links(target: str, link: str) -> None:
        if link == host.layout.current:
            note("switch")
        replace_link(target, link)

    monkeypatch.setattr(host.service, "run_task", spy_on_tasks)
    monkeypatch.setattr(host.service, "start", spy_on_start)
    monkeypatch.setattr(host.service, "stop", spy_on_stop)
    monkeypatch.setattr(host.service, "abort", spy_on_abort)
    monkeypatch.setattr(_files, "replace_link", spy_on_links)
    return seen


HOOKS = {"once": ["migrate"], "before_switch": ["warm up", "look twice"], "after_switch": ["tell"], "timeout": 90}

# --- the order ----------------------------------------------------------------------------------------------------


def test_every_proof_and_hook_has_its_moment(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = host.release(), host.release(code="code-2", hooks=HOOKS)
    host.deploy(old)
    seen = spy(host, monkeypatch)
    steps = host.deploy(new)
    assert [what for what in seen if what[0] != f"abort {new.id}"] == [
        ("check", old.id),
        (f"start {new.id}", old.id),
        ("warm up", old.id),
        ("look twice", old.id),
        ("switch", old.id),
        ("tell", new.id),
        (f"stop {old.id}", new.id),
    ]
    assert steps[-6:] == [
        f"started {new.id} (workers: 2)",
        "ran hooks.before_switch: warm up",
        "ran hooks.before_switch: look twice",
        f"switched from {old.id} to {new.id}",
        "ran hooks.after_switch: tell",
        f"stopped {old.id}",
    ]
    planned = [step for step in host.plan if "run hooks" in step or "switch from" in step]
    assert planned == [
        "run hooks.before_switch: warm up",
        "run hooks.before_switch: look twice",
        f"start {new.id} (workers: 2), switch from {old.id}",
        "run hooks.after_switch: tell",
    ]


@pytest.mark.parametrize("overlap", [True, False])
def test_what_served_before_is_not_looked_at_beside_its_candidate(
    host: Host, monkeypatch: pytest.MonkeyPatch, overlap: bool
) -> None:
    """Nor is its configuration another; without a candidate, the look is all that comes before the switch."""
    old, new = (host.release(code=code, overlap=overlap, settings=["timeout"]) for code in ("code-1", "code-2"))
    host.deploy(old)
    host.deploy(new)
    seen = spy(host, monkeypatch)
    host.deploy(old)
    assert ("check", new.id) not in seen if overlap else ("check", new.id) in seen
    assert (f"start {old.id}", new.id if overlap else old.id) in seen


def test_what_never_served_is_looked_at_again(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = host.release(), host.release(code="code-2")
    host.deploy(old)
    host.service.refuses = f"start {new.id}"
    with pytest.raises(RoadError):
        host.deploy(new)
    host.service.refuses = None
    seen = spy(host, monkeypatch)
    host.deploy(new)
    assert ("check", old.id) in seen


def test_a_check_that_fails_starts_nothing(host: Host) -> None:
    good = host.release()
    host.deploy(good)
    host.service.acts.clear()
    host.service.outcomes["import"] = TaskResult(1, "Traceback\nImportError: no module named shop\n")
    bad = host.release(code="code-2", units="[Unit]\nDescription=2\n")
    text = refuse(host, bad)
    assert re.fullmatch(
        rf"shop: release {bad.id} failed in phase check after \d\.\d s: gunicorn --check-config failed "
        rf"\(exit status 1\): ImportError: no module named shop; release {good.id} still serves\. "
        r"It logged:\nTraceback\nImportError: no module named shop" + re.escape(JOURNAL),
        text,
    )
    assert not [act for act in host.service.acts if act.startswith("start")]
    serves(host, good)


WORDS = """/etc/systemd/system/shop@1.service:7: Unknown key name 'Restrat' in section 'Service', ignoring.
/etc/systemd/system/shop@1.socket:9: Missing '=', ignoring line."""


def test_units_that_systemd_does_not_understand_are_not_installed(host: Host) -> None:
    good, bad = host.release(), host.release(code="code-2", units="[Unit]\nDescription=2\n", retry=True)
    host.deploy(good)
    pid, files = host.service.state(good.id).main_pid, [os.stat(unit.path).st_ino for unit in good.units()]
    host.service.acts.clear()
    host.service.words = WORDS
    text = refuse(host, bad)
    assert re.fullmatch(
        rf"shop: release {bad.id} failed in phase check after \d\.\d s: systemd-analyze verify has something to say of "
        rf"the units: {re.escape(WORDS.splitlines()[0])}; release {good.id} still serves\. It logged:\n"
        + re.escape(WORDS + JOURNAL),
        text,
    )
    assert host.service.verified[-1] == bad.parts.units
    assert host.service.acts == [f"verify {bad.id}"], "nothing is read, checked or started"
    assert [os.stat(unit.path).st_ino for unit in good.units()] == files, "they were never away"
    serves(host, good)
    assert host.service.state(good.id).main_pid == pid
    assert events(host)[-1] == ("refused", bad.id)


def test_a_first_release_whose_units_systemd_does_not_understand_leaves_nothing(host: Host) -> None:
    host.service.words = WORDS
    assert "; no release serves. It logged:" in refuse(host, host.release(retry=True))
    nothing_serves(host)


def test_units_are_looked_at_before_they_are_installed_and_only_then(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    stale = []
    verify = host.service.verify
    releases = [host.release(), host.release(code="code-2"), host.release(code="code-2", retry=True)]

    def look(release: str, units: t.Mapping[str, str]) -> str:
        stale.append((release, [found.stale_units() != [] for found in releases if found.id == release]))
        return verify(release, units)

    monkeypatch.setattr(host.service, "verify", look)
    for release in releases:
        host.deploy(release)
        assert host.deploy(release) == []
    assert stale == [(releases[0].id, [True]), (releases[2].id, [True])]


def test_a_candidate_that_does_not_stay_alive_never_serves(host: Host) -> None:
    good = host.release()
    host.deploy(good)
    bad = host.release(code="code-2", behaviour="lose a worker", health={"settle": 0.05})
    assert f"release {bad.id} failed in phase settle after " in refuse(host, bad)
    serves(host, good)


# --- hooks --------------------------------------------------------------------------------------------------------


def test_hooks_run_in_the_environment_and_sandbox_of_the_release(host: Host) -> None:
    release = host.release(hooks=HOOKS, wsgi="shop:create_app()", units="[Service]\nUser=shop\n")
    host.deploy(release)
    hooks = [task for task in host.service.tasks if task.command[0] == "/bin/sh"]
    assert [hook.command for hook in hooks] == [["/bin/sh", "-c", text] for text in ("warm up", "look twice", "tell")]
    for hook in hooks:
        assert (hook.release, hook.service_text, hook.timeout) == (release.id, "[Service]\nUser=shop\n", 90)
        assert hook.variables == {
            "PATH": f"{release.home}/venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin",
            "FLASK_APP": "shop:create_app()",
        }


def test_what_hooks_wrote_is_kept(host: Host) -> None:
    host.service.outcomes["warm up"] = TaskResult(0, "all warm\n")
    release = host.release(hooks=HOOKS)
    host.bring(release)
    road = host.road(release)
    road.travel()
    assert road.hooks[0] == {"hook": "before_switch", "command": "warm up", "status": 0, "output": "all warm\n"}
    assert [hook["command"] for hook in road.hooks] == ["warm up", "look twice", "tell"]


def test_an_unchanged_release_runs_no_hooks(host: Host) -> None:
    host.deploy(host.release(hooks=HOOKS))
    host.service.tasks.clear()
    assert host.deploy(host.release(hooks=HOOKS)) == []
    assert host.service.tasks == []


def test_a_hook_that_fails_before_the_switch_stops_the_road(host: Host) -> None:
    good = host.release()
    host.deploy(good)
    host.service.outcomes["warm up"] = TaskResult(3, "too cold\n")
    bad = host.release(code="code-2", hooks=HOOKS)
    text = refuse(host, bad)
    assert re.fullmatch(
        rf"shop: release {bad.id} failed in phase hooks\.before_switch after \d\.\d s: 'warm up' failed "
        rf"\(exit status 3\); release {good.id} still serves\. It logged:\ntoo cold" + re.escape(JOURNAL),
        text,
    )
    assert host.service.tasks[-1].command[-1] == "warm up", "no other hook runs"
    assert events(host) == [("activated", good.id), ("refused", bad.id)]
    assert os.listdir(host.layout.releases) == [good.id]
    serves(host, good)


def test_a_hook_that_fails_after_the_switch_takes_it_back(host: Host) -> None:
    good = host.release()
    host.deploy(good)
    host.service.outcomes["tell"] = TaskResult(1, "nobody listens\n")
    bad = host.release(code="code-2", hooks=HOOKS)
    text = refuse(host, bad)
    assert f"release {bad.id} failed in phase hooks.after_switch after " in text
    serving = f"release {good.id} serves again"
    assert text.endswith(f": 'tell' failed (exit status 1); {serving}. It logged:\nnobody listens{JOURNAL}")
    assert events(host) == [("activated", good.id), ("activated", bad.id), ("taken back", bad.id)]
    serves(host, good)


def request(host: Host, release: Release, seconds: float) -> threading.Timer:
    """A request to a release that takes so long."""
    client = connect(host.layout.socket(release.id))
    timer = threading.Timer(seconds, client.close)
    timer.start()
    return timer


def test_a_release_that_is_taken_back_finishes_its_requests(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.deploy(host.release())
    bad = host.release(code="code-2", hooks={"after_switch": ["ask"]})
    run_task = host.service.run_task

    def ask(release: str, text: str, command: list[str], *rest: t.Any) -> TaskResult:
        if command[-1] != "ask":
            return run_task(release, text, command, *rest)
        request(host, bad, 0.2)
        return TaskResult(1, "")

    monkeypatch.setattr(host.service, "run_task", ask)
    refuse(host, bad)
    assert host.service.busy_at_stop[bad.id] == 0


def test_a_hook_that_took_too_long_is_told_apart(host: Host) -> None:
    host.service.outcomes["warm up"] = TaskResult(1, "", timed_out=True)
    text = refuse(host, host.release(hooks={**HOOKS, "timeout": 0.02}))
    assert ": 'warm up' ran longer than 0.02 s (hooks.timeout); no release serves. It logged:\n(nothing)" in text


def prepare(host: Host, release: Release) -> Road:
    host.bring(release)
    assert host.road(release).planned_preparation() == ["run hooks.once: migrate"]
    road = host.road(release)
    assert road.prepare()
    return road


def test_what_runs_once_runs_in_preparation_alone(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = host.release(), host.release(code="code-2", hooks=HOOKS)
    host.deploy(old)
    seen = spy(host, monkeypatch)
    road = prepare(host, new)
    assert road.steps == ["ran hooks.once: migrate"]
    assert road.hooks == [{"hook": "once", "command": "migrate", "status": 0, "output": ""}]
    assert seen == [("migrate", old.id)]
    serves(host, old)
    host.deploy(new)
    assert [what for what, _serving in seen].count("migrate") == 1
    serves(host, new)


@pytest.mark.parametrize("serving", [True, False])
def test_there_is_nothing_to_prepare(host: Host, serving: bool) -> None:
    release = host.release(hooks=HOOKS if serving else {})
    if serving:
        host.deploy(release)
    else:
        host.bring(release)
    before, tasks = host.snapshot(), list(host.service.tasks)
    assert host.road(release).planned_preparation() == []
    assert not host.road(release).prepare()
    assert (host.snapshot(), host.service.tasks) == (before, tasks)


@pytest.mark.parametrize("first", [True, False])
def test_a_preparation_that_fails_leaves_what_serves_alone(host: Host, first: bool) -> None:
    good, bad = host.release(), host.release(code="code-2", hooks=HOOKS)
    if not first:
        host.deploy(good)
    pid = host.service.state(good.id).main_pid
    host.service.outcomes["migrate"] = TaskResult(1, "no such table\n")
    host.bring(bad)
    with pytest.raises(RoadError) as refused:
        host.road(bad).prepare()
    serving = "no release serves" if first else f"release {good.id} still serves"
    assert re.fullmatch(
        rf"shop: release {bad.id} failed in phase hooks\.once after \d\.\d s: 'migrate' failed \(exit status 1\); "
        rf"{serving}\. It logged:\nno such table" + re.escape(JOURNAL),
        str(refused.value),
    )
    assert events(host)[-1] == ("refused", bad.id)
    if first:
        nothing_serves(host)
    else:
        serves(host, good)
        assert host.service.state(good.id).main_pid == pid
        assert os.listdir(host.layout.releases) == [good.id]


def test_a_release_that_served_stays_when_its_preparation_fails(host: Host) -> None:
    earlier, good = host.release(hooks=HOOKS), host.release(code="code-2")
    host.deploy(earlier)
    host.deploy(good)
    host.service.outcomes["migrate"] = TaskResult(1, "")
    host.bring(earlier)
    with pytest.raises(RoadError):
        host.road(earlier).prepare()
    assert os.path.isdir(earlier.home)
    serves(host, good)


# --- the probe through nginx --------------------------------------------------------------------------------------


def fronted(host: Host, front: Front, code: str, **more: t.Any) -> Release:
    return host.release(code=code, front_url=front.url, front_host="shop.example.com", **more)


def test_a_switch_is_looked_at_through_nginx(host: Host, front: Front) -> None:
    old, new = fronted(host, front, "code-1"), fronted(host, front, "code-2")
    host.deploy(old)
    host.deploy(new)
    assert front.requests == [(old.id, "/ready", "shop.example.com"), (new.id, "/ready", "shop.example.com")]


def test_a_switch_that_goes_wrong_in_front_is_taken_back(host: Host, front: Front) -> None:
    good = fronted(host, front, "code-1")
    bad = fronted(host, front, "code-2", units="[Unit]\nDescription=2\n")
    host.deploy(good)
    pid = host.service.state(good.id).main_pid
    host.service.acts.clear()
    front.says[bad.id] = 502
    text = refuse(host, bad)
    assert re.fullmatch(
        rf"shop: release {bad.id} failed in phase probe after \d\.\d s: through nginx \({front.url}, Host "
        rf"shop\.example\.com\): GET /ready was answered with status 502 where 200 means ready; release {good.id} "
        rf"serves again\. It logged:\nthe words of {bad.id}" + re.escape(JOURNAL),
        text,
    )
    serves(host, good)
    assert host.service.state(good.id).main_pid == pid, "it ran all the time"
    assert f"stop {good.id}" not in host.service.acts
    assert not os.path.exists(bad.home)
    entries = [json.loads(line) for line in Path(host.layout.history).read_text().splitlines()]
    assert (entries[-1]["event"], entries[-1]["release"], entries[-1]["previous"]) == ("taken back", bad.id, good.id)
    assert "status 502" in entries[-1]["reason"]
    assert _history.good(host.layout.history) == [good.id]
    assert front.requests[-1] == (good.id, "/ready", "shop.example.com"), "the way back is proven too"


def test_traffic_is_back_before_the_release_that_failed_stops(
    host: Host, front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, bad = fronted(host, front, "code-1"), fronted(host, front, "code-2")
    host.deploy(good)
    front.says[bad.id] = 500
    seen = spy(host, monkeypatch)
    refuse(host, bad)
    assert host.deploy(good) == [f"pruned code {host.code('code-2')}"], "nothing else is left to do"
    assert seen[-1] == (f"start {good.id}", good.id)
    assert seen[-2] == (f"stop {bad.id}", good.id)


def test_a_first_release_that_goes_wrong_in_front_is_taken_back(host: Host, front: Front) -> None:
    bad = fronted(host, front, "code-1")
    front.says[bad.id] = 404
    assert "; no release serves. It logged:" in refuse(host, bad)
    nothing_serves(host)
    assert events(host) == [("activated", bad.id), ("taken back", bad.id)]


def test_a_release_is_not_what_is_wrong_when_nothing_gets_through(host: Host, front: Front) -> None:
    good, bad = fronted(host, front, "code-1"), fronted(host, front, "code-2")
    host.deploy(good)
    front.says = {good.id: 502, bad.id: 502}
    text = refuse(host, bad)
    said = (
        f"; release {good.id} is back in its place, but: through nginx ({front.url}, Host shop.example.com): GET /ready"
    )
    assert said in text
    serves(host, good)


def test_a_release_that_can_not_serve_any_more_is_told(host: Host, front: Front) -> None:
    good = fronted(host, front, "code-1", health={"timeout": 0.2})
    bad = fronted(host, front, "code-2")
    host.deploy(good)
    front.says[bad.id] = 502
    server = host.service.unit(good.id).server
    assert server
    server.behaviour = Behaviour(statuses=(503,))
    text = refuse(host, bad)
    assert f"; release {good.id} is back in its place, but: not ready within 0.2 s (health.timeout): " in text
    assert current_release(host.layout) == good.id
    assert host.service.running() == [good.id]


@pytest.mark.parametrize("kept", [True, False], ids=["goes", "comes"])
def test_a_switch_that_is_taken_back_takes_its_templates_back(host: Host, front: Front, kept: bool) -> None:
    good, bad = fronted(host, front, "code-1", retry=kept), fronted(host, front, "code-2", retry=not kept)
    host.deploy(good)
    front.says[bad.id] = 502
    assert f"; release {good.id} serves again." in refuse(host, bad)
    serves(host, good)
    assert sorted(os.listdir(os.path.dirname(host.layout.service_template))) == sorted(good.parts.units)


def test_a_first_switch_that_is_taken_back_leaves_no_template(host: Host, front: Front) -> None:
    bad = fronted(host, front, "code-1", retry=True)
    front.says[bad.id] = 502
    refuse(host, bad)
    nothing_serves(host)


def test_a_release_that_died_meanwhile_is_started_to_serve_again(host: Host, front: Front) -> None:
    good, bad = fronted(host, front, "code-1"), fronted(host, front, "code-2", hooks={"before_switch": ["kill"]})
    host.deploy(good)
    front.says[bad.id] = 502
    run_task = host.service.run_task

    def kill(release: str, *rest: t.Any) -> TaskResult:
        if rest[1][-1] == "kill":
            host.service.unit(good.id).end()
        return run_task(release, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(host.service, "run_task", kill)
        assert f"; release {good.id} serves again." in refuse(host, bad)
    serves(host, good)


def test_a_way_back_that_fails_is_told(host: Host, front: Front) -> None:
    good, bad = fronted(host, front, "code-1"), fronted(host, front, "code-2")
    host.deploy(good)
    front.says[bad.id] = 502
    host.service.refuses = f"start {good.id}"
    text = refuse(host, bad)
    assert f"; going back to {good.id} failed: systemctl start: refused. It logged:" in text
    assert current_release(host.layout) == bad.id, "what runs is better than nothing"
    assert bad.id in host.service.running()


def test_a_taken_back_release_may_come_again(host: Host, front: Front) -> None:
    good, fixed = fronted(host, front, "code-1"), fronted(host, front, "code-2")
    host.deploy(good)
    front.says[fixed.id] = 502
    refuse(host, fixed)
    front.says.clear()
    host.deploy(fixed)
    serves(host, fixed)
    assert _history.good(host.layout.history) == [fixed.id, good.id]


# --- one release at a time ----------------------------------------------------------------------------------------


def single(host: Host, code: str, **more: t.Any) -> Release:
    return host.release(code=code, overlap=False, **more)


def test_the_old_release_stops_before_the_new_one_starts(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = single(host, "code-1"), single(host, "code-2", hooks=HOOKS)
    host.deploy(old)
    seen = spy(host, monkeypatch)
    host.service.acts.clear()
    steps = host.deploy(new)
    assert seen == [
        ("warm up", old.id),
        ("look twice", old.id),
        ("switch", old.id),
        (f"stop {old.id}", new.id),
        (f"start {new.id}", new.id),
        ("tell", new.id),
    ]
    assert host.service.acts.index(f"listen {new.id}") < host.service.acts.index(f"disable {old.id}")
    assert [step.split(":")[0] for step in steps[-5:]] == [
        "ran hooks.before_switch",
        f"switched from {old.id} to {new.id}",
        f"stopped {old.id}",
        f"started {new.id} (workers",
        "ran hooks.after_switch",
    ]
    serves(host, new)


def test_two_never_run_at_a_time(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    most = []
    start = host.service.start

    def count(release: str) -> None:
        start(release)
        most.append(len(host.service.running()))

    monkeypatch.setattr(host.service, "start", count)
    host.deploy(single(host, "code-1"))
    host.deploy(single(host, "code-2"))
    refuse(host, single(host, "code-3", behaviour="mute", health={"timeout": 0.1}))
    assert max(most) == 1


def test_the_first_release_of_an_application_that_exists_once(host: Host) -> None:
    release = single(host, "code-1", health={"settle": 0.02})
    host.deploy(release)
    serves(host, release)
    assert host.deploy(release) == host.plan == []


@pytest.mark.parametrize(
    ("behaviour", "phase"),
    [("die", "start"), ("refuse", "start"), ("mute", "ready"), ("lose a worker", "settle")],
)
def test_one_that_fails_after_the_switch_gives_its_place_back(
    host: Host, monkeypatch: pytest.MonkeyPatch, behaviour: str, phase: str
) -> None:
    good = single(host, "code-1")
    bad = single(host, "code-2", behaviour=behaviour, health={"timeout": 0.2, "settle": 0.02})
    host.deploy(good)
    seen = spy(host, monkeypatch)
    text = refuse(host, bad)
    assert f"release {bad.id} failed in phase {phase} after " in text
    assert f"; release {good.id} serves again. It logged:\nthe words of {bad.id}" in text
    assert seen[-3:] == [
        ("switch", bad.id),
        (f"abort {bad.id}", good.id),
        (f"start {good.id}", good.id),
    ]
    serves(host, good)
    assert events(host)[-1] == ("taken back", bad.id)


def test_one_that_never_answered_has_no_requests_to_finish(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits in its queue would only keep the old release from serving again."""
    host.deploy(single(host, "code-1"))
    bad = single(host, "code-2", behaviour="mute", health={"timeout": 0.1}, drain_timeout=0.2)
    looks = []
    busy_connections = _probe.busy_connections

    def spy(path: str) -> int:
        looks.append(path)
        return busy_connections(path)

    monkeypatch.setattr(_probe, "busy_connections", spy)
    refuse(host, bad)
    assert host.service.busy_at_stop[bad.id] > 0
    assert looks.count(host.layout.socket(bad.id)) == 1, "the one look is that of the service manager"


def test_one_that_fails_before_the_switch_has_cost_nothing(host: Host) -> None:
    good, bad = single(host, "code-1"), single(host, "code-2", hooks=HOOKS)
    host.deploy(good)
    pid = host.service.state(good.id).main_pid
    host.service.outcomes["warm up"] = TaskResult(1, "")
    refuse(host, bad)
    serves(host, good)
    assert host.service.state(good.id).main_pid == pid


def test_the_old_release_finishes_its_requests_first(host: Host) -> None:
    old = single(host, "code-1")
    host.deploy(old)
    request(host, old, 0.2)
    host.deploy(single(host, "code-2"))
    assert host.service.busy_at_stop[old.id] == 0


def test_what_keeps_two_apart_is_held_by_what_runs_and_never_replaced(host: Host, accounts: Accounts) -> None:
    host.deploy(single(host, "code-1"))
    lock = os.stat(host.layout.run_lock)
    assert stat.S_IMODE(lock.st_mode) == 0o640
    assert accounts.owner(host.layout.run_lock) == (0, 990)
    host.deploy(single(host, "code-2"))
    assert os.stat(host.layout.run_lock).st_ino == lock.st_ino, "the old release holds another file than the new one"


def test_what_keeps_two_apart_is_brought_back(host: Host) -> None:
    release = single(host, "code-1")
    host.deploy(release)
    pid = host.service.state(release.id).main_pid
    os.unlink(host.layout.run_lock)
    assert host.deploy(release) == [f"wrote release {release.id}"]
    assert host.plan == [f"write release {release.id}"]
    assert os.path.exists(host.layout.run_lock)
    assert host.service.state(release.id).main_pid == pid


def test_others_need_nothing_to_keep_them_apart(host: Host) -> None:
    host.deploy(host.release())
    assert not os.path.exists(host.layout.run_lock)


# --- confirmation -------------------------------------------------------------------------------------------------


def test_a_switch_that_has_to_be_confirmed_is_armed_before_it_is_made(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = host.release(), host.release(code="code-2", hooks=HOOKS)
    host.deploy(old, confirm=120)
    assert host.service.armed is None, "there is nothing to go back to"
    assert "arm" not in host.service.acts
    armed = []
    replace_link = _files.replace_link

    def look(target: str, link: str) -> None:
        if link == host.layout.current:
            armed.append(host.service.armed)
        replace_link(target, link)

    monkeypatch.setattr(_files, "replace_link", look)
    steps = host.deploy(new, confirm=120)
    [(command, seconds)] = t.cast("list[tuple[list[str], float]]", armed)
    assert command[-5:] == ["shop", host.layout.root, new.id, old.id, "120"]
    road = new.options
    assert seconds >= 120 + road.health.timeout + road.hooks.timeout + road.drain_timeout, "the road takes its time"
    assert host.service.armed == (command, 120), "from the end of the road on there is as much time as was asked for"
    assert host.service.acts[-1] == "arm"
    assert f"goes back to {old.id} unless confirmed within 120 s" in steps
    assert "go back unless confirmed within 120 s" in host.plan


def test_arming_is_the_last_thing_before_the_switch(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time to confirm is not to run while the release is still to prove itself."""
    host.deploy(host.release())
    arm = _take_back.arm
    tasks = []

    def look(*arguments: t.Any) -> None:
        tasks.append(host.service.tasks[-1].command[-1])
        arm(*arguments)

    monkeypatch.setattr(_take_back, "arm", look)
    host.deploy(host.release(code="code-2", hooks=HOOKS), confirm=120)
    assert tasks[0] == "look twice"


def test_a_switch_without_confirmation_is_not_armed(host: Host) -> None:
    host.deploy(host.release())
    host.deploy(host.release(code="code-2"))
    assert "arm" not in host.service.acts
    assert not os.path.exists(host.layout.take_back)


def test_a_switch_that_was_taken_back_is_not_taken_back_again(host: Host) -> None:
    good = host.release()
    host.deploy(good)
    host.service.outcomes["tell"] = TaskResult(1, "")
    refuse(host, host.release(code="code-2", hooks=HOOKS), confirm=120)
    assert host.service.armed is None
    serves(host, good)


def test_a_release_that_can_not_be_armed_does_not_serve(host: Host) -> None:
    good = host.release()
    host.deploy(good)
    host.service.refuses = "arm"
    bad = host.release(code="code-2")
    assert "failed in phase switch after " in refuse(host, bad, confirm=120)
    serves(host, good)


def test_a_release_that_nothing_could_run_any_more_is_nothing_to_go_back_to(host: Host) -> None:
    """The host has lost systemd, say: who wants a way back has to learn that there is none before the switch."""
    old, new = host.release(label="v1"), host.release(code="code-2")
    host.deploy(old)
    host.service.lost.add(old.id)
    with pytest.raises(RoadError) as failure:
        host.deploy(new, confirm=60)
    lost = f"release {old.id} (v1) is for systemd, which does not run this host"
    said = f"the host could not go back (confirm): {lost}; deploy once without confirm; no release serves: {lost}. "
    assert said in str(failure.value)
    assert "failed in phase switch" in str(failure.value)
    assert host.service.armed is None
    host.deploy(new)
    assert host.service.running() == [new.id]


def test_a_switch_from_what_nothing_could_run_is_not_taken_back_to_it(host: Host) -> None:
    old, new = (
        host.release(units="[Unit]\nDescription=1\n"),
        host.release(code="code-2", hooks={"after_switch": ["no"]}),
    )
    host.deploy(old)
    host.service.lost.add(old.id)
    host.service.outcomes["no"] = TaskResult(1, "")
    with pytest.raises(RoadError, match=rf"; no release serves: release {old.id} is for systemd, which does not"):
        host.deploy(new)
    assert not os.path.lexists(host.layout.current)
    assert new.stale_units() == sorted(host.layout.unit_templates[:2])
    assert f"start {old.id}" not in host.service.acts[host.service.acts.index(f"enable {new.id}") :]
    # What is put right is deployed as on a host that has nothing.
    host.service.outcomes.clear()
    host.deploy(new)
    assert host.service.running() == [new.id]


def test_what_waits_to_take_the_release_before_back_is_not_in_the_way(host: Host) -> None:
    """Its time was over while this run held the lock."""
    host.deploy(host.release())
    host.deploy(host.release(code="code-2"), confirm=120)
    host.service.armed, host.service.waiting = None, True
    host.deploy(host.release(code="code-3"), confirm=120)
    assert host.service.armed
    assert not host.service.waiting


def test_a_refused_release_confirms_nothing(host: Host) -> None:
    """The one that serves is to be taken back unless it is confirmed, whatever else is tried meanwhile."""
    old, new = host.release(), host.release(code="code-2")
    host.deploy(old)
    host.deploy(new, confirm=120)
    armed = host.service.armed
    refuse(host, host.release(code="code-3", behaviour="die"))
    assert armed is not None
    assert host.service.armed == armed


def test_a_release_that_is_replaced_has_not_to_be_confirmed_any_more(host: Host) -> None:
    """Otherwise it would be taken back later, when it has come again to stay."""
    old, new = host.release(), host.release(code="code-2")
    host.deploy(old)
    host.deploy(new, confirm=120)
    host.deploy(old)
    assert host.service.armed is None


# --- a full disk --------------------------------------------------------------------------------------------------


def full() -> OSError:
    return OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("number", [0, 3])
def test_a_release_that_can_not_be_written_is_discarded(
    host: Host, monkeypatch: pytest.MonkeyPatch, first: bool, number: int
) -> None:
    good, bad = host.release(), host.release(code="code-2", units="[Unit]\nDescription=2\n")
    if not first:
        host.deploy(good)
    write = _files.write
    written: list[str] = []

    def fill(wanted: _files.WantedFile) -> None:
        if wanted.path.startswith(bad.home):
            written.append(wanted.path)
            if len(written) > number:
                raise full()
        write(wanted)

    monkeypatch.setattr(_files, "write", fill)
    text = refuse(host, bad)
    assert f"release {bad.id} failed in phase write after " in text
    serving = "no release serves" if first else f"release {good.id} still serves"
    assert f"No space left on device; {serving}. It logged:\n(nothing)" in text
    if first:
        nothing_serves(host)
    else:
        serves(host, good)
        assert os.listdir(host.layout.releases) == [good.id]


def test_units_that_can_not_be_written_are_put_back(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    good, bad = host.release(), host.release(code="code-2", units="[Unit]\nDescription=2\n")
    host.deploy(good)
    write = _files.write

    def fill(wanted: _files.WantedFile) -> None:
        if wanted.path == host.layout.socket_template and "Description=2" in wanted.content:
            raise full()
        write(wanted)

    monkeypatch.setattr(_files, "write", fill)
    assert "No space left on device" in refuse(host, bad)
    serves(host, good)


def test_a_switch_that_can_not_be_made_leaves_what_serves(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    good, bad = host.release(), host.release(code="code-2")
    host.deploy(good)
    replace_link = _files.replace_link

    def fill(target: str, link: str) -> None:
        if link == host.layout.current:
            raise full()
        replace_link(target, link)

    monkeypatch.setattr(_files, "replace_link", fill)
    text = refuse(host, bad, confirm=120)
    assert "failed in phase switch after " in text
    assert f"; release {good.id} still serves." in text
    serves(host, good)
    assert host.service.armed is None
    assert events(host)[-1] == ("refused", bad.id)


def test_a_switch_that_was_made_and_may_not_last_is_taken_back(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rename is done, and its way to the disk fails."""
    good, bad = host.release(), host.release(code="code-2")
    host.deploy(good)
    replace_link = _files.replace_link

    def lose(target: str, link: str) -> None:
        replace_link(target, link)
        if target == f"releases/{bad.id}":
            raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(_files, "replace_link", lose)
    assert f"Input/output error; release {good.id} serves again." in refuse(host, bad)
    serves(host, good)


def test_a_history_that_can_not_be_written_does_not_stop_the_road(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = host.release(), host.release(code="code-2")
    host.deploy(old)

    def fill(*_arguments: t.Any) -> None:
        raise full()

    monkeypatch.setattr(_history, "record", fill)
    host.bring(new)
    road = host.road(new)
    road.travel()
    [warning] = road.warnings
    assert warning.startswith(f"{host.layout.history} could not be written: ")
    serves(host, new)
    assert os.path.isdir(old.home)


def test_a_history_that_can_not_be_written_does_not_stop_the_way_back(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = host.release()
    host.deploy(good)

    def fill(*_arguments: t.Any) -> None:
        raise full()

    monkeypatch.setattr(_history, "record", fill)
    host.service.outcomes["tell"] = TaskResult(1, "")
    refuse(host, host.release(code="code-2", hooks=HOOKS))
    serves(host, good)


# --- when cleaning up fails too -----------------------------------------------------------------------------------


@pytest.mark.parametrize("act", ["abort", "disable", "daemon-reload"])
def test_a_failure_is_told_when_cleaning_up_after_it_fails_too(host: Host, act: str) -> None:
    good = host.release()
    host.deploy(good)
    bad = host.release(code="code-2", hooks=HOOKS, units="[Unit]\nDescription=2\n")
    run_task = host.service.run_task

    def refuse_from_now_on(*arguments: t.Any) -> TaskResult:
        host.service.refuses = act
        return run_task(*arguments)

    host.service.outcomes["warm up"] = TaskResult(3, "too cold\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(host.service, "run_task", refuse_from_now_on)
        patch.setattr(_gate.Gate, "check", lambda _gate: None)
        text = refuse(host, bad)
    assert f"'warm up' failed (exit status 3); release {good.id} still serves" in text
    assert f"systemctl {act}: refused" in text
    assert text.endswith(f"It logged:\ntoo cold{JOURNAL}")
