# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The road of a release on its host: write it, start it beside the running one, switch, drain the old, prune."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import time
import typing as t

from ansible_collections.wsgiops.flask.plugins.module_utils import _files, _history, _probe
from ansible_collections.wsgiops.flask.plugins.module_utils._environment import environment_file
from ansible_collections.wsgiops.flask.plugins.module_utils._layout import Layout
from ansible_collections.wsgiops.flask.plugins.module_utils._release import RELEASE_ID, Parts
from ansible_collections.wsgiops.flask.plugins.module_utils._service_systemd import ServiceError, Systemd

# Releases kept on a host, the current one and the one before it always among them: as many as Capistrano keeps.
KEEP_RELEASES = 5

# How long the first attempt to reach a candidate may take before its main process is looked at again, in seconds. Each
# further one may take twice as long: what dies, dies early, and a slow page has to be waited for.
FIRST_PROBE_TIMEOUT = 2.0
PROBE_PAUSE = 0.1

# Log lines shown of a release that failed: a traceback through Flask and gunicorn has about 30.
LOG_HEAD = 60
LOG_TAIL = 15


class RoadError(Exception):
    """A release that did not make it; the text holds phase, reason, log lines and what serves now."""


@dataclasses.dataclass(frozen=True)
class Release:
    """A release as it should stand and run.

    :param parts: what it is made of.
    :param host: Host header for probes.
    :param start_timeout: seconds from the start of the candidate to its first answer.
    :param drain_timeout: seconds that requests in flight on the old release get before it is told to stop.
    """

    layout: Layout
    parts: Parts
    host: str
    start_timeout: float
    drain_timeout: float

    @functools.cached_property
    def id(self) -> str:
        return self.parts.release_id()

    def files(self) -> t.List[_files.WantedFile]:
        """All regular files of the release directory."""
        home = self.layout.release(self.id)
        group = self.layout.name
        wanted = [
            _files.WantedFile(os.path.join(home, name), text, 0o640, "root", group)
            for name, text in self.parts.files.items()
        ]
        # systemd reads it as root before it drops privileges (systemd.exec(5)), so nobody else has to.
        wanted.append(_files.WantedFile(os.path.join(home, "env"), environment_file(self.parts.environment), 0o600))
        wanted.append(_files.WantedFile(os.path.join(home, "release.json"), self._manifest(), 0o644))
        wanted += [
            _files.WantedFile(os.path.join(home, "systemd", name), text, 0o644)
            for name, text in self.parts.units.items()
        ]
        return wanted

    def links(self) -> t.Dict[str, str]:
        """Link path to target."""
        home = self.layout.release(self.id)
        return {
            os.path.join(home, "code"): os.path.join("../../code", self.parts.code),
            os.path.join(home, "venv"): os.path.join("../../venvs", self.parts.venv),
            os.path.join(home, "socket"): self.layout.socket(self.id),
        }

    def units(self) -> t.List[_files.WantedFile]:
        """The unit templates where systemd reads them."""
        directory = os.path.dirname(self.layout.service_template)
        return [_files.WantedFile(os.path.join(directory, name), text) for name, text in self.parts.units.items()]

    def _manifest(self) -> str:
        parts = {"code": self.parts.code, "venv": self.parts.venv}
        facts = {"format": 1, "app": self.layout.name, "release": self.id, **parts}
        return json.dumps(facts, indent=2, sort_keys=True) + "\n"


