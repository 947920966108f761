"""What runs cost and say."""

from __future__ import annotations

from hostlab import controller

# The bound of a run that finds nothing to do, for one application, facts included.
REMOTE_EXECUTIONS = 12


def test_unchanged_run_is_cheap_and_starts_nothing(shop, capsys):
    before = shop.master, shop.workers, shop.history()
    run = controller.playbook("--limit", shop.inventory_name, "-vvv")
    count = run.remote_executions(shop.inventory_name)
    with capsys.disabled():
        print(f"\n{shop.inventory_name}: an unchanged run of one application takes {count} remote executions")
    assert run.changed == {shop.inventory_name: 0}
    assert 1 <= count <= REMOTE_EXECUTIONS
    assert (shop.master, shop.workers, shop.history()) == before


def test_verbose_run_does_not_show_the_environment(shop):
    run = controller.playbook("--limit", shop.inventory_name, "-vvv", "--diff", "-e", "flask_root=/opt")
    assert "Put the release in service" in run.output
    assert "kept $HOME" not in run.output


def test_check_of_a_running_host_plans_nothing(shop):
    before = shop.master, shop.history()
    run = controller.playbook("--limit", shop.inventory_name, "--check", "--diff")
    assert run.changed == {shop.inventory_name: 0}
    assert (shop.master, shop.history()) == before
