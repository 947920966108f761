# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The back end without systemd: the application's app_ctl.sh starts and stops releases, and cron has it watch them.

What is true of a process is in the files of app_ctl.sh, which are read here; what is done to one, app_ctl.sh does.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
import time
import typing as t

from ansible_collections.wsgiops.flask.plugins.module_utils import _crontab, _files
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
    start_time,
)

# Where cron of Debian, and of most others, says that it runs; and what it is called, where it does not.
CRON_PID_FILES = ("/run/crond.pid", "/run/cron.pid")
CRON_NAMES = ("cron", "crond")

# A process that is not the user's own: whoever sees it sees all (hidepid= of proc(5)).
INIT = "/proc/1/stat"

# The start of the kernel's list of unix sockets, and its mark of one that takes connections (proc_net(5), linux/net.h).
SOCKETS = "/proc/net/unix"
_LISTENS = 0x10000

# What of a release makes it one of cron's.
LAUNCHER = "launch.py"

# Exit status of timeout(1) after it ended the command, and after it had to kill it.
_TIMED_OUT = (124, 137)


class Cron:
    """Starts, stops and shows the releases of one application."""

    # What looks at app_ctl.sh before it is used.
    checker = "sh -n"

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._listed: t.Optional[bool] = None
        self.warnings: t.List[str] = []

    def state(self, release: str) -> State:
        pid = self._main_pid(release)
        known = os.path.lexists(self._layout.pid_file(release)) or os.path.lexists(self._layout.limited(release))
        service = "active" if pid else "failed" if known else "inactive"
        return State(
            service=service,
            sub="running" if pid else "dead",
            main_pid=pid,
            socket="active" if pid and os.path.exists(self._layout.socket(release)) else "inactive",
            started=self._started(release) if pid else 0.0,
            needs_reload=False,
            enabled=not os.path.lexists(self._layout.disabled) and self._is_listed(),
        )

    def report(self, release: str) -> Report:
        state = self.state(release)
        starts = (_files.read_text(self._layout.starts(release)) or "").splitlines()
        retry, _space, limit = (_files.read_text(self._layout.limited(release)) or "").strip().partition(" ")
        limited = os.path.lexists(self._layout.limited(release))
        died = state.service == "failed"
        # What has died is found dead by cron, unless it was told to leave the application alone.
        service = "activating" if died and not limited and state.enabled else state.service
        return Report(
            service=service,
            socket=state.socket,
            socket_result="service-start-limit-hit" if limited else "success",
            ended="none of app_ctl.sh's doing" if died else "",
            main_pid=state.main_pid,
            restarts=len(starts),
            started=state.started,
            retry=float(retry) if retry.isdigit() else 0.0,
            limit=limit or "too many starts",
            memory=0,
            again="cron starts it again within a minute",
        )

    def workers(self, release: str, process: int = 0) -> t.Set[int]:
        pid = self._main_pid(release)
        return children(pid) if pid else set()

    def verify(self, release: str, units: t.Mapping[str, str]) -> str:
        """What the shell has to say of app_ctl.sh, or that there is no cron; empty when all is well.

        :raises ServiceError: when the user may have no crontab.
        """
        if self._layout.private:
            self._read_crontab()
        directory = os.path.dirname(self._layout.cron)
        if not self._layout.private and not os.path.isdir(directory):
            return "{0} is not there, in which cron finds what to do: install cron".format(directory)
        with tempfile.TemporaryDirectory() as directory:
            script = os.path.join(directory, os.path.basename(self._layout.app_ctl))
            with open(script, "w", encoding="utf-8") as text:
                text.write(units.get(os.path.basename(script), ""))
            done = run_program(["sh", "-n", script], subprocess.STDOUT)
        return done.stdout.replace(directory, self._layout.home).strip() if done.returncode else ""

    def daemon_reload(self) -> None:
        """Cron looks at its files each minute; the lines of a user's crontab are put there.

        :raises ServiceError: when the user may have no crontab.
        """
        if not self._layout.private:
            return
        self._listed = None
        try:
            _crontab.set_lines(self._layout.name, self._lines())
        except _crontab.CrontabError as error:
            raise ServiceError(str(error)) from None

    def _read_crontab(self) -> t.Optional[str]:
        """The application's lines of the user's crontab.

        :raises ServiceError: when the user may have none.
        """
        try:
            return _crontab.lines_of(self._layout.name)
        except _crontab.CrontabError as error:
            raise ServiceError(str(error)) from None

    def _lines(self) -> t.Optional[str]:
        """What the user's crontab has to hold, None for nothing."""
        return _files.read_text(self._layout.cron)

    def _is_listed(self) -> bool:
        """Whether the user's crontab has the lines; asked once, as states are asked for often."""
        if self._layout.private and self._listed is None:
            try:
                self._listed = self._read_crontab() == self._lines()
            except ServiceError:
                self._listed = False
        return self._listed is not False

    def start(self, release: str) -> None:
        """Start it; returns when its socket is there. A tripped start limit is forgotten first."""
        self._control("start", release)

    def listen(self, release: str) -> None:
        """Start it: its socket takes requests while it waits for the release before it to end."""
        self._control("start", release)

    def restart(self, release: str) -> None:
        self._control("restart", release)

    def stop(self, release: str) -> None:
        self._control("stop", release)

    def abort(self, release: str) -> None:
        """Stop what serves nobody, without the time that requests in flight would get."""
        self._control("abort", release)

    def enable(self, release: str) -> None:
        """Have cron look after the application (its file is there already).

        :raises ServiceError: when no cron daemon runs.
        """
        runs = cron_runs()
        what = "which would bring the application back after a crash or a boot"
        if runs is None:
            said = "whether a cron daemon runs on this host is not to be seen, {0}: its administrator knows"
            self.warnings = [said.format(what)]
        elif not runs:
            cure = "its administrator has to start it" if self._layout.private else "start it"
            said = "no cron daemon runs on this host, {0}; {1}, as with 'service cron start'"
            raise ServiceError(said.format(what, cure))
        _files.remove(self._layout.disabled)
        self.daemon_reload()

    def disable(self, release: str) -> None:
        """Cron looks after the current release alone."""

    def releases(self) -> t.List[str]:
        """Ids of all releases that run, or have ended by themselves."""
        found = self._listening()
        for name in os.listdir(self._layout.run) if os.path.isdir(self._layout.run) else []:
            release, extension = os.path.splitext(name)
            if extension in (".pid", ".limited"):
                found.add(release)
        return sorted(found)

    def _listening(self) -> t.Set[str]:
        """Releases whose server has a socket, which the kernel knows by its path though the directory was deleted."""
        found = set()
        with open(SOCKETS, encoding="utf-8", errors="surrogateescape") as table:
            for line in table:
                fields = line.rstrip("\n").split(None, 7)
                directory, name = os.path.split(fields[7] if len(fields) == 8 else "")
                if directory == self._layout.run and name.endswith(".sock") and int(fields[3], 16) & _LISTENS:
                    found.add(name[: -len(".sock")])
        # The others are systemd's.
        return {release for release in found if os.path.exists(os.path.join(self._layout.release(release), LAUNCHER))}

    def log(self, release: str, since: float) -> t.List[str]:
        """All that it writes goes to the application's own file, which is read there."""
        return []

    def run_task(
        self,
        release: str,
        service_text: str,
        command: t.Sequence[str],
        variables: t.Mapping[str, str],
        timeout: float,
    ) -> TaskResult:
        """Run a command as the release's processes run, and wait for its end.

        One that an earlier run started, and that outlived that run, is waited for first: a migration must not be cut.

        :param service_text: nothing here.
        :param variables: environment variables besides those of the service.
        :param timeout: seconds after which it is ended, and all that it started in its process group.
        """
        home = self._layout.release(release)
        # -I and -S keep code of the environment's packages out of what root runs.
        python = os.path.join(home, "venv", "bin", "python")
        launch = [python, "-I", "-S", os.path.join(home, LAUNCHER), "task", home]
        launch += ["--setenv={0}={1}".format(name, value) for name, value in sorted(variables.items())]
        # Whoever may open it may hold it.
        os.close(os.open(self._layout.task_lock, os.O_RDONLY | os.O_CREAT, 0o600))
        # flock(1) holds the lock as long as it lives, which is until its command has ended.
        guard = ["flock", "--exclusive", "--timeout={0}".format(COMMAND_TIMEOUT), self._layout.task_lock]
        limit = ["timeout", "--kill-after=5", "{0:g}".format(timeout)]
        start = time.monotonic()
        done = run_program([*guard, *limit, *launch, "--", *command], subprocess.STDOUT)
        timed_out = done.returncode in _TIMED_OUT and time.monotonic() - start >= timeout
        return TaskResult(done.returncode, done.stdout, timed_out)

    def arm(self, command: t.Sequence[str], seconds: float) -> None:
        """Have the host run ``command`` in ``seconds``, or up to a minute later, unless it is disarmed before."""
        self.withdraw()
        line = " ".join(shlex.quote(word) for word in command) + "\n"
        _files.write(_files.WantedFile(self._layout.take_back_command, line, 0o600))
        # Last: what is due is complete.
        _files.write(_files.WantedFile(self._layout.take_back_due, "{0:.0f}\n".format(time.time() + seconds), 0o600))

    def disarm(self) -> bool:
        """Take back what was armed; returns whether it was still to go off."""
        return _files.remove(self._layout.take_back_due)

    def withdraw(self) -> bool:
        """Disarm; what has gone off and waits for the lock, which the caller holds, finds nothing to take back."""
        return self.disarm() or os.path.lexists(self._layout.take_back_command)

    def end_tasks(self) -> None:
        """Have cron leave the application alone."""
        self.disarm()
        if os.path.isdir(self._layout.home) and os.path.lexists(self._layout.cron):
            _files.write(_files.WantedFile(self._layout.disabled, ""))

    def _control(self, command: str, release: str) -> None:
        """Have app_ctl.sh do something.

        Where systemd is to run the application from now on, the releases before have their own copies alone.

        :raises ServiceError: with its words, when it fails or is not there.
        """
        script = self._layout.app_ctl
        if not os.path.exists(script):
            script = os.path.join(self._layout.release(release), "cron", os.path.basename(script))
        if not os.path.exists(script):
            raise ServiceError("{0} is not there".format(self._layout.app_ctl))
        run("sh", script, command, release)

    def _main_pid(self, release: str) -> int:
        """Process id of its main process; 0 where it is gone, or the id is another process's by now."""
        words = (_files.read_text(self._layout.pid_file(release)) or "").split()
        if len(words) != 4 or not words[0].isdigit():
            return 0
        pid, start, boot, _session = words
        alive = boot == _boot_id() and start == start_time(int(pid))
        return int(pid) if alive else 0

    def _started(self, release: str) -> float:
        try:
            return os.stat(self._layout.pid_file(release)).st_mtime
        except OSError:
            return 0.0


def _boot_id() -> str:
    return (_files.read_text("/proc/sys/kernel/random/boot_id") or "").strip()


def cron_runs() -> t.Optional[bool]:
    """Whether a cron daemon runs on this host; None where that can't be seen, as processes of others are hidden."""
    for path in CRON_PID_FILES:
        pid = (_files.read_text(os.path.realpath(path)) or "").strip()
        if pid.isdigit() and _exists(int(pid)):
            return True
    names = {
        (_files.read_text("/proc/{0}/comm".format(pid)) or "").strip() for pid in os.listdir("/proc") if pid.isdigit()
    }
    if names & set(CRON_NAMES):
        return True
    try:
        os.close(os.open(INIT, os.O_RDONLY))
    except OSError:
        return None
    return False


def _exists(pid: int) -> bool:
    """Whether there is a process, be it another user's that is hidden (kill(2))."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return pid > 0
