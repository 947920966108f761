# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The systemd back end: units of a release by name, asked and told through systemctl(1)."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
import typing as t

from ansible_collections.wsgiops.flask.plugins.module_utils._layout import Layout
from ansible_collections.wsgiops.flask.plugins.module_utils._service import (
    COMMAND_TIMEOUT,
    Report,
    ServiceError,
    State,
    TaskResult,
    children,
    run,
    run_program,
)

UNIT_DIRECTORY = "/etc/systemd/system"

# States in which a unit has not come to its end (systemctl(1), is-active).
_UNDER_WAY = ("active", "activating", "deactivating", "reloading")


# How a service ended that did not end well (Result= in org.freedesktop.systemd1(5)); others are told as they are.
_RESULTS = {
    "success": "",
    "exit-code": "exit status {status}",
    "signal": "signal {status}",
    "core-dump": "signal {status}",
    "oom-kill": "the kernel's, for want of memory",
    "watchdog": "systemd's, since it gave no sign of life (watchdog)",
    "timeout": "a timeout of its start or its stop",
}

# Properties that make a State.
_SHOWN = (
    "ActiveState",
    "SubState",
    "MainPID",
    "ExecMainStartTimestampMonotonic",
    "NeedDaemonReload",
)

# Where systemd looks at boot for what those of [Install] in the unit templates name.
_WANTED_AT_BOOT = {".service": "multi-user.target.wants", ".socket": "sockets.target.wants"}

# What of a [Service] section says how the server is started and ended, and is no part of its sandbox.
_OF_THE_SERVER = frozenset(
    "Type NotifyAccess ExecCondition ExecStartPre ExecStart ExecReload KillMode TimeoutStartSec TimeoutStopSec Restart "
    "RestartSec WatchdogSec".split()
)


def _show(names: t.Sequence[str], *units: str) -> t.List[t.Dict[str, str]]:
    """Properties of units, in their order (systemctl(1): what is shown of several has an empty line between)."""
    shown = run("systemctl", "show", "--property=" + ",".join(names), "--", *units)
    blocks = [block.splitlines() for block in shown.split("\n\n")]
    return [dict(line.split("=", 1) for line in lines if "=" in line) for lines in blocks]


def sandbox(service_text: str, release: str) -> t.List[str]:
    """The settings of a unit template that make its processes what they are: user, environment, directories, limits.

    For a transient unit, in which specifiers stand for nothing: ``%i`` becomes the release.
    """
    settings = []
    section = ""
    for line in service_text.splitlines():
        if line.startswith("["):
            section = line
        name, equals, value = line.partition("=")
        if section == "[Service]" and equals and not line.startswith("#") and name not in _OF_THE_SERVER:
            expanded = value.replace("%%", "\0").replace("%i", release).replace("\0", "%")
            settings.append("{0}={1}".format(name, expanded))
    return settings


def _wall_clock(monotonic: str) -> float:
    """Seconds since the epoch from microseconds of CLOCK_MONOTONIC, 0 where there is no time."""
    return time.time() - time.monotonic() + int(monotonic) / 1e6 if monotonic not in ("", "0") else 0.0


