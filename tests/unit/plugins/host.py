# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A host in a directory, for tests that need neither root nor systemd: paths, accounts, a service manager."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import http.server
import json
import os
import pathlib
import socket
import socketserver
import stat
import threading
import time
import types
import typing as t

from ansible_collections.wsgiops.flask.plugins.module_utils import _probe, _release_store, _road, _tree
from ansible_collections.wsgiops.flask.plugins.module_utils._layout import Layout
from ansible_collections.wsgiops.flask.plugins.module_utils._lock import locked
from ansible_collections.wsgiops.flask.plugins.module_utils._options import Health, Hooks, Options
from ansible_collections.wsgiops.flask.plugins.module_utils._release import Parts
from ansible_collections.wsgiops.flask.plugins.module_utils._release_store import Release
from ansible_collections.wsgiops.flask.plugins.module_utils._service import (
    Report,
    ServiceError,
    State,
    TaskResult,
)
from ansible_collections.wsgiops.flask.plugins.module_utils._venv import MANIFEST


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


# When a run of the tests began to hold a lock.
SINCE = "2026-11-21T10:00:00+00:00"

# Seconds that a slow application takes for an answer.
SLOW = 0.3

# What the error of a release that failed ends with, its output being in the journal.
JOURNAL = "\nThe service's log: journalctl -u 'shop@*'"


@dataclasses.dataclass(frozen=True)
class Behaviour:
    """What a release does once it is told to start.

    :param statuses: of its answers, in order; the last one is that of all further answers.
    :param body: of each answer.
    :param delay: seconds that each answer takes.
    :param mute: it accepts requests and never answers.
    :param ends: when its main process ends: never, at once, while a probe waits, or after the first good answer.
    :param loses_worker: a worker of it ends after the first good answer.
    :param refuses: its start is an error.
    """

    statuses: tuple[int, ...] = (200,)
    body: str = ""
    delay: float = 0.0
    mute: bool = False
    ends: t.Literal["never", "at once", "probed", "settling"] = "never"
    loses_worker: bool = False
    refuses: bool = False


BEHAVIOURS = {
    "answer": Behaviour(),
    "slow": Behaviour(delay=SLOW),
    "mute": Behaviour(mute=True),
    "die": Behaviour(mute=True, ends="at once"),
    "die when probed": Behaviour(mute=True, ends="probed"),
    "die while settling": Behaviour(ends="settling"),
    "lose a worker": Behaviour(loses_worker=True),
    "waver": Behaviour(statuses=(200, 503)),
    "refuse": Behaviour(refuses=True),
}


class _Handler(http.server.BaseHTTPRequestHandler):
    server: UnixServer | Front

    def do_GET(self) -> None:
        status, body = self.server.answer(self.path, dict(self.headers))
        self.send_response(status)
        if 300 <= status < 400:
            self.send_header("Location", "https://elsewhere.example.com/")
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_arguments: t.Any) -> None:
        """Says nothing."""


class UnixServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """An HTTP server on a unix socket, in threads of its own; until it serves, what arrives waits."""

    daemon_threads = True

    def __init__(self, path: str, behaviour: Behaviour = BEHAVIOURS["answer"]) -> None:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        super().__init__(path, _Handler)
        self.path = path
        self.behaviour = behaviour
        self.requests: list[tuple[str, dict[str, str]]] = []
        self._thread: threading.Thread | None = None

    def serve(self) -> None:
        if not self._thread and not self.behaviour.mute:
            self._thread = threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True)
            self._thread.start()

    def answer(self, path: str, headers: dict[str, str]) -> tuple[int, str]:
        self.requests.append((path, headers))
        time.sleep(self.behaviour.delay)
        statuses = self.behaviour.statuses
        return statuses[min(len(self.requests), len(statuses)) - 1], self.behaviour.body

    def close(self) -> None:
        if self._thread:
            self.shutdown()
        self.server_close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)


