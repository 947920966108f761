# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tarfile
import typing as t
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from ansible.parsing.vault import VaultLib, VaultSecret

from ansible_collections.wsgiops.flask.plugins.module_utils._release import Parts
from ansible_collections.wsgiops.flask.plugins.module_utils._tree import tree_digest
from ansible_collections.wsgiops.flask.plugins.module_utils._venv import interpreter_identity, venv_key
from ansible_collections.wsgiops.flask.plugins.plugin_utils._source import list_source

# Nothing listens there: whatever reaches for the host says so.
CLOSED = {"ansible_host": "127.0.0.1", "ansible_port": 1, "ansible_ssh_common_args": "-o ControlMaster=no"}
LOCAL = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}


class Run(t.NamedTuple):
    """A run of ansible-playbook, its output on one line and its recap."""

    code: int
    output: str
    recap: dict[str, int]


Play = Callable[..., Run]


@pytest.fixture
def play(tmp_path: Path, repository: Path) -> Play:
    """Runs a playbook of the checkout, or a list of tasks, against one host, with the inventory in tmp_path.

    Or against two, where it is told what the second one has otherwise.
    """

    def run(
        what: str | list[dict[str, t.Any]],
        host: dict[str, t.Any],
        *options: str,
        second: dict[str, t.Any] | None = None,
        **variables: t.Any,
    ) -> Run:
        variables = {**host, **variables, "ansible_remote_tmp": str(tmp_path / "remote")}
        hosts = {"web1": variables} if second is None else {"web1": variables, "web2": {**variables, **second}}
        inventory = {"all": {"hosts": hosts}}
        (tmp_path / "hosts.yml").write_text(yaml.safe_dump(inventory))
        playbook = repository / "playbooks" / str(what)
        if isinstance(what, list):
            playbook = tmp_path / "play.yml"
            playbook.write_text(yaml.safe_dump([{"hosts": "all", "gather_facts": False, "tasks": what}]))
        environment = dict(
            os.environ,
            ANSIBLE_CONFIG=str(repository / "ansible.cfg"),
            ANSIBLE_HOME=str(tmp_path / "ansible"),
            ANSIBLE_NOCOLOR="1",
            ANSIBLE_CALLBACK_RESULT_FORMAT="json",
        )
        command = [
            sys.executable,
            "-m",
            "ansible",
            "playbook",
            "-i",
            str(tmp_path / "hosts.yml"),
            str(playbook),
            *options,
        ]
        done = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        output = done.stdout + done.stderr
        recap = re.search(r"^web1 +: (.*)$", done.stdout, re.MULTILINE)
        assert recap, output
        counts = dict(part.split("=") for part in recap[1].split())
        return Run(done.returncode, re.sub(r"\s+", " ", output), {name: int(count) for name, count in counts.items()})

    return run


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """The source of an application, beside the inventory."""
    root = tmp_path / "shop"
    root.mkdir()
    (root / "shop.py").write_text("app = 1\n")
    (root / "notes.md").write_text("")
    (root / "requirements.txt").write_text("gunicorn\n")
    return root


APP = {"name": "shop", "source": "shop", "wsgi": "shop:app", "domains": ["shop.example.com"]}


# --- validation ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variables", [{}, {"gunicorn_timeout": "soon"}], ids=["none", "of another role"])
def test_a_role_does_not_validate_what_follows_from_the_application(
    play: Play, source: Path, variables: dict[str, t.Any]
) -> None:
    run = play("deploy.yml", CLOSED, flask_apps=[APP], **variables)
    assert "Bring the code of shop" in run.output
    assert "Validating arguments" not in run.output
    assert run.recap["unreachable"] == 1


def test_a_role_validates_what_somebody_sets(play: Play, source: Path) -> None:
    run = play("deploy.yml", CLOSED, flask_apps=[APP], release_lock_wait="soon")
    assert run.recap["unreachable"] == 0
    assert "argument 'release_lock_wait' is of type str and we were unable to convert to int" in run.output


