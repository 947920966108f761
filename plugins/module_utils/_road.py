# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The road of a release on its host: prove it beside the running one, switch, prove it again, drain the old, prune."""

from __future__ import annotations

import os
import time
import typing as t

from ansible_collections.wsgiops.flask.plugins.module_utils import (
    _files,
    _history,
    _probe,
    _release_store,
    _status,
    _take_back,
)
from ansible_collections.wsgiops.flask.plugins.module_utils._gate import FRONT_TIMEOUT, PROBE_PAUSE, Gate, GateError
from ansible_collections.wsgiops.flask.plugins.module_utils._layout import Layout
from ansible_collections.wsgiops.flask.plugins.module_utils._release_store import Release, current_release
from ansible_collections.wsgiops.flask.plugins.module_utils._service import ServiceError
from ansible_collections.wsgiops.flask.plugins.module_utils._services import OF_SYSTEMD, Services

# Releases kept on a host, the current one and the one before it always among them: as many as Capistrano keeps.
KEEP_RELEASES = 5

# Log lines shown of a release that failed: a traceback through Flask and gunicorn has about 30.
LOG_HEAD = 60
LOG_TAIL = 15

# What may go wrong on the way, and is answered by a way back.
_FAILURES = (GateError, ServiceError, OSError)


class RoadError(Exception):
    """A release that did not make it; the text holds phase, reason, log lines and what serves now."""


