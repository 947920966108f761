"""A look at a test host through testinfra's connection."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import testinfra

from hostlab import controller, traffic


def connect(name: str) -> Any:
    """testinfra's view of a host of the scenario, for tests that look at several."""
    return testinfra.get_host(f"ansible://{name}?ansible_inventory={controller.inventory()}")


@dataclass(frozen=True)
class AppOnHost:
    """An application as one test host has it.

    :param host: testinfra's host.
    :param name: the application.
    """

    host: Any
    name: str

    @property
    def inventory_name(self) -> str:
        return self.host.backend.get_pytest_id().removeprefix("ansible://")

    @property
    def address(self) -> str:
        return self.host.ansible.get_variables()["ansible_host"]

    def get(self, path: str) -> traffic.Answer:
        """One GET through nginx under the application's first domain."""
        return traffic.get(self.address, path, f"{self.name}.example.com")

    def run(self, command: str, *arguments: str) -> str:
        """Run a command as root and return its output; a failure fails the test with the service's journal."""
        with self.host.sudo():
            done = self.host.run(command, *arguments)
        assert done.rc == 0, f"{command}: {done.stderr or done.stdout}\n{self.journal()}"
        return done.stdout.strip()

    def journal(self) -> str:
        with self.host.sudo():
            return self.host.run("journalctl --no-pager --lines=30 --unit=%s", f"{self.name}@*").stdout

    @property
    def release(self) -> str:
        return self.run("readlink %s", f"/opt/{self.name}/current").rsplit("/", 1)[-1]

    @property
    def service(self) -> str:
        return f"{self.name}@{self.release}.service"

    @property
    def socket(self) -> str:
        return f"/run/{self.name}/{self.release}.sock"

    @property
    def master(self) -> int:
        return int(self.run("systemctl show --property=MainPID --value %s", self.service))

    @property
    def workers(self) -> list[int]:
        return [int(pid) for pid in self.run("pgrep --parent %s", str(self.master)).split()]

    def history(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.run("cat %s", f"/opt/{self.name}/history.jsonl").splitlines()]
