# Copyright: (c) 2026, wsgiops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Certificates and keys of every kind, made without openssl, which is what the tests put to work."""

from __future__ import annotations

import datetime
import ipaddress
import typing as t

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


class Issued:
    """A certificate and its key, from ``begins`` to ``ends`` days from now; without an issuer it signs itself.

    :param revoked: URL of the list that tells which certificates of the issuer are revoked.
    """

    def __init__(
        self,
        subject: str,
        names: t.Sequence[str] = (),
        begins: float = -1,
        ends: float = 100,
        issuer: Issued | None = None,
        key: PrivateKey | None = None,
        authority: bool = False,
        revoked: str = "",
    ) -> None:
        now = datetime.datetime.now(datetime.UTC)
        self.private_key = key or ec.generate_private_key(ec.SECP256R1())
        self.subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, subject)])
        self.ends = now + datetime.timedelta(days=ends)
        builder = (
            x509.CertificateBuilder()
            .subject_name(self.subject)
            .issuer_name(issuer.subject if issuer else self.subject)
            .public_key(self.private_key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + datetime.timedelta(days=begins))
            .not_valid_after(self.ends)
            .add_extension(x509.BasicConstraints(authority, None), critical=True)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), False)
        if revoked:
            point = x509.DistributionPoint([x509.UniformResourceIdentifier(revoked)], None, None, None)
            builder = builder.add_extension(x509.CRLDistributionPoints([point]), False)
        certificate = builder.sign((issuer or self).private_key, hashes.SHA256())
        self.certificate = certificate.public_bytes(serialization.Encoding.PEM).decode()

    @property
    def not_after(self) -> str:
        return self.ends.strftime("%Y-%m-%dT%H:%M:%SZ")

    @property
    def key(self) -> str:
        return self.key_as(serialization.PrivateFormat.PKCS8)

    def key_as(self, form: serialization.PrivateFormat, passphrase: bytes = b"") -> str:
        encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
        if passphrase:
            encryption = serialization.BestAvailableEncryption(passphrase)
        return self.private_key.private_bytes(serialization.Encoding.PEM, form, encryption).decode()


def weak_key() -> rsa.RSAPrivateKey:
    """An RSA key that is too short for OpenSSL's security level 2."""
    return rsa.generate_private_key(65537, 1024)


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
