"""Certificates for the loopback address, made on the spot."""

from __future__ import annotations

import datetime
import ipaddress
import itertools

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

_ADDRESS = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
_NUMBERS = itertools.count(1)


class Authority:
    """Who signs certificates. `pem` is its own."""

    def __init__(self, name: str = "authority") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named(name)
        basic = x509.BasicConstraints(ca=True, path_length=None)
        builder = _builder(self._name, self._name, self._key).add_extension(basic, critical=True)
        self.pem = _pem(builder.sign(self._key, hashes.SHA256()))

    def sign(self, *names: str | x509.GeneralName) -> tuple[bytes, bytes]:
        """A key and its certificate as PEM; text is a URI, no name is the loopback address."""
        key = ec.generate_private_key(ec.SECP256R1())
        alternatives = [
            x509.UniformResourceIdentifier(name) if isinstance(name, str) else name
            for name in names or (_ADDRESS,)
        ]
        builder = _builder(_named("leaf"), self._name, key).add_extension(
            x509.SubjectAlternativeName(alternatives), critical=False
        )
        return _private(key), _pem(builder.sign(self._key, hashes.SHA256()))


def self_signed() -> tuple[bytes, bytes]:
    """A key, and a certificate that it signed for itself, both as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _named("far")
    certificate = (
        _builder(name, name, key)
        .add_extension(x509.SubjectAlternativeName([_ADDRESS]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return _private(key), _pem(certificate)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(next(_NUMBERS))
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
    )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
