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
import json, pathlib, sys
from ansible.plugins.loader import init_plugin_loader
init_plugin_loader([sys.argv[1]])
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from ansible_collections.wsgiops.flask.plugins.plugin_utils import _role_variables
loader = DataLoader()
directory = pathlib.Path(sys.argv[2])
role = {"ansible_search_path": [str(directory)], "release_service_manager": "systemd"}
for part in ("defaults", "vars"):
    role.update(loader.load_from_file(str(directory / part / "main.yml"), trusted_as_template=True))
# What each entry point hands to modules of the collection.
role["tasks"] = {}
for path in directory.glob("tasks/*.yml"):
    tasks = loader.load_from_file(str(path), trusted_as_template=True) or []
    given = [task[name] or task["args"] for task in tasks for name in task if name.startswith("wsgiops.flask.")]
    role["tasks"][path.stem] = given
templar = Templar(loader=loader)
known = {}

def template(value, variables):
    return templar.copy_with_new_env(available_variables=variables).template(value)

def with_others(variables, others):
    # Only what refers to the others is templated anew.
    key = json.dumps(variables)
    if key not in known:
        before = {**role, **variables}
        ordered = _role_variables.in_order(before, [directory.name])
        known.clear()
        known[key] = before, ordered, _role_variables.resolved(before, ordered, template)
    before, ordered, resolved = known[key]
    again = [name for name in _role_variables.referring(before, ordered, others) if name not in others]
    return _role_variables.resolved({**resolved, **{name: before[name] for name in again}, **others}, again, template)

for line in sys.stdin:
    name, variables, others = json.loads(line)
    seen = {**role, **variables} if others is None else with_others(variables, others)
    print(json.dumps(template(trust_as_template("{{ " + name + " }}"), seen)), flush=True)
"""


@contextlib.contextmanager
def rendering(repository: Path, role: str) -> Iterator[Render]:
    """A function that gives the value of a variable of a role.

    It takes the variable's name, keys of the application as one dictionary, and variables that are set besides. The
    variable ``tasks`` is by entry point what its tasks hand to modules. Whoever asks again and again for the same keys
    and variables, with ``others`` besides, gets it sooner.
    """
    command = [sys.executable, "-c", RENDER, str(repository / ".collections"), str(repository / "roles" / role)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        stdin, stdout = t.cast("t.TextIO", process.stdin), t.cast("t.TextIO", process.stdout)

        def render(
            name: str, keys: dict[str, t.Any], others: dict[str, t.Any] | None = None, **variables: t.Any
        ) -> t.Any:
            stdin.write(json.dumps([name, {"flask_app": {**APP, **keys}, **variables}, others]) + "\n")
            stdin.flush()
            return json.loads(stdout.readline())

        yield render
