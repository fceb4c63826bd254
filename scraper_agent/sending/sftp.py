"""Files on an SSH server, by asyncssh; the order of steps is `handover`'s, the meaning of failures `exchange`'s.

The server proves itself by a key that the configuration knows; none is trusted for being seen first. Nothing of the
account that the agent runs under is used: no `~/.ssh`, no agent. Where the server offers them, a file is brought to its
disk (`fsync@openssh.com`) and renamed in one step (`posix-rename@openssh.com`).
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

import asyncssh
from pydantic import Field, model_validator

from scraper_agent.credentials import SecretPlace, Secrets
from scraper_agent.errors import SendFailed, UsageError
from scraper_agent.messages import N_
from scraper_agent.sending import bulk
from scraper_agent.sending.exchange import TRIED_AGAIN, Exchange, Line, Settings
from scraper_agent.sending.handover import Done, Lost, Refused, TooLong
from scraper_agent.yamlfile import Wrong

T = TypeVar("T")

_CLOSE_S = 5
_NO_SUCH = (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath)
_GONE = (asyncssh.SFTPConnectionLost, asyncssh.SFTPNoConnection, asyncssh.SFTPBadMessage)


class Config(Settings):
    kind: Literal["sftp"]
    port: Annotated[int, Field(ge=1, le=65535)] = 22
    password: SecretPlace | None = None
    key_file: Path | None = None
    """Private key, OpenSSH or PEM, in place of a password."""
    passphrase: SecretPlace | None = None
    """Of the private key, if it is encrypted."""
    known_hosts: Path | None = None
    """File of the server's keys, as OpenSSH writes it."""
    fingerprints: tuple[Annotated[str, Field(pattern=r"^SHA256:[0-9A-Za-z+/]{43}$")], ...] = ()
    """Of the server's keys, as `ssh-keygen -l` shows them, in place of the file."""

    @model_validator(mode="after")
    def _check_proofs(self) -> Self:
        if (self.password is None) == (self.key_file is None):
            raise Wrong(N_("give either `password` or `key_file`"))
        if self.passphrase is not None and self.key_file is None:
            raise Wrong(N_("`passphrase` is of a `key_file`, and there is none"))
        if (self.known_hosts is None) == (not self.fingerprints):
            raise Wrong(
                N_("give either `known_hosts` or `fingerprints`: a server is not trusted for being seen first"),
                hint=N_("ask the server's operator for the fingerprint of its host key, by telephone"),
            )
        return self


def transport(config: Config, secrets: Secrets) -> Files:
    """Connects to nothing yet; paths in `config` are absolute.

    Raises:
        NeedsPerson: a secret is not where it should be.
        UsageError: the key or the file of known hosts cannot be read.
    """
    options: dict[str, Any] = {"preferred_auth": ("password", "keyboard-interactive"), "client_keys": None}
    if config.password is not None:
        options["password"] = secrets(config.password, "sftp.password").get_secret_value()
    if config.key_file is not None:
        passphrase = None
        if config.passphrase is not None:
            passphrase = secrets(config.passphrase, "sftp.passphrase").get_secret_value()
        options = {"preferred_auth": ("publickey",), "client_keys": [_private_key(config.key_file, passphrase)]}
    # Never empty: asyncssh would take that for the account's own file.
    known = asyncssh.import_known_hosts("") if config.known_hosts is None else _known_hosts(config.known_hosts)
    server = f"sftp://{config.host}:{config.port}"
    return Files(server, config, lambda until: _Line(server, config, {**options, "known_hosts": known}, until))


class Files(Exchange):
    """The transport; its server also takes files that are long."""

    def put(self, file: Path, done: Done) -> None:
        """Put `file`, which is as `done` says, beside the requests under its own name; goes on where a cut left it.

        Raises:
            SendFailed: it is not there whole; what is there of it stays for the next time.
            OSError: the file cannot be read.
        """

        def put(line: Line) -> None:
            assert isinstance(line, _Line)  # noqa: S101 - `transport` makes no other
            bulk.put(line, self._folders.requests, file, done)

        self._hand_over(put, file.name)


