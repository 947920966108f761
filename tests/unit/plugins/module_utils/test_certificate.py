# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import base64
import hashlib
import time
import typing as t
from pathlib import Path

import pytest
from certificates import Issued, weak_key
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import PrivateFormat

from ansible_collections.wsgiops.flask.plugins.module_utils import _certificate
from ansible_collections.wsgiops.flask.plugins.module_utils._certificate import CertificateError, Pair

DOMAINS = ("shop.example.com",)


@pytest.fixture(scope="module")
def authority() -> Issued:
    return Issued("Authority", authority=True)


@pytest.fixture(scope="module")
def between(authority: Issued) -> Issued:
    return Issued("Between", issuer=authority, authority=True)


@pytest.fixture(scope="module")
def shop(between: Issued) -> Issued:
    return Issued("shop", DOMAINS, issuer=between)


def provided(certificate: str, key: str, domains: t.Sequence[str] = DOMAINS) -> Pair:
    return _certificate.provided(certificate, key, domains, time.time())


def refusal(certificate: str, key: str, domains: t.Sequence[str] = DOMAINS) -> str:
    """What is said of options that are refused; no line of the key's is in it."""
    with pytest.raises(CertificateError) as refused:
        provided(certificate, key, domains)
    said = str(refused.value)
    assert not any(line in said for line in key.splitlines()[1:-1] if line)
    assert said.endswith(". Nothing was changed.")
    return said.replace(". Nothing was changed.", "")


# --- what is given ------------------------------------------------------------------------------------------------


def test_text_is_taken_in_its_order(shop: Issued, between: Issued, authority: Issued) -> None:
    chain = [shop.certificate, between.certificate, authority.certificate]
    pair = provided("".join(chain), shop.key)
    assert [each.pem for each in pair.chain] == chain
    assert pair.key.pem == shop.key
    assert pair.own.not_after == shop.not_after
    assert (pair.own.subject, pair.own.issuer, pair.own.names) == ("CN=shop", "CN=Between", {"shop.example.com"})


def test_files_are_read_through_links(shop: Issued, tmp_path: Path) -> None:
    for name, text in {"chain": shop.certificate, "key": shop.key}.items():
        (tmp_path / f"archive-{name}").write_text(text)
        (tmp_path / name).symlink_to(f"archive-{name}")
    pair = provided(str(tmp_path / "chain"), str(tmp_path / "key"))
    assert (pair.own.pem, pair.key.pem) == (shop.certificate, shop.key)


def test_nothing_but_certificates_gets_into_the_file_that_everybody_reads(shop: Issued, tmp_path: Path) -> None:
    combined = f"The shop's, café\n{shop.key}{shop.certificate}"
    path = tmp_path / "combined.pem"
    path.write_text(combined)
    for given in (combined, str(path)):
        pair = provided(given, given)
        assert [each.pem for each in pair.chain] == [shop.certificate]
        assert pair.key.pem == shop.key


def test_space_around_lines_does_not_matter(shop: Issued) -> None:
    certificate, key = (
        "\r\n".join(f"  {line} " for line in text.splitlines()) for text in (shop.certificate, shop.key)
    )
    pair = provided(certificate, key)
    assert (pair.own.pem, pair.key.pem) == (shop.certificate, shop.key)


def test_keys_of_older_forms_and_of_rsa_are_taken() -> None:
    for private_key in (None, rsa.generate_private_key(65537, 2048)):
        issued = Issued("shop", DOMAINS, key=private_key)
        key = issued.key_as(PrivateFormat.TraditionalOpenSSL)
        assert provided(issued.certificate, key).key.pem == key


@pytest.mark.parametrize(
    ("names", "domain"),
    [
        (["SHOP.example.com"], "shop.example.com"),
        (["*.example.com"], "shop.example.com"),
        (["*.example.com"], "*.example.com"),
        (["192.0.2.1"], "192.0.2.1"),
        (["2001:db8::1"], "2001:DB8::1"),
    ],
)
def test_names_cover_domains(names: list[str], domain: str) -> None:
    issued = Issued("shop", names)
    assert provided(issued.certificate, issued.key, [domain]).own.pem == issued.certificate


