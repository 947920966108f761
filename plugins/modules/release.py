#!/usr/bin/python
# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: release
version_added: 0.1.0
short_description: Put a release of an application in service, go back to an earlier one, or remove the application
description:
  - Names the release by its content, writes it, checks it, starts it beside the running one on a socket of its own,
    waits until it is ready, moves traffic with one rename of C(current), looks at it through nginx as a client does,
    lets the old release finish and stops it. One process does all of it, under a lock, deaf to the loss of its
    controller. A release that served on the host before is not checked again where its start beside the running one
    shows the same (O(overlap)).
  - When the release serves already and runs as it should, nothing happens. What differs is put right, a file changed by
    hand or a service that is down included.
  - A candidate that fails is removed again and what served still serves; a switch after which the probe through nginx
    or a hook fails is taken back. The error names the phase and the reason, holds the last log lines and says what
    serves now.
extends_documentation_fragment:
  - wsgiops.flask.application
  - wsgiops.flask.application.lock
options:
  state:
    description:
      - V(present) puts the release in service.
      - V(prepared) writes it and runs its C(once) hooks, when it is not the one that serves; nothing is started.
      - V(confirmed) keeps the release that serves where O(confirm) would have the host go back.
      - V(rolled_back) puts an earlier release in service again, by the same road. Its code, environment, configuration
        and variables are those that it had.
      - V(absent) stops and removes all of the application, its user and its nginx site excepted.
    type: str
    choices: [present, prepared, confirmed, rolled_back, absent]
    default: present
  remove_data:
    description: With O(state=absent), remove the application's state directory as well.
    type: bool
    default: false
  code:
    description: Digest of the staged source, as M(wsgiops.flask.release_info) returns it. Required with
      O(state=present) and O(state=prepared).
    type: str
  venv:
    description: Key of the virtual environment, as M(wsgiops.flask.venv) returns it. Required like O(code). Null is
      accepted in check mode alone, where the environment cannot be known on a virgin host.
    type: str
  files:
    description: Text of each file of the release directory, by file name.
    type: dict
    default: {}
  units:
    description: Text of each systemd unit template, by file name.
    type: dict
    default: {}
  environment:
    description:
      - Environment variables of the application, a dictionary of strings or numbers.
      - Written to a file that root alone reads, and never shown. They enter the release id through scrypt.
      - The controller hands them over as one text, so that masking them cannot mangle other output that happens to
        contain a short value.
    type: raw
  secrets:
    description: More variables like those of O(environment), in a file of their own. Handed over in the same way.
    type: raw
  service:
    description: What runs the release. O(units) are its files, unit templates or C(app_ctl.sh) and the file of cron.
    type: str
    choices: [systemd, cron]
    default: systemd
  unenforced:
    description: Settings of the application that O(service) can't see to, each of which is a warning.
    type: list
    elements: str
    default: []
  server:
    description: What serves the application, gunicorn or gevent's own server, which is one process.
    type: str
    choices: [gunicorn, gevent]
    default: gunicorn
  workers:
    description: Number of gunicorn's worker processes, or V(auto), told in the plan with the reason. What starts them
      is in O(files).
    type: str
    default: auto
  memory:
    description: What all processes may take together, as C(512M), which V(auto) workers go by. Empty for no limit.
    type: str
    default: ""
  cpus:
    description: CPUs that they may use, which V(auto) workers go by. 0 for all.
    type: float
    default: 0
  logs_to:
    description: Where the output goes, so that an error names the command that shows it.
    type: str
    choices: [journal, files]
    default: journal
  wsgi:
    description: The application, which hooks find as C(FLASK_APP).
    type: str
    default: ""
  settings:
    description: Names of gunicorn settings that the gunicorn of the environment has to know.
    type: list
    elements: str
    default: []
  health:
    description: What the release has to answer before, and through nginx right after, traffic moves to it.
    type: dict
    default: {}
    suboptions:
      ready:
        description: Path of the readiness route.
        type: str
        default: /ready
      status:
        description: HTTP status that means ready.
        type: int
        default: 200
      host:
        description: Host header of the request, a name that the application trusts.
        type: str
        default: localhost
      timeout:
        description: Seconds from the start of the candidate to the answer that counts.
        type: float
        default: 30
      settle:
        description: Seconds for which it has to stay alive, with all its workers, after that answer. 0 for not at all.
        type: float
        default: 1
      body:
        description: Regular expression that has to be found in the answer's body. Empty for any body.
        type: str
        default: ""
      latency:
        description: Seconds that the answer may take at most. 0 for no ceiling.
        type: float
        default: 0
  hooks:
    description: Shell commands that run as the application's user in the environment and sandbox of the release. One
      that fails stops the road.
    type: dict
    default: {}
    suboptions:
      once:
        description: Run with O(state=prepared) alone.
        type: list
        elements: str
        default: []
      before_switch:
        description: Run when the candidate is ready, before traffic moves.
        type: list
        elements: str
        default: []
      after_switch:
        description: Run after the probe through nginx. When one fails, the switch is taken back.
        type: list
        elements: str
        default: []
      timeout:
        description: Seconds that each may take.
        type: float
        default: 300
  overlap:
    description: Start the release beside the running one. Otherwise the old one stops first, requests wait meanwhile,
      and a lock makes sure that there is never more than one.
    type: bool
    default: true
  confirm:
    description: Seconds in which O(state=confirmed) has to come after a switch, or the host goes back by itself. 0 for
      no need to.
    type: float
    default: 0
  keep_releases:
    description: Releases that stay on the host, at least 2, the current one and the one to go back to.
    type: int
    default: 5
  label:
    description: A name for the release, a git tag, say. No part of its id.
    type: str
    default: ""
  to:
    description: With O(state=rolled_back), the id or label of the release to go back to. Empty for the newest good one
      before the current one.
    type: str
    default: ""
  release:
    description: With O(state=confirmed), the id of the release that has to be the one that serves.
    type: str
  front_url:
    description: Where the release is looked at through nginx after the switch, while nginx has a site of the
      application. C(auto) is where that site says, empty nowhere.
    type: str
    default: ""
  front_host:
    description: Host header there.
    type: str
    default: localhost
  scheme:
    description: With which clients come. Probes on the release's own socket say so, too.
    type: str
    choices: [http, https]
    default: http
  drain_timeout:
    description: Seconds that requests in flight on the old release get before it is told to stop.
    type: float
    default: 30
