# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A host in a directory, for tests that need neither root nor systemd: paths, accounts, a service manager."""

from __future__ import annotations

import contextlib
import dataclasses
import http.server
import os
import socket
import socketserver
import stat
import threading
import time
import types
import typing as t

from ansible_collections.wsgiops.flask.plugins.module_utils import _road
from ansible_collections.wsgiops.flask.plugins.module_utils._layout import Layout
from ansible_collections.wsgiops.flask.plugins.module_utils._release import Parts
from ansible_collections.wsgiops.flask.plugins.module_utils._service_systemd import ServiceError, State


class HostLayout(Layout):
    """An application's layout with all of the host, /etc, /run and /var too, in the directory that holds `root`."""

    def __getattribute__(self, name: str) -> t.Any:
        value = super().__getattribute__(name)
        base = os.path.dirname(super().__getattribute__("root"))
        elsewhere = isinstance(value, str) and value.startswith(("/etc/", "/run/", "/var/"))
        return base + value if elsewhere and not value.startswith(base) else value


class Accounts:
    """Users, groups and owners of files as root sees them, kept in memory: chown(2) needs root, tests do not.

    What nobody has given away belongs to root, as what root makes does.
    """

    ids: t.ClassVar[dict[str, int]] = {"root": 0, "www-data": 33, "shop": 990, "desk": 991}

    def __init__(self) -> None:
        self._owners: dict[tuple[int, int], tuple[int, int]] = {}
        self._lstat = os.lstat

    def getpwnam(self, name: str) -> types.SimpleNamespace:
        return types.SimpleNamespace(pw_uid=self.ids[name], pw_gecos="")

    def getgrnam(self, name: str) -> types.SimpleNamespace:
        return types.SimpleNamespace(gr_gid=self.ids[name])

    def chown(self, path: t.Any, uid: int, gid: int) -> None:
        self._record(os.stat(path), uid, gid)

    def lchown(self, path: t.Any, uid: int, gid: int) -> None:
        self._record(self._lstat(path), uid, gid)

    def fchown(self, descriptor: int, uid: int, gid: int) -> None:
        self._record(os.fstat(descriptor), uid, gid)

    def lstat(self, path: t.Any, **options: t.Any) -> os.stat_result:
        found = self._lstat(path, **options)
        owners = self._owners.get((found.st_dev, found.st_ino), (0, 0))
        fields, more = t.cast("tuple[t.Any, ...]", found.__reduce__()[1])
        return os.stat_result((*fields[:4], *owners, *fields[6:]), more)

    def owner(self, path: t.Any) -> tuple[int, int]:
        found = self.lstat(path)
        return found.st_uid, found.st_gid

    def _record(self, found: os.stat_result, uid: int, gid: int) -> None:
        self._owners[found.st_dev, found.st_ino] = (uid, gid)


# Seconds that a slow application takes for an answer: longer than the first two probes of a test wait for one.
SLOW = 0.3


class _Handler(http.server.BaseHTTPRequestHandler):
    server: UnixServer

    def do_GET(self) -> None:
        self.server.requests.append((self.path, dict(self.headers)))
        time.sleep(self.server.delay)
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *_arguments: t.Any) -> None:
        """Says nothing."""


class UnixServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """An HTTP server on a unix socket, in threads of its own; one that is mute accepts and never answers."""

    daemon_threads = True

    def __init__(self, path: str, status: int = 200, mute: bool = False, delay: float = 0.0) -> None:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        super().__init__(path, _Handler)
        self.path = path
        self.status = status
        self.delay = delay
        self.requests: list[tuple[str, dict[str, str]]] = []
        self._thread = None if mute else threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True)
        if self._thread:
            self._thread.start()

    def close(self) -> None:
        if self._thread:
            self.shutdown()
        self.server_close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)


@dataclasses.dataclass
class Unit:
    """The unit pair of one release."""

    service: str = "inactive"
    sub: str = "dead"
    main_pid: int = 0
    socket: str = "inactive"
    started: float = 0.0
    templates: dict[str, str] = dataclasses.field(default_factory=dict)
    server: UnixServer | None = None


