"""The ministry's SFTP server, by asyncssh: each account logs in by its key and sees nothing but its own folder.

In `requests` it may write the files of `sending.handover` and parts of `history_file`, under the names these have and
no others; `receipts` it may read. There are no links, no new folders, no shell and no tunnels.
"""

from __future__ import annotations

import asyncio
import posixpath
import re
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Never, Self

import asyncssh

FILE_BYTES = 16 << 20
"""No file of the history is longer."""
_STARTS_WITHIN_S = 30
_FINAL = rb"[0-9a-f]{64}\.(?:json(?:\.done)?|sm4)"
_WRITABLE = re.compile(rb"/requests/(?:" + _FINAL + rb"|\." + _FINAL + rb"\.[0-9a-f]{16}\.part)")
_READABLE = re.compile(_WRITABLE.pattern + rb"|/receipts/[0-9a-f]{64}\.receipt(?:\.done)?|/(?:requests|receipts)?")


class SftpServer:
    """Listens on loopback while inside a `with`, in a thread of its own."""

    def __init__(
        self, home: Path, accounts: Mapping[str, asyncssh.SSHKey], host_key: asyncssh.SSHKey, port: int = 0
    ) -> None:
        """`home`: has the folder of each account, by its name. `port`: 0 takes a free one."""
        self._home = home
        self._accounts = accounts
        self._host_key = host_key
        self.port = port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="sftp server", daemon=True)

    def __enter__(self) -> Self:
        for account in self._accounts:
            for folder in ("requests", "receipts"):
                (self._home / account / folder).mkdir(parents=True, exist_ok=True)
        self._thread.start()
        try:
            self._server = self._do(self._listen())
        except BaseException:
            self._end_loop()
            raise
        self.port = self._server.get_port()
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._close())
        self._end_loop()

    @property
    def fingerprint(self) -> str:
        """Of its host key, as `ssh-keygen -l` shows it."""
        return self._host_key.get_fingerprint("sha256")

    def files(self, channel: asyncssh.SSHServerChannel[bytes]) -> asyncssh.SFTPServer:
        """What a connection that has logged in works with."""
        return Files(channel, self._home / str(channel.get_extra_info("username")))

    def _do(self, step: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(step, self._loop).result(_STARTS_WITHIN_S)

    async def _listen(self) -> asyncssh.SSHAcceptor:
        return await asyncssh.listen(
            "127.0.0.1",
            self.port,
            server_host_keys=[self._host_key],
            server_factory=lambda: _Door(self._accounts),
            sftp_factory=self.files,
            allow_scp=False,
            agent_forwarding=False,
            compression_algs=None,
            config=None,
        )

    async def _close(self) -> None:
        self._server.close()
        await self._server.wait_closed()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def _end_loop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class _Door(asyncssh.SSHServer):
    def __init__(self, accounts: Mapping[str, asyncssh.SSHKey]) -> None:
        self._accounts = accounts

    def begin_auth(self, username: str) -> bool:  # noqa: ARG002 - nobody comes in without a key
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        known = self._accounts.get(username)
        return known is not None and known.public_data == key.public_data


def _refuse(_: object, path: object = b"", *__: object, **___: object) -> Never:
    raise asyncssh.SFTPPermissionDenied(f"not for this account: {ascii(path)[:100]}")


_REFUSE: Any = _refuse
"""In place of methods of many types."""


class Files(asyncssh.SFTPServer):
    """One connection's view of its folder. Paths are absolute in it once they are normal."""

    def __init__(self, channel: asyncssh.SSHServerChannel[bytes], home: Path) -> None:
        super().__init__(channel, chroot=str(home).encode())

    def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> object:  # noqa: ARG002 - the rights of a file are the server's
        writing = pflags & ~asyncssh.FXF_READ
        _check(path, _WRITABLE if writing else _READABLE)
        return super().open(path, pflags, asyncssh.SFTPAttrs())

    def write(self, file_obj: Any, offset: int, data: bytes) -> Any:
        if offset + len(data) > FILE_BYTES:
            raise asyncssh.SFTPFailure(f"more than {FILE_BYTES} bytes")
        return super().write(file_obj, offset, data)

    def remove(self, path: bytes) -> None:
        _check(path, _WRITABLE)
        super().remove(path)

    def rename(self, oldpath: bytes, newpath: bytes) -> None:
        _check(oldpath, _WRITABLE)
        _check(newpath, _WRITABLE)
        super().rename(oldpath, newpath)

    def posix_rename(self, oldpath: bytes, newpath: bytes) -> None:
        _check(oldpath, _WRITABLE)
        _check(newpath, _WRITABLE)
        super().posix_rename(oldpath, newpath)

    def stat(self, path: bytes) -> Any:
        _check(path, _READABLE)
        return super().stat(path)

    def lstat(self, path: bytes) -> Any:
        _check(path, _READABLE)
        return super().lstat(path)

    def scandir(self, path: bytes) -> Any:
        _check(path, _READABLE)
        return super().scandir(path)

    open56 = mkdir = rmdir = setstat = lsetstat = fsetstat = readlink = symlink = link = statvfs = fstatvfs = _REFUSE


def _check(path: bytes, allowed: re.Pattern[bytes]) -> None:
    if not allowed.fullmatch(posixpath.normpath(b"/" + path).replace(b"//", b"/")):
        raise asyncssh.SFTPPermissionDenied(f"not for this account: {ascii(path)[:100]}")