class Front(http.server.ThreadingHTTPServer):
    """What nginx is to an application: a TCP server that passes requests on through ``current``.

    ``says`` has statuses that it answers with instead while a release serves, by id.
    """

    daemon_threads = True

    def __init__(self, layout: Layout) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self._layout = layout
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.says: dict[str, int] = {}
        self.requests: list[tuple[str | None, str, str]] = []  # release that served, path, Host header
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def answer(self, path: str, headers: dict[str, str]) -> tuple[int, str]:
        serving = _release_store.current_release(self._layout)
        self.requests.append((serving, path, headers["Host"]))
        if serving in self.says:
            return self.says[serving], ""
        try:
            found = _probe.ask_socket(self._layout.upstream, path, headers["Host"], 5)
        except _probe.NoAnswer:
            return 502, ""
        return found.status, found.body

    def close(self) -> None:
        self.shutdown()
        self.server_close()


@dataclasses.dataclass
class Unit:
    """The unit pair of one release."""

    service: str = "inactive"
    sub: str = "dead"
    main_pid: int = 0
    workers: set[int] = dataclasses.field(default_factory=set)
    socket: str = "inactive"
    started: float = 0.0
    templates: dict[str, str] = dataclasses.field(default_factory=dict)
    server: UnixServer | None = None

    def end(self) -> None:
        self.service, self.sub, self.main_pid = "failed", "failed", 0


@dataclasses.dataclass(frozen=True)
class Task:
    """A command that ran in the sandbox of a release."""

    release: str
    service_text: str
    command: list[str]
    variables: dict[str, str]
    timeout: float


