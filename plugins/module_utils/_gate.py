# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a release has to prove: before traffic moves to it, and through nginx right after."""

from __future__ import annotations

import os
import re
import time
import typing as t

from ansible_collections.wsgiops.flask.plugins.module_utils import _files, _probe
from ansible_collections.wsgiops.flask.plugins.module_utils._release_store import Release
from ansible_collections.wsgiops.flask.plugins.module_utils._services import Services

# How long the first attempt to reach a candidate may take, in seconds. Each further one may take twice as long: a slow
# first page has to be waited for, and a request that was lost must not be.
FIRST_PROBE_TIMEOUT = 2.0
PROBE_PAUSE = 0.1

# The check imports the application once, which a slow disk may draw out; a longer health.timeout counts here too.
CHECK_TIMEOUT = 60.0

# Seconds for which a probe through nginx is tried again, and the wrong answers in a row that end it sooner: after the
# switch every wrong answer may be a client's.
FRONT_TIMEOUT = 10.0
FRONT_ATTEMPTS = 3

# Characters shown of a body that is not what it should be.
SHOWN_BODY = 200

# gunicorn --check-config with two changes. gunicorn passes over settings that it does not know; here those given to
# this program have to be known. And it ends at once: threads that the application starts on import would keep it alive.
CHECK = """
import sys
if sys.path[0] == "":
    del sys.path[0]  # the names of the application's modules are not to stand before those of the standard library
import difflib, os
import gunicorn
from gunicorn.app.wsgiapp import run
from gunicorn.config import make_settings
configuration, imported, *names = sys.argv[1:]
known = make_settings()
for name in names:
    if name not in known:
        near = difflib.get_close_matches(name, known, 1)
        hint = "; did you mean " + near[0] + "?" if near else ""
        sys.exit("gunicorn_settings: gunicorn " + gunicorn.__version__ + " has no setting " + repr(name) + hint)
if imported == "import":
    sys.argv = ["gunicorn", "--check-config", "--config", configuration]
    try:
        run()
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
"""


class GateError(Exception):
    """A release that did not prove what it has to.

    :param phase: where on the road.
    :param reason: what is wrong, in words that can be acted on.
    :param output: what a command wrote that failed, ``None`` when the service's log is what tells more.
    """

    def __init__(self, phase: str, reason: str, output: t.Optional[str] = None) -> None:
        super().__init__(reason)
        self.phase = phase
        self.output = output


