"""Crashes, reboots and hands of strangers."""

from __future__ import annotations

import time

import pytest
from hostlab import controller, soak, traffic

HOST = "shop.example.com"


def kill(shop, pid, gone):
    """SIGKILL to ``pid`` and wait, on the host, until all of ``gone`` have ended; returns when that began and ended."""
    start = time.monotonic()
    pids = " ".join(str(one) for one in gone)
    waiting = f"kill -9 {pid}; for p in {pids}; do while [ -e /proc/$p ]; do sleep 0.01; done; done"
    shop.run("timeout 30 sh -c %s", waiting)
    return start, time.monotonic()


def serve_through(shop, crash):
    """Requests at 50/s before, through and after ``crash``; returns the traffic and the time that the crash took."""
    with traffic.traffic(shop.address, "/whoami", HOST) as stream:
        time.sleep(1)
        window = crash()
        time.sleep(4)
    return stream, window


def assert_only_hit_requests_failed(stream, window, at_most):
    """What failed was in a process while that was killed; whatever came after was answered."""
    assert len(stream.outcomes) > 200
    assert all(outcome.overlaps(*window) for outcome in stream.failures), stream.explain()
    assert len(stream.failures) <= at_most, stream.explain()
    assert any(outcome.started > window[1] for outcome in stream.outcomes)


def test_killed_master_costs_no_new_request(shop):
    master, workers = shop.master, shop.workers
    stream, window = serve_through(shop, lambda: kill(shop, master, [master, *workers]))
    assert_only_hit_requests_failed(stream, window, at_most=len(workers))
    assert shop.master not in (0, master)


def test_killed_worker_costs_no_new_request(shop):
    master, worker = shop.master, shop.workers[0]
    stream, window = serve_through(shop, lambda: kill(shop, worker, [worker]))
    assert_only_hit_requests_failed(stream, window, at_most=1)
    assert shop.master == master
    assert worker not in shop.workers


def test_boot_brings_all_back(shop):
    release = shop.release
    controller.test_host("restart", shop.inventory_name)
    controller.wait_until(lambda: answers(shop), 30, "the application answers after a boot")
    assert traffic.get(shop.address, "/whoami", HOST).json()["release"] == release
    assert controller.playbook("--limit", shop.inventory_name).changed == {shop.inventory_name: 0}


def answers(shop):
    try:
        return traffic.get(shop.address, "/health", HOST).status == 200
    except OSError:
        return False


DAMAGE = {
    "code": [
        "echo 'raise SystemExit(1)' >> /opt/shop/current/code/wsgi.py",
        "touch /opt/shop/current/code/stray.py",
        "chmod o+r /opt/shop/current/code/reference/__init__.py",
    ],
    "release": [
        "echo 'workers = 1' >> /opt/shop/current/gunicorn.conf.py",
        "chmod 644 /opt/shop/current/env",
        "rm /opt/shop/current/venv/wsgiops.json",
        "rm /opt/shop/current/socket",
    ],
    "units": [
        "sed -i s/mixed/none/ /etc/systemd/system/shop@.service",
        "rm /etc/systemd/system/shop@.socket",
        "systemctl disable shop@$(basename $(readlink /opt/shop/current)).service",
        "systemctl stop 'shop@*.socket' 'shop@*.service'",
    ],
    "socket": ["rm /run/shop/*.sock"],
    "nginx": [
        "rm /etc/nginx/conf.d/shop.conf /etc/nginx/conf.d/00-wsgiops-flask.conf",
        "systemctl stop nginx && systemctl disable nginx",
    ],
}
# By default all of a kind at once; in the long run each by itself too.
DAMAGES = [" && ".join(kind) for kind in DAMAGE.values()]
if soak.IS_ON:
    DAMAGES += [damage for kind in DAMAGE.values() for damage in kind]


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_was_changed_by_hand_is_put_right(shop, damage):
    """One more run brings everything back, and the run after it has nothing to do."""
    release = shop.release
    shop.run("sh -c %s", damage)
    assert controller.playbook("--limit", shop.inventory_name).changed[shop.inventory_name] > 0
    assert traffic.get(shop.address, "/whoami", HOST).json()["release"] == release
    assert controller.playbook("--limit", shop.inventory_name).changed == {shop.inventory_name: 0}
