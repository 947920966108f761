# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import grp
import json
import os
import pwd
import signal
import typing as t
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
from ansible.module_utils.common import warnings
from ansible.module_utils.testing import patch_module_args

from ansible_collections.wsgiops.flask.plugins.module_utils import (
    _file_set,
    _gate,
    _probe,
    _release,
    _road,
    _services,
    _undo,
)
from ansible_collections.wsgiops.flask.plugins.modules import on_host
from ansible_collections.wsgiops.flask.tests.unit.plugins.host import Accounts, Front, Host


@pytest.fixture
def accounts(monkeypatch: pytest.MonkeyPatch) -> Accounts:
    """The users root and shop, and files that anybody can give to them."""
    known = Accounts()
    monkeypatch.setattr(pwd, "getpwnam", known.getpwnam)
    monkeypatch.setattr(grp, "getgrnam", known.getgrnam)
    for name in ("chown", "lchown", "fchown", "lstat"):
        monkeypatch.setattr(os, name, getattr(known, name))
    return known


@pytest.fixture(autouse=True)
def notes(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where transactions leave their notes; what they can undo is beside it."""
    directory = tmp_path_factory.mktemp("var")
    for name in ("PENDING_DIRECTORY", "PRIVATE_PENDING_DIRECTORY"):
        monkeypatch.setattr(_file_set, name, str(directory / "run"))
    for name in ("DIRECTORY", "PRIVATE_DIRECTORY"):
        monkeypatch.setattr(_undo, name, str(directory / "state"))
    return directory / "run"


@pytest.fixture
def host(
    tmp_path_factory: pytest.TempPathFactory, accounts: Accounts, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Host]:
    """A host in a directory whose name is short: sockets in it have 107 bytes for their path. It hashes fast."""
    monkeypatch.setitem(_release.SCRYPT, "n", 2)
    monkeypatch.setattr(_probe, "WATCH", 0.02)
    monkeypatch.setattr(_services, "SYSTEMD_RUNS", "/")
    for module in (_gate, _road):
        monkeypatch.setattr(module, "PROBE_PAUSE", 0.01)
    found = Host(str(tmp_path_factory.mktemp("h")))
    yield found
    found.service.close()


@pytest.fixture
def front(host: Host) -> Iterator[Front]:
    """nginx with a site of the application."""
    os.makedirs(os.path.dirname(host.layout.nginx_site))
    Path(host.layout.nginx_site).write_text("site")
    found = Front(host.layout)
    yield found
    found.close()


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    """Puts a shell script before all other commands of its name."""
    directory = tmp_path / "commands"
    directory.mkdir()
    monkeypatch.setenv("PATH", f"{directory}{os.pathsep}{os.environ['PATH']}")

    def add(name: str, script: str) -> Path:
        path = directory / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return path

    return add


@pytest.fixture
def systemd(tmp_path: Path) -> Path:
    """What tells scripts that systemd runs the host; a test may take it away."""
    found = tmp_path / "systemd"
    found.mkdir()
    return found


@pytest.fixture
def nginx_scripts(repository: Path, tmp_path: Path, notes: Path, systemd: Path) -> Path:
    """The directory of the nginx role's scripts, for a host whose files are in ``tmp_path`` and processes our own."""
    directory = tmp_path / "scripts"
    directory.mkdir()
    here = {
        "/run/systemd/system": str(systemd),
        "=/run/nginx.pid": f"={tmp_path}/nginx.pid",
        "/etc/nginx/wsgiops-flask/_keep_nginx.sh": str(directory / "keep_nginx.sh"),
        "/etc/nginx/wsgiops-flask/_stopped": str(tmp_path / "stopped"),
        "/etc/nginx/wsgiops-flask/_undo.sh": str(directory / "undo.sh"),
        "sites=/etc/nginx/wsgiops-flask": f"sites={tmp_path}",
        "/var/lib/wsgiops.flask": str(notes.parent / "state"),
        "$HOME/.local/state/wsgiops.flask": str(notes.parent / "state"),
        "own:-/etc/nginx": f"own:-{tmp_path}",
        "/var/log/nginx": str(tmp_path),
        # No process of whoever runs the tests has this name.
        "[[:space:]]*nginx$": "[[:space:]]*wsgiops-nginx$",
    }
    for script in (repository / "roles" / "nginx" / "files").glob("*.sh"):
        text = script.read_text()
        for there, path in here.items():
            text = text.replace(there, path)
        (directory / script.name).write_text(text)
    return directory


@pytest.fixture
def hangup() -> Iterator[None]:
    """A module that runs in this process may take a hang-up for nothing; the tests and what they start do not."""
    before = signal.getsignal(signal.SIGHUP)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture
def run_module(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, hangup: None
) -> Callable[..., dict[str, t.Any]]:
    """Runs a module's main() with arguments; gives its result. Options: check_mode and diff.

    A module whose work is done by on_host goes by its name.
    """
    # A process warns once of each thing, and is one module's; here it is many's.
    monkeypatch.setattr(warnings, "_global_warnings", {})

    def run(
        module: ModuleType | str, arguments: dict[str, t.Any], check_mode: bool = False, diff: bool = False
    ) -> dict[str, t.Any]:
        if isinstance(module, str):
            module, arguments = on_host, {"task": module, "params": json.dumps(arguments)}
        internal = {"_ansible_check_mode": check_mode, "_ansible_diff": diff, "_ansible_remote_tmp": "/nonexistent"}
        capsys.readouterr()
        with patch_module_args({**arguments, **internal}), pytest.raises(SystemExit):
            module.main()
        result = json.loads(capsys.readouterr().out)
        result.pop("invocation", None)
        return result

    return run
