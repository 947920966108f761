# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import json

import pytest

from ansible_collections.wsgiops.flask.plugins.module_utils._options import Health, Hooks, Options, options_from

OPTIONS = Options(
    health=Health(ready="/healthz", status=204, timeout=5, settle=0, body="ok", latency=0.5),
    hooks=Hooks(once=["flask db upgrade"], after_switch=["flask tell"], timeout=60),
    label="v1.2",
    wsgi="shop:create_app()",
    settings=["backlog"],
    drain_timeout=10,
    overlap=False,
    front_url="http://127.0.0.1",
    front_host="shop.example.com",
    server="gevent",
    workers="3",
    memory="512M",
    cpus=1.5,
    logs_to="files",
)


@pytest.mark.parametrize("options", [Options(), OPTIONS], ids=["defaults", "others"])
def test_options_can_be_kept_as_text(options: Options) -> None:
    kept = json.dumps(options.as_dict())
    assert json.dumps(options_from(json.loads(kept)).as_dict()) == kept


def test_what_an_older_release_lacks_has_its_default() -> None:
    assert options_from({}) == Options()
    assert options_from({"health": {"status": 204}, "label": "v1"}) == Options(health=Health(status=204), label="v1")


@pytest.mark.parametrize("stored", [{"speed": 1}, {"health": {"speed": 1}}, {"hooks": {"speed": []}}, {"health": None}])
def test_what_is_not_known_is_not_passed_over(stored: dict[str, object]) -> None:
    with pytest.raises(TypeError):
        options_from(stored)
