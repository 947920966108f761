# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the service back ends have in common: their words, and how they run programs of the host."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import typing as t

# Longer than any start or stop an application may ask for (3600 s and 5 s more), so that only what hangs trips it.
COMMAND_TIMEOUT = 3700


class ServiceError(Exception):
    """What runs the application refused or failed; the text holds its words."""


@dataclasses.dataclass(frozen=True)
class TaskResult:
    """How a command ended.

    :param status: its exit status, 1 after a signal.
    :param output: what it wrote to stdout and stderr.
    :param timed_out: whether it was ended because its time was over.
    """

    status: int
    output: str
    timed_out: bool = False


@dataclasses.dataclass(frozen=True)
class State:
    """How one release's service and its socket are, in systemd's words (systemctl(1), is-active).

    :param service: ``active`` while it runs, ``inactive`` when it was stopped, ``failed`` when it ended by itself.
    :param sub: ``auto-restart`` when it ended and is about to be started again.
    :param socket: ``active`` while something listens.
    :param started: seconds since the epoch.
    :param needs_reload: its files changed, and what runs it has not read them again.
    :param enabled: it starts when the host boots.
    """

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


@dataclasses.dataclass(frozen=True)
class Report:
    """What there is to say of one release's service, for people.

    :param service: its state (systemctl(1), is-active), and ``socket`` that of its socket.
    :param socket_result: why the socket failed, where it did.
    :param ended: how the last process ended, empty when it did well or not at all.
    :param again: who starts it next, when it has ended and is to be started.
    :param restarts: how often it was started again since it was last started by hand.
    :param started: seconds since the epoch, 0 when it does not run; ``retry`` likewise, of the next try after a tripped
        start limit.
    :param limit: the start limit in words.
    :param memory: bytes that its control group uses, 0 where the host does not count them.
    """

    service: str
    socket: str
    socket_result: str
    ended: str
    main_pid: int
    restarts: int
    started: float
    retry: float
    limit: str
    memory: int
    again: str = "it is being started again"


def run(*command: str, check: bool = True) -> str:
    """Run a command of the host in the C locale and return its output.

    :raises ServiceError: when it fails and ``check`` is set; the text names the command and what it said.
    """
    done = run_program(command, subprocess.PIPE)
    if check and done.returncode != 0:
        raise ServiceError("{0}: {1}".format(" ".join(command), (done.stderr or done.stdout).strip()))
    return done.stdout


def run_program(command: t.Sequence[str], stderr: int) -> subprocess.CompletedProcess[str]:
    """Run a command of the host in the C locale.

    :param stderr: where its messages go, as subprocess has it.
    """
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=stderr,
        encoding="utf-8",
        errors="replace",
        env=dict(os.environ, LC_ALL="C", SYSTEMD_PAGER="", SYSTEMD_COLORS="0"),
        timeout=COMMAND_TIMEOUT,
        check=False,
    )


def start_time(pid: int) -> t.Optional[str]:
    """When a process started, in ticks of the clock since the boot (field 22 of /proc/PID/stat, proc(5)).

    ``None`` when it does not live, which a zombie does not any more.
    """
    try:
        with open("/proc/{0}/stat".format(pid), encoding="utf-8", errors="replace") as stat:
            fields = stat.read().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]


def children(pid: int) -> t.Set[int]:
    """Process ids of a process's children (proc(5)); empty where the kernel does not tell."""
    try:
        with open("/proc/{0}/task/{0}/children".format(pid), encoding="ascii") as listed:
            return {int(child) for child in listed.read().split()}
    except OSError:
        return set()