@pytest.mark.parametrize(
    ("names", "domain"),
    [
        (["*.example.com"], "example.com"),
        (["*.example.com"], "a.shop.example.com"),
        (["shop.example.com"], "*.example.com"),
        (["*.0.2.1"], "192.0.2.1"),
        # The common name, which clients do not look at.
        ([], "shop"),
    ],
)
def test_names_do_not_cover_domains(names: list[str], domain: str) -> None:
    issued = Issued("shop", names)
    assert refusal(issued.certificate, issued.key, [*names, domain]) == (
        f"tls.certificate: it is for {''.join(names) or 'no name'}, not for {domain}; "
        "accepted is one whose subject alternative names cover all domains"
    )


# --- what is refused ----------------------------------------------------------------------------------------------


def test_a_missing_file_is_named_with_what_is_accepted(shop: Issued, tmp_path: Path) -> None:
    accepted = "; accepted is PEM text, or the absolute path of a readable file on the host that holds it"
    path = str(tmp_path / "none.pem")
    assert refusal(path, shop.key) == f"tls.certificate: {path}: No such file or directory{accepted}"
    assert refusal(shop.certificate, path) == f"tls.key: {path}: No such file or directory{accepted}"
    assert refusal(shop.certificate, str(tmp_path)) == f"tls.key: {tmp_path}: Is a directory{accepted}"


def test_what_is_neither_text_nor_path_is_not_repeated(shop: Issued) -> None:
    assert refusal(shop.certificate, "c2VjcmV0\nc2VjcmV0\nc2VjcmV0").startswith(
        "tls.key: it is neither PEM text nor an absolute path; accepted is PEM text, or "
    )
    assert refusal("shop.pem", shop.key).startswith("tls.certificate: it is neither PEM text nor an absolute path;")


