"""Many clients that are slow or silent: the others do not notice, and nginx gets rid of them."""

from __future__ import annotations

import contextlib
import resource
import socket
import threading
import time

import pytest
from hostlab import traffic

DOMAIN = "shop.example.com"

# As nginx_client_timeout, in place of 15 s, and what a busy machine may add.
TIMEOUT, SLACK = 5, 6

HEAD = f"GET /audit/x HTTP/1.1\r\nHost: {DOMAIN}\r\nX-Slow: ".encode()
BODY = f"POST /audit/x HTTP/1.1\r\nHost: {DOMAIN}\r\nContent-Length: 100000\r\n\r\nx".encode()

# What a group of clients sends first and then each second, and how many they are.
GROUPS = {
    "slow headers": (HEAD, b"x", 200),
    "slow bodies": (BODY, b"x", 100),
    "bodies that stop": (BODY, b"", 100),
    "idle": (b"", b"", 4000),
}

# A body of which a byte comes each second is never cut off: nginx's time runs anew from each piece of it
# (ngx_http_core_module, client_body_timeout). It costs a connection and no worker, as nginx takes bodies in whole.
NEVER_CUT_OFF = "slow bodies"


class Crowd:
    """Connections of one group, and how long each of them lived."""

    def __init__(self, address: str, first: bytes, more: bytes, count: int) -> None:
        self.lived: list[float] = []
        self.count = count
        self._more = more
        self._open: dict[socket.socket, float] = {}
        for _ in range(count):
            connection = socket.create_connection((address, 80), timeout=10)
            connection.sendall(first)
            connection.setblocking(False)
            self._open[connection] = time.monotonic()

    def go_on(self) -> None:
        """Send a piece each, and notice who was cut off."""
        for connection, since in list(self._open.items()):
            try:
                if self._more:
                    connection.send(self._more)
                # 408, the end of the connection, or nothing yet.
                connection.recv(4096)
            except BlockingIOError:
                continue
            except OSError:
                pass
            self.lived.append(time.monotonic() - since)
            connection.close()
            del self._open[connection]

    @property
    def alive(self) -> int:
        return len(self._open)

    def close(self) -> None:
        for connection in self._open:
            connection.close()
        self._open.clear()


@pytest.fixture
def descriptors():
    """As many as these connections take."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = max(before[0], 8192)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(before[1], wanted)))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@contextlib.contextmanager
def crowds(address: str):
    """All groups at once, each going on every half a second in a thread of its own."""
    found = {name: Crowd(address, *group) for name, group in GROUPS.items()}
    over = threading.Event()

    def go_on():
        while not over.wait(0.5):
            for crowd in found.values():
                crowd.go_on()

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()
        for crowd in found.values():
            crowd.close()


def test_slow_clients_are_not_noticed_and_are_cut_off(serve, app, shops, descriptors):
    serve([app("shop")], "-e", f"nginx_client_timeout={TIMEOUT}")
    for one in shops:
        with crowds(one.address) as found:
            began = time.monotonic()
            alive = {name: crowd.alive for name, crowd in found.items()}
            durations = []
            for _ in range(10):
                start = time.monotonic()
                answer = traffic.get(one.address, "/audit/x", DOMAIN)
                durations.append(time.monotonic() - start)
                assert (answer.status, answer.body) == (200, "seen")
                time.sleep(0.1)
            assert max(durations) < 1, f"{one.inventory_name}: {durations}"
            # They were there all the while; silent ones give their place to others when nginx has no more.
            assert alive == {name: count for name, (_first, _more, count) in GROUPS.items()}
            assert time.monotonic() - began < TIMEOUT + 2
            for name in ("slow headers", "slow bodies", "bodies that stop"):
                assert not [lived for lived in found[name].lived if lived < TIMEOUT - 1], (one.inventory_name, name)
            time.sleep(max(0.0, began + TIMEOUT + SLACK - time.monotonic()))
            left = {name: crowd.alive for name, crowd in found.items()}
        assert left == {**dict.fromkeys(GROUPS, 0), NEVER_CUT_OFF: GROUPS[NEVER_CUT_OFF][2]}, one.inventory_name
    serve([app("shop")])


def test_nginx_conf_is_debians_again_where_its_number_of_connections_is_wanted(serve, app, shops):
    for number, line in ((0, "worker_connections 768;"), (8192, "worker_connections 8192; # wsgiops.flask")):
        serve([app("shop")], "-e", f"nginx_worker_connections={number}")
        for one in shops:
            lines = one.host.file("/etc/nginx/nginx.conf").content_string.splitlines()
            assert [found.strip() for found in lines if "worker_connections" in found] == [line]
            changed = one.host.run("dpkg --verify nginx-common").stdout
            assert ("/etc/nginx/nginx.conf" in changed) == (number != 0), changed