attributes:
  check_mode:
    description: Says what would be done.
    support: full
  diff_mode:
    description: Shows the files of the release against those of the current one, the environment excepted.
    support: full
"""

EXAMPLES = r"""
- name: Put the release in service
  wsgiops.flask.release:
    name: shop
    code: "{{ release_code_digest }}"
    venv: "{{ venv_key }}"
    files:
      gunicorn.conf.py: "{{ lookup('ansible.builtin.template', 'gunicorn.conf.py.j2') }}"
    units:
      shop@.service: "{{ lookup('ansible.builtin.template', 'service.j2') }}"
      shop@.socket: "{{ lookup('ansible.builtin.template', 'socket.j2') }}"
    health:
      host: shop.example.com

- name: Go back to the release before
  wsgiops.flask.release:
    name: shop
    state: rolled_back
"""

RETURN = r"""
release:
  description: Id of the release, null in check mode when it cannot be known yet.
  returned: when O(state) is not V(absent)
  type: str
  sample: 0f6a3bd1c2e4
previous:
  description: Id of the release that served before, null when there was none.
  returned: when O(state=present) or O(state=rolled_back)
  type: str
label:
  description: Label of the release, empty when it has none.
  returned: when O(state=present) or O(state=rolled_back)
  type: str
hooks:
  description: The hooks that ran, each with C(hook), C(command), C(status) and C(output).
  returned: when O(state) is V(present), V(prepared) or V(rolled_back)
  type: list
  elements: dict
steps:
  description: What was done, or in check mode would be, in order.
  returned: always
  type: list
  elements: str
"""
