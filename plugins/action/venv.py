# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Controller's side of venv: read the requirement files here, build there."""

from __future__ import annotations

import typing as t

from ansible_collections.wsgiops.flask.plugins.plugin_utils import _arguments
from ansible_collections.wsgiops.flask.plugins.plugin_utils._on_host import OnHost


class ActionModule(OnHost):
    """Hands over the text of the requirement files."""

    task = "venv"

    def act(self, arguments: _arguments.Arguments, variables: dict[str, t.Any]) -> dict[str, t.Any]:
        return self.perform(_arguments.for_venv(arguments, variables), variables)
