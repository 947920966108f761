#!/usr/bin/python
# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: file_set
version_added: 0.1.0
short_description: Change a set of configuration files as one transaction
description:
  - Puts files in place and takes others away, has the whole configuration checked, has the service take it over, and
    asks whether it serves. When the check, the take-over or the probe fails, the previous files are back and the
    service is told so again.
  - One round trip for any number of files.
  - What stood there is on the disk before anything changes, and as long as there is no verdict. Of a run that died
    before it, by a kill or a power cut, the next one puts everything back first; the role nginx does so too before
    nginx starts, at boot say. Then the service is told, also when the files are as wanted by then.
  - Runs that change files at the same time take turns.
extends_documentation_fragment:
  - wsgiops.flask.transaction
options:
  files:
    description: Files to have.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Absolute path. Its directory, and what is above that, is made where there is none.
        type: path
        required: true
      content:
        description: The whole text; empty for a file that is not to be there. Either this or O(files[].secret) is
          required.
        type: str
      secret:
        description: The whole text of a file whose text neither a log nor a diff shows.
        type: str
      mode:
        description: Permission bits in octal.
        type: str
        default: '0644'
      owner:
        description: Owner's name.
        type: str
        default: root
      group:
        description: Group's name.
        type: str
        default: root
  edits:
    description:
      - Lines to have in files of somebody else's, each of which keeps its owner and its permission bits. A file that is
        not there, or in which nothing matches, stays as it is.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Absolute path of a file.
        type: path
        required: true
      regexp:
        description: Regular expression of Python's C(re), in which C(^) and C($) are the ends of a line.
        type: str
        required: true
      replace:
        description: What takes the place of each match; C(\1) stands for the first group.
        type: str
        required: true
  absent:
    description: Files not to have.
    type: list
    elements: path
    default: []
  absent_if_stock:
    description: Files not to have as long as they are what their Debian package shipped. A link stands for the file it
      leads to. What somebody changed stays.
    type: list
    elements: path
    default: []
  probe:
    description:
      - Application that nginx has to hand on after the take-over. Where it does not, the previous files are back.
      - When the application itself answers that it is ready, so it has to through nginx; three wrong answers in a row
        are a failure. When it does not, it is enough that nginx answers or waits for it.
      - Nothing is asked where no file changes, and on a host that has no release of the application.
    type: dict
    suboptions:
      name:
        description: The application's name, for messages.
        type: str
        required: true
      url:
        description: Where a client on the host meets it - scheme, address, and the path under which it is mounted.
          Nowhere when empty; then nothing is asked.
        type: str
        required: true
      host:
        description: Host header.
        type: str
        required: true
      path:
        description: Path of the readiness route.
        type: str
        required: true
      status:
        description: HTTP status that means ready.
        type: int
        default: 200
      upstream:
        description: Unix socket of the application, in the directory of its current release.
        type: path
        required: true
      guard:
        description: HTTP status with which nginx itself answers in front of the application, which is as good - 401
          where it asks for a password, 503 in maintenance. 0 where it does not.
        type: int
        default: 0
  probes:
    description:
      - Pattern of files, each with a O(probe) in JSON. Those of them that are well before the change have to be so
        after the take-over, as with O(probe).
      - For files that all sites share. Either this or O(probe).
    type: path
attributes:
  check_mode:
    description: Compares, runs none of the commands and asks nothing.
    support: full
  diff_mode:
    description: Shows the text of every file that differs.
    support: full
author:
  - The wsgiops contributors (@wsgiops)
"""

EXAMPLES = r"""
- name: Serve the site
  wsgiops.flask.file_set:
    files:
      - path: /etc/nginx/conf.d/shop.conf
        content: "{{ lookup('ansible.builtin.template', 'site.conf.j2') }}"
    check: [nginx, -t, -q]
    apply: [systemctl, reload-or-restart, nginx.service]
    probe:
      name: shop
      url: https://127.0.0.1
      host: shop.example.com
      path: /ready
      upstream: /opt/shop/current/socket
"""

RETURN = r"""
paths:
  description: Files that were, or in check mode would be, written or removed.
  returned: success
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.wsgiops.flask.plugins.module_utils import _task, _task_file_set


def main():
    module = AnsibleModule(
        argument_spec=_task_file_set.OPTIONS,
        mutually_exclusive=_task_file_set.MUTUALLY_EXCLUSIVE,
        supports_check_mode=True,
    )
    _task.run(module, _task_file_set.perform)


if __name__ == "__main__":
    main()
