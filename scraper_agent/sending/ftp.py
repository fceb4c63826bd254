"""Files on an FTP server, by the standard library; the order of steps is `handover`'s, failures are `exchange`'s.

`ftps` is explicit TLS (RFC 4217): nothing, not even the account's name, leaves before the server has proved itself, and
data connections are encrypted too, under the session of the first. Data connections go to the host that was asked for,
whatever address its answer names. FTP can promise less than SFTP: it cannot tell that a file has reached the disk, and
has no common way to ask for a hash, so that a file is always read back; and some servers cannot replace a file in one
step. aioftp is not used: its data connections stay plain after `AUTH TLS` (its issue 186).
"""

# ruff: noqa: S321 - what FTP lacks is said above and in the docs

from __future__ import annotations

import ftplib
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, model_validator

from scraper_agent.credentials import SecretPlace, Secrets
from scraper_agent.errors import SendFailed
from scraper_agent.messages import N_
from scraper_agent.sending import tls
from scraper_agent.sending.exchange import TRIED_AGAIN, Exchange, Settings
from scraper_agent.sending.handover import Lost, Refused, TooLong
from scraper_agent.yamlfile import Wrong

_CLOSING = "421"
_NO_SUCH = "550"
_LISTING_BYTES = 32 * 1024 * 1024
_LINE_BYTES = 8192
_ANSWER_LINES = 200
_BLOCK_BYTES = 65_536
_GOODBYE_S = 2
_CHANGED = re.compile(r"modify=([0-9]{14})", re.IGNORECASE)


class Config(Settings):
    kind: Literal["ftp", "ftps"]
    port: Annotated[int, Field(ge=1, le=65535)] = 21
    password: SecretPlace = SecretPlace()
    ca_file: Path | None = None
    """PEM of the authorities to trust in place of those of the operating system."""
    allow_plain: bool = False
    """For `ftp`, only inside a tunnel: the password and the documents are readable for everyone on the way."""

    @model_validator(mode="after")
    def _check_encrypted(self) -> Self:
        if self.kind == "ftp" and not self.allow_plain and not tls.is_loopback(self.host):
            raise Wrong(
                N_("`ftp` to `{host}` is not encrypted, nor is its password"),
                hint=N_("use `ftps` or `sftp`; inside a tunnel of your own, `allow_plain: true` allows it"),
                host=self.host,
            )
        return self


def transport(config: Config, secrets: Secrets) -> Exchange:
    """Connects to nothing yet; paths in `config` are absolute.

    Raises:
        NeedsPerson: the password is not where it should be.
        UsageError: `ca_file` cannot be read.
    """
    password = secrets(config.password, f"{config.kind}.password")
    trust = tls.trust(config.ca_file)
    server = f"{config.kind}://{config.host}:{config.port}"
    return Exchange(server, config, lambda until: _Line(server, config, password, trust, until))


