"""Who may do what on the host."""

from __future__ import annotations

import pytest

CONNECT = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"
CANARY = 'kept $HOME from `others`, "quoted" \\ and\nbroken'


@pytest.fixture
def mallory(shop):
    """Another local user, without any right of their own."""
    shop.run("useradd --create-home mallory")
    yield "mallory"
    shop.run("userdel --remove mallory")


def as_user(shop, user, *command):
    with shop.host.sudo():
        return shop.host.run("runuser -u %s -- " + " ".join(["%s"] * len(command)), user, *command)


def test_application_user_can_not_log_in_and_owns_no_code(shop):
    user = shop.host.user("shop")
    assert user.shell == "/usr/sbin/nologin"
    assert user.groups == ["shop"]
    assert shop.run("getent shadow shop").split(":")[1] in ("!", "!*", "*")
    assert shop.run("find /opt/shop -user shop") == ""


def test_nginx_and_application_are_not_in_each_others_group(shop):
    assert "shop" not in shop.host.user("www-data").groups


def test_application_can_not_change_its_code(shop):
    assert as_user(shop, "shop", "cat", "/opt/shop/current/code/wsgi.py").rc == 0
    for path in ("/opt/shop/current/code/wsgi.py", "/opt/shop/current/venv/bin/gunicorn", "/opt/shop/current/env"):
        assert as_user(shop, "shop", "sh", "-c", f"echo >> {path}").rc != 0


def test_sockets_let_nginx_in_and_nobody_else(shop, mallory):
    connect = ("python3", "-c", CONNECT, shop.socket)
    assert as_user(shop, "www-data", *connect).rc == 0
    for user in (mallory, "shop"):
        refused = as_user(shop, user, *connect)
        assert refused.rc != 0
        assert "PermissionError" in refused.stderr


def test_environment_reaches_the_application_and_nobody_else(shop, mallory):
    environment = shop.run("cat /proc/%s/environ", str(shop.master)).split("\0")
    assert f"CANARY={CANARY}" in environment
    for user in (mallory, "shop", "www-data"):
        for path in ("/opt/shop/current/env", f"/proc/{shop.master}/environ"):
            if (user, path) != ("shop", f"/proc/{shop.master}/environ"):
                assert "Permission denied" in as_user(shop, user, "cat", path).stderr
    assert "CANARY" not in shop.run("systemctl show %s", shop.service)
    assert "kept $HOME" not in shop.run("journalctl --no-pager")


def test_code_is_closed_to_other_users(shop, mallory):
    assert "Permission denied" in as_user(shop, mallory, "ls", "/opt/shop/current/code/").stderr


def test_units_are_clean(shop):
    with shop.host.sudo():
        units = shop.service, shop.service.replace(".service", ".socket")
        verified = shop.host.run("systemd-analyze verify %s %s", *units)
    assert verified.stdout + verified.stderr == ""


def test_start_is_quiet(shop):
    """No warning or error, among them gunicorn's about a control socket that it can't open in a read-only home."""
    journal = shop.run("journalctl --no-pager --output=cat --unit=%s", shop.service)
    assert "Booting worker" in journal
    assert not [line for line in journal.splitlines() if "ERROR" in line or "WARNING" in line]
