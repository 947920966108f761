"""What runs cost and say."""

from __future__ import annotations

import pytest
from hostlab import controller, traffic

# A run that finds nothing to do asks where Python is, as Ansible does, what the host is, and in what it differs.
REMOTE_EXECUTIONS = 3


def test_unchanged_run_is_cheap_and_starts_nothing(shop, capsys):
    before = shop.master, shop.workers, shop.history()
    run = controller.playbook("--limit", shop.inventory_name, "-vvv")
    count = run.remote_executions(shop.inventory_name)
    with capsys.disabled():
        print(f"\n{shop.inventory_name}: an unchanged run of one application takes {count} remote executions")
    assert run.changed == {shop.inventory_name: 0}
    assert count == REMOTE_EXECUTIONS
    assert (shop.master, shop.workers, shop.history()) == before


def test_verbose_run_does_not_show_the_environment(shop):
    for name, task in (("site.yml", "Compare the host"), ("playbooks/deploy.yml", "Put the release in service")):
        run = controller.playbook("--limit", shop.inventory_name, "-vvv", "--diff", "-e", "flask_root=/opt", name=name)
        assert task in run.output
        assert "kept $HOME" not in run.output


@pytest.mark.parametrize(("change", "part", "changed"), [
    ("echo 'return 418;' >> /etc/nginx/conf.d/shop.conf", "shop site", 1),
    ("systemctl stop nginx.service", "host", 1),
    ("rm /etc/nginx/wsgiops-flask/_pages/503.json", "host", 1),
    ("chmod o+w /opt/shop/current/code/wsgi.py", "shop release", 2),
    ("systemctl stop 'shop@*.socket' 'shop@*.service'", "shop release", 1),
])  # fmt: skip
def test_what_somebody_changed_on_the_host_is_found_and_put_right(shop, change, part, changed):
    shop.run("sh -c %s", change)
    found = controller.playbook("--limit", shop.inventory_name, "-v")
    assert list(found.result("Compare the host with what is to be on it", shop.inventory_name)["differences"]) == [part]
    assert found.changed == {shop.inventory_name: changed}
    assert traffic.get(shop.address, "/ready", "shop.example.com").status == 200
    assert controller.playbook("--limit", shop.inventory_name).changed == {shop.inventory_name: 0}


def test_check_of_a_running_host_plans_nothing(shop):
    before = shop.master, shop.history()
    run = controller.playbook("--limit", shop.inventory_name, "--check", "--diff")
    assert run.changed == {shop.inventory_name: 0}
    assert (shop.master, shop.history()) == before
