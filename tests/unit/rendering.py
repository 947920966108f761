# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Variables of a role as its tasks see them: defaults and vars, through Ansible's own templating."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import typing as t
from collections.abc import Callable, Iterator
from pathlib import Path

Render = Callable[..., t.Any]

APP = {"name": "shop", "source": "../shop", "wsgi": "shop:app", "domains": ["shop.example.com"]}

# A process of its own: Ansible's loader of collections and the import of the collection by tests exclude each other.
RENDER = """
import json, sys
from ansible.plugins.loader import init_plugin_loader
init_plugin_loader([sys.argv[1]])
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
loader = DataLoader()
role = {"ansible_search_path": [sys.argv[2]]}
for part in ("defaults", "vars"):
    role.update(loader.load_from_file(f"{sys.argv[2]}/{part}/main.yml", trusted_as_template=True))
for line in sys.stdin:
    name, variables = json.loads(line)
    templar = Templar(loader=loader, variables={"release_service_manager": "systemd", **role, **variables})
    print(json.dumps(templar.template(trust_as_template("{{ " + name + " }}"))), flush=True)
"""


@contextlib.contextmanager
def rendering(repository: Path, role: str) -> Iterator[Render]:
    """A function that gives the value of a variable of a role.

    It takes the variable's name, keys of the application as one dictionary, and variables that are set besides.
    """
    command = [sys.executable, "-c", RENDER, str(repository / ".collections"), str(repository / "roles" / role)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        stdin, stdout = t.cast("t.TextIO", process.stdin), t.cast("t.TextIO", process.stdout)

        def render(name: str, keys: dict[str, t.Any], **variables: t.Any) -> t.Any:
            stdin.write(json.dumps([name, {"flask_app": {**APP, **keys}, **variables}]) + "\n")
            stdin.flush()
            return json.loads(stdout.readline())

        yield render
