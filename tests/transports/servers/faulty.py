"""An SFTP server that goes wrong on demand, by asyncssh, over a folder of this machine; one user with a password."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Literal, Self, TypeAlias

import asyncssh

USER = "robot"
PASSWORD = "a-password-of-the-tests"  # noqa: S105 - of a throw-away server on the loopback

Fault: TypeAlias = Literal["", "answer lost", "part lost", "garbled", "silent", "no login"]


class Faulty:
    """`fault`: for every connection, until it is changed.

    `answer lost`: hangs up once a done file has its name. `part lost`: hangs up when a file is written. `garbled`:
    what is written differs. `silent`: no answer to reading. `no login`: no answer to the password.
    """

    def __init__(self, home: Path) -> None:
        self.requests, self.receipts = home / "requests", home / "receipts"
        for folder in (self.requests, self.receipts):
            folder.mkdir(parents=True)
        self.password_file = home / "password"
        self.password_file.write_text(PASSWORD)
        self.fault: Fault = ""
        self.port = 0
        self._key = asyncssh.generate_private_key("ssh-ed25519")
        self.fingerprint = self._key.get_fingerprint("sha256")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="faulty", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()
        self.port = self._server.get_port()
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _listen(self) -> asyncssh.SSHAcceptor:
        return await asyncssh.listen(
            "127.0.0.1",
            0,
            server_host_keys=[self._key],
            server_factory=lambda: _Account(self),
            sftp_factory=lambda channel: _Files(channel, self),
            config=None,
        )

    async def _end(self) -> None:
        self._server.close()
        await self._server.wait_closed()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)


class _Account(asyncssh.SSHServer):
    def __init__(self, server: Faulty) -> None:
        self._server = server

    def begin_auth(self, username: str) -> bool:
        return True

    def password_auth_supported(self) -> bool:
        return True

    async def validate_password(self, username: str, password: str) -> bool:
        if self._server.fault == "no login":
            await asyncio.sleep(3600)
        return (username, password) == (USER, PASSWORD)


class _Files(asyncssh.SFTPServer):
    def __init__(self, channel: asyncssh.SSHServerChannel[bytes], server: Faulty) -> None:
        super().__init__(channel)
        self._server = server

    def posix_rename(self, oldpath: bytes, newpath: bytes) -> None:
        super().posix_rename(oldpath, newpath)
        if self._server.fault == "answer lost" and newpath.endswith(b".done"):
            self._hang_up()

    def write(self, file_obj: object, offset: int, data: bytes) -> int:
        if self._server.fault == "part lost":
            self._hang_up()
        if self._server.fault == "garbled":
            data = bytes([data[0] ^ 1]) + data[1:]
        return int(super().write(file_obj, offset, data))  # type: ignore[arg-type]

    async def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> object:
        if self._server.fault == "silent":
            await asyncio.sleep(3600)
        return super().open(path, pflags, attrs)

    def _hang_up(self) -> None:
        self.channel.get_connection().abort()
        raise asyncssh.SFTPConnectionLost("")
