"""Request ids, and log lines that carry them to stderr (under systemd: to the journal)."""

from __future__ import annotations

import logging
import re
from uuid import uuid4

from flask import Flask, Response, g, has_request_context, request

HEADER = "X-Request-ID"
ACCEPTED_ID = re.compile(r"[A-Za-z0-9._-]{8,128}")
LINE = "%(levelname)s [%(request_id)s] %(message)s"


def init_app(app: Flask) -> None:
    """Log to stderr and nowhere else, and answer each request with its id."""
    handler = logging.StreamHandler()
    handler.setFormatter(OneLineFormatter(LINE))
    handler.addFilter(add_request_id)
    app.logger.handlers = [handler]
    app.logger.propagate = False
    app.logger.setLevel(logging.DEBUG if app.debug else logging.INFO)
    app.after_request(send_request_id)


def request_id() -> str:
    """Return the id of the current request: the one it came with if that is harmless, otherwise a new one.

    Raises RuntimeError outside of a request.
    """
    if "request_id" not in g:
        offered = request.headers.get(HEADER, "")
        g.request_id = offered if ACCEPTED_ID.fullmatch(offered) else uuid4().hex
    return str(g.request_id)


def send_request_id(response: Response) -> Response:
    """Put the request's id on its response."""
    response.headers[HEADER] = request_id()
    return response


def add_request_id(record: logging.LogRecord) -> bool:
    """Give a log record the id of the request it belongs to, "-" if to none. A logging filter that drops nothing."""
    record.request_id = request_id() if has_request_context() else "-"
    return True


def printable(text: str) -> str:
    """Return `text` with line breaks, escape sequences and other invisible characters written out (as `\\n`)."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


class OneLineFormatter(logging.Formatter):
    """Keeps a record to one line, so that nothing a client sends can pass for a record of its own.

    Only a traceback has further lines, and each of those is marked with a bar.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Return the line without the traceback."""
        return printable(super().formatMessage(record))

    def format(self, record: logging.LogRecord) -> str:
        """Return the whole record."""
        return "\n    | ".join(printable(line) for line in super().format(record).split("\n"))