def test_a_bad_definition_is_refused_before_any_host_is_touched(play: Play, source: Path) -> None:
    apps = [
        {**APP, "domians": [], "timeout": 4000, "wsgi": "shop:application", "env": {"TOKEN": True}},
        {**APP, "name": "desk", "timeout": 4000, "domains": ["desk.example"]},
        {**APP, "name": "desk_2", "domains": ["desk.example"]},
    ]
    run = play("site.yml", CLOSED, flask_apps=apps)
    assert run.code != 0
    assert (run.recap["failed"], run.recap["unreachable"], run.recap["ok"]) == (1, 0, 0)
    for said in (
        "Nothing was changed. flask_apps has 5 problem(s):\\n- shop: domians",
        '"problems": ["shop: domians: unknown key',
        "shop: domians: unknown key; did you mean domains?",
        "shop: timeout: 4000 is not accepted: whole seconds from 1 to 3600",
        "desk: timeout: 4000 is not accepted: whole seconds from 1 to 3600",
        "desk_2: name: 'desk_2' is not accepted: 1 to 31 characters",
        "desk_2: domains: 'desk.example' belongs to desk already",
    ):
        assert said in run.output


class Vaulted(str):
    """A string that ansible-vault has encrypted."""


yaml.SafeDumper.add_representer(Vaulted, lambda dumper, text: dumper.represent_scalar("!vault", str(text), "|"))


def test_a_good_definition_goes_on_to_the_host(play: Play, source: Path, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("correct horse\n")
    vault = VaultLib([("default", VaultSecret(b"correct horse"))])
    environment = {"TOKEN": Vaulted(vault.encrypt("s3cret").decode()), "POOL": "{{ 2 + 3 }}"}
    app = {**APP, "env": environment, "workers": "{{ 2 }}", "graceful_timeout": 10}
    run = play("site.yml", CLOSED, "--vault-password-file", str(tmp_path / "password"), flask_apps=[app])
    assert (run.recap["failed"], run.recap["unreachable"]) == (0, 1)
    assert "Nothing was changed" not in run.output
    assert "[WARNING]: shop: graceful_timeout: 10 s is less than the 30 s that a request may take" in run.output


@pytest.mark.parametrize("playbook", ["site.yml", "deploy.yml", "rollback.yml", "status.yml"])
@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("flask_lock_wait=soon", "flask_lock_wait: soon is not accepted: whole seconds. Nothing was changed."),
        ("flask_root=/srv/100%", "flask_root: '/srv/100%' is not accepted: an absolute path"),
        ("flask_root=apps", "flask_root: 'apps' is not accepted: an absolute path"),
        ("flask_only=shpo", "flask_only: shpo is no application of flask_apps; there are shop. Nothing was changed."),
        ("nginx_port=80", "nginx_port: '80' is not accepted: a number from 1024 to 65535. Nothing was changed."),
    ],
)
def test_options_of_the_command_line_are_refused_without_the_host(
    play: Play, source: Path, playbook: str, option: str, said: str
) -> None:
    run = play(playbook, CLOSED, "-e", option, flask_apps=[APP])
    assert (run.recap["failed"], run.recap["unreachable"]) == (1, 0)
    assert said in run.output


def test_a_rollback_asks_nothing_of_the_other_applications(play: Play) -> None:
    """Nor of any source."""
    apps = [APP, {"name": 7, "domains": 5}]
    run = play("rollback.yml", CLOSED, "-e", "flask_only=shop", flask_apps=apps)
    assert (run.recap["failed"], run.recap["unreachable"]) == (0, 1), run.output
    run = play("rollback.yml", CLOSED, "-e", "flask_only=desk", flask_apps=apps)
    assert (run.recap["failed"], run.recap["unreachable"]) == (1, 0)
    assert "flask_only: desk is no application of flask_apps; there are shop, 7. Nothing was changed." in run.output


@pytest.mark.parametrize("playbook", ["site.yml", "deploy.yml", "rollback.yml", "status.yml"])
def test_no_definition_is_refused(play: Play, playbook: str) -> None:
    run = play(playbook, CLOSED, "--check")
    assert (run.recap["failed"], run.recap["unreachable"]) == (1, 0)
    assert "flask_apps: nothing was given; accepted is a list of dictionaries" in run.output