class Road:
    """Takes one release down the road, or tells what that would do.

    :param keep: releases that stay on the host, at least 2: the current one and the one to go back to.
    :param confirm: seconds in which the controller has to confirm the switch, 0 for no need to.
    :param rollback: what is left for an older release is nothing to go back to.
    """

    def __init__(
        self,
        wanted: Release,
        service: Services,
        keep: int = KEEP_RELEASES,
        confirm: float = 0.0,
        rollback: bool = False,
    ) -> None:
        self._wanted = wanted
        self._layout = wanted.layout
        self._service = service
        self._keep = keep
        self._confirm = confirm
        self._rollback = rollback
        self._gate = Gate(wanted, service)
        self._id = wanted.id
        self._began = time.time()
        self._start = time.monotonic()
        self._log_size = _size(wanted.layout.error_log)
        self._phase = "write"
        self._proven = False
        self.steps: t.List[str] = []
        self.hooks: t.List[t.Dict[str, t.Any]] = []
        self.warnings: t.List[str] = []

    @property
    def current(self) -> t.Optional[str]:
        return current_release(self._layout)

    # -- plans --------------------------------------------------------------------------------------------------------

    def plan(self) -> t.List[str]:
        """What :meth:`travel` would do now, one phrase a step; empty when all is as it should be."""
        steps = []
        current = self.current
        stale_content, stale_units = self._wanted.stale_content(), self._wanted.stale_units()
        if stale_content or self._wanted.stale_notes():
            steps.append("write release " + self._wanted.title)
        if stale_units:
            steps.append("install units")
        if current != self._id:
            steps += self._planned_switch(current)
        else:
            steps += self._healing(bool(stale_content or stale_units)) + self._unrecorded()
        steps += ["stop release " + self._titled(orphan) for orphan in self._orphans()]
        steps += ["remove stray socket " + path for path in self._stray_sockets()]
        prunable = self._prunable(current)
        steps += ["prune release " + self._titled(old) for old in prunable]
        parts = self._wanted.parts
        unused = _release_store.unused_parts(self._layout, prunable, parts.code, parts.venv)
        steps += ["prune {0} {1}".format(link, os.path.basename(path)) for link, path in unused]
        return steps

    def _planned_switch(self, current: t.Optional[str]) -> t.List[str]:
        hooks = self._wanted.options.hooks
        steps = ["run hooks.before_switch: " + command for command in hooks.before_switch]
        steps.append("start {0}, switch from {1}".format(self._with_processes(), self._titled(current)))
        if self._confirm and current:
            steps.append("go back unless confirmed within {0:g} s".format(self._confirm))
        return steps + ["run hooks.after_switch: " + command for command in hooks.after_switch]

    def planned_preparation(self) -> t.List[str]:
        """What :meth:`prepare` would do now."""
        commands = [] if self.current == self._id else self._wanted.options.hooks.once
        return ["run hooks.once: " + command for command in commands]

    # -- the way ------------------------------------------------------------------------------------------------------

    def prepare(self) -> bool:
        """Run what has to run once before any host of a fleet switches; returns whether there was something.

        :raises RoadError: when it failed; the release is not on the host then, unless it served before.
        """
        if not self.planned_preparation():
            return False
        previous = self.current
        self._require_parts()
        try:
            self._wanted.write()
            self._run_hooks("once")
        except _FAILURES as error:
            raise self._discard(error, previous) from None
        return True

    def travel(self) -> bool:
        """Make the wanted release the one that serves; returns whether anything had to change.

        :raises RoadError: when it could not be; what served before still serves, or serves again.
        """
        previous = self.current
        self._require_parts()
        if previous == self._id:
            self._maintain()
        else:
            self._prove(previous)
            self._switch(previous)
        try:
            self._phase = "drain"
            for orphan in self._orphans():
                self._retire(orphan)
            self._clean_up(previous)
            if previous != self._id:
                self._arm(previous, 0)
        except _FAILURES as error:
            raise self._failure(error, self._serving()) from None
        return bool(self.steps)

    def _require_parts(self) -> None:
        for missing in self._wanted.missing():
            said = "{0}: {1} is not on this host, another run may have removed it: run again"
            raise RoadError(said.format(self._layout.name, missing))

    def _write(self) -> bool:
        """Have the release on the disk; returns whether what it is made of was different."""
        content = bool(self._wanted.stale_content())
        if content or self._wanted.stale_notes():
            self._wanted.write()
            self.steps.append("wrote release " + self._wanted.title)
        return content

    def _install_units(self) -> bool:
        stale = self._wanted.stale_units()
        if stale:
            self._gate.units()
        _put_units(stale, self._wanted.units())
        if stale or self._service.state(self._id).needs_reload:
            self._service.daemon_reload()
        if stale:
            self.steps.append("installed units")
        return bool(stale)

    # -- a new release ------------------------------------------------------------------------------------------------

    def _prove(self, previous: t.Optional[str]) -> None:
        """All that comes before traffic moves."""
        try:
            self._write()
            self._phase = "check"
            self._start = time.monotonic()
            self._install_units()
            if not self._is_proven_by_its_start():
                self._gate.check()
            if self._wanted.options.overlap:
                self._start_candidate()
            self._run_hooks("before_switch")
            self._phase = "switch"
            self._service.enable(self._id)
            if not self._wanted.options.overlap:
                # Requests wait in it while the old release goes and the new one comes.
                self._service.listen(self._id)
            self._arm(previous, self._longest_rest())
        except _FAILURES as error:
            raise self._discard(error, previous) from None

    def _is_proven_by_its_start(self) -> bool:
        """Whether a process that only looks at the release would tell nothing that its candidate does not.

        One that served here before has passed that look, and what it is made of is as it was.
        """
        return self._wanted.options.overlap and self._id in _history.activated(self._layout.history)

    def _start_candidate(self) -> None:
        self._phase = "start"
        # One that a run left behind may run with what it was before.
        if self._id in self._service.releases():
            self._service.abort(self._id)
        self._start_proven()

    def _start_proven(self) -> None:
        # What the error tells as time is that of the candidate.
        self._start = time.monotonic()
        self._service.start(self._id)
        self._gate.ready()
        self._gate.settle()
        self._proven = True
        self.steps.append("started " + self._with_processes())

    def _switch(self, previous: t.Optional[str]) -> None:
        try:
            self._point_to(self._id)
        except OSError as error:
            # The rename may be done all the same, and its way to the disk have failed.
            if self.current == self._id:
                raise self._go_back(error, previous) from None
            if self._confirm:
                _take_back.cancel(self._layout, self._service)
            raise self._discard(error, previous) from None
        self._record(_history.ACTIVATED, previous)
        self.steps.append("switched from {0} to {1}".format(self._titled(previous), self._wanted.title))
        try:
            if not self._wanted.options.overlap:
                self._succeed(previous)
            self._phase = "probe"
            self._gate.front()
            self._run_hooks("after_switch")
        except _FAILURES as error:
            raise self._go_back(error, previous) from None
        if self._rollback and previous and _history.is_older(self._layout.history, self._id, previous):
            label = _release_store.label_of(self._layout, previous)
            self._record(_history.ROLLED_BACK, self._id, release=previous, label=label)

    def _succeed(self, previous: t.Optional[str]) -> None:
        """Stop the old release, then start the new one, whose socket takes requests already."""
        self._phase = "drain"
        if previous:
            self._retire(previous)
        self._phase = "start"
        self._start_proven()

    def _arm(self, previous: t.Optional[str], rest: float) -> None:
        """Have the host go back by itself unless the switch is confirmed.

        :param rest: seconds that the road itself may still take.
        """
        if self._confirm and previous:
            if not self._service.can_run(previous):
                said = "the host could not go back (confirm): {0}; deploy once without confirm"
                raise ServiceError(said.format(self._lost(previous)))
            _take_back.arm(self._layout, self._service, self._id, previous, self._confirm, rest)
            if not rest:
                said = "goes back to {0} unless confirmed within {1:g} s"
                self.steps.append(said.format(self._titled(previous), self._confirm))
        elif not rest:
            # What was to be taken back does not serve any more; when it comes again, it comes to stay.
            _take_back.cancel(self._layout, self._service)

    def _longest_rest(self) -> float:
        """Seconds that the road may take from the switch to its end: start, probe, hooks, drain and stop."""
        options = self._wanted.options
        hooks = len(options.hooks.after_switch) * options.hooks.timeout
        return options.health.timeout + FRONT_TIMEOUT + hooks + 2 * options.drain_timeout + 60

    def _point_to(self, release: str) -> None:
        _files.replace_link(os.path.join("releases", release), self._layout.current)

    def _run_hooks(self, kind: str) -> None:
        hooks = self._wanted.options.hooks
        path = os.path.join(self._wanted.home, "venv", "bin") + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin"
        variables = {"PATH": path, "FLASK_APP": self._wanted.options.wsgi}
        for command in getattr(hooks, kind):
            self._phase = "hooks." + kind
            shell = ["/bin/sh", "-c", command]
            done = self._service.run_task(self._id, self._wanted.service_text(), shell, variables, hooks.timeout)
            self.hooks.append({"hook": kind, "command": command, "status": done.status, "output": done.output})
            if done.status != 0:
                how = "ran longer than {0:g} s (hooks.timeout)" if done.timed_out else "failed (exit status {1})"
                reason = "{0!r} ".format(command) + how.format(hooks.timeout, done.status)
                raise GateError(self._phase, reason, done.output)
            self.steps.append("ran hooks.{0}: {1}".format(kind, command))

    # -- the release that serves already ------------------------------------------------------------------------------

    def _maintain(self) -> None:
        try:
            rewritten = self._write()
            self._phase = "start"
            changed_units = self._install_units()
            self._heal(stale=rewritten or changed_units)
        except _FAILURES as error:
            raise self._failure(error, "it is the current release") from None
        late = self._unrecorded()
        if late:
            self._record(_history.ACTIVATED, None)
            self.steps += late

    def _healing(self, stale: bool) -> t.List[str]:
        """What the current release lacks to run as it should.

        :param stale: a part of it differs, or did when this run began.
        """
        state = self._service.state(self._id)
        title = self._wanted.title
        needed = []
        if not state.running:
            needed.append("start {0}, which is {1}".format(title, state.service))
        elif state.socket != "active" or not os.path.exists(self._layout.socket(self._id)):
            needed.append("bring back the socket of " + title)
        elif stale or self._parts_changed_at() > state.started:
            needed.append("restart {0}, which is older than its parts".format(title))
        if not state.enabled:
            needed.append("enable {0} at boot".format(title))
        return needed

    def _parts_changed_at(self) -> float:
        """When a part of the release last changed on the disk, in seconds since the epoch.

        A part put right by another step, or by a run that died before it came to the restart, shows here.
        """
        # A time in the future is a clock that was set back since: no restart would ever be newer.
        return max((change for change in self._wanted.changed_at() if change <= time.time()), default=0.0)

    def _heal(self, stale: bool) -> None:
        needed = self._healing(stale)
        if not needed:
            return
        if not all(step.startswith("enable ") for step in needed):
            self._service.restart(self._id)
            self._gate.ready()
        self._service.enable(self._id)
        self.steps += needed

    def _unrecorded(self) -> t.List[str]:
        """Whether the run that switched to the current release died before it wrote that down."""
        newest = _history.good(self._layout.history)[:1]
        return [] if newest == [self._id] else ["record the activation of " + self._wanted.title]

    # -- what must not run any more -----------------------------------------------------------------------------------

    def _orphans(self) -> t.List[str]:
        """Releases that run, have failed or start at boot, and that are not the wanted one."""
        return [release for release in self._service.releases() if release != self._id]

    def _retire(self, release: str) -> None:
        """Stop a release that takes no new requests, after those it has are answered."""
        deadline = time.monotonic() + self._wanted.options.drain_timeout
        while _probe.busy_connections(self._layout.socket(release)) and time.monotonic() < deadline:
            time.sleep(PROBE_PAUSE)
        self._service.disable(release)
        self._service.stop(release)
        self.steps.append("stopped " + self._titled(release))

    def _stray_sockets(self) -> t.List[str]:
        """Socket files of releases of which what runs them knows nothing."""
        known = {os.path.basename(self._layout.socket(release)) for release in self._service.releases()}
        known.add(os.path.basename(self._layout.socket(self._id)))
        found = os.listdir(self._layout.run) if os.path.isdir(self._layout.run) else []
        return [os.path.join(self._layout.run, name) for name in sorted(set(found) - known) if name.endswith(".sock")]

    def _clean_up(self, previous: t.Optional[str]) -> None:
        """Remove what died without its files, releases beyond the kept ones, and then what no release refers to."""
        for path in self._stray_sockets():
            _files.remove(path)
            self.steps.append("removed stray socket " + path)
        for release in self._prunable(previous):
            title = self._titled(release)
            _files.remove(self._layout.release(release))
            self.steps.append("pruned release " + title)
        parts = self._wanted.parts
        self.steps += ["pruned " + part for part in _release_store.remove_unused(self._layout, parts.code, parts.venv)]

    def _prunable(self, previous: t.Optional[str]) -> t.List[str]:
        """Releases beyond the kept ones; the one before this is kept even when the history was lost."""
        history = self._layout.history
        known = previous is None or previous in _history.activated(history)
        earlier = [] if known else [t.cast(str, previous)]
        # What a rollback would go to, then what was rolled back from.
        earlier += _history.good(history, without=(_history.TAKEN_BACK, _history.ROLLED_BACK))
        earlier += _history.good(history)
        there = _release_store.releases(self._layout)
        others = [release for release in dict.fromkeys(earlier) if release != self._id and release in there]
        kept = {self._id, *others[: self._keep - 1]}
        return [release for release in there if release not in kept]

    # -- the ways back ------------------------------------------------------------------------------------------------

    def _discard(self, error: Exception, previous: t.Optional[str]) -> RoadError:
        """Remove a candidate that failed before traffic moved; returns the error that tells why it did."""
        log = self._log_of(error)
        back = self._to_go_back_to(previous)
        serving = "release {0} still serves".format(self._titled(back)) if back else self._none_serves(previous)
        self._record(_history.REFUSED, previous, error)
        try:
            # systemd refuses to stop what it has never heard of.
            if self._id in self._service.releases():
                self._service.abort(self._id)
                self._service.disable(self._id)
            # One that served before stays to be gone back to.
            if self._id not in _history.good(self._layout.history):
                _files.remove(self._wanted.home)
            self._put_back_units(back)
            # Its environment is dear, and what comes next likely needs it too; where the disk is full nothing stays.
            kept = "" if isinstance(error, OSError) else self._wanted.parts.venv
            _release_store.remove_unused(self._layout, venv=kept)
        except _FAILURES as problem:
            serving += ", but cleaning up failed, run again: {0}".format(problem)
        return self._failure(error, serving, log)

    def _go_back(self, error: Exception, previous: t.Optional[str]) -> RoadError:
        """Take the switch back; returns the error that tells why, and what serves now."""
        log = self._log_of(error)
        back = self._to_go_back_to(previous)
        try:
            _take_back.cancel(self._layout, self._service)
            if back:
                self._serve_again(back)
            else:
                _files.remove(self._layout.current)
            self._record(_history.TAKEN_BACK, previous, error)
            # What never answered has no requests to finish, and with overlap off nothing serves meanwhile.
            if self._proven:
                self._retire(self._id)
            else:
                self._service.disable(self._id)
                self._service.abort(self._id)
            if back:
                self._service.start(back)
            else:
                self._put_back_units(None)
            _files.remove(self._wanted.home)
            serving = self._serving_after(back) if back else self._none_serves(previous)
        except _FAILURES as problem:
            serving = "going back to {0} failed: {1}".format(self._titled(back), problem)
        return self._failure(error, serving, log)

    def _serve_again(self, previous: str) -> None:
        self._put_back_units(previous)
        self._service.enable(previous)
        if self._wanted.options.overlap:
            self._service.start(previous)
        else:
            self._service.listen(previous)
        self._point_to(previous)

    def _to_go_back_to(self, previous: t.Optional[str]) -> t.Optional[str]:
        """The release before, unless nothing on this host could run it any more."""
        return previous if previous and self._service.can_run(previous) else None

    def _none_serves(self, previous: t.Optional[str]) -> str:
        return "no release serves" + (": " + self._lost(previous) if previous else "")

    def _lost(self, previous: str) -> str:
        return "release {0} is {1}".format(self._titled(previous), OF_SYSTEMD)

    def _serving_after(self, previous: str) -> str:
        """What serves after a way back, proven like every switch."""
        title = self._titled(previous)
        try:
            gate = Gate(_release_store.load(self._layout, previous), self._service)
            gate.ready()
            gate.front()
        except (*_FAILURES, ValueError) as problem:
            return "release {0} is back in its place, but: {1}".format(title, problem)
        return "release {0} serves again".format(title)

    def _put_back_units(self, release: t.Optional[str]) -> None:
        """Give ``release`` the unit templates that it was started with; without one, none are left."""
        kept = _release_store.kept_units(self._layout, release) if release else []
        stale = _release_store.stale_units(self._layout, kept)
        if release and not self._layout.needed_files(_release_store.service_of(self._layout, release)) <= {
            unit.path for unit in kept
        }:
            # Somebody took some of them away; what is there in their place is better than nothing.
            stale = [path for path in stale if path in {unit.path for unit in kept}]
        _put_units(stale, kept)
        if stale:
            self._service.daemon_reload()

    # -- words --------------------------------------------------------------------------------------------------------

    def _serving(self) -> str:
        current = self.current
        return "release {0} serves".format(self._titled(current)) if current else "no release serves"

    def _with_processes(self) -> str:
        """The release, and the processes that it gets on this host."""
        return "{0} ({1})".format(self._wanted.title, self._wanted.options.processes())

    def _titled(self, release: t.Optional[str]) -> str:
        return _release_store.title_of(self._layout, release) if release else "nothing"

    def _failure(self, error: Exception, serving: str, log: t.Optional[str] = None) -> RoadError:
        phase = error.phase if isinstance(error, GateError) else self._phase
        said = "{0}: release {1} failed in phase {2} after {3:.1f} s: {4}; {5}. It logged:\n{6}\nThe service's log: {7}"
        seconds = time.monotonic() - self._start
        log = self._log_of(error) if log is None else log
        where = _status.log_command(self._layout, self._wanted.options.logs_to)
        return RoadError(said.format(self._layout.name, self._wanted.title, phase, seconds, error, serving, log, where))

    def _log_of(self, error: Exception) -> str:
        """What a failed command wrote, otherwise what the release logged in this run."""
        output = error.output if isinstance(error, GateError) else None
        lines = self._log() if output is None else output.splitlines()
        return "\n".join(_shortened(lines)) or "(nothing)"

    def _log(self) -> t.List[str]:
        """What went to the journal, and to the file that the release may have instead."""
        lines = self._service.log(self._id, self._began)
        if os.path.isfile(self._layout.error_log):
            with open(self._layout.error_log, "rb") as log:
                log.seek(self._log_size)
                lines += log.read().decode("utf-8", "replace").splitlines()
        return lines

    def _record(
        self,
        event: str,
        previous: t.Optional[str],
        error: t.Optional[Exception] = None,
        release: t.Optional[str] = None,
        label: t.Optional[str] = None,
    ) -> None:
        """Write down what happened; a disk that is full must not stop the road in the middle.

        :param release: what it happened to, and its label; the wanted release unless given.
        """
        label = self._wanted.options.label if label is None else label
        reason = str(error) if error else None
        try:
            _history.record(self._layout.history, event, release or self._id, previous, label, reason)
        except OSError as problem:
            self.warnings.append("{0} could not be written: {1}".format(self._layout.history, problem))