class FakeService:
    """The service manager of one application in memory, with the methods of `Services` and real sockets behind them."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._units: dict[str, Unit] = {}
        self._loaded: dict[str, str] = {}
        self._pids = iter(range(1000, 100000))
        self.behaviours: dict[str, Behaviour] = {}  # by code
        self.enabled: set[str] = set()
        self.acts: list[str] = []  # what it was told, in order
        self.busy_at_stop: dict[str, int] = {}  # connections that a stop of the release cut off
        self.refuses: str | None = None  # an act that fails, "start" say, or "start 0123456789ab"
        self.journal: list[tuple[float, str, str]] = []  # time, release and line
        self.tasks: list[Task] = []
        self.outcomes: dict[str, TaskResult] = {}  # of tasks that do not just go well, by the end of their command
        self.armed: tuple[list[str], float] | None = None
        self.words = ""  # what it has to say of units
        self.verified: list[dict[str, str]] = []  # units that it was asked about
        self.reported: dict[str, t.Any] = {}  # what it reports of a release besides its states
        self.waiting = False  # the timer has gone off, and what it started waits for the lock
        self.lost: set[str] = set()  # releases that nothing on the host could run
        self.warnings: list[str] = []

    def unit(self, release: str) -> Unit:
        return self._units.setdefault(release, Unit())

    def running(self) -> list[str]:
        return sorted(release for release, unit in self._units.items() if unit.service == "active")

    def close(self) -> None:
        for unit in self._units.values():
            if unit.server:
                unit.server.close()

    def _act(self, name: str, what: str = "") -> None:
        act = f"{name} {what}".strip()
        self.acts.append(act)
        if self.refuses in (name, act):
            raise ServiceError(f"systemctl {name}: refused")

    def _templates(self) -> dict[str, str]:
        texts = {}
        for path in filter(os.path.exists, self._layout.control_files):
            with open(path, encoding="utf-8") as handle:
                texts[os.path.basename(path)] = handle.read()
        return texts

    def _require_templates(self, release: str) -> None:
        """A unit of which systemd has neither a file nor a state can't be told anything."""
        unit = self.unit(release)
        if (unit.service, unit.socket) == ("inactive",) * 2 and not self._templates():
            raise ServiceError(f"systemctl: Unit {self._layout.service_unit(release)} not loaded.")

    def _behaviour(self, release: str) -> Behaviour:
        code = os.readlink(os.path.join(self._layout.release(release), "code"))
        return self.behaviours[os.path.basename(code)]

    # -- what Services has ---------------------------------------------------------------------------------------------

    def can_run(self, release: str) -> bool:
        return release not in self.lost

    def state(self, release: str) -> State:
        unit = self.unit(release)
        stale = self._templates() != self._loaded
        return State(unit.service, unit.sub, unit.main_pid, unit.socket, unit.started, stale, release in self.enabled)

    def start_time(self, process: int) -> str | None:
        for unit in self._units.values():
            if unit.main_pid == process:
                if unit.server and unit.server.behaviour.ends == "probed" and _probe.busy_connections(unit.server.path):
                    unit.end()
                    return None
                return f"{unit.started}"
        return None

    def workers(self, release: str, process: int = 0) -> set[int]:
        unit = self.unit(release)
        found = set(unit.workers)
        if unit.server and unit.server.behaviour.loses_worker:
            unit.workers = {max(unit.workers)}
        if unit.server and unit.server.behaviour.ends == "settling":
            unit.end()
        return found

    def report(self, release: str) -> Report:
        unit = self.unit(release)
        found = Report(
            service=unit.service,
            socket=unit.socket,
            socket_result="success",
            ended="",
            main_pid=unit.main_pid,
            restarts=0,
            started=unit.started if unit.main_pid else 0.0,
            retry=0.0,
            limit="5 starts within 1min",
            memory=50 << 20,
        )
        return dataclasses.replace(found, **self.reported)

    def checker(self, release: str) -> str:
        return "systemd-analyze verify"

    def verify(self, release: str, units: t.Mapping[str, str]) -> str:
        self._act("verify", release)
        self.verified.append(dict(units))
        return self.words

    def daemon_reload(self) -> None:
        self._act("daemon-reload")
        self._loaded = self._templates()

    def start(self, release: str) -> None:
        self._act("start", release)
        unit = self.unit(release)
        if unit.service == "active":
            return
        self._listen(release)
        behaviour = self._behaviour(release)
        unit.started, unit.templates = time.time(), dict(self._loaded)
        self.journal.append((unit.started, release, f"the words of {release}"))
        if behaviour.refuses:
            unit.end()
            raise ServiceError(f"systemctl start {release}: exit code 3")
        unit.service, unit.sub, unit.main_pid = "active", "running", next(self._pids)
        unit.workers = {next(self._pids), next(self._pids)}
        if behaviour.ends == "at once":
            unit.end()
        assert unit.server
        unit.server.serve()

    def listen(self, release: str) -> None:
        self._act("listen", release)
        self._listen(release)

    def _listen(self, release: str) -> None:
        self._require_templates(release)
        unit = self.unit(release)
        unit.socket = "active"
        if unit.server is None:
            pathlib.Path(self._layout.socket(release)).unlink(missing_ok=True)
            unit.server = UnixServer(self._layout.socket(release), self._behaviour(release))

    def restart(self, release: str) -> None:
        self._act("restart", release)
        self._stop(release)
        self.start(release)

    def stop(self, release: str) -> None:
        self._act("stop", release)
        self._require_templates(release)
        self._stop(release)

    def abort(self, release: str) -> None:
        self._act("abort", release)
        self._require_templates(release)
        self._stop(release)

    def _stop(self, release: str) -> None:
        server = self.unit(release).server
        if server:
            self.busy_at_stop[release] = _probe.busy_connections(server.path)
            server.close()
        self._units[release] = Unit()

    def enable(self, release: str) -> None:
        self._act("enable", release)
        self._require_templates(release)
        self.enabled.add(release)

    def disable(self, release: str) -> None:
        self._act("disable", release)
        self.enabled.discard(release)

    def releases(self) -> list[str]:
        alive = {release for release, unit in self._units.items() if (unit.service, unit.socket) != ("inactive",) * 2}
        return sorted(alive | self.enabled)

    def log(self, release: str, since: float) -> list[str]:
        return [line for when, whose, line in self.journal if whose == release and when >= since]

    def run_task(
        self,
        release: str,
        service_text: str,
        command: t.Sequence[str],
        variables: t.Mapping[str, str],
        timeout: float,
    ) -> TaskResult:
        self._act("run", os.path.basename(command[0]))
        self.tasks.append(Task(release, service_text, list(command), dict(variables), timeout))
        said = " ".join(command)
        return next((outcome for end, outcome in self.outcomes.items() if said.endswith(end)), TaskResult(0, ""))

    def arm(self, command: t.Sequence[str], seconds: float) -> None:
        self.withdraw()
        self._act("arm")
        self.armed = (list(command), seconds)

    def disarm(self) -> bool:
        self._act("disarm")
        pending, self.armed = self.armed is not None, None
        return pending

    def withdraw(self) -> bool:
        waiting, self.waiting = self.waiting, False
        return self.disarm() or waiting

    def end_tasks(self) -> None:
        self._act("end-tasks")
        self.armed = None


