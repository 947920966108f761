# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where a path that a user wrote starts."""

from __future__ import annotations

import os
import typing as t
from pathlib import Path


def source_directory(source: str, variables: t.Mapping[str, t.Any]) -> Path:
    """The directory that ``source`` means: relative to the inventory's directory, else to the current one.

    An inventory file stands beside the group_vars in which applications are written; a plain host list
    (``-i host,``) has no directory.
    """
    start = variables.get("inventory_dir") or os.getcwd()
    return Path(os.path.normpath(os.path.join(start, os.path.expanduser(source))))
