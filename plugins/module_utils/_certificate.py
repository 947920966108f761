# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""An application's certificate and key for nginx: made here, or given and looked at before nginx sees them."""

from __future__ import annotations

import base64
import datetime
import hashlib
import ipaddress
import os
import re
import shutil
import ssl
import subprocess
import tempfile
import typing as t

from ansible_collections.wsgiops.flask.plugins.module_utils import _files

DAY = 24 * 60 * 60

# Days that a certificate made here lasts; clients take none that lasts longer than 398 for a server's.
LIFETIME = 397

# Days before its end that a certificate made here is replaced, as renew_certificate.sh does, and that whoever gave one
# is told.
RENEW_WITHIN = 30
WARN_WITHIN = 21

# What OpenSSL's security level 2, Debian's default, asks of RSA.
RSA_BITS = 2048

# X.520's upper bound of a common name.
COMMON_NAME = 64

_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_KEY = re.compile(r"-----BEGIN (?P<kind>(?:[A-Z]+ )?PRIVATE KEY)-----.+?-----END (?P=kind)-----", re.DOTALL)

_REQUEST = """\
[req]
distinguished_name = subject
x509_extensions = extensions
prompt = no
[subject]
CN = {common_name}
[extensions]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
subjectAltName = @names
[names]
{names}
"""


class CertificateError(Exception):
    """A certificate or key that nginx must not get; the text names the option and what is accepted."""


class Certificate(t.NamedTuple):
    """What openssl says of one certificate. Names are as domains are written: host names, wildcards and addresses."""

    pem: str
    subject: str
    issuer: str
    names: t.FrozenSet[str]
    public_key: str
    begins: int
    ends: int

    @property
    def not_after(self) -> str:
        return _iso(self.ends)


class Key(t.NamedTuple):
    """A private key. ``rsa_bits`` is 0 for a key that is not RSA's."""

    pem: str
    public_key: str
    rsa_bits: int

    def __repr__(self) -> str:
        return "Key(...)"


class Pair(t.NamedTuple):
    """A chain, the application's own certificate first, and its key."""

    chain: t.Sequence[Certificate]
    key: Key

    @property
    def own(self) -> Certificate:
        return self.chain[0]


class Flaw(t.NamedTuple):
    """Why nginx must not get a pair: the option, what is wrong with it, and what is accepted."""

    option: str
    problem: str
    accepted: str


def has_openssl() -> bool:
    return shutil.which("openssl") is not None


def provided(certificate: str, key: str, domains: t.Sequence[str], now: float) -> Pair:
    """The pair that the options hold, as PEM text or as absolute paths.

    :raises CertificateError: when it can not be had, or has a flaw.
    """
    certificate_source, certificate_text = _taken("certificate", certificate)
    key_source, key_text = _taken("key", key)
    try:
        pair = Pair(_chain(certificate_text), _key(key_text))
        found = flaw(pair, domains, now)
    except _Unreadable as error:
        found = error.flaw
    if found is not None:
        source = {"certificate": certificate_source, "key": key_source}[found.option]
        raise _refused(source, found.problem, found.accepted)
    return pair


def standing(certificate: str, key: str) -> t.Optional[Pair]:
    """The pair at two paths, whatever its flaws; ``None`` when there is none that openssl can read."""
    try:
        return Pair(_chain(_files.read_text(certificate) or ""), _key(_files.read_text(key) or ""))
    except _Unreadable:
        return None


def is_good_self_signed(pair: Pair, domains: t.Sequence[str], now: float) -> bool:
    """Whether a pair is what :func:`self_signed` would make, and lasts."""
    return (
        len(pair.chain) == 1
        and is_self_signed(pair)
        and is_for_exactly(pair, domains)
        and pair.own.ends > now + RENEW_WITHIN * DAY
        and flaw(pair, domains, now) is None
    )


def is_self_signed(pair: Pair) -> bool:
    return pair.own.subject == pair.own.issuer


def is_same(pair: Pair, other: t.Optional[Pair]) -> bool:
    """Whether two pairs are one, however their files are written."""
    return other is not None and [each.pem for each in pair.chain] == [each.pem for each in other.chain]


def is_for_exactly(pair: Pair, domains: t.Sequence[str]) -> bool:
    return pair.own.names == {_normal(domain) for domain in domains}


def bridges(pair: Pair, domains: t.Sequence[str], now: float) -> bool:
    """Whether a pair serves better than a new self-signed one until an authority has issued another.

    What an authority has issued for some of the domains is good for clients of those; all warn of a self-signed one.
    """
    covered = [domain for domain in domains if _is_for(pair.own, domain)]
    return bool(covered) and flaw(pair, domains if is_self_signed(pair) else covered, now) is None


