"""What runs an application on a test host: systemd, or cron where there is none. The same questions to either."""

from __future__ import annotations

import contextlib
from typing import Any, Protocol

from hostlab.places import Places


class Commands(Protocol):
    """What both ask: an application on its host (hostlab.host.AppOnHost)."""

    host: Any
    name: str

    @property
    def places(self) -> Places: ...

    def as_its_keeper(self) -> contextlib.AbstractContextManager[Any]: ...

    def run(self, command: str, *arguments: str) -> str: ...

    def said(self, command: str, *arguments: str) -> str: ...


class Service(Protocol):
    """The questions.

    :cvar in_a_task: a command that succeeds while a check or a hook of a release runs.
    :cvar rotate: a command that has logs rotated as the host does it by itself.
    :cvar ssh_main: a command that tells the process id of the SSH server; ``ssh_off`` and ``ssh_on`` end it with all of
        its connections, and start it.
    """

    in_a_task: str
    rotate: str
    ssh_main: str
    ssh_off: str
    ssh_on: str

    def main_pid(self, release: str) -> int:
        """The main process, 0 when there is none."""
        ...

    def log(self) -> str:
        """The last of what the application wrote, and what there is to say of its service."""
        ...

    def definition(self, release: str) -> str:
        """All that says how a release is run."""
        ...

    def there(self) -> set[str]:
        """Releases of which anything runs, waits, or has failed."""
        ...

    def armed(self) -> bool:
        """Whether the host is about to take a release back."""
        ...

    def assert_starts_at_boot(self, release: str) -> None:
        """After a boot this release comes up, and no other."""
        ...


class Systemd:
    """Units of a release by name."""

    rotate = "systemctl start logrotate.service"
    ssh_main = "systemctl show --property=MainPID --value ssh.service"
    ssh_off = "systemctl stop ssh.socket ssh.service; kill $(pgrep -x 'sshd.*')"
    ssh_on = "systemctl start ssh.service"

    def __init__(self, app: Commands) -> None:
        self._app = app
        self.in_a_task = f"systemctl is-active {app.name}-task.service"

    def main_pid(self, release: str) -> int:
        return int(self._app.run("systemctl show --property=MainPID --value %s", f"{self._app.name}@{release}.service"))

    def log(self) -> str:
        return self._app.said("journalctl --no-pager --lines=30 --unit=%s", f"{self._app.name}@*")

    def definition(self, release: str) -> str:
        return self._app.run("systemctl cat %s", f"{self._app.name}@{release}.service")

    def there(self) -> set[str]:
        listed = self._app.run("systemctl list-units --plain --no-legend %s", f"{self._app.name}*")
        units = [line.split()[0] for line in listed.splitlines()]
        # The unit itself where it is none of a release: a task, a timer.
        pairs = {unit: unit.removeprefix(f"{self._app.name}@") for unit in units}
        return {unit if unit == rest else rest.rpartition(".")[0] for unit, rest in pairs.items()}

    def armed(self) -> bool:
        return self._app.run("systemctl list-timers --all --no-legend %s", f"{self._app.name}-*") != ""

    def assert_starts_at_boot(self, release: str) -> None:
        wants = "/etc/systemd/system/multi-user.target.wants /etc/systemd/system/sockets.target.wants"
        enabled = self._app.run(f"find {wants} -name '{self._app.name}@*' -printf '%f\\n'").split()
        assert sorted(enabled) == [f"{self._app.name}@{release}.service", f"{self._app.name}@{release}.socket"]


class Cron:
    """app_ctl.sh, its files in /run, and processes."""

    rotate = "/etc/cron.daily/logrotate"
    ssh_main = "cat /run/sshd.pid"
    ssh_off = "kill $(cat /run/sshd.pid); kill $(pgrep -x 'sshd.*')"
    ssh_on = "/usr/sbin/sshd"

    def __init__(self, app: Commands) -> None:
        self._app = app
        # It has the application's variables, and not the one by which those of a server are found.
        self.in_a_task = (
            f"grep -lszFx STATE_DIRECTORY={app.places.state} /proc/[0-9]*/environ | "
            "xargs --no-run-if-empty grep -Lsz ^FLASK_PID_FILE= | grep --quiet ."
        )

    @property
    def control(self) -> str:
        """The path of app_ctl.sh."""
        return f"{self._app.places.home}/app_ctl.sh"

    def ctl(self, *arguments: str) -> tuple[int, str]:
        """Run app_ctl.sh: its exit status, and all that it said."""
        with self._app.as_its_keeper():
            done = self._app.host.run("%s " + " ".join("%s" for _ in arguments), self.control, *arguments)
        return done.rc, (done.stdout + done.stderr).strip()

    def processes(self) -> set[int]:
        """All processes of its user; of one who has others too, those that have the application's variables."""
        places = self._app.places
        if places.user == self._app.name:
            return {int(pid) for pid in self._app.said("pgrep --euid %s", places.user).split()}
        own = f"grep --quiet --null-data ^STATE_DIRECTORY={places.state}$ /proc/$pid/environ 2>/dev/null && echo $pid"
        return {int(pid) for pid in self._app.said(f"for pid in $(pgrep --euid {places.user}); do {own}; done").split()}

    def pid_file(self, release: str) -> str:
        return f"{self._app.places.run}/{release}.pid"

    def main_pid(self, release: str) -> int:
        """By the pid file, whose words have to be those of a process that runs (proc(5): fields 22 and 6 of stat)."""
        words = self._app.said("cat %s", self.pid_file(release)).split()
        if len(words) != 4 or not words[0].isdigit():
            return 0
        # What stands in parentheses before the other fields may have blanks in it.
        fields = self._app.said(f"sed 's/.*) //' /proc/{words[0]}/stat").split()
        boot = self._app.run("cat /proc/sys/kernel/random/boot_id")
        return int(words[0]) if [*fields[19:20], boot, *fields[3:4]] == words[1:] else 0

    def log(self) -> str:
        status = self._app.said(f"{self.control} status")
        return f"{self._app.said('tail --lines=30 %s', self.log_file)}\n{status}"

    @property
    def log_file(self) -> str:
        return f"{self._app.places.logs}/error.log"

    def definition(self, release: str) -> str:
        return self._app.run("cat %s %s", self.control, f"{self._app.places.home}/releases/{release}/launch.json")

    def there(self) -> set[str]:
        files = self._app.said("ls -A %s", self._app.places.run).split()
        tell = "tr '\\0' '\\n' </proc/$pid/environ | sed -n s/^FLASK_RELEASE=//p"
        pids = " ".join(map(str, self.processes()))
        running = self._app.said("sh -c %s", f"for pid in {pids}; do {tell}; done")
        return {file.rpartition(".")[0] for file in files if file != "ctl.lock"} | set(running.split())

    def armed(self) -> bool:
        return "due" in self._app.said("ls %s", f"{self._app.places.home}/take-back").split()

    def assert_starts_at_boot(self, release: str) -> None:
        """What cron starts is what ``current`` names."""
        lines = [line for line in self._app.run(self._app.places.cron).splitlines() if not line.startswith("#")]
        jobs = [line for line in lines if f"{self.control} cron-check" in line]
        assert [line.split()[0] for line in jobs] in (["*", "@reboot"], ["@reboot", "*"])
        assert self._app.run("readlink %s", f"{self._app.places.home}/current").endswith(f"/{release}")
        assert "disabled" not in self._app.run("ls -A %s", self._app.places.home).split()
