# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether nginx hands an application's answers on, asked right after it has taken a site over."""

from __future__ import annotations

import dataclasses
import glob
import json
import os
import time
import typing as t
import urllib.parse

from ansible_collections.wsgiops.flask.plugins.module_utils import _files, _probe

# Wrong answers in a row that tell a wrong site from an application that just changed its mind, and the seconds between
# them: each may be a client's meanwhile.
ATTEMPTS = 3
PAUSE = 0.1

# Seconds for one answer.
TIMEOUT = 5.0

# The answer of a limit (RFC 6585, section 4), which whoever asks a lot may get of any site.
TOO_MANY = 429


@dataclasses.dataclass(frozen=True)
class SiteProbe:
    """One application's site in nginx, as a client on the host meets it.

    :param name: the application's name, for messages.
    :param url: scheme, address and port, and the path under which it is mounted.
    :param host: Host header.
    :param path: path of the readiness route.
    :param status: with which the application says that it is ready.
    :param upstream: the unix socket through which nginx reaches the application.
    :param guard: status with which nginx itself answers in front of the application, for want of a password, say, or in
        maintenance; 0 where it does not.
    """

    name: str
    url: str
    host: str
    path: str
    status: int
    upstream: str
    guard: int = 0

    def problem(self) -> str:
        """What is wrong with the site, empty for nothing.

        Nothing is as long as there is no release. An application that is not ready itself proves nothing about the
        site: then it is enough that nginx answers, or waits for the application.
        """
        if not os.path.isdir(os.path.dirname(self.upstream)):
            return ""
        for attempt in range(ATTEMPTS):
            if attempt:
                time.sleep(PAUSE)
            problem = self._attempt()
            if not problem:
                break
        return problem

    def _attempt(self) -> str:
        asked = "GET {0} through nginx ({1}, Host {2}) ".format(self.path, self.url, self.host)
        try:
            through = _probe.ask_front(self.url, self.path, self.host, TIMEOUT).status
            if through in (self.status, TOO_MANY, self.guard):
                return ""
            answers = True
            asked += "was answered with status {0}".format(through)
            if self.guard:
                asked += " in the place of {0}".format(self.guard)
        except _probe.NoAnswer as error:
            answers = isinstance(error, _probe.TooSlow)
            asked += "got no answer ({0})".format(error)
        scheme = urllib.parse.urlsplit(self.url).scheme
        try:
            direct = _probe.ask_socket(self.upstream, self.path, self.host, TIMEOUT, scheme=scheme).status
            itself = "answered with {0}".format(direct)
            is_ready = direct == self.status
        except _probe.NoAnswer as error:
            itself = "gives no answer ({0})".format(error)
            is_ready = False
        if answers and not is_ready:
            return ""
        said = "{0}: nginx does not serve the application with this site: {1}; the application itself {2}"
        return said.format(self.name, asked, itself)


class StandingSites:
    """The sites that nginx has, each of which tells how it is asked: those that serve have to go on with it.

    :param pattern: of the files in which they tell so, in JSON.
    """

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._serving: t.List[SiteProbe] = []

    def look(self) -> None:
        """See which of them serve now: what does not is no fault of what comes next."""
        self._serving = [site for site in map(_told, sorted(glob.glob(self._pattern))) if site and not site.problem()]

    def problem(self) -> str:
        """What is wrong with one that served, empty for nothing."""
        return next(filter(None, (site.problem() for site in self._serving)), "")


def _told(path: str) -> t.Optional[SiteProbe]:
    """What is in a file, ``None`` where that is of another version of this, or of somebody else."""
    try:
        return site_probe(json.loads(_files.read_text(path) or ""))
    except (TypeError, ValueError, KeyError):
        return None


def site_probe(options: t.Mapping[str, t.Any]) -> t.Optional[SiteProbe]:
    """The probe that a module's option says; ``None`` where a client on the host would not meet the application."""
    return SiteProbe(**options) if options["url"] else None