def test_the_names_to_remove_are_validated(play: Play) -> None:
    run = play("remove.yml", CLOSED, "-e", "flask_remove=shop,../etc")
    assert (run.recap["failed"], run.recap["unreachable"]) == (1, 0)
    assert "name: '../etc' is not accepted" in run.output


def test_a_name_to_remove_is_needed(play: Play) -> None:
    run = play("remove.yml", CLOSED)
    assert (run.recap["failed"], run.recap["unreachable"]) == (1, 0)
    assert "flask_remove is not set: name the application to remove" in run.output


# --- the controller's side of the modules -------------------------------------------------------------------------


def test_what_is_wrong_on_the_controller_is_told_without_the_host(play: Play, source: Path) -> None:
    refused: list[dict[str, t.Any]] = [
        {"wsgiops.flask.release_info": {"name": "shop", "source": "no-such"}},
        {"wsgiops.flask.venv": {"name": "shop", "source": "shop", "requirements": "lock.txt"}},
        {"wsgiops.flask.release": {"name": "shop", "code": "c", "venv": "v", "environment": {"TOKEN": True}}},
        {"wsgiops.flask.release": {"name": "shop", "code": "c", "venv": "v", "environment": ["TOKEN"]}},
        {"wsgiops.flask.release": {"name": "shop", "code": "c", "venv": "v", "secrets": {"KEY": True}}},
        {"wsgiops.flask.release": {"name": "shop", "code": "c", "venv": "v", "secrets": {"PIN": None}}},
        {"wsgiops.flask.release": {"name": "shop", "code": "c", "venv": "v", "secrets": "KEY=s3cret"}},
    ]
    variables = {"environment": {"TOKEN": 5}, "secrets": {"PIN": 1.5}}
    reaches = {"wsgiops.flask.release": {"name": "shop", "code": "c", "venv": "v", **variables}}
    run = play([*({**task, "ignore_errors": True} for task in refused), reaches], CLOSED)
    assert (run.recap["ignored"], run.recap["failed"], run.recap["unreachable"]) == (len(refused), 0, 1)
    for said in (
        f"shop: source: the source '{source.parent}/no-such' cannot be listed: No such file or directory",
        "shop: the requirements file 'lock.txt' is not there",
        "shop: environment: TOKEN is a boolean; accepted are strings and numbers",
        "shop: environment: accepted is a dictionary of strings and numbers",
        "shop: secrets: KEY is a boolean; accepted are strings and numbers",
        "shop: secrets: PIN is empty; accepted are strings and numbers",
        "shop: secrets: accepted is a dictionary of strings and numbers",
    ):
        assert said in run.output
    errors = [error.partition("Origin:")[0] for error in run.output.split("[ERROR]")]
    assert not any("s3cret" in error for error in errors)


def test_the_modules_get_what_the_controller_computed(play: Play, source: Path, tmp_path: Path) -> None:
    name, root = "no-such-app-here", str(tmp_path / "opt")
    common = {"name": name, "root": root, "source": "shop", "exclude": ["*.md"]}
    tasks: list[dict[str, t.Any]] = [
        {"wsgiops.flask.release_info": common, "register": "info"},
        {"wsgiops.flask.venv": {**common, "python": sys.executable}, "register": "venv"},
        {"wsgiops.flask.release_stage": {**common, "code": "{{ info.code }}"}, "register": "stage"},
        {"ansible.builtin.debug": {"msg": "found={{ [info, venv, stage] | to_json }}=end"}},
    ]
    run = play(tasks, LOCAL, "--check")
    assert run.code == 0, run.output
    found = re.search(r"found=(.*?)=end", run.output)
    assert found
    info, venv, stage = json.loads(json.loads(f'"{found[1]}"'))

    entries = list_source(source, ["*.md"])
    assert {entry.path for entry in entries} == {"shop.py", "requirements.txt"}
    assert info["code"] == tree_digest(entries)
    assert (info["staged"], info["user_exists"], info["release"]) == (False, False, None)
    identity = interpreter_identity(sys.executable)
    assert venv["key"] == venv_key(identity, {"requirements.txt": "gunicorn\n"}, "requirements.txt")
    assert venv["changed"]
    assert (stage["changed"], stage["code"]) == (True, info["code"])
    assert not os.path.exists(root)


