# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How an application is on its host: what runs, since when, and why not."""

from __future__ import annotations

import dataclasses
import datetime
import os
import typing as t

from ansible_collections.wsgiops.flask.plugins.module_utils import _history, _release_store
from ansible_collections.wsgiops.flask.plugins.module_utils._layout import Layout
from ansible_collections.wsgiops.flask.plugins.module_utils._service import Report
from ansible_collections.wsgiops.flask.plugins.module_utils._services import Services

# States in which requests are answered, or will be in a moment.
WELL = ("serving", "starting", "idle")


@dataclasses.dataclass(frozen=True)
class Status:
    """An application on a host, in the words of JSON; what is not known is None.

    :param state: one of

        - ``serving``: it runs;
        - ``starting``: it is started, or about to be started again; under systemd requests wait, under cron they get
          status 502;
        - ``idle``: it does not run, the next request starts it;
        - ``limited``: it failed so often that its start limit tripped; requests get status 503;
        - ``stopped``: neither it nor its socket is there;
        - ``absent``: no release was ever put in service.
    :param reason: why it does not serve; empty where it does.
    :param started: when its main process started; ``retry`` likewise, when it is tried again. ISO 8601 in UTC.
    :param memory: bytes.
    :param last_event: the newest event of the history.
    :param logs: the command that shows what it wrote.
    """

    application: str
    state: str
    reason: str
    release: t.Optional[str] = None
    label: t.Optional[str] = None
    started: t.Optional[str] = None
    restarts: t.Optional[int] = None
    workers: t.Optional[int] = None
    memory: t.Optional[int] = None
    retry: t.Optional[str] = None
    last_event: t.Optional[t.Mapping[str, t.Any]] = None
    logs: t.Optional[str] = None


def log_command(layout: Layout, logs_to: str) -> str:
    """The one command that shows all that the application and its server wrote, their start included."""
    return "cat " + layout.error_log if logs_to == "files" else "journalctl -u '{0}@*'".format(layout.name)


def status(layout: Layout, service: Services) -> Status:
    """How the application is on this host."""
    release = _release_store.current_release(layout)
    if release is None:
        return Status(layout.name, "absent", "no release serves")
    report = service.report(release)
    state, reason = _state(report)
    workers = service.workers(release)
    last = _history.last(layout.history)
    return Status(
        application=layout.name,
        state=state,
        reason=reason,
        release=release,
        label=_release_store.label_of(layout, release),
        started=_iso(report.started),
        restarts=report.restarts,
        workers=len(workers),
        memory=report.memory or memory_of([report.main_pid, *sorted(workers)]),
        retry=_iso(report.retry),
        last_event={key: last.get(key) for key in ("time", "event", "release", "reason")},
        logs=log_command(layout, _release_store.logs_to_of(layout, release)),
    )


def _state(report: Report) -> t.Tuple[str, str]:
    """State and reason, the reason empty where all is well."""
    refused = "requests get status 503"
    if report.service == "active":
        return ("serving", "") if report.socket == "active" else ("stopped", "its socket is gone: " + refused)
    ended = "its last end was " + report.ended if report.ended else "it was stopped"
    if report.service in ("activating", "deactivating", "reloading"):
        return "starting", ended + "; " + report.again if report.ended else ""
    if report.socket_result in ("service-start-limit-hit", "trigger-limit-hit"):
        again = "it is tried again at {0}".format(_iso(report.retry)) if report.retry else "it is not tried again"
        return "limited", "its start limit tripped ({0}): {1}; {2}; {3}".format(report.limit, ended, refused, again)
    if report.socket == "active":
        return "idle", ended + "; the next request starts it"
    return "stopped", "{0}; {1}".format(ended, refused)


def _iso(seconds: float) -> t.Optional[str]:
    if not seconds:
        return None
    return datetime.datetime.fromtimestamp(int(seconds), datetime.timezone.utc).isoformat()


def memory_of(pids: t.Iterable[int]) -> t.Optional[int]:
    """Proportional set size of processes, in bytes (smaps_rollup, proc(5)); None when none of them is there.

    Memory that processes share is counted once.
    """
    found = None
    for pid in pids:
        try:
            with open(os.path.join("/proc", str(pid), "smaps_rollup"), encoding="ascii") as table:
                sizes = [int(line.split()[1]) for line in table if line.startswith("Pss:")]
        except OSError:
            continue
        found = (found or 0) + 1024 * sum(sizes)
    return found