class _Line:
    """One SSH connection in an event loop of its own."""

    def __init__(self, server: str, config: Config, options: Mapping[str, Any], until: float) -> None:
        self.until = until
        self._config = config
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="sftp", daemon=True)
        self._thread.start()
        self._peer = _Peer(frozenset(config.fingerprints))
        try:
            self._sftp = self._open(server, options)
        except BaseException:
            self.close()
            raise

    def _open(self, server: str, options: Mapping[str, Any]) -> asyncssh.SFTPClient:
        """Raises SendFailed."""
        folder = ""
        try:
            sftp = self._done(self._connect(options), self._config.connect_timeout_s)
            for folder in (self._config.folder, self._config.receipts):
                if not self._done(sftp.isdir(folder)):
                    raise _no_folder(server, folder, "-")
            return sftp
        except asyncssh.HostKeyNotVerifiable as error:
            raise SendFailed(
                "SA4091",
                N_("{server} shows a host key that is not known: {seen}"),
                hint=N_("nothing was sent; ask its operator by telephone whether the key was changed, and to what"),
                server=server,
                seen=self._peer.key_seen or str(error),
            ) from error
        except asyncssh.PermissionDenied as error:
            raise SendFailed(
                "SA4092",
                N_("{server} refuses the login of {user}: {reason}"),
                hint=N_("correct the account or its secret: many servers lock an account after a few refusals"),
                server=server,
                user=self._config.user,
                reason=error.reason,
            ) from error
        except Refused as error:
            raise _no_folder(server, folder, str(error)) from error
        except (Lost, OSError, asyncssh.Error) as error:
            raise SendFailed(
                "SA4090",
                N_("no connection to {server}: {reason}"),
                hint=TRIED_AGAIN,
                server=server,
                reason=_reason(error),
            ) from error

    async def _connect(self, options: Mapping[str, Any]) -> asyncssh.SFTPClient:
        connection = await asyncssh.connect(
            self._config.host,
            self._config.port,
            username=self._config.user,
            client_factory=lambda: self._peer,
            config=None,
            agent_path=None,
            x509_trusted_certs=None,
            compression_algs=None,
            **options,
        )
        return await connection.start_sftp_client()

    def close(self) -> None:
        if self._loop.is_closed():
            return
        self.until = time.monotonic() + _CLOSE_S
        with suppress(Exception):  # it may be gone already; what matters is that nothing stays
            self._done(self._disconnect())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        if left := asyncio.all_tasks(self._loop):
            for task in left:
                task.cancel()
            self._loop.run_until_complete(asyncio.wait(left))
        self._loop.close()

    async def _disconnect(self) -> None:
        if self._peer.connection is not None:
            self._peer.connection.abort()
            await self._peer.connection.wait_closed()

    # --- a `Store` ---

    def write(self, path: str, data: bytes) -> None:
        async def write() -> None:
            async with self._sftp.open(path, "xb") as file:
                await file.write(data)
                with suppress(asyncssh.SFTPOpUnsupported):
                    await file.fsync()

        self._done(write())

    def grow(self, path: str, at: int, data: bytes) -> None:
        async def grow() -> None:
            async with self._sftp.open(path, asyncssh.FXF_WRITE | asyncssh.FXF_CREAT, encoding=None) as file:
                await file.write(data, at)
                with suppress(asyncssh.SFTPOpUnsupported):
                    await file.fsync()

        self._done(grow())

    def read(self, path: str, most: int) -> bytes | None:
        async def read() -> bytes:
            async with self._sftp.open(path, "rb") as file:
                return await file.read(most + 1)

        try:
            data = self._done(read())
        except _Absent:
            return None
        if len(data) > most:
            raise TooLong(path)
        return data

    def size(self, path: str) -> int | None:
        try:
            return self._done(self._sftp.stat(path)).size
        except _Absent:
            return None

    def rename(self, old: str, new: str) -> None:
        try:
            self._done(self._sftp.posix_rename(old, new))
        except _Unsupported:
            # The plain one fails, or copies, where there is a file already.
            if self.size(new) is not None:
                self.remove(new)
            self._done(self._sftp.rename(old, new))

    def remove(self, path: str) -> None:
        self._done(self._sftp.remove(path))

    def changed(self, folder: str) -> Mapping[str, int]:
        names = self._done(self._sftp.readdir(folder))
        return {str(name.filename): name.attrs.mtime for name in names if name.attrs.mtime is not None}

    def _done(self, step: Coroutine[Any, Any, T], at_most_s: float | None = None) -> T:
        left_s = min(at_most_s or self._config.step_timeout_s, max(self.until - time.monotonic(), 0))
        try:
            return asyncio.run_coroutine_threadsafe(asyncio.wait_for(step, left_s), self._loop).result()
        except TimeoutError as error:
            raise Lost(f"{left_s:.0f} s") from error
        except _GONE as error:
            raise Lost(_reason(error)) from error
        except (asyncssh.HostKeyNotVerifiable, asyncssh.PermissionDenied):
            raise
        except _NO_SUCH as error:
            raise _Absent(_reason(error)) from error
        except asyncssh.SFTPOpUnsupported as error:
            raise _Unsupported(_reason(error)) from error
        except asyncssh.SFTPError as error:
            raise Refused(_reason(error)) from error
        except (OSError, asyncssh.Error) as error:
            raise Lost(_reason(error)) from error


class _Absent(Refused):
    """There is no such file."""


class _Unsupported(Refused):
    """The server has no such step."""


class _Peer(asyncssh.SSHClient):
    """The connection from its first moment on; is asked about a host key that no file of known hosts has."""

    def __init__(self, fingerprints: frozenset[str]) -> None:
        self._fingerprints = fingerprints
        self.connection: asyncssh.SSHClientConnection | None = None
        self.key_seen = ""

    def connection_made(self, conn: asyncssh.SSHClientConnection) -> None:
        self.connection = conn

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:  # noqa: ARG002
        self.key_seen = key.get_fingerprint("sha256")
        return self.key_seen in self._fingerprints


def _no_folder(server: str, folder: str, reason: str) -> SendFailed:
    return SendFailed(
        "SA4094",
        N_("{server} opens no folder {path} for this account: {reason}"),
        hint=N_("correct `folder` and `receipts`, or have the account's rights corrected"),
        server=server,
        path=folder,
        reason=reason,
    )


def _private_key(path: Path, passphrase: str | None) -> asyncssh.SSHKey:
    try:
        return asyncssh.read_private_key(path, passphrase)
    except (OSError, asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as error:
        raise UsageError(
            "SA4101",
            N_("cannot read a private key from {path}: {reason}"),
            hint=N_("`key_file` names a private key of SSH; if it is encrypted, `passphrase` says where its secret is"),
            path=path,
            reason=_reason(error),
        ) from error


def _known_hosts(path: Path) -> asyncssh.SSHKnownHosts:
    try:
        return asyncssh.read_known_hosts(str(path))
    except (OSError, ValueError) as error:
        raise UsageError(
            "SA4102",
            N_("cannot read the keys of known hosts from {path}: {reason}"),
            hint=N_("`known_hosts` names a file as `ssh-keyscan` writes it; compare its keys by telephone"),
            path=path,
            reason=_reason(error),
        ) from error


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__
