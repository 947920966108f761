# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How a release takes the road: kept beside it, so that a rollback takes the same road without the controller."""

from __future__ import annotations

import dataclasses
import os
import typing as t

from ansible_collections.wsgiops.flask.plugins.module_utils._workers import auto_workers


@dataclasses.dataclass(frozen=True)
class Health:
    """What a release has to answer before, and right after, traffic moves to it.

    :param ready: path of the readiness route.
    :param status: HTTP status that means ready.
    :param host: Host header of the request, a name that the application trusts.
    :param timeout: seconds from the start of the candidate to the answer that counts.
    :param settle: seconds for which it has to stay alive after that answer.
    :param body: regular expression that has to be found in the answer's body; empty for any body.
    :param latency: seconds that the answer may take at most; 0 for no ceiling.
    """

    ready: str = "/ready"
    status: int = 200
    host: str = "localhost"
    timeout: float = 30.0
    settle: float = 1.0
    body: str = ""
    latency: float = 0.0


@dataclasses.dataclass(frozen=True)
class Hooks:
    """Shell commands around the switch; ``timeout`` in seconds, for each of them."""

    once: t.Sequence[str] = ()
    before_switch: t.Sequence[str] = ()
    after_switch: t.Sequence[str] = ()
    timeout: float = 300.0


@dataclasses.dataclass(frozen=True)
class Options:
    """The way of one release.

    :param label: a name of the user's, a git tag, say; no part of the release's id.
    :param wsgi: the application, which hooks find as ``FLASK_APP``.
    :param settings: gunicorn settings of the user's that the installed gunicorn has to know.
    :param drain_timeout: seconds that requests in flight on the old release get before it is told to stop.
    :param overlap: start the new release beside the old one; otherwise the old one stops first.
    :param front_url: where a client meets the application; ``auto`` for where its site in nginx says, empty for no
        probe there.
    :param front_host: Host header there.
    :param scheme: with which clients come, ``http`` or ``https``; probes on the release's own socket say so, too.
    :param service: what runs it, ``systemd`` or ``cron``.
    :param server: what serves the application, ``gunicorn`` or ``gevent`` (its pywsgi, one process).
    :param workers: number of gunicorn's workers, or ``auto``.
    :param memory: what all processes may take together, as ``512M``; empty for no limit.
    :param cpus: CPUs that they may use; 0 for all.
    :param logs_to: where its output goes, ``journal`` or ``files``.
    """

    health: Health = Health()
    hooks: Hooks = Hooks()
    label: str = ""
    wsgi: str = ""
    settings: t.Sequence[str] = ()
    drain_timeout: float = 30.0
    overlap: bool = True
    front_url: str = ""
    front_host: str = "localhost"
    scheme: str = "http"
    service: str = "systemd"
    server: str = "gunicorn"
    workers: str = "auto"
    memory: str = ""
    cpus: float = 0.0
    logs_to: str = "journal"

    def processes(self) -> str:
        """What serves on this host, in words: how many workers, and why so many."""
        if self.server != "gunicorn":
            return "one process"
        if self.workers != "auto":
            return "workers: " + self.workers
        return "workers: {0}, {1}".format(*auto_workers(len(os.sched_getaffinity(0)), self.memory, self.cpus))

    def as_dict(self) -> t.Dict[str, t.Any]:
        return dataclasses.asdict(self)


def options_from(stored: t.Mapping[str, t.Any]) -> Options:
    """The options that ``as_dict`` gave; what a release of an older version of the collection lacks has its default.

    :raises TypeError: when there are others.
    """
    plain = {key: value for key, value in stored.items() if key not in ("health", "hooks")}
    return Options(health=Health(**stored.get("health", {})), hooks=Hooks(**stored.get("hooks", {})), **plain)
