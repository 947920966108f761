"""A look at a test host through testinfra's connection."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
from dataclasses import dataclass
from typing import Any

import testinfra

from hostlab import controller, places, service, traffic


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
    def places(self) -> places.Places:
        return places.of_the_system(self.name)

    def named(self, name: str) -> AppOnHost:
        """Another application there."""
        return dataclasses.replace(self, name=name)

    def as_its_keeper(self) -> contextlib.AbstractContextManager[Any]:
        """Whoever commands run as: root."""
        return self.host.sudo()

    @property
    def inventory_name(self) -> str:
        return self.host.backend.get_pytest_id().removeprefix("ansible://")

    @property
    def address(self) -> str:
        return self.host.ansible.get_variables()["ansible_host"]

    def get(self, path: str, method: str = "GET") -> traffic.Answer:
        """One request through nginx under the application's first domain."""
        return traffic.get(self.address, path, f"{self.name}.example.com", method=method)

    def serves(self, status: int = 200) -> bool:
        """Whether its route /health is answered, and like that."""
        try:
            return self.get("/health").status == status
        except OSError:
            return False

    def traffic(self, path: str, **options: Any) -> contextlib.AbstractContextManager[traffic.Traffic]:
        """Requests like that at a steady rate."""
        return traffic.traffic(self.address, path, f"{self.name}.example.com", **options)

    @functools.cached_property
    def manager(self) -> service.Service:
        """What runs it on this host."""
        systemd = self.host.file("/run/systemd/system").exists
        return service.Systemd(self) if systemd else service.Cron(self)

    def run(self, command: str, *arguments: str) -> str:
        """Run a command as root and return its output; a failure fails the test with the last of the log."""
        with self.as_its_keeper():
            done = self.host.run(command, *arguments)
        assert done.rc == 0, f"{command}: {done.stderr or done.stdout}\n{self.manager.log()}"
        return done.stdout.strip()

    def as_root(self, script: str, *arguments: str) -> str:
        """Have the host's administrator run a script of the shell, without SSH."""
        return controller.test_host("exec", self.inventory_name, "sh", "-c", script, "sh", *arguments)

    def said(self, command: str, *arguments: str) -> str:
        """What a command wrote as root, whether it failed or not."""
        with self.as_its_keeper():
            return self.host.run(command, *arguments).stdout.strip()

    @property
    def release(self) -> str:
        return self.run("readlink %s", f"{self.places.home}/current").rsplit("/", 1)[-1]

    @property
    def service(self) -> str:
        """The unit, where systemd runs it."""
        return f"{self.name}@{self.release}.service"

    @property
    def socket(self) -> str:
        return f"{self.places.run}/{self.release}.sock"

    @property
    def sockets(self) -> list[str]:
        """Names of the releases that have a socket."""
        return sorted(self.said("sh -c %s", f"cd {self.places.run} && ls | sed -n 's/[.]sock$//p'").split())

    @property
    def master(self) -> int:
        return self.manager.main_pid(self.release)

    @property
    def workers(self) -> list[int]:
        return [int(pid) for pid in self.run("pgrep --parent %s", str(self.master)).split()]

    def assert_alone(self) -> None:
        """One release, which answers and starts at boot, and nothing of any other."""
        release = self.get("/whoami").json()["release"]
        assert release == self.release
        assert self.manager.there() == {release}
        assert self.sockets == [release]
        self.manager.assert_starts_at_boot(release)
        assert self.history()[-1]["release"] == release

    def history(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.run("cat %s", f"{self.places.home}/history.jsonl").splitlines()]


@dataclass(frozen=True)
class AppOfAUser(AppOnHost):
    """An application that an ordinary user has without root, who is the one that looks at it.

    :param door: address and port at which clients reach it.
    """

    door: tuple[str, int]
    user: str = "deploy"

    @property
    def places(self) -> places.Places:
        return places.of_a_user(self.name, self.user)

    def as_its_keeper(self) -> contextlib.AbstractContextManager[Any]:
        """Whoever commands run as: the user who logged in."""
        return contextlib.nullcontext()

    @functools.cached_property
    def manager(self) -> service.Service:
        """Cron, also where systemd runs the host, which obeys root alone."""
        return service.Cron(self)

    def get(self, path: str, method: str = "GET") -> traffic.Answer:
        """One request through the door."""
        address, port = self.door
        return traffic.get(address, path, f"{self.name}.example.com", method=method, port=port)

    def traffic(self, path: str, **options: Any) -> contextlib.AbstractContextManager[traffic.Traffic]:
        address, port = self.door
        return traffic.traffic(address, path, f"{self.name}.example.com", port=port, **options)


# Of the nginx that a user has for itself: nginx_port.
USERS_PORT = 8080


def app_on(inventory_name: str, name: str) -> AppOnHost:
    """An application on a host of the scenario: root's, or where nobody becomes root that of who logs in."""
    host = connect(inventory_name)
    variables = host.ansible.get_variables()
    if variables.get("flask_become", True):
        return AppOnHost(host, name)
    return AppOfAUser(host, name, (variables["ansible_host"], USERS_PORT))
