#!/usr/bin/python
# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: certificate
version_added: 0.1.0
short_description: Have an application's certificate where nginx reads it
description:
  - Puts a certificate chain into C(<directory>/certificate.pem) and its key into C(<directory>/key.pem), has the whole
    configuration checked, and has the service take it over. When the check or the take-over fails, the previous pair is
    back and the service is told so again.
  - What nginx would refuse or clients would not take is refused before anything is changed.
requirements:
  - The command C(openssl) of OpenSSL 3.0 or later.
extends_documentation_fragment:
  - wsgiops.flask.transaction
options:
  name:
    description: The application's name, for messages.
    type: str
    required: true
  directory:
    description: Absolute path. It and what is above it are made where they are missing.
    type: path
    required: true
  mode:
    description:
      - V(self_signed) keeps the certificate that is there if it is self-signed, for exactly O(domains), and lasts for
        more than 30 days; otherwise it makes a new one for 397 days, with a new key.
      - V(provided) takes O(certificate) and O(key).
      - V(acme) keeps what is there as long as it serves - a certificate of an authority that has not ended and is for
        one of O(domains) at least, or a self-signed one for all of them -, and otherwise makes a self-signed stand-in.
        O(issue) has the authority's take its place.
      - What certbot has for the application, C(<directory>/certbot.ini) and C(<directory>/acme), goes with any mode but
        V(acme).
    type: str
    choices: [self_signed, provided, acme]
    required: true
  domains:
    description: Host names, wildcards and addresses that the certificate has to be for, at least one. The first is the
      common name of a self-signed one.
    type: list
    elements: str
    required: true
  certificate:
    description: With O(mode=provided), the application's certificate and after each one that of its issuer, as far as
      clients do not know it - PEM text, or an absolute path on the host. It has to belong to O(key), not to have ended,
      and to be for all O(domains).
    type: str
  key:
    description: With O(mode=provided), the private key without a passphrase - PEM text, or an absolute path on the
      host. An RSA key has 2048 bits or more.
    type: str
  lineage:
    description: With O(mode=acme), absolute path of the directory in which certbot has C(fullchain.pem) and
      C(privkey.pem). It need not be there.
    type: path
  authority:
    description: With O(mode=acme), URL of the authority's directory, for messages.
    type: str
    default: ''
  issue:
    description:
      - With O(mode=acme), command, as a list, that has the authority issue a certificate, puts it in place and tells
        the service. Run whenever it is given.
      - When it fails, the module warns if what is in place is the pair in O(lineage), good for all O(domains), as
        clients notice nothing yet, and fails otherwise.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    description: Compares, makes no certificate, asks no authority, and runs none of the commands. A host that has no
      openssl yet would change.
    support: full
  diff_mode:
    description: Shows what the certificates say, and nothing of the keys.
    support: full
author:
  - The wsgiops contributors (@wsgiops)
"""

EXAMPLES = r"""
- name: Make a certificate
  wsgiops.flask.certificate:
    name: shop
    directory: /etc/nginx/wsgiops-flask/shop
    mode: self_signed
    domains: [shop.example.com]
    check: [nginx, -t, -q]
    apply: [systemctl, reload-or-restart, nginx.service]

- name: Take the authority's certificate
  wsgiops.flask.certificate:
    name: shop
    directory: /etc/nginx/wsgiops-flask/shop
    mode: provided
    domains: [shop.example.com]
    certificate: "{{ lookup('ansible.builtin.file', 'shop.pem') }}"
    key: "{{ vault_shop_key }}"
    check: [nginx, -t, -q]
    apply: [systemctl, reload-or-restart, nginx.service]

- name: Have an authority issue one
  wsgiops.flask.certificate:
    name: shop
    directory: /etc/nginx/wsgiops-flask/shop
    mode: acme
    domains: [shop.example.com]
    lineage: /etc/nginx/wsgiops-flask/shop/acme/0123456789abcdef/live/shop
    authority: https://acme-v02.api.letsencrypt.org/directory
    issue: [sh, /etc/nginx/wsgiops-flask/_issue_certificate.sh, /etc/nginx/wsgiops-flask/shop]
    check: [nginx, -t, -q]
    apply: [systemctl, reload-or-restart, nginx.service]
"""

RETURN = r"""
issued:
  description: Whether the certificate in place is the one in O(lineage), for exactly O(domains), and good. In check
    mode, whether it is so before.
  returned: with O(mode=acme)
  type: bool
not_after:
  description: When the certificate ends, ISO 8601 in UTC; null in check mode when that is not known yet.
  returned: success
  type: str
  sample: '2027-12-23T18:48:52Z'
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.wsgiops.flask.plugins.module_utils import _task, _task_certificate


def main():
    module = AnsibleModule(
        argument_spec=_task_certificate.OPTIONS,
        required_if=_task_certificate.REQUIRED_IF,
        supports_check_mode=True,
    )
    key = module.params["key"] or ""
    if key.startswith("/"):
        # A path is no secret, and messages name it.
        module.no_log_values.discard(key)
    _task.run(module, _task_certificate.perform)


if __name__ == "__main__":
    main()
