"""A run that dies, or whose host does, before anyone knows whether nginx likes what it wrote: the old site serves."""

from __future__ import annotations

import subprocess

import pytest
from hostlab import controller, nginx, traffic

DOMAIN = "shop.example.com"
SITE = "/etc/nginx/conf.d/shop.conf"

# nginx waits for what it includes, as long as nobody writes into it, and then does not know the directive.
GATE = "/run/gate"
REFUSED = f"include {GATE};\nnonsense on;"

# Waits until a run has written its site and nginx looks at it, and ends both, the run first.
KILL = f"""
trap 'rm -f {GATE}' EXIT
until checker=$(pgrep --full '^nginx -t -q$') && grep --quiet nonsense {SITE}; do sleep 0.05; done
run=$checker
until readlink "/proc/$run/exe" | grep --quiet python; do
  rest="$run ${{rest:-}}"
  run=$(sed -n 's/^PPid:[[:space:]]*//p' "/proc/$run/status")
done
kill -9 "$run" $rest
"""


@pytest.fixture(scope="module", autouse=True)
def old_site(serve, app):
    entry = app("shop")
    serve([entry])
    return entry


@pytest.fixture
def before(shops):
    return [(nginx.files(one), one.release) for one in shops]


def die_half_way(serve, app, shops):
    """A run that writes a site which nginx refuses, and is killed on every host before it learns of that."""
    for one in shops:
        one.run("mkfifo %s", GATE)
    test_host = str(controller.CHECKOUT / "script" / "test-host")
    command = ["timeout", "120", "sh", "-c", KILL]
    killers = [subprocess.Popen([test_host, "exec", one.inventory_name, *command]) for one in shops]
    run = serve([app("shop", nginx_server_extra=REFUSED)], "--tags", "nginx", check=False)
    assert [killer.wait(timeout=120) for killer in killers] == [0] * len(shops)
    assert run.status != 0
    for one in shops:
        assert "nonsense on;" in one.run("cat %s", SITE)
        assert traffic.get(one.address, "/audit/x", DOMAIN).body == "seen"


def assert_serves_as(shops, before):
    for one, had in zip(shops, before, strict=True):
        controller.wait_until(lambda one=one: answers(one), 30, "it serves")
        assert (nginx.files(one), one.release) == had
        assert one.run("sh -c %s", "nginx -t 2>&1").endswith("test is successful")
        assert not one.host.file("/var/lib/wsgiops.flask").exists


def answers(one):
    try:
        return traffic.get(one.address, "/audit/x", DOMAIN).body == "seen"
    except OSError:
        return False


def test_the_next_boot_serves_the_old_site(serve, app, shops, before):
    die_half_way(serve, app, shops)
    controller.on_each(shops, lambda one: controller.test_host("kill", one.inventory_name))
    controller.on_each(shops, lambda one: controller.test_host("restart", one.inventory_name))
    assert_serves_as(shops, before)


def test_the_next_start_of_nginx_serves_the_old_site(shops, before):
    """As a run leaves it. The main process is killed, and systemd starts it again."""
    for one in shops:
        keep = "cd /var/lib && install -d -m 0700 wsgiops.flask/undo && cd wsgiops.flask/undo"
        one.run("sh -c %s", f"{keep} && cp -p {SITE} 0 && echo '0 {SITE}' >list && echo '[]' >apply")
        one.run("sh -c %s", f"echo 'nonsense on;' >>{SITE}")
        one.run("kill -9 %s", nginx.main_pid(one))
    assert_serves_as(shops, before)


def test_the_next_run_goes_on_from_the_old_site(serve, old_site, app, shops, before):
    die_half_way(serve, app, shops)
    run = serve([old_site], "--tags", "nginx")
    assert min(run.changed.values()) > 0
    assert_serves_as(shops, before)
