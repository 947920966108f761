"""Two applications on one host: each has its own of everything."""

from __future__ import annotations

import json
import time

import pytest
from hostlab import controller, traffic
from hostlab.deployment import copy_of_the_app


def variables(shop):
    return json.loads(json.dumps(shop.host.ansible.get_variables()["flask_apps"]))


def run_with(shop, tmp_path, apps, **options):
    """site.yml with these applications in place of the scenario's."""
    chosen = tmp_path / "apps.json"
    chosen.write_text(json.dumps({"flask_apps": apps}))
    arguments = ["--limit", shop.inventory_name, "-e", f"@{chosen}", *options.pop("arguments", ())]
    return controller.playbook(*arguments, **options)


def test_each_serves_under_its_own_name(shop, desk):
    assert traffic.get(shop.address, "/whoami", "shop.example.com").json()["release"] == shop.release
    for domain in ("desk.example.com", "any.desk.example.com"):
        assert traffic.get(desk.address, "/whoami", domain).json()["release"] == desk.release
    assert shop.release != desk.release


def test_options_reach_gunicorn(shop, desk):
    assert (len(shop.workers), len(desk.workers)) == (2, 3)
    assert desk.run("systemctl show --property=TimeoutStopUSec --value %s", desk.service) == "15s"
    settings = desk.run("cat /opt/desk/current/gunicorn.conf.py")
    assert "timeout = 20\n" in settings
    assert "graceful_timeout = 10\n" in settings
    assert "proxy_read_timeout 25s;" in desk.run("cat /etc/nginx/conf.d/desk.conf")


def test_neither_reads_what_the_other_writes(shop, desk):
    with shop.host.sudo():
        for directory in ("/var/lib/desk", "/var/log/desk", "/var/cache/desk", "/opt/desk/current/code/"):
            assert "Permission denied" in shop.host.run("runuser -u shop -- ls %s", directory).stderr
        assert shop.host.run("runuser -u desk -- ls /var/lib/desk").rc == 0


def test_a_socket_is_nginxs_alone_unless_it_is_to_be_everyones(shop, desk):
    knock = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"
    with shop.host.sudo():
        closed, opened = (
            shop.host.run("runuser -u nobody -- python3 -c %s %s", knock, app.socket) for app in (shop, desk)
        )
    assert "Permission denied" in closed.stderr
    assert opened.rc == 0, opened.stderr


def test_journal_and_files(shop, desk):
    """Output of one goes to the journal, that of the other to its file and nowhere else."""
    traffic.get(desk.address, "/nowhere", "desk.example.com")
    assert "Booting worker" in shop.run("journalctl --no-pager --unit=%s", shop.service)
    assert "Booting worker" in desk.run("cat /var/log/desk/error.log")
    assert "Booting worker" not in desk.run("journalctl --no-pager --unit=%s", desk.service)
    assert not shop.host.file("/etc/logrotate.d/shop").exists


def test_rotation_loses_no_line(desk):
    """The rotated file is complete and gunicorn writes to the new one; logrotate has nothing to complain about."""
    with desk.host.sudo():
        complaint = desk.host.run("logrotate --debug /etc/logrotate.d/desk").stderr
    assert "error" not in complaint.replace("error.log", "")
    before = desk.run("cat /var/log/desk/error.log")
    desk.run("logrotate --force /etc/logrotate.d/desk")
    desk.run("kill -9 %s", str(desk.workers[0]))
    controller.wait_until(lambda: "Booting" in desk.run("cat /var/log/desk/error.log"), 10, "a line in the new file")
    assert desk.run("cat /var/log/desk/error.log.1").startswith(before)
    new = desk.host.file("/var/log/desk/error.log")
    assert (new.user, new.group, new.mode) == ("desk", "desk", 0o640)


