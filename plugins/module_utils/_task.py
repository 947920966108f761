# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The work of a module, apart from how Ansible starts and ends one: one process can do the work of several."""

from __future__ import annotations

import typing as t


class TaskError(Exception):
    """A task that failed; the text is the module's message."""


class Task(t.NamedTuple):
    """One module's work.

    :param params: its arguments, validated and with all defaults.
    :param check_mode: whether nothing is to be changed.
    :param warn: takes a warning to the user.
    """

    params: t.Mapping[str, t.Any]
    check_mode: bool
    warn: t.Callable[[str], None]


# Does a task's work; the result is the module's, with `changed`.
Perform = t.Callable[[Task], t.Dict[str, t.Any]]


def run(module: t.Any, perform: Perform) -> None:
    """Do an ``AnsibleModule``'s work and end the process with its result."""
    try:
        result = perform(Task(module.params, module.check_mode, module.warn))
    except TaskError as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)
