# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What runs the releases of an application on a host: systemd or cron, each release by its own."""

from __future__ import annotations

import os
import typing as t

from ansible_collections.wsgiops.flask.plugins.module_utils import _release_store
from ansible_collections.wsgiops.flask.plugins.module_utils._layout import Layout
from ansible_collections.wsgiops.flask.plugins.module_utils._release_store import Release
from ansible_collections.wsgiops.flask.plugins.module_utils._service import (
    Report,
    ServiceError,
    State,
    TaskResult,
    start_time,
)
from ansible_collections.wsgiops.flask.plugins.module_utils._service_cron import Cron
from ansible_collections.wsgiops.flask.plugins.module_utils._service_systemd import Systemd

# There where systemd runs the host (sd_booted(3)).
SYSTEMD_RUNS = "/run/systemd/system"

# Of a release that can't be had.
OF_SYSTEMD = "for systemd, which does not run this host"


def host_service(asked: str = "auto") -> str:
    """What runs applications on this host: ``systemd`` or ``cron``.

    :param asked: one of them, or ``auto`` for systemd where it runs the host and root is at work, whom it obeys.
    :raises ValueError: when systemd is asked for and can't be had.
    """
    runs = os.path.isdir(SYSTEMD_RUNS)
    usable = runs and os.geteuid() == 0
    if asked == "systemd" and not usable:
        reason = "it takes root, and flask_become is false" if runs else "systemd does not run this host"
        cure = "leave service out, or set it to auto or cron"
        raise ValueError("service: 'systemd' is not accepted: {0}; {1}".format(reason, cure))
    return ("systemd" if usable else "cron") if asked == "auto" else asked


class Services:
    """Starts, stops and shows the releases of one application.

    :param wanted: a release that is not on the disk yet.
    :raises ServiceError: when what runs the wanted release is not on this host.
    """

    def __init__(self, layout: Layout, wanted: t.Optional[Release] = None) -> None:
        self._layout = layout
        self._wanted = wanted
        self._kinds: t.Dict[str, t.Union[Systemd, Cron]] = {"cron": Cron(layout)}
        if host_service() == "systemd":
            self._kinds["systemd"] = Systemd(layout)
        if wanted and wanted.options.service not in self._kinds:
            raise ServiceError("release {0} is {1}".format(wanted.title, OF_SYSTEMD))

    def can_run(self, release: str) -> bool:
        """Whether what runs a release is on this host: systemd may have gone, or may be root's alone."""
        there = os.path.isdir(self._layout.release(release))
        return not there or _release_store.service_of(self._layout, release) in self._kinds

    @property
    def warnings(self) -> t.List[str]:
        """What somebody should know of how the application is looked after."""
        return [warning for service in self._kinds.values() for warning in service.warnings]

    def of(self, release: str) -> t.Union[Systemd, Cron]:
        """What runs a release; where that can't be told any more, what knows of it."""
        if self._wanted and release == self._wanted.id:
            return self._kinds[self._wanted.options.service]
        if os.path.isdir(self._layout.release(release)):
            kind = _release_store.service_of(self._layout, release)
            if kind in self._kinds:
                return self._kinds[kind]
        knowing = [service for service in self._kinds.values() if release in service.releases()]
        return knowing[0] if knowing else self._kinds[host_service()]

    def state(self, release: str) -> State:
        return self.of(release).state(release)

    def report(self, release: str) -> Report:
        return self.of(release).report(release)

    def workers(self, release: str, process: int = 0) -> t.Set[int]:
        """Process ids of a release's workers.

        :param process: its main process, where that is known already.
        """
        return self.of(release).workers(release, process)

    @staticmethod
    def start_time(process: int) -> t.Optional[str]:
        return start_time(process)

    def checker(self, release: str) -> str:
        return self.of(release).checker

    def verify(self, release: str, units: t.Mapping[str, str]) -> str:
        return self.of(release).verify(release, units)

    def start(self, release: str) -> None:
        self.of(release).start(release)

    def listen(self, release: str) -> None:
        self.of(release).listen(release)

    def restart(self, release: str) -> None:
        self.of(release).restart(release)

    def stop(self, release: str) -> None:
        self.of(release).stop(release)

    def abort(self, release: str) -> None:
        self.of(release).abort(release)

    def enable(self, release: str) -> None:
        self.of(release).enable(release)

    def disable(self, release: str) -> None:
        self.of(release).disable(release)

    def log(self, release: str, since: float) -> t.List[str]:
        return self.of(release).log(release, since)

    def run_task(
        self,
        release: str,
        service_text: str,
        command: t.Sequence[str],
        variables: t.Mapping[str, str],
        timeout: float,
    ) -> TaskResult:
        return self.of(release).run_task(release, service_text, command, variables, timeout)

    def releases(self) -> t.List[str]:
        """Ids of all releases that run, have failed, or start at boot."""
        return sorted({release for service in self._kinds.values() for release in service.releases()})

    def daemon_reload(self) -> None:
        for service in self._kinds.values():
            service.daemon_reload()

    def arm(self, command: t.Sequence[str], seconds: float) -> None:
        """Have the host run ``command`` in ``seconds``, unless it is disarmed before."""
        kind = self._wanted.options.service if self._wanted else host_service()
        self._kinds[kind].arm(command, seconds)

    def disarm(self) -> bool:
        pending = [service.disarm() for service in self._kinds.values()]
        return any(pending)

    def withdraw(self) -> bool:
        pending = [service.withdraw() for service in self._kinds.values()]
        return any(pending)

    def end_tasks(self) -> None:
        for service in self._kinds.values():
            service.end_tasks()