def self_signed(domains: t.Sequence[str]) -> Pair:
    """A new key, which no disk sees, and a certificate for exactly ``domains``.

    :raises CertificateError: when openssl fails.
    """
    names = ["{0}.{1} = {2}".format("IP" if _is_address(name) else "DNS", i, name) for i, name in enumerate(domains)]
    key = _made(["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:prime256v1"], "")
    with tempfile.TemporaryDirectory() as directory:
        config = os.path.join(directory, "request")
        with open(config, "w", encoding="utf-8") as handle:
            handle.write(_REQUEST.format(common_name=domains[0][:COMMON_NAME], names="\n".join(names)))
        command = ["req", "-x509", "-new", "-sha256", "-days", str(LIFETIME), "-config", config, "-key", "/dev/stdin"]
        certificate = _made(command, key)
    return Pair(_chain(certificate), _key(key))


def flaw(pair: Pair, domains: t.Sequence[str], now: float) -> t.Optional[Flaw]:
    """The first reason not to give a pair to nginx, ``None`` when there is none that can be told here."""
    own = pair.own
    if pair.key.public_key != own.public_key:
        problem = "it is not the key of the certificate {0}".format(own.subject or "without a subject")
        return Flaw("key", problem, "the one that the first certificate of tls.certificate was made for")
    if 0 < pair.key.rsa_bits < RSA_BITS:
        problem = "it has {0} bits".format(pair.key.rsa_bits)
        return Flaw("key", problem, "an RSA key of {0} bits or more, or an elliptic curve's".format(RSA_BITS))
    if own.ends <= now:
        return Flaw("certificate", "it ended on {0}".format(own.not_after[:10]), "one that has not ended")
    if own.begins > now:
        begins = _iso(own.begins)
        return Flaw("certificate", "it begins at {0}".format(begins), "one that has begun by the host's clock")
    missing = [domain for domain in domains if not _is_for(own, domain)]
    if missing:
        names = ", ".join(sorted(own.names)) or "no name"
        problem = "it is for {0}, not for {1}".format(names, ", ".join(missing))
        return Flaw("certificate", problem, "one whose subject alternative names cover all domains")
    for number, issuer in enumerate(pair.chain[1:], start=1):
        issued = pair.chain[number - 1]
        if not _issued(issued, issuer):
            said = "its certificate {0}, {1}, is not issued by the next one, {2}"
            problem = said.format(number, issued.subject, issuer.subject)
            accepted = "the application's own certificate first and after each one that of its issuer"
            return Flaw("certificate", problem, accepted)
    return None


def described(chain: t.Sequence[Certificate]) -> str:
    """A chain in words, for people who compare two."""
    return "\n".join(
        "subject: {0}\nissuer: {1}\nnames: {2}\nnot before: {3}\nnot after: {4}\nSHA-256: {5}\n".format(
            each.subject,
            each.issuer,
            ", ".join(sorted(each.names)),
            _iso(each.begins),
            each.not_after,
            hashlib.sha256(base64.b64decode("".join(each.pem.splitlines()[1:-1]))).hexdigest(),
        )
        for each in chain
    )


class _Unreadable(Exception):
    """Text that is no certificate or no key."""

    def __init__(self, option: str, problem: str, accepted: str) -> None:
        super().__init__(problem)
        self.flaw = Flaw(option, problem, accepted)


def _refused(source: str, problem: str, accepted: str) -> CertificateError:
    return CertificateError("{0}: {1}; accepted is {2}. Nothing was changed.".format(source, problem, accepted))


def _taken(option: str, value: str) -> t.Tuple[str, str]:
    """What to call an option's value in messages, and its text, read from the host where the value is a path."""
    source = "tls.{0}".format(option)
    accepted = "PEM text, or the absolute path of a readable file on the host that holds it"
    if "-----BEGIN " in value:
        return source, value
    if not value.startswith("/"):
        # It may be a key that lost its first line, so it is not repeated.
        raise _refused(source, "it is neither PEM text nor an absolute path", accepted)
    source = "{0}: {1}".format(source, value)
    try:
        # Links are followed: certbot's are some.
        with open(value, encoding="ascii", errors="replace") as handle:
            return source, handle.read()
    except OSError as error:
        raise _refused(source, os.strerror(error.errno or 0), accepted) from None


