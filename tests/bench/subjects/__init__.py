"""Ways to put the same application on a host, each with the same five runs."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import re
import tarfile
from collections.abc import Sequence
from pathlib import Path

from hostlab import controller
from hostlab.deployment import copy_of_the_app

from bench.lab import DOMAIN, SUBJECTS, Lab, Timing, timed

# Releases of one dependency, by turns, with the hashes of their wheels: a change of the lock.
CLICK = {
    "8.3.0": "9b9f285302c6e3064f4330c05f05b81945b2a39544279343e6e7c5f27a9baddc",
    "8.3.1": "981153a64e25f12d547d3426c367a4857371575ee7ad18df2a6183ab0545b2a6",
}

# What of the lock is for the worker class gevent alone, which no fleet and no ten applications have here.
OF_GEVENT = ("gevent", "greenlet", "zope-event", "zope-interface", "cffi", "pycparser")

# Where the tutorial's repository is on its host.
REPOSITORY = "/srv/shop.git"

FIRST, UNCHANGED, CODE, DEPENDENCY, ROLLBACK = "first", "unchanged", "code", "dependency", "rollback"
ACTIONS = {
    FIRST: "first run on a virgin host",
    UNCHANGED: "run with nothing to do",
    CODE: "another code",
    DEPENDENCY: "another dependency",
    ROLLBACK: "rollback",
}


class Subject:
    """One way, on some hosts, with a source of its own.

    :param applications: how many of them, all with the same source.
    """

    name = ""

    def __init__(self, lab: Lab, hosts: Sequence[str], applications: int = 1) -> None:
        self.lab = lab
        self.hosts = list(hosts)
        self.applications = applications
        # That of an earlier part, where there was one.
        source = lab.directory / f"{self.name}-{'-'.join(hosts)}-{applications}"
        self.source = source if source.exists() else copy_of_the_app(source)
        self._changes = 0

    def change_code(self) -> None:
        self._changes += 1
        with (self.source / "reference" / "__init__.py").open("a") as module:
            module.write(f"\nCHANGED = {self._changes}\n")

    def change_dependency(self) -> None:
        """Another release of one, in a lock as there was none before: the environment of one would be used again."""
        self._changes += 1
        lock = self.source / "requirements.txt"
        text = lock.read_text()
        found = re.search(r"^click==([\d.]+)(?: \\\n +--hash=\S+)+", text, re.MULTILINE)
        assert found, "there is no click in the lock"
        version, digest = next((version, digest) for version, digest in CLICK.items() if version != found[1])
        changed = text.replace(found[0], f"click=={version} \\\n    --hash=sha256:{digest}")
        lock.write_text(f"{changed}# {self._changes}\n")

    def leave_out_gevent(self) -> None:
        lock = self.source / "requirements.txt"
        locked = re.compile(rf"^(?:{'|'.join(OF_GEVENT)})==.*\n(?:[ \t].*\n)*", re.MULTILINE)
        lock.write_text(locked.sub("", lock.read_text()))

    def prepare(self, action: str) -> None:
        """What happened before the run, which is not timed."""
        if action == CODE:
            self.change_code()
        elif action == DEPENDENCY:
            self.change_dependency()
        elif action == ROLLBACK:
            # One rollback after the other goes further back each time.
            self.measure(CODE)

    def measure(self, action: str) -> Timing:
        self.prepare(action)
        return self.act(action)

    def act(self, action: str) -> Timing:
        raise NotImplementedError


class ByPlaybook(Subject):
    """What ansible-playbook runs."""

    def arguments(self, action: str) -> list[str]:
        raise NotImplementedError

    def act(self, action: str) -> Timing:
        log = self.lab.directory / "ansible.log"
        log.unlink(missing_ok=True)
        found = timed(["ansible-playbook", *self.arguments(action)], env=self._environment(log))
        executions = re.findall(r"\| <[^>]+> SSH: EXEC ", log.read_text())
        return dataclasses.replace(found, remote_executions=len(executions))

    def _environment(self, log: Path) -> dict[str, str]:
        # As somebody has it who installed the collection: an ansible.cfg without settings.
        configuration = self.lab.directory / "ansible.cfg"
        configuration.touch()
        settings = {
            "ANSIBLE_COLLECTIONS_PATH": str(controller.CHECKOUT / ".collections"),
            "ANSIBLE_CONFIG": str(configuration),
            "ANSIBLE_FORKS": "20",
            "ANSIBLE_HOST_KEY_CHECKING": "false",
            "ANSIBLE_LOG_PATH": str(log),
            "ANSIBLE_LOG_VERBOSITY": "3",
            "ANSIBLE_NOCOLOR": "true",
        }
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
        return kept | settings


class Collection(ByPlaybook):
    """This collection."""

    name = "wsgiops.flask"

    def __init__(self, lab: Lab, hosts: Sequence[str], applications: int = 1, **keys: object) -> None:
        super().__init__(lab, hosts, applications)
        self.keys = keys

    def arguments(self, action: str) -> list[str]:
        playbook = {FIRST: "site", UNCHANGED: "site", ROLLBACK: "rollback"}.get(action, "deploy")
        return [f"wsgiops.flask.{playbook}", "-i", str(self.lab.inventory(self.hosts)), "-e", f"@{self._variables()}"]

    def _variables(self) -> Path:
        first = {"name": "shop", "source": str(self.source), "wsgi": "wsgi:app", "domains": [DOMAIN], **self.keys}
        others = [
            {**first, "name": f"shop-{number}", "domains": [f"shop-{number}.example.com"]}
            for number in range(2, self.applications + 1)
        ]
        path = self.lab.directory / f"{self.source.name}.json"
        path.write_text(json.dumps({"flask_apps": [first, *others]}))
        return path


class Tutorial(ByPlaybook):
    """The playbook that tutorials have."""

    name = "tutorial"

    def arguments(self, action: str) -> list[str]:
        inventory = str(self.lab.inventory(self.hosts))
        return [str(SUBJECTS / "tutorial" / "site.yml"), "-i", inventory, "-e", f"repository={REPOSITORY}"]

    def prepare(self, action: str) -> None:
        """The repository is on the host itself, the nearest that one can be."""
        super().prepare(action)
        git = ["git", "-c", "user.name=bench", "-c", "user.email=bench@localhost", "-C", str(self.source)]
        if not (self.source / ".git").exists():
            timed([*git, "init", "--quiet", "--initial-branch=main"])
        timed([*git, "add", "--all"])
        timed([*git, "commit", "--quiet", "--allow-empty", "--message=Another state"])
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as archive:
            archive.add(self.source / ".git", ".")
        unpack = f"rm -rf {REPOSITORY} && mkdir -p {REPOSITORY} && tar -xzf - --no-same-owner -C {REPOSITORY}"
        for host in self.hosts:
            timed([*self.lab.ssh(host), unpack], stdin=packed.getvalue())


class Floor(Subject):
    """A shell script over one SSH connection."""

    name = "shell script"

    def act(self, action: str) -> Timing:
        script = (SUBJECTS / "floor.sh").read_text()
        command = "rollback" if action == ROLLBACK else "deploy"
        # The script as an argument: what follows on stdin is the code.
        quoted = script.replace("'", "'\\''")
        return timed([*self.lab.ssh(self.hosts[0]), f"bash -c '{quoted}' floor {command}"], stdin=self._archive())

    def _archive(self) -> bytes:
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as archive:
            for path in sorted(self.source.rglob("*")):
                if not {"__pycache__", ".git"} & set(path.parts):
                    archive.add(path, path.relative_to(self.source), recursive=False)
        return packed.getvalue()
