"""ProFTPD with a virtual user and, if wanted, explicit TLS under a private authority."""

from __future__ import annotations

import grp
import os
import pwd
import subprocess
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.transports.servers import Daemon, free_port, program

USER = "robot"
PASSWORD = "a-password-of-the-tests"  # noqa: S105 - of a throw-away server on the loopback


class Ftpd:
    """`tls`: whether it encrypts, and then insists on it. `names`: what its certificate is for. `more`: settings."""

    def __init__(
        self, home: Path, *, tls: bool = True, names: tuple[str, ...] = ("127.0.0.1", "localhost"), more: str = ""
    ) -> None:
        self.home = home
        self.port = free_port()
        self.requests, self.receipts = home / "requests", home / "receipts"
        for folder in (self.requests, self.receipts):
            folder.mkdir(parents=True, exist_ok=True)
        self.password_file = home / "password"
        self.password_file.write_text(PASSWORD)
        self.ca_file = home / "ca.pem"
        certificates(home, names)
        hashed = subprocess.run(
            ["openssl", "passwd", "-6", PASSWORD], check=True, capture_output=True, text=True
        ).stdout.strip()
        me, group = os.getuid(), os.getgid()
        users = home / "users"
        users.write_text(f"{USER}:{hashed}:{me}:{group}::{home}:/bin/false\n")
        users.chmod(0o600)
        encrypted = (
            f"LoadModule mod_tls.c\nTLSEngine on\nTLSRequired on\nTLSProtocol TLSv1.2 TLSv1.3\nTLSVerifyClient off\n"
            f"TLSECCertificateFile {home}/server.pem\nTLSECCertificateKeyFile {home}/server.key\n"
        )
        configuration = home / "proftpd.conf"
        configuration.write_text(
            f"ServerType standalone\nDefaultAddress 127.0.0.1\nPort {self.port}\nUseIPv6 off\nUseReverseDNS off\n"
            f"User {pwd.getpwuid(me).pw_name}\nGroup {grp.getgrgid(group).gr_name}\nModulePath /usr/lib/proftpd\n"
            f"PidFile {home}/pid\nScoreboardFile {home}/scoreboard\nSystemLog {home}/ftpd.log\nTransferLog none\n"
            f"WtmpLog off\nAuthPAM off\nAuthOrder mod_auth_file.c\nAuthUserFile {users}\nRequireValidShell off\n"
            f"RootLogin on\nAllowOverwrite on\nMaxInstances 30\nTimesGMT on\n"
            + (encrypted if tls else "")
            + more
            + "\n"
        )
        self._daemon = Daemon([program("proftpd"), "-n", "-q", "-c", str(configuration)], self.port, home / "out.log")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        self._daemon.start()

    def stop(self) -> None:
        self._daemon.stop()


def certificates(home: Path, names: tuple[str, ...]) -> None:
    """ca.pem, and server.pem with server.key under it."""
    root, leaf = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority of the tests")])
    now = datetime.now(UTC)

    def begun(subject: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(authority)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=1))
        )

    def alternative(name: str) -> x509.GeneralName:
        try:
            return x509.IPAddress(ip_address(name))
        except ValueError:
            return x509.DNSName(name)

    ca = (
        begun(authority, root.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(root.public_key()), critical=False)
        .sign(root, hashes.SHA256())
    )
    server = (
        begun(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "server")]), leaf.public_key())
        .add_extension(x509.SubjectAlternativeName([alternative(name) for name in names]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(root.public_key()), critical=False)
        .sign(root, hashes.SHA256())
    )
    (home / "ca.pem").write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    (home / "server.pem").write_bytes(server.public_bytes(serialization.Encoding.PEM))
    key = home / "server.key"
    key.write_bytes(
        leaf.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    key.chmod(0o600)
