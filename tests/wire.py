"""A server that records what reaches it, and a client that speaks to the proxy byte by byte."""

from __future__ import annotations

import base64
import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from scraper_agent.capture.proxy import Proxy

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass
class Recorder:
    """Each request as it came: its head's lines, and its body."""

    port: int = 0
    seen: list[tuple[list[bytes], bytes]] = field(default_factory=list)
    connections: int = 0
    answer: Callable[[list[bytes]], bytes | None] = lambda _: OK
    """To a head's lines; None: nothing, and the connection stays."""
    gone: threading.Event = field(default_factory=threading.Event)
    """A connection was closed by the other side."""

    @property
    def lines(self) -> list[bytes]:
        return [lines[0] for lines, _ in self.seen]

    def attend(self, plain: socket.socket, context: ssl.SSLContext | None) -> None:
        with contextlib.suppress(OSError, ValueError), contextlib.ExitStack() as stack:
            secure = context.wrap_socket(plain, server_side=True) if context is not None else plain
            line = stack.enter_context(secure)
            data = b""
            while True:
                lines, body, data = self._request(line, data)
                self.seen.append((lines, body))
                answer = self.answer(lines)
                if answer is None:
                    continue
                line.sendall(answer)
                framed = b"Content-Length" in answer or b"chunked" in answer
                if not framed or answer.startswith(b"HTTP/1.1 200 CUT"):
                    line.shutdown(socket.SHUT_RDWR)
                    return

    def _request(self, line: socket.socket, data: bytes) -> tuple[list[bytes], bytes, bytes]:
        while b"\r\n\r\n" not in data:
            more = line.recv(65536)
            if not more:
                self.gone.set()
                raise OSError
            data += more
        head, _, data = data.partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        length = next((int(li.split(b":")[1]) for li in lines if li.lower().startswith(b"content-length:")), 0)
        while len(data) < length:
            data += line.recv(65536)
        return lines, data[:length], data[length:]


@contextmanager
def recording(context: ssl.SSLContext | None = None) -> Iterator[Recorder]:
    """Reads requests by the letter: a head up to its empty line, and as many bytes as its Content-Length says."""
    here = Recorder()
    listener = socket.create_server(("127.0.0.1", 0))
    here.port = listener.getsockname()[1]
    open_ones: set[socket.socket] = set()

    def listen() -> None:
        while True:
            try:
                plain, _ = listener.accept()
            except OSError:
                return
            here.connections += 1
            open_ones.add(plain)
            threading.Thread(target=here.attend, args=(plain, context), daemon=True).start()

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    try:
        yield here
    finally:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for line in list(open_ones):
            with contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)
            line.close()
        thread.join(5)


@dataclass
class Answer:
    status: int
    headers: dict[bytes, bytes]
    body: bytes
    whole: bool
    """Nothing was cut off."""


class Caller:
    """One connection to the proxy."""

    def __init__(self, proxy: Proxy) -> None:
        self.line: socket.socket = socket.create_connection(("127.0.0.1", proxy.port), timeout=10)
        credentials = base64.b64encode(f"{proxy.user}:{proxy.password}".encode())
        self.allowed = b"Proxy-Authorization: Basic " + credentials + b"\r\n"
        self.data = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.line.close()

    def ask(self, first: str, *headers: str, body: bytes = b"", known: bool = True, host: str | None = None) -> Answer:
        """Send one request of HTTP/1.1 and read its answer. `host`: else as the address says; empty: no such header."""
        method, _, url = first.partition(" ")
        named = url.split("/")[2] if "//" in url else url
        lines = [f"{method} {url} HTTP/1.1", *([f"Host: {host if host is not None else named}"] if host != "" else [])]
        lines += list(headers)
        lines += [f"Content-Length: {len(body)}"] if body else []
        head = "\r\n".join(lines).encode("latin-1") + b"\r\n" + (self.allowed if known else b"") + b"\r\n"
        self.line.sendall(head + body)
        return self.read(method=method)

    def raw(self, data: bytes) -> Answer:
        """`{auth}` in the bytes is the line that opens the proxy."""
        self.line.sendall(data.replace(b"{auth}", self.allowed))
        return self.read()

    def read(self, method: str = "") -> Answer:
        """Status 0 where the connection ended without one."""
        while b"\r\n\r\n" not in self.data:
            if not self._more():
                return Answer(0, {}, self.data, whole=False)
        head, _, self.data = self.data.partition(b"\r\n\r\n")
        first, *rest = head.split(b"\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in rest)}
        status = int(first.split()[1])
        if method in ("HEAD", "CONNECT") or status in (204, 304):
            return Answer(status, headers, b"", whole=True)
        body, whole = self._chunks() if b"transfer-encoding" in headers else self._so_many(headers)
        return Answer(status, headers, body, whole=whole)

    def ended(self) -> bool:
        """Whether the other side has closed."""
        return not self._more()

    def secure(self, host: str) -> ssl.SSLObject | ssl.SSLSocket:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        wrapped = context.wrap_socket(self.line, server_hostname=host)
        self.line = wrapped
        return wrapped

    def _so_many(self, headers: dict[bytes, bytes]) -> tuple[bytes, bool]:
        length = int(headers.get(b"content-length", b"0"))
        while len(self.data) < length:
            if not self._more():
                return self.data, False
        body, self.data = self.data[:length], self.data[length:]
        return body, True

    def _chunks(self) -> tuple[bytes, bool]:
        body = b""
        while True:
            while b"\r\n" not in self.data:
                if not self._more():
                    return body, False
            size, _, self.data = self.data.partition(b"\r\n")
            length = int(size, 16)
            while len(self.data) < length + 2:
                if not self._more():
                    return body + self.data, False
            body, self.data = body + self.data[:length], self.data[length + 2 :]
            if not length:
                return body, True

    def _more(self) -> bool:
        try:
            more = self.line.recv(65536)
        except OSError:
            return False
        self.data += more
        return bool(more)


def certificate(folder: Path, host: str, *, expired: bool = False) -> tuple[ssl.SSLContext, Path]:
    """What a server for `host` shows, self-signed; and the file to trust it by."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=9))
        .not_valid_after(now + timedelta(days=-1 if expired else 9))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / f"{host}-{expired}.pem"
    public = made.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + public)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    trusted = folder / f"{host}-{expired}.crt"
    trusted.write_bytes(public)
    return context, trusted