class FakeService:
    """The service manager of one application in memory, with the methods of `Systemd` and real sockets behind them.

    What a release does once it is started stands in the file `behaviour` of its code: answer, slow, mute, die, refuse.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._units: dict[str, Unit] = {}
        self._loaded: dict[str, str] = {}
        self._pids = iter(range(1000, 100000))
        self.enabled: set[str] = set()
        self.acts: list[str] = []  # what it was told, in order
        self.busy_at_stop: dict[str, int] = {}  # connections that a stop of the release cut off
        self.refuses: str | None = None  # an act that fails
        self.journal: list[tuple[float, str, str]] = []  # time, release and line

    def unit(self, release: str) -> Unit:
        return self._units.setdefault(release, Unit())

    def running(self) -> list[str]:
        return sorted(release for release, unit in self._units.items() if unit.service == "active")

    def close(self) -> None:
        for unit in self._units.values():
            if unit.server:
                unit.server.close()

    def _act(self, name: str, release: str = "") -> None:
        self.acts.append(f"{name} {release}".strip())
        if self.refuses == name:
            raise ServiceError(f"systemctl {name}: refused")

    def _templates(self) -> dict[str, str]:
        paths = [path for path in (self._layout.service_template, self._layout.socket_template) if os.path.exists(path)]
        texts = {}
        for path in paths:
            with open(path, encoding="utf-8") as handle:
                texts[os.path.basename(path)] = handle.read()
        return texts

    # -- what Systemd has ----------------------------------------------------------------------------------------------

    def state(self, release: str) -> State:
        unit = self.unit(release)
        stale = self._templates() != self._loaded
        return State(unit.service, unit.sub, unit.main_pid, unit.socket, unit.started, stale, release in self.enabled)

    def daemon_reload(self) -> None:
        self._act("daemon-reload")
        self._loaded = self._templates()

    def start(self, release: str) -> None:
        self._act("start", release)
        unit = self.unit(release)
        if unit.service == "active":
            return
        with open(os.path.join(self._layout.release(release), "code", "behaviour"), encoding="utf-8") as handle:
            behaviour = handle.read()
        unit.started, unit.templates, unit.socket = time.time(), dict(self._loaded), "active"
        self.journal.append((unit.started, release, f"the words of {release}"))
        if behaviour == "refuse":
            unit.service, unit.sub = "failed", "failed"
            raise ServiceError(f"systemctl start {release}: exit code 3")
        if unit.server is None:
            delay = SLOW if behaviour == "slow" else 0.0
            mute = behaviour not in ("answer", "slow")
            unit.server = UnixServer(self._layout.socket(release), mute=mute, delay=delay)
        alive = behaviour != "die"
        unit.service, unit.sub = ("active", "running") if alive else ("failed", "failed")
        unit.main_pid = next(self._pids) if alive else 0

    def restart(self, release: str) -> None:
        self._act("restart", release)
        self._stop(release)
        self.start(release)

    def stop(self, release: str) -> None:
        self._act("stop", release)
        self._stop(release)

    def _stop(self, release: str) -> None:
        server = self.unit(release).server
        if server:
            self.busy_at_stop[release] = _road._probe.busy_connections(server.path)
            server.close()
        self._units[release] = Unit()

    def enable(self, release: str) -> None:
        self._act("enable", release)
        self.enabled.add(release)

    def disable(self, release: str) -> None:
        self._act("disable", release)
        self.enabled.discard(release)

    def releases(self) -> list[str]:
        alive = {release for release, unit in self._units.items() if (unit.service, unit.socket) != ("inactive",) * 2}
        return sorted(alive | self.enabled)

    def log(self, release: str, since: float) -> list[str]:
        return [line for when, whose, line in self.journal if whose == release and when >= since]


class Host:
    """A host with one application on it, and short words for deploying there."""

    def __init__(self, base: str) -> None:
        self.layout = HostLayout("shop", os.path.join(base, "opt"))
        self.service = FakeService(self.layout)
        self.plan: list[str] = []
        self._behaviours: dict[str, str] = {}
        for path in (self.layout.code_store, self.layout.venvs, os.path.dirname(self.layout.service_template)):
            os.makedirs(path)

    def release(
        self,
        code: str = "code-1",
        venv: str = "venv-1",
        text: str = "workers = 1\n",
        units: str = "[Unit]\n",
        environment: t.Mapping[str, str] = types.MappingProxyType({}),
        behaviour: str = "answer",
        start_timeout: float = 10,
        drain_timeout: float = 10,
    ) -> _road.Release:
        """A release; what its code does is part of the code and not of the release's id."""
        self._behaviours[code] = behaviour
        names = (os.path.basename(self.layout.service_template), os.path.basename(self.layout.socket_template))
        parts = Parts("shop", code, venv, {"gunicorn.conf.py": text}, dict.fromkeys(names, units), dict(environment))
        return _road.Release(self.layout, parts, "shop.example.com", start_timeout, drain_timeout)

    def bring(self, release: _road.Release) -> None:
        """Do what comes before the road: have the code and the environment on the host."""
        code = os.path.join(self.layout.code_store, release.parts.code)
        os.makedirs(code, exist_ok=True)
        os.makedirs(os.path.join(self.layout.venvs, release.parts.venv), exist_ok=True)
        with open(os.path.join(code, "behaviour"), "w", encoding="utf-8") as handle:
            handle.write(self._behaviours[release.parts.code])

    def deploy(self, release: _road.Release) -> list[str]:
        """Bring a release and send it down the road; returns the steps, and keeps the plan made just before."""
        self.bring(release)
        return self.travel(release)

    def travel(self, release: _road.Release) -> list[str]:
        """Send a release down the road; returns the steps, and keeps the plan made just before."""
        self.plan = _road.Road(release, self.service).plan()  # type: ignore[arg-type]
        road = _road.Road(release, self.service)  # type: ignore[arg-type]
        assert road.travel() == bool(road.steps)
        return road.steps

    def snapshot(self) -> dict[str, tuple[int, str]]:
        """Mode and content, or target, of everything on the host, sockets excepted."""
        found = {}
        for directory, directories, files in os.walk(os.path.dirname(self.layout.root)):
            for name in directories + files:
                path = os.path.join(directory, name)
                mode = os.lstat(path).st_mode
                if not stat.S_ISSOCK(mode):
                    found[path] = (mode, _content(path, mode))
        return found


def _content(path: str, mode: int) -> str:
    if stat.S_ISLNK(mode):
        return os.readlink(path)
    if not stat.S_ISREG(mode):
        return ""
    with open(path, encoding="utf-8") as handle:
        return handle.read()


def connect(path: str) -> socket.socket:
    """A connection to a unix socket, with nothing sent yet."""
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    client.settimeout(10)
    client.connect(path)
    return client