def _chain(text: str) -> t.List[Certificate]:
    """The certificates in a text, and nothing else of it: the file that they go to is everybody's to read.

    :raises _Unreadable: when there is none, or openssl can not read one.
    """
    accepted = "PEM text of certificates, from -----BEGIN CERTIFICATE----- on"
    blocks = [_tidy(found.group()) for found in _CERTIFICATE.finditer(text)]
    if not blocks:
        raise _Unreadable("certificate", "it holds no certificate", accepted)
    return [_certificate(number, block, accepted) for number, block in enumerate(blocks, start=1)]


def _certificate(number: int, pem: str, accepted: str) -> Certificate:
    fields = ["-subject", "-issuer", "-nameopt", "RFC2253", "-dates", "-ext", "subjectAltName", "-pubkey"]
    done = _openssl(["x509", "-noout", *fields], pem)
    if done.returncode != 0:
        raise _Unreadable("certificate", "openssl can not read its certificate {0}".format(number), accepted)
    values = dict(re.findall("^(subject|issuer|notBefore|notAfter)=(.*)$", done.stdout, re.MULTILINE))
    names = re.search("^X509v3 Subject Alternative Name:.*\n(.*)$", done.stdout, re.MULTILINE)
    return Certificate(
        pem=pem,
        subject=values["subject"],
        issuer=values["issuer"],
        names=frozenset(_alternative_names(names.group(1) if names else "")),
        public_key=_public_key(done.stdout),
        begins=ssl.cert_time_to_seconds(values["notBefore"]),
        ends=ssl.cert_time_to_seconds(values["notAfter"]),
    )


def _alternative_names(line: str) -> t.Iterator[str]:
    for item in line.strip().split(", "):
        kind, _colon, name = item.partition(":")
        if kind in ("DNS", "IP Address"):
            yield _normal(name)


def _key(text: str) -> Key:
    """The private key in a text.

    :raises _Unreadable: when there is none, it has a passphrase, or openssl can not read it.
    """
    accepted = "PEM text of one private key without a passphrase"
    found = _KEY.search(text)
    if found is None:
        raise _Unreadable("key", "it holds no private key", accepted)
    if "ENCRYPTED" in found.group():
        raise _Unreadable("key", "it has a passphrase, which nginx could not ask for", accepted)
    pem = _tidy(found.group())
    done = _openssl(["pkey", "-pubout", "-text_pub"], pem)
    if done.returncode != 0:
        raise _Unreadable("key", "openssl can not read it", accepted)
    bits = re.search(r"^(?:RSA )?Public-Key: \((\d+) bit\)\nModulus:", done.stdout, re.MULTILINE)
    return Key(pem, _public_key(done.stdout), int(bits.group(1)) if bits else 0)


def _public_key(output: str) -> str:
    found = re.search("-----BEGIN PUBLIC KEY-----.+?-----END PUBLIC KEY-----", output, re.DOTALL)
    return found.group() if found else ""


def _tidy(block: str) -> str:
    """A PEM block without what editors and YAML put around its lines."""
    return "".join(line.strip() + "\n" for line in block.splitlines())


def _is_for(certificate: Certificate, domain: str) -> bool:
    """Whether clients take a certificate for a domain's. A wildcard in it stands for one label (RFC 6125)."""
    name = _normal(domain)
    if name in certificate.names:
        return True
    return not _is_address(name) and "*." + name.partition(".")[2] in certificate.names


def _issued(issued: Certificate, issuer: Certificate) -> bool:
    """Whether one certificate is signed by another one, which may sign it."""
    with tempfile.NamedTemporaryFile("w", encoding="ascii") as trusted:
        trusted.write(issuer.pem)
        trusted.flush()
        nothing_else = ["-no-CAfile", "-no-CApath", "-no-CAstore", "-partial_chain", "-no_check_time"]
        return _openssl(["verify", *nothing_else, "-trusted", trusted.name], issued.pem).returncode == 0


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _normal(name: str) -> str:
    return str(ipaddress.ip_address(name)) if _is_address(name) else name.lower()


def _iso(seconds: int) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _made(arguments: t.Sequence[str], text: str) -> str:
    """Output of an openssl command that has to succeed.

    :raises CertificateError: with openssl's words when it does not.
    """
    done = _openssl(arguments, text)
    if done.returncode != 0:
        raise CertificateError("openssl {0} failed:\n{1}".format(arguments[0], done.stderr.strip()))
    return done.stdout


def _openssl(arguments: t.Sequence[str], text: str) -> subprocess.CompletedProcess[str]:
    """Run openssl with a text as its input: what it is given of keys is in no file and no process list."""
    return subprocess.run(
        ["openssl", *arguments],
        input=text,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        env=dict(os.environ, LC_ALL="C"),
        check=False,
    )
