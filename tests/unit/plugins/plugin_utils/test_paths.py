# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.wsgiops.flask.plugins.plugin_utils._paths import source_directory


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("../shop", "/net/shop"),
        ("shop/", "/net/inventory/shop"),
        ("./a//b/../c", "/net/inventory/a/c"),
        (".", "/net/inventory"),
        ("/srv/shop", "/srv/shop"),
        ("~/shop", "/home/ada/shop"),
    ],
)
def test_a_source_is_relative_to_the_inventory(source: str, found: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    assert source_directory(source, {"inventory_dir": "/net/inventory"}) == Path(found)


@pytest.mark.parametrize("variables", [{}, {"inventory_dir": None}])
def test_a_host_list_has_no_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, None]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert source_directory("shop", variables) == tmp_path / "shop"
