"""The certificate that the proxy shows the browser, and what the proxy asks of the ERP's own one.

There is no authority that could be stolen: one self-signed certificate is made for each start of a browser, for the
hosts of that run and nothing else, and only that browser is told to take it, by the digest of its key.
"""

from __future__ import annotations

import base64
import ipaddress
import secrets
import ssl
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from scraper_agent.errors import UsageError
from scraper_agent.messages import N_

_FROM, _UNTIL = datetime(2020, 1, 1, tzinfo=UTC), datetime(2120, 1, 1, tzinfo=UTC)
"""The key lives as long as the browser does, whatever the machine's clock says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """`spki`: Base64 of the SHA-256 of its public key, as Chromium's --ignore-certificate-errors-spki-list wants it."""

    context: ssl.SSLContext
    spki: str


def show(hosts: Iterable[str]) -> Shown:
    """A new key and a certificate for `hosts`. `ssl` reads only files: the key is in one for a moment, encrypted."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "scraper_agent, this run only")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_FROM)
        .not_valid_after(_UNTIL)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([_name(host) for host in sorted(set(hosts))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    passphrase = secrets.token_bytes(32).hex()
    encrypted = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(passphrase.encode()),
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.pem"
        path.write_bytes(encrypted + certificate.public_bytes(serialization.Encoding.PEM))
        context.load_cert_chain(path, password=passphrase)
    public = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    digest = hashes.Hash(hashes.SHA256())
    digest.update(public)
    return Shown(context=context, spki=base64.b64encode(digest.finalize()).decode())


def asked(ca_file: Path | None) -> ssl.SSLContext:
    """How the ERP's certificate is verified: by the system's authorities, or by those of `ca_file` and no others.

    Raises:
        UsageError: the file cannot be read, or holds no certificate.
    """
    try:
        context = ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
    except (OSError, ssl.SSLError) as error:
        raise UsageError(
            "SA2280",
            N_("the certificates of the ERP's authority cannot be read from {path}: {seen}"),
            hint=N_("a file with PEM certificates; correct `ca_file` in the config"),
            path=ca_file,
            seen=str(error)[:200],
        ) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


def _name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host.encode("idna").decode())
