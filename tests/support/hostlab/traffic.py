"""Requests as clients make them: each on a connection of its own, at a steady rate, each with its outcome."""

from __future__ import annotations

import contextlib
import http.client
import json
import ssl
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

TIMEOUT = 20.0

# Seconds for which nginx may go on asking the release before, over connections that it keeps: keepalive_timeout of its
# upstream, and what a busy machine adds.
OVERLAP = 0.5


@dataclass(frozen=True)
class Answer:
    """An HTTP response."""

    status: int
    headers: Mapping[str, str]
    body: str

    def json(self) -> dict[str, object]:
        return json.loads(self.body)


@dataclass(frozen=True)
class Outcome:
    """One request of the traffic: times of time.monotonic(), and the answer or the error."""

    started: float
    ended: float
    answer: Answer | None
    error: str = ""

    @property
    def ok(self) -> bool:
        return self.answer is not None and self.answer.status == 200

    def overlaps(self, start: float, end: float) -> bool:
        return self.started <= end and self.ended >= start

    def __str__(self) -> str:
        what = f"{self.answer.status} {self.answer.body[:200]!r}" if self.answer else self.error
        return f"{what} after {self.ended - self.started:.3f} s"


def any_certificate() -> ssl.SSLContext:
    """A client that asks for no proof of who answers."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class _TlsConnection(http.client.HTTPConnection):
    """TLS to an address under a name."""

    def __init__(self, address: str, host: str, context: ssl.SSLContext) -> None:
        super().__init__(address, 443, timeout=TIMEOUT)
        self._name, self._context = host, context

    def connect(self) -> None:
        super().connect()
        self.sock = self._context.wrap_socket(self.sock, server_hostname=self._name)


def get(
    address: str,
    path: str,
    host: str,
    headers: Mapping[str, str] | None = None,
    tls: ssl.SSLContext | None = None,
    method: str = "GET",
    body: bytes | None = None,
    port: int = 80,
) -> Answer:
    """One request over a new connection, over TLS where a context is given.

    :raises OSError, http.client.HTTPException: when there is no answer.
    """
    plain = http.client.HTTPConnection(address, port, timeout=TIMEOUT)
    connection = _TlsConnection(address, host, tls) if tls else plain
    try:
        connection.request(method, path, body, {"Host": host, **(headers or {})})
        response = connection.getresponse()
        return Answer(response.status, dict(response.getheaders()), response.read().decode())
    finally:
        connection.close()


class Traffic:
    """Outcomes of a stream of requests, in the order in which they ended."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []

    @property
    def failures(self) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if not outcome.ok]

    def mixed(self, releases: Sequence[str]) -> list[str]:
        """Answers of an older release to requests that were sent when a newer one had answered for half a second.

        :param releases: ids in the order in which they were put in service.
        """
        age = {release: number for number, release in enumerate(releases)}
        answered = [(outcome, age[outcome.answer.json()["release"]]) for outcome in self.outcomes if outcome.answer]
        ended = sorted((outcome.ended, number) for outcome, number in answered)
        found, newest, position = [], -1, 0
        for outcome, number in sorted(answered, key=lambda one: one[0].started):
            while position < len(ended) and ended[position][0] < outcome.started - OVERLAP:
                newest = max(newest, ended[position][1])
                position += 1
            if number < newest:
                found.append(f"{releases[number]} after {releases[newest]}")
        return found

    def explain(self) -> str:
        return f"{len(self.failures)} of {len(self.outcomes)} failed: " + "; ".join(map(str, self.failures[:5]))


@contextlib.contextmanager
def traffic(
    address: str,
    path: str,
    host: str,
    rate: float = 50.0,
    seconds: float = 120.0,
    tls: ssl.SSLContext | None = None,
    method: str = "GET",
    port: int = 80,
) -> Iterator[Traffic]:
    """Send ``rate`` requests a second while the block runs, for at most ``seconds``, and wait for all answers."""
    stream = Traffic()
    stop = threading.Event()
    lock = threading.Lock()

    def request() -> None:
        started = time.monotonic()
        try:
            answer, error = get(address, path, host, tls=tls, method=method, port=port), ""
        except (OSError, http.client.HTTPException) as problem:
            answer, error = None, repr(problem)
        with lock:
            stream.outcomes.append(Outcome(started, time.monotonic(), answer, error))

    def send() -> None:
        start = time.monotonic()
        with ThreadPoolExecutor(max_workers=200) as pool:
            for number in range(int(rate * seconds)):
                if stop.wait(max(0.0, start + number / rate - time.monotonic())):
                    return
                pool.submit(request)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        yield stream
    finally:
        stop.set()
        sender.join(timeout=TIMEOUT + 10)
        assert not sender.is_alive(), "the traffic did not end"