class _Line:
    def __init__(self, server: str, config: Config, password: SecretStr, trust: ssl.SSLContext, until: float) -> None:
        self.until = until
        self._server = server
        self._config = config
        self._password = password
        self._at_most_s = config.connect_timeout_s
        self._ftp = _Client(trust, self._left_s)
        try:
            self._open()
        except BaseException:
            self.close()
            raise
        self._at_most_s = config.step_timeout_s

    def _open(self) -> None:
        """Raises SendFailed."""
        folder = ""
        try:
            with self._told():
                self._ftp.connect(self._config.host, self._config.port, self._left_s())
            if self._config.kind == "ftps":
                self._encrypt()
            self._log_in()
            with self._told():
                home = self._ftp.pwd()
            for folder in (self._config.folder, self._config.receipts):
                with self._told():
                    self._ftp.cwd(folder)
                    self._ftp.cwd(home)
            with self._told():
                if self._config.kind == "ftps":
                    self._ftp.prot_p()
                self._ftp.voidcmd("TYPE I")  # else sizes are those of lines
        except Refused as error:
            if not folder:
                raise self._no_connection(error) from error
            raise SendFailed(
                "SA4094",
                N_("{server} opens no folder {path} for this account: {reason}"),
                hint=N_("correct `folder` and `receipts`, or have the account's rights corrected"),
                server=self._server,
                path=folder,
                reason=str(error),
            ) from error
        except Lost as error:
            raise self._no_connection(error) from error

    def _encrypt(self) -> None:
        try:
            with self._told():
                self._ftp.auth()
        except (Lost, Refused) as error:
            raise SendFailed(
                "SA4093",
                N_("no trusted encrypted connection to {server}: {reason}"),
                hint=N_("if its certificate is of a private authority, name that authority's certificate in `ca_file`"),
                server=self._server,
                reason=str(error),
            ) from error

    def _log_in(self) -> None:
        try:
            with self._told():
                self._ftp.login(self._config.user, self._password.get_secret_value(), secure=False)
        except Refused as error:
            raise SendFailed(
                "SA4092",
                N_("{server} refuses the login of {user}: {reason}"),
                hint=N_("correct the account or its secret: many servers lock an account after a few refusals"),
                server=self._server,
                user=self._config.user,
                reason=str(error),
            ) from error

    def _no_connection(self, error: Exception) -> SendFailed:
        return SendFailed(
            "SA4090",
            N_("no connection to {server}: {reason}"),
            hint=TRIED_AGAIN,
            server=self._server,
            reason=str(error),
        )

    def close(self) -> None:
        self._ftp.close()

    # --- a `Store` ---

    def write(self, path: str, data: bytes) -> None:
        with self._told(), closing(self._ftp.transfercmd(f"STOR {path}")) as line:
            broken: OSError | None = None
            try:
                for start in range(0, len(data), _BLOCK_BYTES):
                    line.settimeout(self._left_s())
                    line.sendall(data[start : start + _BLOCK_BYTES])
                _end(line)
            except TimeoutError:
                raise
            except OSError as error:
                broken = error  # the server's own word, such as that its disk is full, tells more
            finally:
                line.close()
            self._ftp.voidresp()
            if broken is not None:
                raise broken

    def read(self, path: str, most: int) -> bytes | None:
        size = self.size(path)
        if size is None:
            return None
        if size > most:
            raise TooLong(path)
        try:
            return self._received(f"RETR {path}", most)
        except _Absent:
            return None

    def size(self, path: str) -> int | None:
        try:
            with self._told():
                return self._ftp.size(path)
        except _Absent:
            return None

    def rename(self, old: str, new: str) -> None:
        if self.size(new) is not None:
            self.remove(new)  # some servers refuse to replace a file
        with self._told():
            self._ftp.rename(old, new)

    def remove(self, path: str) -> None:
        with self._told():
            self._ftp.delete(path)

    def changed(self, folder: str) -> Mapping[str, int]:
        try:
            listing = self._received(f"MLSD {folder}", _LISTING_BYTES)
        except Refused:
            return {}  # an old server
        found: dict[str, int] = {}
        for entry in listing.decode("utf-8", "replace").splitlines():
            facts, _, name = entry.partition(" ")
            if changed := _CHANGED.search(facts):
                with suppress(ValueError):
                    at = datetime.strptime(changed[1], "%Y%m%d%H%M%S").replace(tzinfo=UTC)
                    found[name] = int(at.timestamp())
        return found

    def _received(self, command: str, most: int) -> bytes:
        with self._told():
            with closing(self._ftp.transfercmd(command)) as line:
                data = bytearray()
                line.settimeout(self._left_s())
                while part := line.recv(_BLOCK_BYTES):
                    data += part
                    if len(data) > most:
                        raise ftplib.error_proto(f"more than {most} bytes")
                    line.settimeout(self._left_s())
            self._ftp.voidresp()
            return bytes(data)

    def _left_s(self) -> float:
        left = min(self._at_most_s, self.until - time.monotonic())
        if left <= 0:
            raise TimeoutError
        return left

    @contextmanager
    def _told(self) -> Iterator[None]:
        """A failure as `Lost` or `Refused`, without the password, which a server may repeat."""
        self._ftp.timeout = self._left_s_or_lost()
        try:
            yield
        except (ftplib.error_perm, ftplib.error_temp) as error:
            reason = self._safe(error)
            if reason.startswith(_CLOSING):
                raise Lost(reason) from None
            raise (_Absent if reason.startswith(_NO_SUCH) else Refused)(reason) from None
        except (OSError, EOFError, ValueError, ftplib.Error) as error:
            raise Lost(self._safe(error)) from None

    def _left_s_or_lost(self) -> float:
        try:
            return self._left_s()
        except TimeoutError as error:
            raise Lost(_reason(error)) from error

    def _safe(self, error: Exception) -> str:
        return _reason(error).replace(self._password.get_secret_value(), "***")[:300]


class _Absent(Refused):
    """No such file, or no right to it: FTP tells them apart in words only."""


class _Client(ftplib.FTP_TLS):
    """Also plain, until `auth`. Answers are limited in length and time, and data follows the session of the first."""

    def __init__(self, trust: ssl.SSLContext, left_s: Callable[[], float]) -> None:
        super().__init__(context=trust)
        self._left_s = left_s
        self._unread = b""

    def getline(self) -> str:
        while b"\n" not in self._unread:
            if len(self._unread) > _LINE_BYTES:
                raise ftplib.error_proto(f"more than {_LINE_BYTES} bytes in a line")
            sock = self._control()
            sock.settimeout(self._left_s())
            part = sock.recv(_LINE_BYTES)
            if not part:
                raise EOFError("the server hung up")
            self._unread += part
        line, _, self._unread = self._unread.partition(b"\n")
        return line.decode("utf-8", "replace").removesuffix("\r")

    def getmultiline(self) -> str:
        lines = [self.getline()]
        if lines[0][3:4] == "-":
            while lines[-1][:4] != f"{lines[0][:3]} ":
                if len(lines) == _ANSWER_LINES:
                    raise ftplib.error_proto(f"more than {_ANSWER_LINES} lines in an answer")
                lines.append(self.getline())
        return "\n".join(lines)

    def auth(self) -> str:
        answer = self.voidcmd("AUTH TLS")
        if self._unread:
            # What came before encryption may be anybody's, and would be taken for an answer to what is asked after it.
            raise ftplib.error_proto("more than an answer to AUTH TLS")
        sock = self._control()
        sock.settimeout(self._left_s())
        self.sock = self.context.wrap_socket(sock, server_hostname=self.host)
        return answer

    def ntransfercmd(self, cmd: str, rest: int | str | None = None) -> tuple[socket.socket, int | None]:
        line, size = ftplib.FTP.ntransfercmd(self, cmd, rest)
        if not isinstance(self.sock, ssl.SSLSocket):
            return line, size
        try:
            # Servers ask for the same session, so that nobody else takes the data connection.
            return self.context.wrap_socket(line, server_hostname=self.host, session=self.sock.session), size
        except BaseException:
            line.close()
            raise

    def _control(self) -> socket.socket:
        if self.sock is None:
            raise EOFError("not connected")
        return self.sock


def _end(line: socket.socket) -> None:
    """Tell the server that all was sent; many do not answer that, and the file is read back in any case."""
    if isinstance(line, ssl.SSLSocket):
        line.settimeout(_GOODBYE_S)
        with suppress(OSError):
            line.unwrap()


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__