def test_text_that_holds_something_else_is_refused(shop: Issued, tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    path.write_text(shop.certificate)
    assert refusal(shop.certificate, str(path)) == (
        f"tls.key: {path}: it holds no private key; accepted is PEM text of one private key without a passphrase"
    )
    accepted = "accepted is PEM text of certificates, from -----BEGIN CERTIFICATE----- on"
    assert refusal(shop.key, shop.key) == f"tls.certificate: it holds no certificate; {accepted}"


def test_broken_text_is_refused(shop: Issued) -> None:
    assert refusal(shop.certificate, shop.key.replace("M", "A")).startswith("tls.key: openssl can not read it;")
    broken = shop.certificate + shop.certificate.replace("M", "A")
    assert refusal(broken, shop.key).startswith("tls.certificate: openssl can not read its certificate 2;")


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
def test_a_passphrase_is_refused(shop: Issued, form: PrivateFormat) -> None:
    assert refusal(shop.certificate, shop.key_as(form, b"secret")) == (
        "tls.key: it has a passphrase, which nginx could not ask for; "
        "accepted is PEM text of one private key without a passphrase"
    )


def test_the_key_of_another_certificate_is_refused(shop: Issued, between: Issued) -> None:
    assert refusal(shop.certificate, between.key) == (
        "tls.key: it is not the key of the certificate CN=shop; "
        "accepted is the one that the first certificate of tls.certificate was made for"
    )


def test_a_short_rsa_key_is_refused() -> None:
    weak = Issued("shop", DOMAINS, key=weak_key())
    assert refusal(weak.certificate, weak.key) == (
        "tls.key: it has 1024 bits; accepted is an RSA key of 2048 bits or more, or an elliptic curve's"
    )


def test_only_its_own_time_counts(between: Issued, tmp_path: Path) -> None:
    ended = Issued("shop", DOMAINS, begins=-9, ends=-1)
    path = tmp_path / "shop.pem"
    path.write_text(ended.certificate)
    assert refusal(str(path), ended.key) == (
        f"tls.certificate: {path}: it ended on {ended.not_after[:10]}; accepted is one that has not ended"
    )
    early = Issued("shop", DOMAINS, begins=1)
    assert "tls.certificate: it begins at 20" in refusal(early.certificate, early.key)
    # What is above it may have ended: clients that know a newer one take that.
    root = Issued("Root", begins=-9, ends=-1, authority=True)
    under = Issued("shop", DOMAINS, issuer=root)
    assert len(provided(under.certificate + root.certificate, under.key).chain) == 2


def test_a_chain_in_another_order_is_refused(shop: Issued, between: Issued, authority: Issued) -> None:
    accepted = "; accepted is the application's own certificate first and after each one that of its issuer"
    assert refusal(shop.certificate + authority.certificate + between.certificate, shop.key) == (
        f"tls.certificate: its certificate 1, CN=shop, is not issued by the next one, CN=Authority{accepted}"
    )
    assert refusal(shop.certificate + between.certificate + shop.certificate, shop.key) == (
        f"tls.certificate: its certificate 2, CN=Between, is not issued by the next one, CN=shop{accepted}"
    )
    assert refusal(between.certificate + shop.certificate, shop.key).startswith("tls.key: it is not the key of")


def test_an_issuer_in_name_alone_is_refused(shop: Issued, authority: Issued) -> None:
    namesake = Issued("Between", issuer=authority, authority=True)
    assert "CN=shop, is not issued by the next one, CN=Between" in refusal(
        shop.certificate + namesake.certificate, shop.key
    )


# --- what is made here --------------------------------------------------------------------------------------------


def test_a_certificate_is_made_for_exactly_the_domains() -> None:
    domains = ["shop.example.com", "*.shop.example.com", "192.0.2.1"]
    pair = _certificate.self_signed(domains)
    made = x509.load_pem_x509_certificate(pair.own.pem.encode())
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == domains[:2]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == domains[2:]
    assert made.subject.rfc4514_string() == made.issuer.rfc4514_string() == "CN=shop.example.com"
    assert not made.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    usage = made.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [x509.ExtendedKeyUsageOID.SERVER_AUTH]
    assert (made.not_valid_after_utc - made.not_valid_before_utc).days == 397
    assert _certificate.is_good_self_signed(pair, domains, time.time())


def test_a_long_domain_does_not_fit_a_common_name() -> None:
    domain = ".".join(["a" * 40, "b" * 40, "example.com"])
    pair = _certificate.self_signed([domain])
    assert pair.own.subject == f"CN={domain[:64]}"
    assert pair.own.names == {domain}


def test_every_key_is_another() -> None:
    assert _certificate.self_signed(DOMAINS).key != _certificate.self_signed(DOMAINS).key


def test_openssl_says_why_it_made_none() -> None:
    with pytest.raises(CertificateError, match=r"^openssl req failed:\n"):
        _certificate.self_signed(["192.0.2.1", "not a name\n[extensions"])


# --- what stands --------------------------------------------------------------------------------------------------


def stand(directory: Path, certificate: str, key: str) -> Pair | None:
    (directory / "certificate.pem").write_text(certificate)
    (directory / "key.pem").write_text(key)
    return _certificate.standing(str(directory / "certificate.pem"), str(directory / "key.pem"))


def test_no_pair_stands_where_one_is_missing_or_broken(shop: Issued, tmp_path: Path) -> None:
    assert _certificate.standing(str(tmp_path / "certificate.pem"), str(tmp_path / "key.pem")) is None
    assert stand(tmp_path, shop.certificate, "") is None
    assert stand(tmp_path, "broken", shop.key) is None
    pair = stand(tmp_path, shop.certificate, shop.key)
    assert pair is not None
    assert pair.own.pem == shop.certificate


def good(directory: Path, issued: Issued, certificate: str = "", key: str = "") -> bool:
    pair = stand(directory, certificate or issued.certificate, key or issued.key)
    assert pair is not None
    return _certificate.is_good_self_signed(pair, DOMAINS, time.time())


def test_a_good_self_signed_one_is_kept(tmp_path: Path) -> None:
    assert good(tmp_path, Issued("shop", DOMAINS, ends=31))


def test_any_other_one_is_not_kept(tmp_path: Path, shop: Issued, between: Issued) -> None:
    assert not good(tmp_path, Issued("shop", DOMAINS, ends=29))
    assert not good(tmp_path, Issued("shop", DOMAINS, begins=1))
    assert not good(tmp_path, Issued("shop", [*DOMAINS, "more.example.com"]))
    assert not good(tmp_path, Issued("shop", ["*.example.com"]))
    assert not good(tmp_path, Issued("shop", DOMAINS), key=shop.key)
    assert not good(tmp_path, shop)
    twice = Issued("shop", DOMAINS, authority=True)
    assert not good(tmp_path, twice, certificate=twice.certificate * 2)


# --- what is shown ------------------------------------------------------------------------------------------------


# --- until an authority has issued one ----------------------------------------------------------------------------


def standing(directory: Path, issued: Issued) -> Pair:
    pair = stand(directory, issued.certificate, issued.key)
    assert pair is not None
    return pair


@pytest.mark.parametrize(
    ("names", "ends", "is_self_signed", "bridges"),
    [
        (["a.example", "b.example"], 1, False, True),
        (["a.example"], 1, False, True),
        (["c.example", "b.example"], 1, False, True),
        (["c.example"], 1, False, False),
        (["a.example", "b.example"], -0.5, False, False),
        (["a.example", "b.example"], 1, True, True),
        (["a.example", "b.example", "c.example"], 1, True, True),
        (["a.example"], 1, True, False),
        (["a.example", "b.example"], -0.5, True, False),
    ],
)
def test_what_serves_until_another_is_issued(
    tmp_path: Path, authority: Issued, names: list[str], ends: float, is_self_signed: bool, bridges: bool
) -> None:
    pair = standing(tmp_path, Issued("a", names, ends=ends, issuer=None if is_self_signed else authority))
    assert _certificate.is_self_signed(pair) == is_self_signed
    assert _certificate.bridges(pair, ["a.example", "b.example"], time.time()) == bridges


def test_what_nginx_refuses_does_not_serve(tmp_path: Path, shop: Issued, authority: Issued) -> None:
    pair = stand(tmp_path, shop.certificate, authority.key)
    assert pair is not None
    assert not _certificate.bridges(pair, DOMAINS, time.time())


def test_pairs_are_the_same_or_not(tmp_path: Path, authority: Issued) -> None:
    first, second = (standing(tmp_path, Issued("a", ["A.example"], issuer=authority)) for each in range(2))
    assert _certificate.is_same(first, first)
    assert not _certificate.is_same(first, second)
    assert not _certificate.is_same(first, None)
    assert _certificate.is_for_exactly(first, ["a.example"])
    assert not _certificate.is_for_exactly(first, ["a.example", "b.example"])
    assert not _certificate.is_for_exactly(first, [])


def test_a_chain_in_words_holds_nothing_of_the_key(shop: Issued, between: Issued) -> None:
    pair = provided(shop.certificate + between.certificate, shop.key)
    own, above = _certificate.described(pair.chain).split("\n\n")
    digest = hashlib.sha256(base64.b64decode("".join(shop.certificate.splitlines()[1:-1]))).hexdigest()
    lines = own.splitlines()
    assert lines[:3] == ["subject: CN=shop", "issuer: CN=Between", "names: shop.example.com"]
    assert lines[3].startswith("not before: 20")
    assert lines[4:] == [f"not after: {shop.not_after}", f"SHA-256: {digest}"]
    assert above.startswith("subject: CN=Between\nissuer: CN=Authority\n")
    assert shop.key.splitlines()[1] not in repr(pair)