class Host:
    """A host with one application on it, and short words for deploying there."""

    def __init__(self, base: str) -> None:
        self.layout = HostLayout("shop", os.path.join(base, "opt"))
        self.service = FakeService(self.layout)
        self.plan: list[str] = []
        self._names: dict[str, str] = {}  # of code, by digest
        for path in (self.layout.code_store, self.layout.venvs, os.path.dirname(self.layout.service_template)):
            os.makedirs(path)

    @staticmethod
    def code(name: str) -> str:
        """The digest of the code that tests call by this name: one file that holds it."""
        return _tree.tree_digest([_tree.Entry("name", _tree.FILE, False, hashlib.sha256(name.encode()).hexdigest())])

    def release(
        self,
        code: str = "code-1",
        venv: str = "venv-1",
        text: str = "workers = 1\n",
        units: str = "[Unit]\n",
        retry: bool = False,
        environment: t.Mapping[str, str] = types.MappingProxyType({}),
        secrets: t.Mapping[str, str] = types.MappingProxyType({}),
        behaviour: str | Behaviour = "answer",
        health: t.Mapping[str, t.Any] = types.MappingProxyType({}),
        hooks: t.Mapping[str, t.Any] = types.MappingProxyType({}),
        **options: t.Any,
    ) -> Release:
        """A release; what its code does is no part of its id.

        :param units: text of each unit template.
        :param retry: there are those that start it again after a cool-down, too.
        """
        digest = self.code(code)
        self._names[digest] = code
        self.service.behaviours[digest] = BEHAVIOURS[behaviour] if isinstance(behaviour, str) else behaviour
        names = [os.path.basename(path) for path in self.layout.unit_templates[: 4 if retry else 2]]
        files, texts = {"gunicorn.conf.py": text}, dict.fromkeys(names, units)
        parts = Parts("shop", digest, venv, files, texts, dict(environment), dict(secrets))
        road = {
            "health": Health(**{"host": "shop.example.com", "timeout": 10, "settle": 0, **health}),
            "hooks": Hooks(**hooks),
            "drain_timeout": 10,
            "workers": "2",
            **options,
        }
        return Release(self.layout, parts, Options(**road))

    def bring(self, release: Release) -> None:
        """Do what comes before the road: have the code and the environment on the host."""
        code, venv = pathlib.Path(release.code), pathlib.Path(release.venv)
        if not code.exists():
            code.mkdir()
            (code / "name").write_text(self._names[code.name])
            for path, mode in ((code, 0o750), (code / "name", 0o640)):
                path.chmod(mode)
                os.lchown(path, 0, Accounts.ids["shop"])
        (venv / "bin").mkdir(parents=True, exist_ok=True)
        for name in ("python", "gunicorn"):
            (venv / "bin" / name).touch()
        (venv / MANIFEST).write_text('{"servers": ["bin/gunicorn"]}')

    def deploy(self, release: Release, **options: t.Any) -> list[str]:
        """Bring a release and send it down the road; returns the steps, and keeps the plan made just before."""
        self.bring(release)
        return self.travel(release, **options)

    def travel(self, release: Release, **options: t.Any) -> list[str]:
        """Send a release down the road; returns the steps, and keeps the plan made just before."""
        self.plan = self.road(release, **options).plan()
        road = self.road(release, **options)
        assert road.travel() == bool(road.steps)
        return road.steps

    def road(self, release: Release, **options: t.Any) -> _road.Road:
        return _road.Road(release, self.service, **options)  # type: ignore[arg-type]

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


@contextlib.contextmanager
def hold(lock: str, *reasons: str) -> t.Iterator[None]:
    """Another run that holds the lock when the block begins, for one reason after the other, 0.3 s each."""
    entered = threading.Event()

    def run() -> None:
        with locked(lock, reasons[0], 0) as descriptor:
            entered.set()
            for reason in reasons[1:]:
                time.sleep(0.3)
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, json.dumps({"pid": 1, "reason": reason, "since": SINCE}).encode(), 0)
            time.sleep(0.3)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert entered.wait(10)
        yield
    finally:
        thread.join()
