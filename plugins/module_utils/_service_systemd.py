# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The systemd back end: units of a release by name, asked and told through systemctl(1)."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import time
import typing as t

from ansible_collections.wsgiops.flask.plugins.module_utils._layout import Layout

UNIT_DIRECTORY = "/etc/systemd/system"

# Longer than any start or stop an application may ask for (3600 s and systemd's 5 s more), so that only a hanging
# systemd trips it.
COMMAND_TIMEOUT = 3700


class ServiceError(Exception):
    """systemd refused or failed; the text holds its words."""


@dataclasses.dataclass(frozen=True)
class State:
    """What systemd knows of one release's service and socket; ``started`` in seconds since the epoch."""

    service: str
    sub: str
    main_pid: int
    socket: str
    started: float
    needs_reload: bool
    enabled: bool

    @property
    def running(self) -> bool:
        return self.service == "active" and self.main_pid > 0

    @property
    def died(self) -> bool:
        """A start that came to nothing: given up, or about to be tried again."""
        return self.service == "failed" or self.sub == "auto-restart"


def run(*command: str, check: bool = True) -> str:
    """Run a command of the host in the C locale and return its output.

    :raises ServiceError: when it fails and ``check`` is set; the text names the command and what it said.
    """
    environment = dict(os.environ, LC_ALL="C", SYSTEMD_PAGER="", SYSTEMD_COLORS="0")
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
        env=environment,
        timeout=COMMAND_TIMEOUT,
        check=False,
    )
    if check and done.returncode != 0:
        raise ServiceError("{0}: {1}".format(" ".join(command), (done.stderr or done.stdout).strip()))
    return done.stdout


def _properties(unit: str, *names: str) -> t.Dict[str, str]:
    lines = run("systemctl", "show", "--property=" + ",".join(names), "--", unit).splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


def _wall_clock(monotonic: str) -> float:
    """Seconds since the epoch from microseconds of CLOCK_MONOTONIC, 0 where there is no time."""
    return time.time() - time.monotonic() + int(monotonic) / 1e6 if monotonic not in ("", "0") else 0.0


class Systemd:
    """Starts, stops and shows the unit pairs of one application."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def state(self, release: str) -> State:
        service = _properties(
            self._layout.service_unit(release),
            "ActiveState",
            "SubState",
            "MainPID",
            "ExecMainStartTimestampMonotonic",
            "NeedDaemonReload",
            "UnitFileState",
        )
        socket = _properties(self._layout.socket_unit(release), "ActiveState", "NeedDaemonReload", "UnitFileState")
        return State(
            service=service.get("ActiveState", "inactive"),
            sub=service.get("SubState", "dead"),
            main_pid=int(service.get("MainPID", "0")),
            socket=socket.get("ActiveState", "inactive"),
            started=_wall_clock(service.get("ExecMainStartTimestampMonotonic", "")),
            needs_reload="yes" in (service.get("NeedDaemonReload"), socket.get("NeedDaemonReload")),
            enabled=service.get("UnitFileState") == "enabled" and socket.get("UnitFileState") == "enabled",
        )

    def daemon_reload(self) -> None:
        run("systemctl", "daemon-reload")

    def start(self, release: str) -> None:
        """Start socket and service; returns when gunicorn has said READY. A tripped start limit is forgotten first."""
        units = self._units(release)
        run("systemctl", "reset-failed", "--", *units, check=False)
        run("systemctl", "start", "--", self._layout.socket_unit(release))
        run("systemctl", "start", "--", self._layout.service_unit(release))

    def restart(self, release: str) -> None:
        """Restart the service behind its socket, which keeps what arrives meanwhile; a lost socket file comes back."""
        run("systemctl", "reset-failed", "--", *self._units(release), check=False)
        if not os.path.exists(self._layout.socket(release)):
            run("systemctl", "stop", "--", *self._units(release))
        self.start(release)
        run("systemctl", "restart", "--", self._layout.service_unit(release))

    def stop(self, release: str) -> None:
        """Stop socket and service in one transaction: the socket alone would start the service again."""
        units = self._units(release)
        run("systemctl", "stop", "--", *units)
        run("systemctl", "reset-failed", "--", *units, check=False)

    def enable(self, release: str) -> None:
        run("systemctl", "enable", "--quiet", "--", *self._units(release))

    def disable(self, release: str) -> None:
        run("systemctl", "disable", "--quiet", "--", *self._units(release), check=False)

    def releases(self) -> t.List[str]:
        """Ids of all instances that run, have failed, or start at boot."""
        pattern = self._layout.name + "@*"
        listing = ("systemctl", "list-units", "--all", "--plain", "--no-legend")
        loaded = run(*listing, pattern + ".service", pattern + ".socket")
        rows = [line.split() for line in loaded.splitlines()]
        names = [row[0] for row in rows if len(row) > 2 and row[2] != "inactive"]
        for target in ("multi-user.target.wants", "sockets.target.wants"):
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

    def _units(self, release: str) -> t.Tuple[str, str]:
        return self._layout.service_unit(release), self._layout.socket_unit(release)
