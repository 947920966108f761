# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The work of a module, apart from how Ansible starts and ends one: one process can do the work of several."""

from __future__ import annotations

import typing as t

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

Params = t.Dict[str, t.Any]


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

# What Ansible has in the place of a value of an option with no_log.
HIDDEN = "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"


def validated(params: Params, options: Params, required_if: t.Optional[t.Sequence[t.Any]] = None) -> Params:
    """Arguments as ``AnsibleModule`` would have them: of the types of ``options``, and with all defaults.

    :raises TaskError: when they are not accepted; the text is Ansible's.
    """
    found = ArgumentSpecValidator(options, required_if=required_if).validate(params)
    if found.error_messages:
        raise TaskError("; ".join(found.error_messages))
    return t.cast(Params, found.validated_parameters)


def shown(params: Params, options: Params) -> Params:
    """Validated arguments without the values that nobody is to see."""
    return {name: HIDDEN if options[name].get("no_log") else value for name, value in params.items()}


def run(module: t.Any, perform: Perform, params: t.Optional[Params] = None, **more: t.Any) -> None:
    """Do an ``AnsibleModule``'s work and end the process with its result.

    :param params: validated arguments, where they are not the module's own.
    :param more: what else is in the result.
    """
    try:
        result = perform(Task(module.params if params is None else params, module.check_mode, module.warn))
    except TaskError as error:
        module.fail_json(msg=str(error), **more)
    module.exit_json(**result, **more)
