"""What clients get when the application does not answer, and that nothing is put in the place of what it answers."""

from __future__ import annotations

import asyncio
import json
import resource
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from hostlab import raw
from hostlab.fixtures import DOMAIN

# An application with answers of its own that look like nginx's.
OWN_ANSWERS = """
@app.route("/answer/<int:status>", methods=["GET", "POST"])
def answer(status):
    return f"the application says {status}", status, {"Retry-After": "7"}
"""
# Backlog= of the socket unit.
QUEUE = 2048
BODY = b'{"order": 1}'


def ask(one, method: str, path: str, body: bytes = b"") -> raw.RawAnswer:
    head = f"{method} {path} HTTP/1.1\r\nHost: {DOMAIN}\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    return raw.exchange(one.address, head.encode() + body)


def assert_unavailable(one, method: str, path: str) -> None:
    answer = ask(one, method, path, BODY if method in ("POST", "PUT") else b"")
    assert answer.status == 503
    assert answer.headers["retry-after"] == "300"
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    if method == "HEAD":
        assert answer.body == b""
    else:
        assert answer.body.startswith(b"<!doctype html>\n")
        assert b"<h1>Temporarily unavailable</h1>" in answer.body
        assert answer.body.endswith(b"</html>\n")
    line = json.loads(one.run("tail --lines=1 /var/log/nginx/shop.access.log"))
    assert (line["method"], line["path"], line["status"]) == (method, path, 503)


def test_an_application_that_is_down_is_unavailable(shops):
    """As systemd leaves it when its start limit has tripped: neither a process nor a socket."""
    for one in shops:
        one.run("systemctl stop %s %s", one.service, one.service.replace(".service", ".socket"))
        try:
            for method in ("GET", "HEAD", "POST", "PUT"):
                for path in ("/", "/style.css", "/order.json?a=b"):
                    assert_unavailable(one, method, path)
        finally:
            one.run("systemctl start %s", one.service)
        assert one.get("/health").status == 200


async def ask_at_once(address: str, number: int, meanwhile: Callable[[], None]) -> list[int]:
    """The statuses of as many requests, all begun before the first is answered; then comes `meanwhile`."""

    async def ask_for_health() -> int:
        reader, writer = await asyncio.open_connection(address, 80)
        writer.write(f"GET /health HTTP/1.1\r\nHost: {DOMAIN}\r\nConnection: close\r\n\r\n".encode())
        answer = raw.parse(await reader.read())
        writer.close()
        assert answer.status == 200 or answer.headers["retry-after"] == "300"
        return answer.status

    requests = [asyncio.create_task(ask_for_health()) for _ in range(number)]
    await asyncio.wait(requests, timeout=20, return_when=asyncio.FIRST_COMPLETED)
    await asyncio.to_thread(meanwhile)
    return await asyncio.gather(*requests)


def test_what_finds_the_queue_full_is_turned_away(shop, shops):
    """As when the application is busy for longer than its socket holds requests."""
    shop.deploy(workers=1)
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    for one in shops:
        one.run("systemctl kill --signal=STOP %s", one.service)

        def thaw(one=one):
            one.run("systemctl kill --signal=CONT %s", one.service)

        statuses = asyncio.run(ask_at_once(one.address, QUEUE + 200, thaw))
        assert set(statuses) == {200, 503}
        assert statuses.count(200) >= QUEUE
        # Nobody was turned away for good.
        assert one.get("/health").status == 200


def test_answers_of_the_application_pass_as_they_are(shop, shops):
    shop.add(OWN_ANSWERS, "wsgi.py")
    shop.deploy()
    for one in shops:
        for status in (500, 502, 503, 504):
            for method in ("GET", "POST"):
                answer = ask(one, method, f"/answer/{status}", BODY if method == "POST" else b"")
                assert (answer.status, answer.body) == (status, f"the application says {status}".encode())
                assert answer.headers["retry-after"] == "7"


def test_a_request_whose_worker_died_is_a_bad_gateway(shop, shops):
    """The application is there, and may have done half of what it was asked for."""
    shop.deploy(workers=1)
    for one in shops:
        with ThreadPoolExecutor(1) as pool:
            request = pool.submit(one.get, "/slow?seconds=20", "POST")
            time.sleep(1)
            one.run("kill -9 %s", str(one.workers[0]))
            answer = request.result()
        assert answer.status == 502
        assert "Retry-After" not in answer.headers
        assert "Temporarily" not in answer.body