class Road:
    """Takes one release down the road, or tells what that would do."""

    def __init__(self, wanted: Release, service: Systemd) -> None:
        self._wanted = wanted
        self._layout = wanted.layout
        self._service = service
        self._id = wanted.id
        self._began = time.time()
        self._log_size = _size(wanted.layout.error_log)
        self.steps: t.List[str] = []

    @property
    def current(self) -> t.Optional[str]:
        return current_release(self._layout)

    def plan(self) -> t.List[str]:
        """What :meth:`travel` would do now, one phrase a step; empty when all is as it should be."""
        steps = []
        current, stale_files, stale_units = self.current, self._stale_files(), self._stale_units()
        if stale_files:
            steps.append("write release " + self._id)
        if stale_units:
            steps.append("install units")
        if current != self._id:
            steps.append("start {0}, switch from {1}".format(self._id, current or "nothing"))
        else:
            steps += self._healing(bool(stale_files or stale_units)) + self._unrecorded()
        steps += ["stop leftover release " + orphan for orphan in self._orphans()]
        prunable = self._prunable(current)
        steps += ["prune release " + old for old in prunable]
        steps += ["prune {0} {1}".format(link, os.path.basename(path)) for link, path in self._unused(prunable)]
        return steps

    def travel(self) -> bool:
        """Make the wanted release the one that serves; returns whether anything had to change.

        :raises RoadError: when it could not be; what served before the switch still serves.
        """
        previous = self.current
        self._require_parts()
        rewritten = self._write_release()
        changed_units = self._install_units()
        try:
            if previous == self._id:
                self._heal(stale=rewritten or changed_units)
                self._record_late()
            else:
                self._start_candidate(previous)
                self._switch(previous)
        except ServiceError as error:
            raise self._failure("start", str(error), previous) from None
        for orphan in self._orphans():
            self._retire(orphan)
        self._prune(previous)
        return bool(self.steps)

    # -- the parts of the release on the disk ---------------------------------------------------------------------

    def _require_parts(self) -> None:
        for kind, path in self._part_directories().items():
            if not os.path.isdir(path):
                raise RoadError(
                    "{0}: {1} {2} is not on this host, another run may have removed it: run again".format(
                        self._layout.name, kind, path
                    )
                )

    def _part_directories(self) -> t.Dict[str, str]:
        return {
            "code": os.path.join(self._layout.code_store, self._wanted.parts.code),
            "virtual environment": os.path.join(self._layout.venvs, self._wanted.parts.venv),
        }

    def _stale_files(self) -> t.List[str]:
        stale = [wanted.path for wanted in self._wanted.files() if not _files.matches(wanted)]
        return stale + [link for link, target in self._wanted.links().items() if _link_target(link) != target]

    def _stale_units(self) -> t.List[str]:
        return [unit.path for unit in self._wanted.units() if not _files.matches(unit)]

    def _write_release(self) -> bool:
        stale = self._stale_files()
        if not stale:
            return False
        home = self._layout.release(self._id)
        for directory in (self._layout.releases, home, os.path.join(home, "systemd")):
            _files.ensure_directory(directory, 0o755)
        for wanted in self._wanted.files():
            if wanted.path in stale:
                _files.write(wanted)
        for link, target in self._wanted.links().items():
            if link in stale:
                _files.replace_link(target, link)
        self.steps.append("wrote release " + self._id)
        return True

    def _install_units(self) -> bool:
        stale = self._stale_units()
        for unit in self._wanted.units():
            if unit.path in stale:
                _files.write(unit)
        if stale or self._service.state(self._id).needs_reload:
            self._service.daemon_reload()
        if stale:
            self.steps.append("installed units")
        return bool(stale)

    # -- the service -----------------------------------------------------------------------------------------------

    def _parts_changed_at(self) -> float:
        """When a part of the release last changed on the disk, in seconds since the epoch.

        A part put right by another step, or by a run that died before it came to the restart, shows here.
        """
        parts = [wanted.path for wanted in self._wanted.files() + self._wanted.units()]
        parts += self._part_directories().values()
        changes = [os.lstat(path).st_ctime for path in parts if os.path.lexists(path)]
        # A time in the future is a clock that was set back since: no restart would ever be newer.
        return max((change for change in changes if change <= time.time()), default=0.0)

    def _healing(self, stale: bool) -> t.List[str]:
        """What the current release lacks to run as it should.

        :param stale: a part of it differs, or did when this run began.
        """
        state = self._service.state(self._id)
        needed = []
        if not state.running:
            needed.append("start {0}, which is {1}".format(self._id, state.service))
        elif state.socket != "active" or not os.path.exists(self._layout.socket(self._id)):
            needed.append("bring back the socket of " + self._id)
        elif stale or self._parts_changed_at() > state.started:
            needed.append("restart {0}, which is older than its parts".format(self._id))
        if not state.enabled:
            needed.append("enable {0} at boot".format(self._id))
        return needed

    def _unrecorded(self) -> t.List[str]:
        """Whether the run that switched to the current release died before it wrote that down."""
        newest = _history.activated(self._layout.history)[:1]
        return [] if newest == [self._id] else ["record the activation of " + self._id]

    def _heal(self, stale: bool) -> None:
        needed = self._healing(stale)
        if not needed:
            return
        if not all(step.startswith("enable ") for step in needed):
            self._service.restart(self._id)
            self._await_answer(previous=self._id)
        self._service.enable(self._id)
        self.steps += needed

    def _record_late(self) -> None:
        late = self._unrecorded()
        if late:
            _history.record(self._layout.history, "activated", self._id, None)
            self.steps += late

    def _start_candidate(self, previous: t.Optional[str]) -> None:
        try:
            self._service.stop(self._id)
            self._service.start(self._id)
            self._await_answer(previous)
        except ServiceError as error:
            raise self._discard("start", str(error), previous) from None
        self.steps.append("started " + self._id)

    def _await_answer(self, previous: t.Optional[str]) -> None:
        """Wait for the first HTTP answer of the release on its own socket, while its main process lives.

        gunicorn reports READY before its workers import the application, so only an answer proves that it can.
        """
        deadline = time.monotonic() + self._wanted.start_timeout
        process = self._service.state(self._id).main_pid
        patience = FIRST_PROBE_TIMEOUT
        while time.monotonic() < deadline:
            timeout = min(patience, max(deadline - time.monotonic(), PROBE_PAUSE))
            if _probe.http_status(self._layout.socket(self._id), "/", self._wanted.host, timeout) is not None:
                return
            state = self._service.state(self._id)
            if state.died or not process or state.main_pid != process:
                raise self._discard("start", "its main process ended before it answered a request", previous)
            time.sleep(PROBE_PAUSE)
            patience *= 2
        reason = "no answer to a request within {0:g} s".format(self._wanted.start_timeout)
        raise self._discard("start", reason, previous)

    def _switch(self, previous: t.Optional[str]) -> None:
        try:
            self._service.enable(self._id)
        except ServiceError as error:
            raise self._discard("switch", str(error), previous) from None
        _files.replace_link(os.path.join("releases", self._id), self._layout.current)
        _history.record(self._layout.history, "activated", self._id, previous)
        self.steps.append("switched from {0} to {1}".format(previous or "nothing", self._id))

    def _orphans(self) -> t.List[str]:
        """Releases that systemd runs, has failed or starts at boot, and that are not the wanted one."""
        return [release for release in self._service.releases() if release != self._id]

    def _retire(self, release: str) -> None:
        """Stop a release that takes no new requests, after those it has are answered."""
        deadline = time.monotonic() + self._wanted.drain_timeout
        while _probe.busy_connections(self._layout.socket(release)) and time.monotonic() < deadline:
            time.sleep(PROBE_PAUSE)
        self._service.disable(release)
        self._service.stop(release)
        self.steps.append("stopped " + release)

    # -- leaving nothing behind --------------------------------------------------------------------------------------

    def _discard(self, phase: str, reason: str, previous: t.Optional[str]) -> RoadError:
        """The error that tells why the release failed; a candidate is removed, the current release never."""
        failure = self._failure(phase, reason, previous)
        if self.current != self._id:
            self._service.stop(self._id)
            self._service.disable(self._id)
            # One that served before stays to be gone back to.
            if self._id not in _history.activated(self._layout.history):
                _files.remove(self._layout.release(self._id))
            self._put_back_units(previous)
        return failure

    def _put_back_units(self, release: t.Optional[str]) -> None:
        """Give ``release`` the unit templates that it was started with; without one, none are left."""
        for unit in self._wanted.units():
            if not release:
                _files.remove(unit.path)
                continue
            text = _files.read_text(os.path.join(self._layout.release(release), "systemd", os.path.basename(unit.path)))
            earlier = dataclasses.replace(unit, content=unit.content if text is None else text)
            if not _files.matches(earlier):
                _files.write(earlier)
        self._service.daemon_reload()

    def _failure(self, phase: str, reason: str, previous: t.Optional[str]) -> RoadError:
        serving = "release {0} still serves".format(previous) if previous else "no release serves"
        if previous == self._id:
            serving = "it is the current release"
        said = "{0}: release {1} failed in phase {2}: {3}; {4}. It logged:\n{5}"
        log = "\n".join(_shortened(self._log())) or "(nothing)"
        return RoadError(said.format(self._layout.name, self._id, phase, reason, serving, log))

    def _log(self) -> t.List[str]:
        """What the release logged in this run: to the journal, and to the file that it may have instead."""
        lines = self._service.log(self._id, self._began)
        if os.path.isfile(self._layout.error_log):
            with open(self._layout.error_log, "rb") as log:
                log.seek(self._log_size)
                lines += log.read().decode("utf-8", "replace").splitlines()
        return lines

    def _prunable(self, previous: t.Optional[str]) -> t.List[str]:
        """Releases beyond the kept ones; the one before this is kept even when the history was lost."""
        earlier = [previous] if previous else []
        earlier += [release for release in _history.activated(self._layout.history) if release != previous]
        others = [release for release in earlier if release != self._id]
        return sorted(set(_entries(self._layout.releases)) - {self._id, *others[: KEEP_RELEASES - 1]})

    def _unused(self, pruned: t.Sequence[str]) -> t.List[t.Tuple[str, str]]:
        """Link name and path of the parts to which no release but the ``pruned`` ones refers."""
        parts = self._wanted.parts
        kept = set(_entries(self._layout.releases)) - set(pruned)
        unused = []
        for link, store, wanted in (
            ("code", self._layout.code_store, parts.code),
            ("venv", self._layout.venvs, parts.venv),
        ):
            targets = [_link_target(os.path.join(self._layout.releases, release, link)) or "" for release in kept]
            used = {wanted, *(os.path.basename(target) for target in targets)}
            unused += [(link, os.path.join(store, entry)) for entry in sorted(set(_entries(store)) - used)]
        return unused

    def _prune(self, previous: t.Optional[str]) -> None:
        """Remove releases beyond the kept ones, and then what no release refers to any more."""
        for release in self._prunable(previous):
            _files.remove(self._layout.release(release))
            self.steps.append("pruned release " + release)
        for link, path in self._unused(()):
            _files.remove(path)
            self.steps.append("pruned {0} {1}".format(link, os.path.basename(path)))


def current_release(layout: Layout) -> t.Optional[str]:
    """Id of the release that ``current`` names, ``None`` when there is none."""
    name = os.path.basename(_link_target(layout.current) or "")
    return name if RELEASE_ID.fullmatch(name) and os.path.isdir(layout.release(name)) else None


def _size(path: str) -> int:
    return os.path.getsize(path) if os.path.isfile(path) else 0


def _shortened(lines: t.List[str]) -> t.List[str]:
    """The beginning, where the first worker tells its error, and the end; every worker repeats what is between."""
    if len(lines) <= LOG_HEAD + LOG_TAIL:
        return lines
    return [*lines[:LOG_HEAD], "[...]", *lines[-LOG_TAIL:]]


def _link_target(path: str) -> t.Optional[str]:
    try:
        return os.readlink(path)
    except OSError:
        return None


def _entries(directory: str) -> t.List[str]:
    return os.listdir(directory) if os.path.isdir(directory) else []