def test_variables_reach_the_module_and_no_eye(play: Play, tmp_path: Path) -> None:
    """Masked as one text: a "1" that was masked on its own would punch holes into everything else that is shown."""
    files = {"gunicorn.conf.py": "workers = 1\n"}
    release = {
        "name": "no-such-app-here",
        "root": str(tmp_path / "opt"),
        "code": "c",
        "venv": "v",
        "files": files,
        "service": "cron",
    }
    variables = {"environment": {"DEBUG": 1, "TOKEN": "s3cret-of-the-shop"}, "secrets": {"PIN": 1.5, "KEY": "s3cret"}}
    run = play([{"wsgiops.flask.release": {**release, **variables}}], LOCAL, "--check", "--diff", "-vvv")
    assert run.code == 0, run.output
    texts = {"DEBUG": "1", "TOKEN": "s3cret-of-the-shop"}, {"PIN": "1.5", "KEY": "s3cret"}
    parts = Parts("no-such-app-here", "c", "v", files, {}, *texts)
    assert f'"release": "{parts.release_id()}"' in run.output
    assert "s3cret" not in run.output
    assert "workers = 1" in run.output
    for name in ("DEBUG", "TOKEN", "PIN", "KEY"):
        assert f"{name} (new value)" in run.output


def test_staging_sends_the_source_in_one_archive(play: Play, source: Path, tmp_path: Path) -> None:
    """Looked at on its way: that the module refuses a digest that was made up is shown elsewhere."""
    interpreter = tmp_path / "python"
    interpreter.write_text(f'#!/bin/sh\ncp {tmp_path}/remote/*/*.tar.gz {tmp_path}/\nexec {sys.executable} "$@"\n')
    interpreter.chmod(0o755)
    stage = {"name": "shop", "root": str(tmp_path / "opt"), "source": "shop", "exclude": ["*.md"], "code": "0" * 16}
    run = play([{"wsgiops.flask.release_stage": stage}], {**LOCAL, "ansible_python_interpreter": str(interpreter)})
    assert (run.recap["failed"], run.recap["unreachable"]) == (1, 0)
    assert "shop: staging the code failed: " in run.output
    [arrived] = tmp_path.glob("*.tar.gz")
    with tarfile.open(arrived) as archive:
        assert archive.getnames() == ["requirements.txt", "shop.py"]
    assert list((tmp_path / "remote").rglob("*.tar.gz")) == []


def drift(apps: list[dict[str, t.Any]], **facts: str) -> list[dict[str, t.Any]]:
    """Tasks that compare a host; facts keep it from being asked what it is."""
    roles = ("release", "venv", "gunicorn", "nginx", "logrotate")
    imports = [{"import_role": {"name": f"wsgiops.flask.{role}", "tasks_from": "variables"}} for role in roles]
    known: list[dict[str, t.Any]] = [{"set_fact": {**facts, "cacheable": True}}] if facts else []
    found = {"debug": {"msg": "found={{ drift | to_json }}=end"}}
    return [*imports, *known, {"wsgiops.flask.drift": {"applications": apps}, "register": "drift"}, found]


def result_of(run: Run) -> dict[str, t.Any]:
    found = re.search(r"found=(.*?)=end", run.output)
    assert found, run.output
    return t.cast("dict[str, t.Any]", json.loads(json.loads(f'"{found[1]}"')))


FACTS = {
    "distribution": "Debian",
    "distribution_version": "12",
    "distribution_major_version": "12",
    "os_family": "Debian",
    "service_mgr": "systemd",
}


def test_a_host_that_has_nothing_differs_in_all(play: Play, source: Path, tmp_path: Path) -> None:
    app = {**APP, "name": "no-such-app-here"}
    run = play(drift([app], **FACTS), LOCAL, flask_apps=[app], flask_root=str(tmp_path / "opt"))
    assert (run.recap["failed"], run.recap["changed"]) == (0, 0), run.output
    differences = result_of(run)["differences"]
    assert set(differences) == {"host", "no-such-app-here release", "no-such-app-here site"}
    assert differences["host"].startswith("packages: ")
    assert differences["no-such-app-here release"] == "release_info: there is no user"
    assert "/etc/nginx/conf.d/no-such-app-here.conf" in differences["no-such-app-here site"]


