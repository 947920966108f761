#!/usr/bin/python
# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: crontab
version_added: 0.1.0
short_description: Have lines in the crontab of whoever runs this
description:
  - Keeps lines between two that name them; all other lines of the crontab stay as they are.
options:
  name:
    description: What names the lines.
    type: str
    required: true
  lines:
    description: The lines, each with an end. None of them are to be there when this is empty.
    type: str
    default: ""
attributes:
  check_mode:
    description: Compares and changes nothing.
    support: full
  diff_mode:
    description: Shows the lines.
    support: full
author:
  - The wsgiops contributors (@wsgiops)
"""

EXAMPLES = r"""
- name: Keep nginx running
  wsgiops.flask.crontab:
    name: _nginx
    lines: |
      * * * * * sh apps/nginx/keep_nginx.sh start
"""

RETURN = r"""# """

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.wsgiops.flask.plugins.module_utils import _crontab


def main():
    module = AnsibleModule(
        argument_spec={"name": {"type": "str", "required": True}, "lines": {"type": "str", "default": ""}},
        supports_check_mode=True,
    )
    name, wanted = module.params["name"], module.params["lines"]
    try:
        found = _crontab.lines_of(name) or ""
        if found != wanted and not module.check_mode:
            _crontab.set_lines(name, wanted or None)
    except _crontab.CrontabError as error:
        module.fail_json(msg=str(error))
    header = "crontab, lines of " + name
    diff = {"before_header": header, "after_header": header, "before": found, "after": wanted}
    module.exit_json(changed=found != wanted, diff=diff)


if __name__ == "__main__":
    main()
