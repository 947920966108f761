# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Controller's side of release_info: digest the source here, compare it there."""

from __future__ import annotations

import typing as t

from ansible_collections.wsgiops.flask.plugins.plugin_utils import _arguments
from ansible_collections.wsgiops.flask.plugins.plugin_utils._on_host import OnHost


class ActionModule(OnHost):
    """Runs once per host, before anything of the release is sent."""

    task = "release_info"

    def act(self, arguments: _arguments.Arguments, variables: dict[str, t.Any]) -> dict[str, t.Any]:
        return self.perform(_arguments.for_release_info(arguments, variables), variables)