def test_a_further_unchanged_application_takes_no_execution_more(shop, tmp_path, capsys):
    apps = variables(shop)
    counts = []
    for wanted in (apps[:1], apps):
        run = run_with(shop, tmp_path, wanted, arguments=["-vvv"])
        assert run.changed == {shop.inventory_name: 0}
        counts.append(run.remote_executions(shop.inventory_name))
    with capsys.disabled():
        print(f"\n{shop.inventory_name}: unchanged runs of one and of two applications take {counts} remote executions")
    assert counts[1] == counts[0]


def test_change_under_traffic_loses_no_request(shop, desk, tmp_path):
    """A new line of code is a new release; the other application does not notice, the old release is gone."""
    source = copy_of_the_app(tmp_path / "app")
    (source / "reference" / "__init__.py").open("a").write("\nCHANGED = True\n")
    apps = variables(shop)
    apps[0]["source"] = str(source)
    old, others = shop.release, (desk.release, desk.master)
    with traffic.traffic(shop.address, "/whoami", "shop.example.com") as stream:
        run = run_with(shop, tmp_path, apps)
        time.sleep(1)
    assert run.changed[shop.inventory_name] == 2  # the staged code and the release
    assert stream.failures == [], stream.explain()
    new = shop.release
    order = [outcome.answer.json()["release"] for outcome in sorted(stream.outcomes, key=lambda one: one.started)]
    assert set(order) == {old, new}
    assert order[0] == old
    assert order[-1] == new
    assert (desk.release, desk.master) == others
    assert old not in shop.run("systemctl list-units --plain --no-legend 'shop@*'")
    assert not shop.host.file(f"/run/shop/{old}.sock").exists
    assert [entry["release"] for entry in shop.history()][-2:] == [old, new]
    # And back: the code is still on the host.
    assert run_with(shop, tmp_path, variables(shop)).changed == {shop.inventory_name: 1}
    assert shop.release == old


def test_slow_request_is_finished_by_the_old_release(desk, tmp_path):
    apps = variables(desk)
    apps[1]["env"] = {"CHANGED": "1"}
    old = desk.release
    # Three workers can do 0.6 such requests a second; more would only show that a queue without end is not waited for.
    with traffic.traffic(desk.address, "/slow?seconds=5", "desk.example.com", rate=0.4) as stream:
        time.sleep(0.5)
        run_with(desk, tmp_path, apps)
    assert desk.release != old
    assert stream.failures == [], stream.explain()
    assert old in {outcome.answer.json()["release"] for outcome in stream.outcomes}
    assert run_with(desk, tmp_path, variables(desk)).status == 0


OTHER_SITE = "server { listen 80 default_server; server_name other.example.com; return 200 other; }"


@pytest.fixture
def other_site(shop, tmp_path):
    """Somebody else's site, which is the default server. Without it all is as it was before the test."""
    shop.run("sh -c %s", f"echo '{OTHER_SITE}' > /etc/nginx/conf.d/other.conf")
    yield
    shop.run("rm /etc/nginx/conf.d/other.conf")
    run_with(shop, tmp_path, variables(shop))


def test_somebody_elses_default_server_stays(shop, tmp_path, other_site):
    """nginx refuses two default servers: everything is as before then, and nginx_catch_all gives way where asked to."""
    apps = variables(shop)
    shop.run("rm /etc/nginx/conf.d/00-wsgiops-flask.conf")
    refused = run_with(shop, tmp_path, apps, check=False)
    assert refused.failed == {shop.inventory_name: 1}
    assert "a duplicate default server" in refused.output
    assert not shop.host.file("/etc/nginx/conf.d/00-wsgiops-flask.conf").exists
    assert traffic.get(shop.address, "/health", "shop.example.com").status == 200

    run_with(shop, tmp_path, apps, arguments=["-e", "nginx_catch_all=false"])
    shop.run("systemctl reload nginx")
    assert traffic.get(shop.address, "/", "unknown.example.com").body == "other"
    assert traffic.get(shop.address, "/health", "shop.example.com").status == 200


