"""The application of an ordinary user, on all hosts of the scenario, as it is before each test: up."""

from __future__ import annotations

from pathlib import Path

from hostlab import selection
from hostlab.by_cron import served, shop, without_cron
from hostlab.fixtures import shops, streams

__all__ = ["served", "shop", "shops", "streams", "without_cron"]

# What app_ctl.sh promises to root.
CHOSEN = {
    "test_control.py": [
        "test_what_is_stopped_stays_so_over_a_boot_and_cron_brings_nginx_back",
        "test_start_leaves_alone_what_runs_restart_replaces_the_master_and_reload_the_workers",
        "test_stop_ends_all_that_it_started_and_a_release_ends_the_stop",
        "test_limits_and_user_are_those_that_were_asked_for",
    ],
    "test_crashes.py": [
        "test_a_killed_master_is_back_by_cron_alone_and_what_ran_after_a_power_cut",
        "test_ten_checks_at_once_start_one_master",
    ],
    "test_damage.py": [
        "test_a_foreign_process_is_not_taken_for_ours",
        "test_a_full_disk_of_logs_does_not_keep_it_from_starting",
        "test_a_full_run_directory_is_told",
        "test_a_read_only_home_is_told_by_who_can_do_nothing_then",
    ],
}
# What the scenarios no_systemd and no_systemd_road have, too.
SOAK = {
    "test_deploys.py": ["test_deploys_in_a_row_lose_no_request"],
    "test_crashes.py": ["test_what_keeps_failing_rests_and_says_so_until_it_is_tried_again"],
    "test_damage.py": [
        "test_garbage_in_the_pid_file_is_told_and_mended",
        "test_a_missing_directory_is_made_again",
    ],
}


def pytest_collection_modifyitems(config, items):
    selection.select(config, items, Path(__file__).parent, CHOSEN, SOAK)