class Gate:
    """The proofs of one release, in the order in which they are asked for."""

    def __init__(self, release: Release, service: Services) -> None:
        self._release = release
        self._health = release.options.health
        self._service = service

    def units(self) -> None:
        """Files of which what runs the release understands every line: systemd passes over what it does not.

        :raises GateError: with the words of what looked at them.
        """
        words = self._service.verify(self._release.id, self._release.parts.units)
        if words:
            checker = self._service.checker(self._release.id)
            reason = "{0} has something to say of the units: {1}".format(checker, words.splitlines()[0])
            raise GateError("check", reason, words)

    def check(self) -> None:
        """The server's configuration, and the application's import, in a process of their own.

        :raises GateError: with what the process wrote.
        """
        options = self._release.options
        if not (options.overlap or options.settings):
            return
        home = self._release.home
        command = [os.path.join(home, "venv", "bin", "python")]
        if options.server == "gevent":
            what = "server.py --check"
            command += [os.path.join(home, "server.py"), "--check"]
        else:
            what = "gunicorn --check-config"
            # What may exist only once must not be imported beside itself.
            imported = "import" if options.overlap else "settings"
            command += ["-c", CHECK, os.path.join(home, "gunicorn.conf.py"), imported, *options.settings]
        timeout = max(CHECK_TIMEOUT, self._health.timeout)
        done = self._service.run_task(self._release.id, self._release.service_text(), command, {}, timeout)
        if done.status != 0:
            how = "took longer than {0:g} s" if done.timed_out else "failed (exit status {1})"
            reason = what + " " + how.format(timeout, done.status)
            # A traceback's last line is what the rest leads to.
            last = done.output.strip().splitlines()[-1:]
            raise GateError("check", ": ".join([reason, *last]), done.output)

    def ready(self) -> None:
        """The answer to the readiness path on the release's own socket, while its main process lives.

        gunicorn reports READY before its workers import the application, so only an answer proves that it can.

        :raises GateError: when there is none within ``health.timeout``, or can't be.
        """
        health = self._health
        deadline = time.monotonic() + health.timeout
        process = self._main_process()
        patience = FIRST_PROBE_TIMEOUT
        problem = "no answer"
        answered = False
        while time.monotonic() < deadline:
            timeout = min(patience, max(deadline - time.monotonic(), PROBE_PAUSE))
            try:
                answer = self._ask(timeout, lambda: self._ended(process))
                problem = self.problem(answer)
                answered = True
                if not problem:
                    return
                if answer.status in (404, 405):
                    raise GateError("ready", problem)
            except _probe.NoAnswer as error:
                # What was answered before tells more than a last attempt that had no time left.
                if not answered or timeout == patience:
                    problem = "no answer to GET {0}: {1}".format(health.ready, error)
                patience *= 2
            if self._ended(process):
                raise GateError("start", "its main process ended before it was ready")
            time.sleep(PROBE_PAUSE)
        raise GateError("ready", "not ready within {0:g} s (health.timeout): {1}".format(health.timeout, problem))

    def settle(self) -> None:
        """Staying alive for ``health.settle`` after the first good answer, and another one at the end.

        :raises GateError: when a process of it ended, or the answer is another.
        """
        seconds = self._health.settle
        if not seconds:
            return
        deadline = time.monotonic() + seconds
        process = self._main_process()
        workers = self._service.workers(self._release.id, process.pid)
        during = "within {0:g} s (health.settle) of being ready".format(seconds)
        while True:
            time.sleep(min(PROBE_PAUSE, max(deadline - time.monotonic(), 0)))
            if self._ended(process):
                raise GateError("settle", "its main process ended " + during)
            alive = self._service.workers(self._release.id, process.pid)
            if workers - alive:
                raise GateError("settle", "a worker process ended " + during)
            workers = alive
            if time.monotonic() >= deadline:
                break
        try:
            problem = self.problem(self._ask(max(self._health.latency, FRONT_TIMEOUT), lambda: self._ended(process)))
        except _probe.NoAnswer as error:
            problem = "no answer to GET {0}: {1}".format(self._health.ready, error)
        if problem:
            raise GateError("settle", "it was ready, and then not any more: " + problem)

    def front(self) -> None:
        """The answer through nginx, as a client sees it.

        Nothing to prove while nginx has no site of the application, or one that does not know the host: of a domain
        that is new, the site learns after the release, and is asked itself then.

        :raises GateError: when it is not the right one.
        """
        host = self._release.options.front_host
        url = self._front_url()
        if not url:
            return
        deadline = time.monotonic() + FRONT_TIMEOUT
        wrong = 0
        while True:
            try:
                timeout = max(deadline - time.monotonic(), PROBE_PAUSE)
                answer = _probe.ask_front(url, self._health.ready, host, timeout)
                problem = self.problem(answer)
                wrong += 1
            except _probe.NoAnswer as error:
                problem = "no answer to GET {0}: {1}".format(self._health.ready, error)
            if not problem:
                return
            if wrong >= FRONT_ATTEMPTS or time.monotonic() >= deadline:
                where = "through nginx ({0}, Host {1})".format(url, host)
                raise GateError("probe", "{0}: {1}".format(where, problem))
            time.sleep(PROBE_PAUSE)

    def _front_url(self) -> str:
        """Where nginx has the application for a probe; empty for nowhere.

        The site tells of itself: it may be older than the options, and in maintenance, say, nginx answers by itself.
        """
        layout, options = self._release.layout, self._release.options
        if not os.path.lexists(layout.nginx_site):
            return ""
        if options.front_url != "auto":
            return options.front_url
        url, *names = (_files.read_text(layout.nginx_front_url) or "").split() or [""]
        return url if not names or options.front_host in names else ""

    def problem(self, answer: _probe.Answer) -> str:
        """What is wrong with an answer, empty for nothing."""
        health = self._health
        said = "GET {0} was answered with status {1} where {2} means ready".format(
            health.ready, answer.status, health.status
        )
        if answer.status != health.status:
            hints = {
                400: "does the application trust the Host {0!r} (health.host)?".format(health.host),
                404: "the application has no such route; name the one it has in health.ready",
                405: "the route takes no GET; name one that does in health.ready",
            }
            hint = "; " + hints[answer.status] if answer.status in hints else ""
            hint += ", Location {0}".format(answer.location) if answer.location else ""
            return "{0}{1}{2}".format(said, hint, _shown(answer.body))
        if health.body and not re.search(health.body, answer.body):
            return "the body of {0} does not match {1!r} (health.body){2}".format(
                health.ready, health.body, _shown(answer.body)
            )
        if health.latency and answer.seconds > health.latency:
            return "{0} took {1:.3f} s, {2:g} s are allowed (health.latency)".format(
                health.ready, answer.seconds, health.latency
            )
        return ""

    def _ask(self, timeout: float, pointless: t.Callable[[], bool]) -> _probe.Answer:
        socket = self._release.layout.socket(self._release.id)
        return _probe.ask_socket(
            socket, self._health.ready, self._health.host, timeout, pointless, self._release.options.scheme
        )

    def _main_process(self) -> _Process:
        pid = self._service.state(self._release.id).main_pid
        return _Process(pid, self._service.start_time(pid) if pid else None)

    def _ended(self, process: _Process) -> bool:
        """Whether the main process is not what it was. The service manager would take far longer to tell."""
        return not process.started or self._service.start_time(process.pid) != process.started


class _Process(t.NamedTuple):
    """A process of the host; its id alone may be another's by now."""

    pid: int
    started: t.Optional[str]


def _shown(body: str) -> str:
    text = " ".join(body.split())
    return "; it said: " + text[:SHOWN_BODY] if text else ""
