# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Every name and path of an application, computed in one place from its name and the root directory."""

from __future__ import annotations

import dataclasses
import os
import typing as t

DEFAULT_ROOT = "/opt"

# The mark that tells our system users from those of others (the GECOS field, passwd(5)).
USER_COMMENT = "wsgiops.flask application"

# Bytes of a unix socket's path without the NUL at its end (unix(7)).
SOCKET_PATH = 107

# The mark in a directory that says a removed application's data was kept in it.
KEPT_DATA_MARK = ".kept-by-wsgiops-flask"


@dataclasses.dataclass(frozen=True)
class Layout:
    """Names and paths of one application on a host.

    :param name: the application's validated name.
    :param root: absolute directory that holds one directory per application, default ``/opt``.
    :param private: all of it is below ``root`` and belongs to one ordinary user; by default where root is not at work.
    """

    name: str
    root: str = DEFAULT_ROOT
    private: bool = dataclasses.field(default_factory=lambda: os.geteuid() != 0)

    @property
    def home(self) -> str:
        return os.path.join(self.root, self.name)

    @property
    def code_store(self) -> str:
        """One directory per source digest; releases link to it."""
        return os.path.join(self.home, "code")

    @property
    def venvs(self) -> str:
        """One virtual environment per interpreter and lock; releases link to it."""
        return os.path.join(self.home, "venvs")

    @property
    def releases(self) -> str:
        return os.path.join(self.home, "releases")

    @property
    def current(self) -> str:
        """The link whose rename moves code and traffic."""
        return os.path.join(self.home, "current")

    @property
    def upstream(self) -> str:
        """What nginx connects to: a path through ``current``, resolved anew at each connection."""
        return os.path.join(self.current, "socket")

    @property
    def history(self) -> str:
        return os.path.join(self.home, "history.jsonl")

    @property
    def lock(self) -> str:
        return os.path.join(self.home, ".lock")

    @property
    def run_lock(self) -> str:
        """What the running release holds when two may not run at a time."""
        return os.path.join(self.home, ".running")

    @property
    def take_back(self) -> str:
        """The program that takes back a release that nobody confirmed, while there is one."""
        return os.path.join(self.home, "take-back")

    @property
    def take_back_due(self) -> str:
        """When cron runs that program, in seconds since the epoch."""
        return os.path.join(self.take_back, "due")

    @property
    def take_back_command(self) -> str:
        """How cron runs that program, a line for the shell."""
        return os.path.join(self.take_back, "command")

    @property
    def run(self) -> str:
        return self._place("/run", "run")

    @property
    def state(self) -> str:
        return self._place("/var/lib", "state")

    @property
    def cache(self) -> str:
        return self._place("/var/cache", "cache")

    @property
    def logs(self) -> str:
        return self._place("/var/log", "log")

    @property
    def error_log(self) -> str:
        return os.path.join(self.logs, "error.log")

    @property
    def access_log(self) -> str:
        """What the application's server writes, where it writes access lines to a file; nginx has its own."""
        return os.path.join(self.logs, "access.log")

    @property
    def nginx_site(self) -> str:
        return os.path.join(self._nginx("/etc/nginx/conf.d", "conf.d"), self.name + ".conf")

    @property
    def nginx_directory(self) -> str:
        """What the site needs besides: certificate, key, users, pages."""
        return self._place("/etc/nginx/wsgiops-flask", "nginx")

    @property
    def nginx_front_url(self) -> str:
        """Tells under which URL a probe from the host itself meets the application in nginx, and by which names."""
        return os.path.join(self.nginx_directory, "front-url")

    @property
    def tmpfiles(self) -> str:
        """Directories that nginx serves out of the application's own (tmpfiles.d(5))."""
        return os.path.join(self.home, "tmpfiles.conf") if self.private else "/etc/tmpfiles.d/" + self.name + ".conf"

    @property
    def nginx_access_log(self) -> str:
        return os.path.join(self._nginx("/var/log/nginx", "log"), self.name + ".access.log")

    @property
    def nginx_error_log(self) -> str:
        return os.path.join(self._nginx("/var/log/nginx", "log"), self.name + ".error.log")

    @property
    def logrotate(self) -> str:
        return self._place("/etc/logrotate.d", "logrotate.conf")

    @property
    def service_template(self) -> str:
        return os.path.join("/etc/systemd/system", self.name + "@.service")

    @property
    def socket_template(self) -> str:
        return os.path.join("/etc/systemd/system", self.name + "@.socket")

    @property
    def retry_timer_template(self) -> str:
        """What waits for the cool-down after a tripped start limit. No application has an underscore in its name."""
        return os.path.join("/etc/systemd/system", self.name + "_retry@.timer")

    @property
    def retry_service_template(self) -> str:
        """What starts a release again then."""
        return os.path.join("/etc/systemd/system", self.name + "_retry@.service")

    @property
    def unit_templates(self) -> t.List[str]:
        """Every unit template that an application may have."""
        return [self.service_template, self.socket_template, self.retry_timer_template, self.retry_service_template]

    @property
    def app_ctl(self) -> str:
        """What starts, stops and watches the application where systemd does not."""
        return os.path.join(self.home, "app_ctl.sh")

    @property
    def cron(self) -> str:
        """What has cron look after the application; without root, its lines of the user's crontab."""
        return self._place("/etc/cron.d", "crontab")

    @property
    def disabled(self) -> str:
        """The mark of an application that was stopped by hand: cron leaves it stopped."""
        return os.path.join(self.home, "disabled")

    @property
    def task_lock(self) -> str:
        """What a check or a hook of a release holds where systemd does not run it."""
        return os.path.join(self.home, ".task")

    @property
    def control_files(self) -> t.List[str]:
        """Every file that an application may have for what runs it, systemd or cron; no two have one name."""
        return [*self.unit_templates, self.app_ctl, self.cron]

    def needed_files(self, service: str) -> t.Set[str]:
        """Those without which ``service``, systemd or cron, can't run it."""
        return {self.app_ctl, self.cron} if service == "cron" else {self.service_template, self.socket_template}

    def pid_file(self, release_id: str) -> str:
        """Process id, start time and boot of what app_ctl started."""
        return os.path.join(self.run, release_id + ".pid")

    def starts(self, release_id: str) -> str:
        """When app_ctl started it again by itself, one time a line, in seconds since the epoch."""
        return os.path.join(self.run, release_id + ".starts")

    def limited(self, release_id: str) -> str:
        """When app_ctl tries it again after too many starts, and why, while it waits for that."""
        return os.path.join(self.run, release_id + ".limited")

    def _place(self, directory: str, private: str) -> str:
        """Of the application in a directory of the system, or without root in its home."""
        return os.path.join(self.home, private) if self.private else os.path.join(directory, self.name)

    def _nginx(self, directory: str, private: str) -> str:
        """A directory of nginx's, of which without root all applications have one of the user's own."""
        return os.path.join(self.root, "nginx", private) if self.private else directory

    def release(self, release_id: str) -> str:
        return os.path.join(self.releases, release_id)

    def socket(self, release_id: str) -> str:
        return os.path.join(self.run, release_id + ".sock")

    def service_unit(self, release_id: str) -> str:
        return "{0}@{1}.service".format(self.name, release_id)

    def socket_unit(self, release_id: str) -> str:
        return "{0}@{1}.socket".format(self.name, release_id)

    def retry_timer(self, release_id: str) -> str:
        return "{0}_retry@{1}.timer".format(self.name, release_id)

    @property
    def task_unit(self) -> str:
        """What runs checks and hooks of a release, in its sandbox."""
        return self.name + "-task.service"

    @property
    def take_back_timer(self) -> str:
        return self.name + "-take-back.timer"

    @property
    def take_back_unit(self) -> str:
        return self.name + "-take-back.service"

    def names(self) -> dict[str, str]:
        """All names that do not depend on a release, for templates."""
        kind = type(self)
        values = {key: getattr(self, key) for key in vars(kind) if isinstance(vars(kind)[key], property)}
        computed = {key: value for key, value in values.items() if isinstance(value, str)}
        identity = {"name": self.name, "user": self.name, "group": self.name, "user_comment": USER_COMMENT}
        return dict(computed, root=self.root, **identity)


def claimed_paths(layout: Layout) -> t.List[str]:
    """Paths outside the application's home that belong to it, and must be nobody else's when it arrives."""
    if layout.private:
        return []
    return [
        layout.state,
        layout.cache,
        layout.logs,
        layout.run,
        *layout.unit_templates,
        layout.cron,
        layout.nginx_site,
        layout.tmpfiles,
        layout.logrotate,
    ]


def is_somebody_elses(layout: Layout) -> bool:
    """Whether the home of an application without root is a directory that its user has for something else.

    Every run holds a lock in it from the first file on; of one that was removed, kept data may be there.
    """
    if not layout.private or not os.path.lexists(layout.home):
        return False
    if not os.path.isdir(layout.home):
        return True
    marks = [layout.lock, os.path.join(layout.state, KEPT_DATA_MARK)]
    return bool(os.listdir(layout.home)) and not any(map(os.path.lexists, marks))
