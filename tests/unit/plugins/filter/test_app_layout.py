# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.wsgiops.flask.plugins.filter.app_layout import FilterModule, app_layout
from ansible_collections.wsgiops.flask.plugins.module_utils._layout import Layout

# A process of its own: Ansible's loader of collections and the import of the collection by tests exclude each other.
RENDER = """
import json, sys
from ansible.plugins.loader import init_plugin_loader
init_plugin_loader([sys.argv[1]])
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
templar = Templar(loader=DataLoader(), variables={"flask_app": {"name": "shop"}, "elsewhere": "/srv/apps"})
for expression in json.load(sys.stdin):
    try:
        print(json.dumps({"value": templar.template(trust_as_template(expression))}))
    except Exception as error:
        print(json.dumps({"error": f"{error} {error.__cause__}"}))
"""


# --- the function -------------------------------------------------------------------------------------------------


def test_a_name_becomes_all_names() -> None:
    assert app_layout("shop") == Layout("shop").names()
    assert app_layout("shop", "/srv/apps") == Layout("shop", "/srv/apps").names()


@pytest.mark.parametrize("name", [None, 5, {"name": "shop"}, ["shop"]])
def test_what_is_no_name_is_refused(name: object) -> None:
    with pytest.raises(AnsibleFilterError, match="app_layout takes an application's name, a string, not ") as refused:
        app_layout(name)
    assert repr(name) in str(refused.value)


@pytest.mark.parametrize("root", ["", "opt", "./opt"])
def test_a_relative_root_is_refused(root: str) -> None:
    with pytest.raises(AnsibleFilterError, match=f"app_layout: root has to be an absolute path, not '{root}'"):
        app_layout("shop", root)


def test_the_filter_is_registered() -> None:
    assert FilterModule().filters() == {"app_layout": app_layout}


# --- through Jinja ------------------------------------------------------------------------------------------------


def test_templates_use_the_filter(repository: Path) -> None:
    expressions = [
        "{{ (flask_app.name | wsgiops.flask.app_layout).upstream }}",
        "{{ (flask_app.name | wsgiops.flask.app_layout(elsewhere)).home }}",
        "{{ flask_app.name | wsgiops.flask.app_layout }}",
        "{{ flask_app | wsgiops.flask.app_layout }}",
        "{{ flask_app.name | wsgiops.flask.app_layout('opt') }}",
    ]
    done = subprocess.run(
        [sys.executable, "-c", RENDER, str(repository / ".collections")],
        input=json.dumps(expressions),
        capture_output=True,
        text=True,
        check=True,
    )
    upstream, home, every, no_name, no_root = (json.loads(line) for line in done.stdout.splitlines())
    assert upstream == {"value": "/opt/shop/current/socket"}
    assert home == {"value": "/srv/apps/shop"}
    assert every == {"value": Layout("shop").names()}
    assert "app_layout takes an application's name, a string, not {'name': 'shop'}" in no_name["error"]
    assert "app_layout: root has to be an absolute path, not 'opt'" in no_root["error"]