class Systemd:
    """Starts, stops and shows the unit pairs of one application."""

    # What looks at the units before they are used.
    checker = "systemd-analyze verify"

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self.warnings: t.List[str] = []

    def state(self, release: str) -> State:
        service, socket = _show(_SHOWN, *self._units(release))
        return State(
            service=service.get("ActiveState", "inactive"),
            sub=service.get("SubState", "dead"),
            main_pid=int(service.get("MainPID", "0")),
            socket=socket.get("ActiveState", "inactive"),
            started=_wall_clock(service.get("ExecMainStartTimestampMonotonic", "")),
            needs_reload="yes" in (service.get("NeedDaemonReload"), socket.get("NeedDaemonReload")),
            enabled=all(os.path.islink(link) for link in self._links_of_boot(release)),
        )

    def report(self, release: str) -> Report:
        names = "ActiveState Result MainPID NRestarts ExecMainStatus ExecMainStartTimestampMonotonic"
        names += " StartLimitBurst StartLimitIntervalUSec MemoryCurrent"
        service, socket = _show(names.split(), *self._units(release))
        result, memory = service.get("Result", "success"), service.get("MemoryCurrent", "")
        ended = _RESULTS.get(result, result).format(status=service.get("ExecMainStatus", "?"))
        running = service.get("MainPID", "0") != "0"
        limit = "{0} starts within {1}".format(
            service.get("StartLimitBurst", "?"), service.get("StartLimitIntervalUSec", "?")
        )
        return Report(
            service=service.get("ActiveState", "inactive"),
            socket=socket.get("ActiveState", "inactive"),
            socket_result=socket.get("Result", "success"),
            ended=ended,
            main_pid=int(service.get("MainPID", "0")),
            restarts=int(service.get("NRestarts", "0")),
            started=_wall_clock(service.get("ExecMainStartTimestampMonotonic", "")) if running else 0.0,
            retry=self._next(self._layout.retry_timer(release)),
            limit=limit,
            memory=int(memory) if memory.isdigit() else 0,
        )

    @staticmethod
    def _next(timer: str) -> float:
        """When a timer goes off, in seconds since the epoch; 0 when it does not."""
        listed = run("systemctl", "list-timers", "--all", "--output=json", "--", timer, check=False)
        return next(((entry["next"] or 0) / 1e6 for entry in json.loads(listed or "[]")), 0.0)

    def workers(self, release: str, process: int = 0) -> t.Set[int]:
        """Process ids of the main process's children."""
        return children(process or self.state(release).main_pid)

    def verify(self, release: str, units: t.Mapping[str, str]) -> str:
        """What systemd-analyze(1) has to say of unit templates, as those of ``release``; empty when they are clean.

        :param units: text of each template, by file name.
        """
        with tempfile.TemporaryDirectory() as directory:
            paths = []
            for name, text in sorted(units.items()):
                paths.append(os.path.join(directory, name.replace("@.", "@{0}.".format(release))))
                with open(paths[-1], "w", encoding="utf-8") as unit:
                    unit.write(text)
            done = run_program(["systemd-analyze", "verify", "--man=no", *paths], subprocess.STDOUT)
        if done.returncode and not done.stdout.strip():
            return "exit status {0}".format(done.returncode)
        # What is wrong with units of others, which these may name, is not to stop a release.
        ours = [os.path.basename(path) for path in paths]
        lines = [line for line in done.stdout.splitlines() if any(name in line for name in ours)]
        return "\n".join(lines).replace(directory, UNIT_DIRECTORY)

    def daemon_reload(self) -> None:
        run("systemctl", "daemon-reload")

    def start(self, release: str) -> None:
        """Start socket and service; returns when gunicorn has said READY. A tripped start limit is forgotten first."""
        self._start(release, self._layout.socket_unit(release), self._layout.service_unit(release))

    def listen(self, release: str) -> None:
        """Start the socket alone: its first connection starts the service. A tripped start limit is forgotten first."""
        self._start(release, self._layout.socket_unit(release))

    def _start(self, release: str, *units: str) -> None:
        timer = self._layout.retry_timer(release)
        run("systemctl", "stop", "--", timer, check=False)
        run("systemctl", "reset-failed", "--", *self._units(release), timer, check=False)
        run("systemctl", "start", "--", *units)

    def restart(self, release: str) -> None:
        """Restart the service behind its socket, which keeps what arrives meanwhile; a lost socket file comes back."""
        there = self.state(release).main_pid > 0
        if not os.path.exists(self._layout.socket(release)):
            run("systemctl", "stop", "--", *self._units(release))
            there = False
        self.start(release)
        # A process that has just been started is not replaced again: a start limit of one counts both starts.
        if there:
            run("systemctl", "restart", "--", self._layout.service_unit(release))

    def stop(self, release: str) -> None:
        """Stop socket and service in one transaction: the socket alone would start the service again."""
        units, timer = self._units(release), self._layout.retry_timer(release)
        run("systemctl", "stop", "--", timer, check=False)
        run("systemctl", "stop", "--", *units)
        # A timer fails when the template of what it is to start goes.
        run("systemctl", "reset-failed", "--", *units, timer, check=False)

    def abort(self, release: str) -> None:
        """Stop what serves nobody, without the time that requests in flight would get: it may hang in one of a probe.

        Killed while it stops already, so that systemd does not start it again.
        """
        run("systemctl", "stop", "--no-block", "--", *self._units(release))
        run("systemctl", "kill", "--signal=SIGKILL", "--", self._layout.service_unit(release), check=False)
        self.stop(release)

    def enable(self, release: str) -> None:
        """Have it start at boot. Nothing that runs has to know: reading all units again takes systemd half a second."""
        run("systemctl", "enable", "--quiet", "--no-reload", "--", *self._units(release))

    def disable(self, release: str) -> None:
        run("systemctl", "disable", "--quiet", "--no-reload", "--", *self._units(release), check=False)

    def releases(self) -> t.List[str]:
        """Ids of all instances that run, have failed, or start at boot."""
        pattern = self._layout.name + "@*"
        listing = ("systemctl", "list-units", "--all", "--plain", "--no-legend")
        loaded = run(*listing, pattern + ".service", pattern + ".socket")
        rows = [line.split() for line in loaded.splitlines()]
        names = [row[0] for row in rows if len(row) > 2 and row[2] != "inactive"]
        for target in _WANTED_AT_BOOT.values():
            directory = os.path.join(UNIT_DIRECTORY, target)
            names += os.listdir(directory) if os.path.isdir(directory) else []
        prefix = self._layout.name + "@"
        found = {name[len(prefix) :].rsplit(".", 1)[0] for name in names if name.startswith(prefix)}
        return sorted(release for release in found if release)

    def log(self, release: str, since: float) -> t.List[str]:
        """What the release's service and socket logged after ``since``, in seconds since the epoch."""
        units = ["--unit=" + unit for unit in self._units(release)]
        start = "--since=@{0:.6f}".format(since)
        return run("journalctl", "--no-pager", "--quiet", "--output=cat", start, *units, check=False).splitlines()

    def run_task(
        self,
        release: str,
        service_text: str,
        command: t.Sequence[str],
        variables: t.Mapping[str, str],
        timeout: float,
    ) -> TaskResult:
        """Run a command as the release's processes run, in the same sandbox, and wait for its end.

        One that an earlier run started, and that outlived that run, is waited for first: a migration must not be cut.

        :param service_text: the release's unit template.
        :param variables: environment variables besides those of the service.
        :param timeout: seconds after which systemd ends it.
        :raises ServiceError: when an earlier one does not end, or systemd can not be told.
        """
        self._await_task()
        options = ["--unit=" + self._layout.task_unit, "--service-type=exec", "--collect", "--quiet"]
        # Otherwise it is the command, which is nobody's business, and the journal has it.
        options.append("--description=Task of {0}, release {1}".format(self._layout.name, release))
        options += ["--property=" + setting for setting in sandbox(service_text, release)]
        options.append("--property=RuntimeMaxSec={0:g}".format(timeout))
        options += ["--setenv={0}={1}".format(name, value) for name, value in sorted(variables.items())]
        # systemd would expand variables in the arguments itself (systemd.service(5)): the shell is to see them.
        verbatim = [argument.replace("$", "$$") for argument in command]
        start = time.monotonic()
        done = run_program(["systemd-run", "--wait", "--pipe", *options, "--", *verbatim], subprocess.STDOUT)
        timed_out = done.returncode != 0 and time.monotonic() - start >= timeout
        return TaskResult(done.returncode, done.stdout, timed_out)

    def _await_task(self) -> None:
        deadline = time.monotonic() + COMMAND_TIMEOUT
        while run("systemctl", "is-active", "--", self._layout.task_unit, check=False).strip() in _UNDER_WAY:
            if time.monotonic() > deadline:
                raise ServiceError("{0} of an earlier run does not end".format(self._layout.task_unit))
            time.sleep(1)

    def arm(self, command: t.Sequence[str], seconds: float) -> None:
        """Have the host run ``command`` in ``seconds`` (a transient timer), unless it is disarmed before."""
        self.withdraw()
        unit = "--unit=" + self._layout.take_back_timer.rsplit(".", 1)[0]
        timing = ["--on-active={0:g}".format(seconds), "--timer-property=AccuracySec=100ms"]
        run("systemd-run", "--quiet", "--collect", unit, *timing, "--", *command)

    def disarm(self) -> bool:
        """Stop the timer; returns whether it was still to go off."""
        timer = self._layout.take_back_timer
        pending = run("systemctl", "is-active", "--", timer, check=False).strip() == "active"
        run("systemctl", "stop", "--", timer, check=False)
        return pending

    def withdraw(self) -> bool:
        """Disarm, and stop what has gone off and waits for the lock, which the caller holds; returns whether there was.

        Not for what has gone off itself.
        """
        pending = self.disarm()
        unit = self._layout.take_back_unit
        waiting = run("systemctl", "is-active", "--", unit, check=False).strip() in _UNDER_WAY
        run("systemctl", "stop", "--", unit, check=False)
        return pending or waiting

    def end_tasks(self) -> None:
        """Stop what runs beside the releases."""
        for unit in (self._layout.take_back_timer, self._layout.take_back_unit, self._layout.task_unit):
            run("systemctl", "stop", "--", unit, check=False)

    def _links_of_boot(self, release: str) -> t.List[str]:
        """What `enable` makes. systemd would tell what it knew before, as long as it has not read all units again."""
        wanted = [(_WANTED_AT_BOOT[os.path.splitext(unit)[1]], unit) for unit in self._units(release)]
        return [os.path.join(UNIT_DIRECTORY, target, unit) for target, unit in wanted]

    def _units(self, release: str) -> t.Tuple[str, str]:
        return self._layout.service_unit(release), self._layout.socket_unit(release)
