"""metrics.statsd: what a listener on the host's loopback hears of requests."""

from __future__ import annotations

import pytest
from hostlab import controller

PORT = 8125
HEARD = "/run/heard"
# Writes down each datagram that comes to the port, in a line of its own.
LISTENER = f"""
import socket
heard = open("{HEARD}", "wb", buffering=0)
listening = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
listening.bind(("127.0.0.1", {PORT}))
while True:
    heard.write(listening.recv(65536) + b"\\n")
"""


@pytest.fixture(scope="module", autouse=True)
def listener(shops):
    for one in shops:
        one.run("systemd-run --quiet --collect --unit=heard python3 -c %s", LISTENER)
    yield
    for one in shops:
        one.run("systemctl stop heard.service")


def heard(one):
    return one.run("cat %s", HEARD).splitlines()


@pytest.mark.parametrize("server", ["gunicorn", "gevent"])
def test_a_listener_hears_of_each_request(shop, shops, alone, server):
    keys = alone if server == "gevent" else {"worker_class": "sync", "workers": 2}
    shop.deploy(**keys, metrics={"statsd": f"127.0.0.1:{PORT}"})
    before = [len(heard(one)) for one in shops]
    for one in shops:
        for _number in range(5):
            assert one.get("/process").status == 200
        assert one.get("/nowhere").status == 404

    def hears(case):
        one, known = case

        def metrics():
            return heard(one)[known:]

        def count(metric):
            return sum(line.startswith(metric) for line in metrics())

        controller.wait_until(lambda: count("shop.gunicorn.requests:1|c") == 6, 5, "all requests are counted")
        assert count("shop.gunicorn.request.status.200:1|c") == 5
        assert count("shop.gunicorn.request.status.404:1|c") == 1
        durations = [line for line in metrics() if line.startswith("shop.gunicorn.request.duration:")]
        assert len(durations) == 6
        assert all(0 < float(line.split(":")[1].split("|")[0]) < 5000 for line in durations)
        assert all(line.startswith("shop.gunicorn.") for line in metrics())

    controller.on_each(list(zip(shops, before, strict=True)), hears)
