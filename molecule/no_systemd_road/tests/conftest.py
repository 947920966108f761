"""The application of this scenario, on all of its hosts, and what of the road's tests runs on them."""

from __future__ import annotations

from pathlib import Path

from hostlab import selection
from hostlab.fixtures import shop, shops, streams

__all__ = ["shop", "shops", "streams"]

# One of each kind, and with --soak more of them. What is left out goes the same way through the same code on hosts of
# either kind.
CHOSEN = {
    "test_deploys.py": ["test_deploys_in_a_row_lose_no_request"],
    "test_switch.py": [
        "test_a_failed_hook_after_the_switch_takes_it_back",
        "test_a_deploy_that_cuts_off_its_deployer_undoes_itself",
        "test_an_application_that_may_exist_only_once_never_does_twice",
    ],
    "test_bad_releases.py": [
        f"test_a_bad_release_is_refused[{fault}]" for fault in ("dies as a service", "not ready", "crashes once ready")
    ],
    "test_deaths.py": [
        "test_a_death_on_the_road[controller-after the switch]",
        "test_of_two_runs_at_once_one_wins_and_the_other_says_who_does",
    ],
}
SOAK = {
    "test_rollback.py": ["test_a_rollback_brings_back_code_dependencies_configuration_and_environment"],
    "test_deploys.py": ["test_an_unchanged_deploy_does_nothing_in_three_tasks", "test_a_check_is_a_plan"],
    "test_switch.py": [
        "test_a_failed_hook_before_the_switch_discards_the_candidate",
        "test_a_release_that_fails_behind_nginx_is_taken_back",
        "test_a_confirmed_deploy_stays",
    ],
    "test_bad_releases.py": [
        f"test_a_bad_release_is_refused[{fault}]" for fault in ("syntax error", "port in use", "readiness hangs")
    ],
    "test_deaths.py": [
        "test_a_death_on_the_road[controller-start]",
        "test_a_death_on_the_road[process-check]",
        "test_a_death_on_the_road[process-drain]",
        "test_a_death_on_the_road[connection-before the switch]",
        "test_a_power_cut_on_the_road[after the switch]",
    ],
}


def pytest_collection_modifyitems(config, items):
    selection.select(config, items, Path(__file__).parent, CHOSEN, SOAK)
