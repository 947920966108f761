"""The controller's side: playbooks as a user runs them, against the hosts of the scenario."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

CHECKOUT = Path(__file__).resolve().parents[3]
PLAYBOOK_TIMEOUT = 600

Host = TypeVar("Host")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Run:
    """An ended run of ansible-playbook."""

    status: int
    output: str

    @property
    def changed(self) -> dict[str, int]:
        """Number of changed tasks by host, from the recap."""
        return self._recap("changed")

    @property
    def failed(self) -> dict[str, int]:
        return self._recap("failed")

    def _recap(self, column: str) -> dict[str, int]:
        rows = re.findall(rf"^(\S+)\s+: ok=.*\b{column}=(\d+)", self.output, re.MULTILINE)
        return {host: int(count) for host, count in rows}

    def error(self, host: str) -> str:
        """The message of the task that failed on ``host``."""
        found = re.search(rf"^fatal: \[{re.escape(host)}\]: FAILED! => (\{{.*\}})$", self.output, re.MULTILINE)
        assert found, self.output[-6000:]
        return str(json.loads(found[1])["msg"])

    def result(self, task: str, host: str) -> dict[str, object]:
        """What the task whose name ends in ``task`` returned for ``host``; needs -v."""
        found = re.search(
            rf"^TASK \[[^\n]*{re.escape(task)}\] \**\n(?:(?!TASK \[)[^\n]*\n)*?"
            rf"(?:ok|changed|skipping): \[{re.escape(host)}\] => (\{{[^\n]*\}})$",
            self.output,
            re.MULTILINE,
        )
        assert found, self.output[-6000:]
        return json.loads(found[1])

    def shown(self, variable: str, host: str) -> object:
        """What a task of the module debug last showed of ``variable`` for ``host``."""
        shown = re.findall(rf"^ok: \[{re.escape(host)}\] => (\{{\n.*?^\}})$", self.output, re.MULTILINE | re.DOTALL)
        found = [json.loads(one) for one in shown]
        assert any(variable in one for one in found), self.output[-6000:]
        return next(one[variable] for one in reversed(found) if variable in one)

    def remote_executions(self, host: str) -> int:
        """Commands that the run sent to the host over SSH, whatever for; needs -vvv."""
        address = re.search(rf"^(?:ok|changed): \[{re.escape(host)}\]", self.output, re.MULTILINE)
        assert address, f"{host} took no part in the run"
        return len(re.findall(r"^<[^>]+> SSH: EXEC ", self.output, re.MULTILINE))


def environment(overrides: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a user at a checkout, without what Molecule set for its own runs."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    kept |= {
        "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"),
        "ANSIBLE_HOST_PATTERN_MISMATCH": "error",
        "ANSIBLE_NOCOLOR": "true",
        "WSGIOPS_CHECKOUT": str(CHECKOUT),
    }
    return kept | dict(overrides or {})


def inventory() -> Path:
    """Molecule's inventory of the scenario that runs."""
    return Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"], "inventory")


def playbook(*arguments: str, name: str = "site.yml", check: bool = True, **options: object) -> Run:
    """Run a playbook of the checkout to its end.

    :param check: fail when the run fails.
    :param options: ``cwd`` and ``env`` of the process.
    """
    done = subprocess.run(
        command(*arguments, name=name),
        capture_output=True,
        text=True,
        timeout=PLAYBOOK_TIMEOUT,
        check=False,
        cwd=options.get("cwd", CHECKOUT),
        env=options.get("env") or environment(),
        stdin=subprocess.DEVNULL,
    )
    run = Run(done.returncode, done.stdout + done.stderr)
    assert not check or run.status == 0, run.output[-6000:]
    return run


def command(*arguments: str, name: str = "site.yml") -> list[str]:
    given = [] if "-i" in arguments else ["-i", str(inventory())]
    return ["ansible-playbook", name, *given, *arguments]


@contextlib.contextmanager
def running_playbook(*arguments: str, log: Path, name: str = "site.yml") -> Iterator[subprocess.Popen[bytes]]:
    """A run in a process group of its own, with its output in ``log``; killed when the block ends."""
    with open(log, "wb") as output:
        process = subprocess.Popen(
            command(*arguments, name=name),
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            cwd=CHECKOUT,
            env=environment(),
            start_new_session=True,
        )
        try:
            yield process
        finally:
            kill_group(process)


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """End a run and its workers as a crash of the controller would: at once, without a word to the hosts."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=30)


def test_host(*arguments: str) -> str:
    """Run script/test-host: boot, reboot and switch off hosts."""
    done = subprocess.run(
        [str(CHECKOUT / "script" / "test-host"), *arguments], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def in_background(host: str, script: str) -> None:
    """Have a shell of the host run a script, as root and without SSH, and do not wait for its end."""
    detach = 'setsid --fork sh -c "$1" </dev/null >/dev/null 2>&1'
    test_host("exec", host, "sh", "-c", detach, "sh", script)


def wait_until(condition: object, seconds: float, what: str) -> None:
    """Wait for ``condition()`` to be true; a bound, never a measurement."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():  # type: ignore[operator]
            return
        time.sleep(0.1)
    raise AssertionError(f"after {seconds} s still not: {what}")


def on_each(hosts: Sequence[Host], function: Callable[[Host], Result]) -> list[Result]:
    """Call ``function`` for all hosts at the same time; the results in their order."""
    with ThreadPoolExecutor(max_workers=len(hosts)) as pool:
        return list(pool.map(function, hosts))


def is_busy() -> bool:
    """Whether the machine has more to do than its processors can: with other scenarios, everything takes longer."""
    return os.getloadavg()[0] > (os.cpu_count() or 1)


def instances(pattern: Sequence[str] = ()) -> list[str]:
    """Names of the scenario's hosts."""
    listed = subprocess.run(
        ["ansible-inventory", "-i", str(inventory()), "--graph", *pattern],
        capture_output=True,
        text=True,
        check=True,
        env=environment(),
    ).stdout
    return sorted(set(re.findall(r"\|--([\w-]+)$", listed, re.MULTILINE)))
