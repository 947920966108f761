# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The work of the module certificate."""

from __future__ import annotations

import os
import subprocess
import time
import typing as t

from ansible_collections.wsgiops.flask.plugins.module_utils import _certificate, _file_set, _files
from ansible_collections.wsgiops.flask.plugins.module_utils._certificate import Pair
from ansible_collections.wsgiops.flask.plugins.module_utils._task import Task, TaskError

# Of the words of a command that failed, the last ones tell why.
LAST_WORDS = 3000

OPTIONS: t.Dict[str, t.Any] = {
    "name": {"type": "str", "required": True},
    "directory": {"type": "path", "required": True},
    "mode": {"type": "str", "choices": ["self_signed", "provided", "acme"], "required": True},
    "domains": {"type": "list", "elements": "str", "required": True},
    "certificate": {"type": "str"},
    "key": {"type": "str", "no_log": True},
    "lineage": {"type": "path"},
    "authority": {"type": "str", "default": ""},
    "issue": {"type": "list", "elements": "str", "default": []},
    "check": {"type": "list", "elements": "str", "default": []},
    "apply": {"type": "list", "elements": "str", "default": []},
}

REQUIRED_IF = [("mode", "provided", ("certificate", "key")), ("mode", "acme", ("lineage",))]

Result = t.Dict[str, t.Any]


def perform(task: Task) -> Result:
    name = task.params["name"]
    if not task.params["domains"]:
        raise TaskError("{0}: domains: at least one is needed".format(name))
    try:
        return _have_certificate(task)
    except (_certificate.CertificateError, _file_set.FileSetError, KeyError, OSError) as error:
        raise TaskError("{0}: {1}".format(name, error)) from error


def _wanted_pair(task: Task, before: t.Optional[Pair]) -> t.Optional[Pair]:
    """The pair to have, None for one that is yet to be made in check mode."""
    params = task.params
    now = time.time()
    if params["mode"] == "provided":
        pair = _certificate.provided(params["certificate"], params["key"], params["domains"], now)
        if pair.own.ends < now + _certificate.WARN_WITHIN * _certificate.DAY:
            said = "{0}: tls.certificate: it ends on {1}; clients refuse it from then on"
            task.warn(said.format(params["name"], pair.own.not_after[:10]))
        return pair
    is_kept = _certificate.bridges if params["mode"] == "acme" else _certificate.is_good_self_signed
    if before is not None and is_kept(before, params["domains"], now):
        return before
    return None if task.check_mode else _certificate.self_signed(params["domains"])


class _Place:
    """Where the pair is, and what certbot has beside it."""

    def __init__(self, params: t.Mapping[str, t.Any]) -> None:
        self.params = params
        directory = params["directory"]
        self.certificate, self.key = (os.path.join(directory, name) for name in ("certificate.pem", "key.pem"))
        self.settings, self.state = (os.path.join(directory, name) for name in ("certbot.ini", "acme"))

    def pair(self) -> t.Optional[Pair]:
        return _certificate.standing(self.certificate, self.key)

    def files(self, pair: Pair, before: t.Optional[Pair]) -> t.List[_files.WantedFile]:
        """The files to have; the text of what stays is as it is, with certbot's empty lines in it."""
        texts = ["".join(each.pem for each in pair.chain), pair.key.pem]
        if pair is before and self.params["mode"] == "acme":
            texts = [_files.read_text(path) or "" for path in (self.certificate, self.key)]
        return [
            _files.WantedFile(self.certificate, texts[0]),
            _files.WantedFile(self.key, texts[1], 0o600),
        ]

    def serves(self, pair: Pair) -> bool:
        """Whether the pair is the one that certbot has, and good for all domains."""
        names = [os.path.join(self.params["lineage"] or "", name) for name in ("fullchain.pem", "privkey.pem")]
        # certbot's are links.
        lineage = _certificate.standing(*map(os.path.realpath, names))
        is_good = _certificate.flaw(pair, self.params["domains"], time.time()) is None
        return is_good and _certificate.is_same(pair, lineage)

    def is_issued(self, pair: Pair) -> bool:
        """Whether there is nothing to ask the authority for, as long as the pair lasts."""
        return self.serves(pair) and _certificate.is_for_exactly(pair, self.params["domains"])

    def diff(self, before: t.Optional[Pair], after: str) -> t.List[t.Dict[str, str]]:
        shown = _certificate.described(before.chain) if before is not None else ""
        path = self.certificate
        return [{"before_header": path, "after_header": path, "before": shown, "after": after}]


def _have_issued(task: Task, place: _Place, pair: Pair) -> Pair:
    """The pair that is in place after the command that has one issued ran, well or not."""
    params = task.params
    done = subprocess.run(
        params["issue"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    after = place.pair() or pair
    if done.returncode == 0:
        return after
    serves = place.serves(after)
    if serves:
        note = "The one in place lasts until {0}".format(after.own.not_after)
    else:
        what = "a self-signed one" if _certificate.is_self_signed(after) else "the previous one"
        note = "The site is served with {0}".format(what)
    said = (
        "tls.mode: acme: no new certificate for {0} from {1}. {2}, and the timer tries again twice a day.\n{3}".format(
            ", ".join(params["domains"]), params["authority"], note, done.stdout.strip()[-LAST_WORDS:]
        )
    )
    if not serves:
        raise _certificate.CertificateError(said)
    task.warn("{0}: {1}".format(params["name"], said))
    return after


def _have_certificate(task: Task) -> Result:
    params = task.params
    place = _Place(params)
    is_acme = params["mode"] == "acme"
    names = "a certificate for {0}\n".format(", ".join(params["domains"]))
    unknown: Result = {"changed": True, "not_after": None, **({"issued": False} if is_acme else {})}
    if not _certificate.has_openssl():
        if task.check_mode:
            return dict(unknown, diff=place.diff(None, names))
        raise _certificate.CertificateError("the command openssl is not on this host; install the package openssl")
    has_recovered = not task.check_mode and _file_set.recover()
    before = place.pair()
    pair = _wanted_pair(task, before)
    if pair is None:
        return dict(unknown, diff=place.diff(before, names))
    absent = [] if is_acme else [place.settings]
    transaction = _file_set.FileSet(place.files(pair, before), absent, params["check"], params["apply"])
    changed = has_recovered or transaction.pending
    shown = bool(transaction.paths)
    if transaction.pending and not task.check_mode:
        transaction.commit()
    if not is_acme and os.path.lexists(place.state):
        changed = True
        if not task.check_mode:
            # Not before: what it holds is of use as long as certbot.ini is there.
            _files.remove(place.state)
    if is_acme and params["issue"] and task.check_mode and not place.is_issued(pair):
        return dict(unknown, diff=place.diff(before, names))
    if is_acme and params["issue"] and not task.check_mode:
        after = _have_issued(task, place, pair)
        shown = shown or after != pair
        changed = changed or after != pair
        pair = after
    result = {"issued": place.is_issued(pair)} if is_acme else {}
    diff = place.diff(before, _certificate.described(pair.chain)) if shown else []
    return dict(result, changed=changed, not_after=pair.own.not_after, diff=diff)
