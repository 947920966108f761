"""An application with a source of its own, which a test changes and sends down the road on the scenario's hosts."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hostlab import controller

SOURCE = controller.CHECKOUT / "app"


def copy_of_the_app(directory: Path) -> Path:
    """The reference application, to be changed."""
    return Path(shutil.copytree(SOURCE, directory, ignore=shutil.ignore_patterns("__pycache__")))


@dataclass
class Deployment:
    """One application on some hosts.

    :param app: its entry of ``flask_apps``; ``source`` is a copy of the reference application.
    :param hosts: names of the inventory.
    :param directory: where this test may write.
    """

    app: dict[str, Any]
    hosts: Sequence[str]
    directory: Path
    changes: int = field(default=0, init=False)
    _deployed: dict[str, Any] | None = field(default=None, init=False)

    @property
    def source(self) -> Path:
        return Path(self.app["source"])

    def add(self, line: str, file: str = "reference/__init__.py") -> None:
        """Append a line to a file of the source."""
        with (self.source / file).open("a") as opened:
            opened.write(f"\n{line}\n")

    def change(self) -> None:
        """Make the source another one that does the same."""
        self.changes += 1
        self.add(f"CHANGED = {self.changes}")

    def renew(self) -> None:
        """Take back what the test did to the source."""
        shutil.rmtree(self.source)
        copy_of_the_app(self.source)

    def arguments(self, keys: dict[str, Any]) -> list[str]:
        """Arguments of ansible-playbook for this application with some keys changed."""
        self.directory.mkdir(parents=True, exist_ok=True)
        chosen = self.directory / f"apps-{len(list(self.directory.iterdir()))}.json"
        chosen.write_text(json.dumps({"flask_apps": [{**self.app, **keys}]}))
        return ["-v", "--limit", ",".join(self.hosts), "-e", f"@{chosen}"]

    def deploy(self, *arguments: str, check: bool = True, **keys: Any) -> controller.Run:
        """Run the playbook ``deploy``."""
        return self._run("playbooks/deploy.yml", keys, arguments, check)

    def have(self, **keys: Any) -> None:
        """Deploy, unless the last run did just that; for tests that leave the source as it is."""
        if self._deployed != keys:
            self.deploy(**keys)

    def site(self, *arguments: str, check: bool = True, **keys: Any) -> controller.Run:
        """Run the playbook ``site``."""
        return self._run("site.yml", keys, arguments, check)

    def serve(self, **keys: Any) -> None:
        """Run the playbook ``site``, unless the last run did just that; for tests that leave the source as it is."""
        if self._deployed != keys:
            self.site(**keys)

    def rollback(self, *arguments: str, check: bool = True, **keys: Any) -> controller.Run:
        """Run the playbook ``rollback``."""
        self._deployed = None
        return controller.playbook(*self.arguments(keys), *arguments, name="playbooks/rollback.yml", check=check)

    def status(self, *arguments: str, check: bool = True) -> controller.Run:
        """Run the playbook ``status``."""
        return controller.playbook(*self.arguments({}), *arguments, name="playbooks/status.yml", check=check)

    def _run(self, name: str, keys: dict[str, Any], arguments: Sequence[str], check: bool) -> controller.Run:
        self._deployed = None
        run = controller.playbook(*self.arguments(keys), *arguments, name=name, check=check)
        if run.status == 0 and not arguments:
            self._deployed = keys
        return run
