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

# The mark in a directory that says a removed application's data was kept in it.
KEPT_DATA_MARK = ".kept-by-wsgiops-flask"


@dataclasses.dataclass(frozen=True)
class Layout:
    """Names and paths of one application on a host.

    :param name: the application's validated name.
    :param root: absolute directory that holds one directory per application, default ``/opt``.
    """

    name: str
    root: str = DEFAULT_ROOT

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
    def run(self) -> str:
        return os.path.join("/run", self.name)

    @property
    def state(self) -> str:
        return os.path.join("/var/lib", self.name)

    @property
    def cache(self) -> str:
        return os.path.join("/var/cache", self.name)

    @property
    def logs(self) -> str:
        return os.path.join("/var/log", self.name)

    @property
    def error_log(self) -> str:
        return os.path.join(self.logs, "error.log")

    @property
    def access_log(self) -> str:
        """What the application's server writes, where it writes access lines to a file; nginx has its own."""
        return os.path.join(self.logs, "access.log")

    @property
    def nginx_site(self) -> str:
        return os.path.join("/etc/nginx/conf.d", self.name + ".conf")

    @property
    def nginx_directory(self) -> str:
        """What the site needs besides: certificate, key, users, pages."""
        return os.path.join("/etc/nginx/wsgiops-flask", self.name)

    @property
    def nginx_front_url(self) -> str:
        """Tells under which URL a probe from the host itself meets the application in nginx."""
        return os.path.join(self.nginx_directory, "front-url")

    @property
    def tmpfiles(self) -> str:
        """Directories that nginx serves out of the application's own (tmpfiles.d(5))."""
        return os.path.join("/etc/tmpfiles.d", self.name + ".conf")

    @property
    def nginx_access_log(self) -> str:
        return os.path.join("/var/log/nginx", self.name + ".access.log")

    @property
    def nginx_error_log(self) -> str:
        return os.path.join("/var/log/nginx", self.name + ".error.log")

    @property
    def logrotate(self) -> str:
        return os.path.join("/etc/logrotate.d", self.name)

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
    return [
        layout.state,
        layout.cache,
        layout.logs,
        layout.run,
        *layout.unit_templates,
        layout.nginx_site,
        layout.tmpfiles,
        layout.logrotate,
    ]