def test_what_a_host_has_does_not_differ(play: Play, source: Path, tmp_path: Path) -> None:
    """Logs that go to the journal need no file, and there is none."""
    app = {**APP, "name": "no-such-app-here", "logs": {"to": "files"}}
    run = play(drift([app], **FACTS), LOCAL, flask_apps=[app], flask_root=str(tmp_path / "opt"))
    assert "/etc/logrotate.d/no-such-app-here" in result_of(run)["differences"]["no-such-app-here logs"]


@pytest.mark.parametrize(("keys", "part", "said"), [
    ({"confirm": 60}, "release", "it may be waiting to be confirmed"),
    ({"source": "no-such"}, "release", "no-such' cannot be listed: No such file or directory"),
    ({}, "site", "The lookup plugin 'ansible.builtin.template' failed"),
    ({"env": {"TOKEN": True}}, "release", "environment: TOKEN is a boolean"),
])  # fmt: skip
def test_what_cannot_be_compared_differs(
    play: Play, source: Path, tmp_path: Path, keys: dict[str, t.Any], part: str, said: str
) -> None:
    app = {**APP, **keys}
    variables = {"flask_apps": [app], "flask_root": str(tmp_path / "opt"), "nginx_site_template": "no-such.j2"}
    run = play(drift([app], **FACTS), LOCAL, **variables)
    assert said in result_of(run)["differences"][f"shop {part}"]


@pytest.mark.parametrize(("service_mgr", "of_second", "times"), [
    ("systemd", {}, 1),
    ("systemd", {"of_nobody": "another"}, 1),
    ("systemd", {"nginx_retry_after": 7}, 2),
    # Cron renews at another time on each host.
    ("service", {}, 2),
])  # fmt: skip
def test_what_two_hosts_have_in_common_is_found_out_once(
    play: Play, source: Path, tmp_path: Path, service_mgr: str, of_second: dict[str, t.Any], times: int
) -> None:
    """Told by the site's template, which is looked for when it is found out."""
    app = {**APP, "name": "no-such-app-here", "tls": {"mode": "self_signed"}}
    variables = {"flask_apps": [app], "flask_root": str(tmp_path / "opt"), "of_nobody": "one"}
    tasks = drift([app], **{**FACTS, "service_mgr": service_mgr})
    run = play(tasks, LOCAL, "-vvvv", second=of_second, **variables)
    assert run.recap["failed"] == 0, run.output
    assert run.output.count("templates/site.conf.j2 as file") == times
    assert len(re.findall(r"found=.*?no-such-app-here release.*?=end", run.output)) == 2


def test_what_json_cannot_hold_each_host_finds_out_by_itself(play: Play, source: Path, tmp_path: Path) -> None:
    app = {**APP, "name": "no-such-app-here", "env": {1: "a", "B": "c"}}
    run = play(drift([app], **FACTS), LOCAL, second={}, flask_apps=[APP], flask_root=str(tmp_path / "opt"))
    assert run.recap["failed"] == 0, run.output
    assert "/etc/nginx/conf.d/no-such-app-here.conf" in result_of(run)["differences"]["no-such-app-here site"]


def test_a_template_of_ones_own_sees_all_variables(play: Play, source: Path, tmp_path: Path) -> None:
    """Those too that only a file has which it includes."""
    (tmp_path / "own.j2").write_text("{% include 'part.j2' %}")
    (tmp_path / "part.j2").write_text("{{ of_the_user }}")
    app = {**APP, "name": "no-such-app-here"}
    variables = {"flask_apps": [app], "flask_root": str(tmp_path / "opt"), "of_the_user": "seen"}
    run = play(drift([app], **FACTS), LOCAL, **variables, nginx_site_template=str(tmp_path / "own.j2"))
    assert "/etc/nginx/conf.d/no-such-app-here.conf" in result_of(run)["differences"]["no-such-app-here site"]