def rollback_target(layout: Layout, to: str) -> str:
    """The id of the release to go back to.

    :param to: its id or label; empty for the newest good release before the current one.
    :raises ValueError: when there is none; the text names those that there are.
    """
    there = _release_store.releases(layout)
    current = current_release(layout)
    good = _history.good(layout.history, without=(_history.TAKEN_BACK, _history.ROLLED_BACK))
    earlier = [release for release in good if release != current and release in there]
    if not to:
        if not earlier:
            raise ValueError("there is no earlier release on this host to go back to")
        return earlier[0]
    if to in there:
        return to
    named = [release for release in [*earlier, *there] if _release_store.label_of(layout, release) == to]
    if named:
        return named[0]
    known = ", ".join(_release_store.title_of(layout, release) for release in there)
    raise ValueError("release: {0!r} is not on this host; there are {1}".format(to, known or "none"))


def _put_units(stale: t.Collection[str], wanted: t.Iterable[_files.WantedFile]) -> None:
    """Bring the unit templates at ``stale`` to what is wanted, which for some may be nothing."""
    texts = {unit.path: unit for unit in wanted}
    for path in stale:
        if path in texts:
            _files.write(texts[path])
        else:
            _files.remove(path)


def _size(path: str) -> int:
    return os.path.getsize(path) if os.path.isfile(path) else 0


def _shortened(lines: t.List[str]) -> t.List[str]:
    """The beginning, where the first worker tells its error, and the end; every worker repeats what is between."""
    if len(lines) <= LOG_HEAD + LOG_TAIL:
        return lines
    return [*lines[:LOG_HEAD], "[...]", *lines[-LOG_TAIL:]]
