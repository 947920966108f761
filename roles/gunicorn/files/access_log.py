# Managed by the Ansible collection wsgiops.flask; changes made here are undone by its next run.
# Role gunicorn: access lines and metrics, as gunicorn.conf.py and server.py have them written and sent.
from __future__ import annotations

import contextlib
import json
import re
import socket
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

# Characters of an encoded text at most: all nine in a line stay below the 48 KiB at which journald cuts it (LineMax= in
# journald.conf(5)).
LIMIT = 4096

# As much of a JSON text as holds no character in part; one outside the BMP is a pair of surrogates.
_WHOLE = re.compile(r"(?:[^\\]|\\[^u]|\\u(?!d[89ab])....|\\ud[89ab]..\\u....)*")


def access_line(environ: Mapping[str, Any], status: int, sent: int, seconds: float) -> str:
    """The line of one request.

    :param environ: texts of the request under their WSGI names (PEP 3333); of what it lacks the line says "".
    :param sent: bytes of the answer's body.
    :param seconds: what the answer took.
    """
    fields = {
        "time": _encoded(datetime.now().astimezone().isoformat(timespec="seconds")),
        "request_id": _text(environ, "HTTP_X_REQUEST_ID"),
        # On a unix socket the peer has no address; nginx, which alone connects to it, says whose request it is.
        "client": _text(environ, "HTTP_X_FORWARDED_FOR"),
        "protocol": _text(environ, "SERVER_PROTOCOL"),
        "host": _text(environ, "HTTP_HOST"),
        "method": _text(environ, "REQUEST_METHOD"),
        "path": _text(environ, "RAW_URI"),
        "status": str(status),
        "bytes": str(sent),
        # A clock that was set back must not give a negative duration.
        "duration": format(max(seconds, 0), ".6f"),
        "referer": _text(environ, "HTTP_REFERER"),
        "user_agent": _text(environ, "HTTP_USER_AGENT"),
        "tracking_id": _text(environ, "HTTP_X_TRACKING_ID"),
    }
    return "{" + ",".join(f'"{name}":{value}' for name, value in fields.items()) + "}"


class Receiver:
    """Who counts: host:port, or the path of a unix datagram socket. What it does not take at once is lost."""

    def __init__(self, target: str) -> None:
        """Raises OSError for a host that is not found."""
        family: int = socket.AF_UNIX
        self._address: Any = target
        if not target.startswith("/"):
            host, _colon, port = target.rpartition(":")
            found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_DGRAM)[0]
            family, self._address = found[0], found[-1]
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._socket.setblocking(False)

    def send(self, metric: bytes) -> None:
        with contextlib.suppress(OSError):
            self._socket.sendto(metric, self._address)


def gunicorn_logger(statsd: str) -> type:
    """gunicorn's logger, whose access lines are these with access_log_format "%(line)s".

    :param statsd: where it sends metrics, empty for nowhere.
    """
    from gunicorn.glogging import Logger
    from gunicorn.instrument.statsd import Statsd

    # gunicorn chooses the one that sends metrics by itself only while no class is set.
    base: type = Statsd if statsd else Logger

    class AccessLog(base):  # type: ignore[misc]
        def __init__(self, cfg: Any) -> None:
            super().__init__(cfg)
            if statsd:
                # gunicorn's own socket makes requests wait for a busy receiver, and logs a traceback for each metric
                # without one.
                with contextlib.suppress(OSError):
                    self.sock = Receiver(statsd)

        atoms_wrapper_class = dict

        def access(self, resp: Any, req: Any, environ: Mapping[str, Any], request_time: timedelta) -> None:
            # Of a request that fails before its answer began, gunicorn tells twice: with PATH_INFO what the
            # application had said so far, and then the error that it answers with.
            if resp.headers_sent or "PATH_INFO" not in environ:
                super().access(resp, req, environ, request_time)

        def atoms(self, resp: Any, req: Any, environ: Mapping[str, Any], request_time: timedelta) -> dict[str, str]:
            # For an error of its own gunicorn leaves the headers out of environ.
            headers = {"HTTP_" + name.replace("-", "_"): value for name, value in req.headers}
            status = int(str(resp.status).split(None, 1)[0])
            sent = resp.sent
            # What the kernel sends from a file is not counted.
            if not sent and resp.headers_sent and req.method != "HEAD" and status not in (204, 304):
                sent = resp.response_length or 0
            line = access_line({**headers, **environ}, status, sent, request_time.total_seconds())
            return {"line": line}

    return AccessLog


def _text(environ: Mapping[str, Any], name: str) -> str:
    """JSON of a text. WSGI hands bytes over as the Latin-1 characters of these values (PEP 3333)."""
    value = str(environ.get(name, ""))
    try:
        raw = value.encode("latin-1")
    except UnicodeEncodeError:
        # What the application put there itself.
        raw = value.encode("utf-8", "replace")
    return _encoded(raw.decode("utf-8", "replace"))


def _encoded(text: str) -> str:
    encoded = json.dumps(text[:LIMIT])
    if len(encoded) <= LIMIT:
        return encoded
    whole = _WHOLE.match(encoded, 0, LIMIT - 1)
    return (whole.group() if whole else '"') + '"'
