"""Hosts to measure on, commands that are timed, and values with their median."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from hostlab import controller

IMAGE = "debian12"
DOMAIN = "shop.example.com"
TEST_HOST = controller.CHECKOUT / "script" / "test-host"
SUBJECTS = Path(__file__).parent / "subjects"


@dataclass(frozen=True)
class Scale:
    """How much is measured.

    :param rounds: how often that is of which a bound is made; what is shown is the median.
    :param others: how often all else is: not at all, unless that puts on a host what is measured next.
    :param fleet: numbers of hosts.
    :param applications: numbers of applications on one host.
    :param connections: of clients at a time.
    :param servers: of SERVERS in bench.serving.
    """

    rounds: int = 5
    others: int = 0
    fleet: tuple[int, ...] = (1, 8)
    applications: tuple[int, ...] = (1, 10)
    connections: tuple[int, ...] = (10, 100, 1000)
    servers: tuple[str, ...] = ("sync", "gthread", "gevent")


# All that can be asked, as often.
THOROUGH = Scale(others=5, fleet=(1, 2, 4, 8), applications=(1, 5, 10), servers=("sync", "gthread", "gevent", "pywsgi"))

# Whether all of it works; its figures say nothing.
QUICK = Scale(rounds=1, others=1, fleet=(1, 2), applications=(1, 2), connections=(10,), servers=("gevent",))

# The host of the collection, which all parts use.
OURS = "bench-1"


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Timing:
    """One command.

    :param seconds: of the clock.
    :param cpu: seconds of the controller's processes.
    :param remote_executions: commands sent to all hosts together; None where nobody counts.
    """

    seconds: float
    cpu: float
    remote_executions: int | None = None


def timed(command: Sequence[str], stdin: bytes | None = None, env: Mapping[str, str] | None = None) -> Timing:
    """Run a command to its end.

    :raises RuntimeError: when it fails, with the end of its output.
    """
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as output:
        given.write(stdin or b"")
        given.seek(0)
        start = time.monotonic()
        process = subprocess.Popen(
            command, stdin=given, stdout=output, stderr=subprocess.STDOUT, cwd=controller.CHECKOUT, env=env
        )
        # With those that it waited for, which all of Ansible's workers are.
        _pid, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read().decode(errors="replace")
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed with {process.returncode}:\n{text[-4000:]}")
    return Timing(seconds, usage.ru_utime + usage.ru_stime)


@dataclass
class Samples:
    """Values of one thing, one a round."""

    values: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.values)


class Lab:
    """Test hosts of this checkout, made when they are asked for and removed at the end."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._hosts: list[str] = []

    def new_hosts(self, *names: str) -> list[str]:
        """Virgin hosts; those of these names that are there are removed first."""
        controller.test_host("destroy", *names)
        self._hosts += [name for name in names if name not in self._hosts]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(lambda name: controller.test_host("create", name, "--image", IMAGE), names))
        return list(names)

    def host(self, name: str) -> str:
        """A host, with what parts before this one have put on it."""
        return name if name in self._hosts else self.new_hosts(name)[0]

    def give_uv(self, hosts: Sequence[str]) -> None:
        """Put the controller's own on hosts, where `installer: auto` finds it."""
        found = shutil.which("uv")
        assert found, "there is no uv here"
        install = ["bash", "-c", "cat >/usr/local/bin/uv && chmod 0755 /usr/local/bin/uv"]
        for host in hosts:
            with Path(found).open("rb") as binary:
                subprocess.run([str(TEST_HOST), "exec", host, *install], stdin=binary, check=True, timeout=60)

    def inventory(self, hosts: Sequence[str]) -> Path:
        path = self.directory / f"{'-'.join(hosts)}.yml"
        path.write_text(controller.test_host("inventory", *hosts) + "\n")
        return path

    def address(self, host: str) -> str:
        return controller.test_host("address", host)

    def run(self, host: str, script: str, *arguments: str) -> str:
        """What a shell script says that runs on a host as root."""
        done = subprocess.run(
            [str(TEST_HOST), "exec", host, "bash", "-euc", script, "bench", *arguments],
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=600,
        )
        if done.returncode != 0:
            raise RuntimeError(f"on {host}: {script}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        return done.stdout

    def ssh(self, host: str) -> list[str]:
        """The words of an ssh command to a host, over the connection that stays open, as Ansible's does."""
        options = ["-o", "ControlMaster=auto", "-o", "ControlPersist=60s", "-o", f"ControlPath={self.directory}/ssh-%h"]
        known = [
            "-F",
            "none",
            "-o",
            "StrictHostKeyChecking=no",
            "-o",
            "UserKnownHostsFile=/dev/null",
            "-o",
            "LogLevel=ERROR",
        ]
        key = controller.CHECKOUT / ".cache" / "ssh" / "id_ed25519"
        return ["ssh", "-i", str(key), *known, *options, f"root@{self.address(host)}"]

    def close(self) -> None:
        if self._hosts:
            controller.test_host("destroy", *self._hosts)


@contextmanager
def laboratory() -> Iterator[Lab]:
    directory = Path(tempfile.mkdtemp(prefix="bench-"))
    lab = Lab(directory)
    try:
        yield lab
    finally:
        lab.close()
        shutil.rmtree(directory, ignore_errors=True)