def test_what_a_user_has_without_root_is_not_compared(play: Play, source: Path) -> None:
    run = play(drift([APP], **FACTS), CLOSED, flask_apps=[APP], flask_become=False)
    assert set(result_of(run)["differences"].values()) == {"what a user has is looked at by itself"}
    assert set(result_of(run)["differences"]) == {"host", "shop release", "shop site", "shop logs"}


def test_a_host_without_systemd_is_compared_by_what_cron_needs(play: Play, source: Path, tmp_path: Path) -> None:
    facts = {**FACTS, "service_mgr": "service"}
    app = {**APP, "name": "no-such-app-here", "logs": {"to": "files"}}
    run = play(drift([app], **facts), LOCAL, flask_apps=[app], flask_root=str(tmp_path / "opt"))
    differences = result_of(run)["differences"]
    assert set(differences) == {"host", *(f"no-such-app-here {part}" for part in ("release", "site", "logs"))}
    assert "systemd" not in str(differences)


@pytest.mark.parametrize(("facts", "keys", "said"), [
    ({"os_family": "RedHat", "distribution": "Fedora"}, {}, "web1 is Fedora 12; needed is a Debian-like system."),
    ({"service_mgr": "service"}, {"service": "systemd"}, "shop: service: 'systemd' is not accepted: systemd"),
])  # fmt: skip
def test_nothing_is_changed_on_a_host_that_cannot_be_served(
    play: Play, source: Path, repository: Path, tmp_path: Path, facts: dict[str, str], keys: dict[str, t.Any], said: str
) -> None:
    app = {**APP, **keys}
    change = {
        "include_tasks": str(repository / "playbooks" / "tasks" / "change.yml"),
        "vars": {"__present": [app], "__absent": [], "__drift": "{{ drift }}"},
    }
    tasks = [*drift([app], **{**FACTS, **facts}), change]
    run = play(tasks, LOCAL, "--check", flask_apps=[app], flask_root=str(tmp_path / "opt"))
    assert result_of(run)["differences"]
    assert (run.recap["failed"], run.recap["changed"]) == (1, 0)
    assert said in run.output
    assert "Nothing was changed." in run.output


def test_a_comparison_tells_what_the_host_is(play: Play, source: Path, tmp_path: Path) -> None:
    run = play(drift([APP]), LOCAL, flask_apps=[APP], flask_root=str(tmp_path / "opt"))
    assert result_of(run)["ansible_facts"]["os_family"] == "Debian"


def test_a_comparison_shows_no_secret(play: Play, source: Path, tmp_path: Path) -> None:
    app = {**APP, "env": {"DEBUG": 1}, "secrets": {"KEY": "s3cret-of-the-shop"}}
    tasks = drift(["{{ flask_apps | first }}"], **FACTS)  # type: ignore[list-item]
    run = play(tasks, LOCAL, "-vvv", flask_apps=[app], flask_root=str(tmp_path / "opt"))
    assert "shop release" in result_of(run)["differences"]
    assert "s3cret" not in run.output


def staging(**options: str) -> list[dict[str, t.Any]]:
    return [{"wsgiops.flask.release_stage": {"name": "shop", "source": "shop", "code": "0" * 16, **options}}]


def test_staging_leaves_nothing_behind_on_the_host(play: Play, source: Path, tmp_path: Path) -> None:
    run = play(staging(name="no-such-group", root=str(tmp_path / "opt")), LOCAL)
    assert run.recap["failed"] == 1
    assert list((tmp_path / "remote").iterdir()) == []


def test_a_check_of_staging_does_not_touch_the_host(play: Play, source: Path) -> None:
    run = play(staging(), CLOSED, "--check")
    assert (run.recap["changed"], run.recap["unreachable"]) == (1, 0)


def test_staging_refuses_a_bad_source_without_the_host(play: Play, source: Path) -> None:
    (source / "link").symlink_to("/etc/passwd")
    run = play(staging(), CLOSED)
    assert (run.recap["failed"], run.recap["unreachable"]) == (1, 0)
