"""A real RabbitMQ on loopback: its own folder, node, ports and name server; nothing of the machine's own is touched.

Stopped and started again it keeps ports and data. Users, rights and virtual host are there from the first start.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Self
from urllib.parse import quote

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

SCRIPT = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")  # the one in PATH insists on its own user and folders
VHOST = "customs"
PASSWORDS = {"platform": "p-secret-1", "agent": "a-secret/2@:", "stranger": "s-secret-3"}
"""`platform` may do everything; `agent` may send and read, and declare nothing; `stranger` may not enter the host."""
START_S = 90.0
STOP_S = 30.0

_CONFIGURATION = """\
listeners.tcp.1 = 127.0.0.1:{port}
listeners.ssl.1 = 127.0.0.1:{tls_port}
ssl_options.cacertfile = {folder}/ca.pem
ssl_options.certfile = {folder}/server.pem
ssl_options.keyfile = {folder}/server.key
ssl_options.verify = verify_none
ssl_options.fail_if_no_peer_cert = false
max_message_size = 16777216
load_definitions = {folder}/definitions.json
log.console = true
log.console.level = warning
"""


class BrokerError(Exception):
    """RabbitMQ did not start or stop; the message holds the end of what it said."""


class Broker:
    """Runs while inside a `with`."""

    def __init__(self) -> None:
        self.port, self.tls_port, self._node_port, self._name_port = _free_ports(4)
        self._folder = Path(tempfile.mkdtemp(prefix="rabbitmq-"))
        self._names: subprocess.Popen[bytes] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self.ca_file = self._folder / "ca.pem"

    def __enter__(self) -> Self:
        if not SCRIPT.exists():
            raise BrokerError(f"{SCRIPT} is missing\nhint: apt-get install rabbitmq-server")
        _write_certificates(self._folder)
        text = _CONFIGURATION.format(port=self.port, tls_port=self.tls_port, folder=self._folder)
        (self._folder / "rabbitmq.conf").write_text(text)
        (self._folder / "definitions.json").write_text(json.dumps(_definitions()))
        (self._folder / "plugins").write_text("[].")
        # The node's name server, in the foreground: the node would start it as a daemon that outlives it.
        self._names = subprocess.Popen(
            ["epmd", "-port", str(self._name_port), "-address", "127.0.0.1"], env=self._environment()
        )
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        if self._names:
            self._names.terminate()
            self._names.wait(STOP_S)
        shutil.rmtree(self._folder, ignore_errors=True)

    def start(self) -> None:
        """Returns when it takes connections."""
        if self._process:
            return
        with (self._folder / "out.log").open("ab") as log:
            self._process = subprocess.Popen(
                [SCRIPT, "-noinput"],
                env=self._environment(),
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        end = time.monotonic() + START_S
        while not all(_answers(port) for port in (self.port, self.tls_port)):
            if self._process.poll() is not None or time.monotonic() > end:
                raise BrokerError((self._folder / "out.log").read_text(errors="replace")[-3000:])
            time.sleep(0.05)

    def stop(self) -> None:
        """In order, as an operator would."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """As a power cut would."""
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, how)
        self._process.wait(STOP_S)
        self._process = None

    def url(self, host: str = "127.0.0.1") -> str:
        return f"amqp://{host}:{self.port}/{VHOST}"

    def url_for(self, user: str) -> str:
        """With account and password."""
        return f"amqp://{user}:{quote(PASSWORDS[user], safe='')}@127.0.0.1:{self.port}/{VHOST}"

    def tls_url(self, host: str = "127.0.0.1") -> str:
        return f"amqps://{host}:{self.tls_port}/{VHOST}"

    def _environment(self) -> Mapping[str, str]:
        folder = self._folder
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),  # of the cookie
            "LANG": "C.UTF-8",
            "ERL_EPMD_PORT": str(self._name_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"mq{self.port}@localhost",
            "RABBITMQ_DIST_PORT": str(self._node_port),
            "RABBITMQ_CONF_ENV_FILE": str(folder / "none"),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "none.config"),
            "RABBITMQ_GENERATED_CONFIG_DIR": str(folder / "generated"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_PID_FILE": str(folder / "pid"),
            "RABBITMQ_ALLOW_INPUT": "1",  # the script then becomes the node itself, and signals reach it
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 2:2 -kernel inet_dist_use_interface {127,0,0,1}",
        }


def _definitions() -> Mapping[str, object]:
    everything = {"configure": ".*", "write": ".*", "read": ".*"}
    operator = {"configure": "^$", "write": "^(requests|amq.default)", "read": "^receipts"}
    return {
        "vhosts": [{"name": VHOST}],
        "users": [
            {
                "name": name,
                "password_hash": _hash(password),
                "hashing_algorithm": "rabbit_password_hashing_sha256",
                "tags": "",
            }
            for name, password in PASSWORDS.items()
        ],
        "permissions": [
            {"user": "platform", "vhost": VHOST, **everything},
            {"user": "agent", "vhost": VHOST, **operator},
        ],
    }


def _hash(password: str) -> str:
    salt = b"salt"
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _write_certificates(folder: Path) -> None:
    """ca.pem; server.pem and server.key for 127.0.0.1; other-ca.pem, which signed nothing."""
    ca_key, ca = _authority("Test CA")
    _, other = _authority("Other CA")
    key = ec.generate_private_key(ec.SECP256R1())
    alternatives = x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))])
    server = (
        _builder("server", key, ca.subject)
        .add_extension(alternatives, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    for name, certificate in (("ca", ca), ("other-ca", other), ("server", server)):
        (folder / f"{name}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "server.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


def _authority(name: str) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    usage = x509.KeyUsage(
        **dict.fromkeys(
            (
                *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment"),
                *("key_agreement", "encipher_only", "decipher_only"),
            ),
            False,
        ),
        key_cert_sign=True,
        crl_sign=True,
    )
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = (
        _builder(name, key, subject)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return key, made


def _builder(name: str, key: ec.EllipticCurvePrivateKey, issuer: x509.Name) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=1))
    )