def test_options_of_the_host(shop, desk, tmp_path):
    arguments = ["-e", "nginx_ipv6=false", "-e", "logrotate_keep=3"]
    run_with(shop, tmp_path, variables(shop), arguments=arguments)
    assert "listen [::]" not in shop.run("cat /etc/nginx/conf.d/shop.conf /etc/nginx/conf.d/00-wsgiops-flask.conf")
    assert "rotate 3\n" in shop.run("cat /etc/logrotate.d/desk")
    run_with(shop, tmp_path, variables(shop))
    controller.wait_until(lambda: "[::]:80" in shop.run("ss --listening --tcp --numeric"), 10, "nginx listens on IPv6")


@pytest.mark.parametrize(
    ("prepare", "found"),
    [
        ("install -D /dev/null /var/lib/ledger/somebodys", "/var/lib/ledger exists"),
        ("install -D /dev/null /opt/ledger/somebodys", "/opt/ledger exists"),
        ("useradd --system ledger", "the user ledger exists"),
    ],
)
def test_host_refuses_a_name_that_is_taken(shop, tmp_path, prepare, found):
    """The host knows users and directories that the controller can not; nothing is changed then."""
    shop.run("sh -c %s", prepare)
    try:
        apps = [dict(variables(shop)[0], name="ledger", domains=["ledger.example.com"])]
        run = run_with(shop, tmp_path, apps, check=False)
        assert f"ledger: name: 'ledger' can't be used on this host: {found}" in run.output
        assert run.changed == {shop.inventory_name: 0}, run.output
    finally:
        shop.run("rm -rf /var/lib/ledger /opt/ledger; if id ledger; then userdel ledger; fi")


def traces(shop, name):
    """Everything on the host that has the application's name in it, but what journald keeps."""
    roots = "/etc /opt /run /srv /usr/local /var /tmp /home /root"
    found = shop.run(f"find {roots} -name '*{name}*' -not -path '/var/log/journal/*' -not -path '/run/user/*'")
    units = shop.run(f"systemctl list-units --all --plain --no-legend '{name}*'")
    users = shop.run(f"getent passwd {name}; getent group {name}; true")
    return [line for line in (found + "\n" + units + "\n" + users).splitlines() if line]


def test_absent_application_leaves_its_data_and_nothing_else(shop, desk, tmp_path):
    """A later deploy of the name has the data again, whatever uid it gets; remove_data takes it too."""
    apps = variables(shop)
    assert traffic.get(shop.address, "/ready", "shop.example.com").status == 200
    gone = [{"name": "shop", "state": "absent"}, apps[1]]
    before = desk.release, desk.master
    assert run_with(shop, tmp_path, gone).changed[shop.inventory_name] > 0
    assert traces(shop, "shop") == ["/var/lib/shop"]
    data = shop.host.file("/var/lib/shop")
    assert (data.user, data.mode) == ("root", 0o700)
    assert traffic.get(desk.address, "/health", "desk.example.com").status == 200
    assert (desk.release, desk.master) == before
    assert run_with(shop, tmp_path, gone).changed == {shop.inventory_name: 0}

    shop.run("useradd --system in-between")  # the next system user would have got the old uid otherwise
    run_with(shop, tmp_path, apps)
    assert traffic.get(shop.address, "/ready", "shop.example.com").status == 200
    assert shop.host.file("/var/lib/shop/reference.sqlite3").user == "shop"
    shop.run("userdel in-between")

    run_with(shop, tmp_path, [dict(gone[0], remove_data=True), gone[1]])
    assert traces(shop, "shop") == []


def test_last_application_takes_the_shared_site_along(shop, tmp_path):
    gone = [{"name": name, "state": "absent", "remove_data": True} for name in ("shop", "desk")]
    run_with(shop, tmp_path, gone)
    assert traces(shop, "desk") == traces(shop, "wsgiops") == []
    assert run_with(shop, tmp_path, gone).changed == {shop.inventory_name: 0}
