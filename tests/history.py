"""The weekly history for tests: a ministry with its SFTP server, a province with waybills, and a line that is cut."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Self

import asyncssh

from scraper_agent.mapping import CHINA_TIME
from scraper_agent.sandbox.history import History, Ministry
from scraper_agent.sandbox.history_desk import HistoryDesk, Province
from scraper_agent.sandbox.history_file import Completed
from scraper_agent.sandbox.platform import Sender
from scraper_agent.sandbox.sftp_server import Files, SftpServer
from scraper_agent.sandbox.weeks import Week
from scraper_agent.sending import sftp
from scraper_agent.signing import keyfile, native, sm2
from scraper_agent.waybill import message
from tests.waybills import waybill

SHANGHAI = "310000"
JIANGSU = "320000"
WEEK = Week(2026, 10)
SUNDAY = datetime(2026, 3, 9, tzinfo=CHINA_TIME)
"""When that week ends."""

_NUMBER = "WB2024000000000000000001"
_MESSAGE = message.write(waybill(i1=_NUMBER))


class Key:
    """A pair, as a signer that is fast and does not check itself."""

    key_index = "01"

    def __init__(self) -> None:
        self.pair = keyfile.generate()
        self.public_key = self.pair.public_key

    def sign(self, message: bytes) -> bytes:
        signature = native.signed(self.pair.d.to_bytes(32, "big"), sm2.digest(self.public_key, message))
        assert signature is not None
        return signature


def number(count: int) -> str:
    return f"SH{count:022}"


def message_of(count: int, *, remark: str = "") -> bytes:
    made = _MESSAGE.replace(_NUMBER.encode(), number(count).encode())
    return made[:-1] + f',"i52":"{remark}"}}'.encode() if remark else made


def completed(count: int, known_at: datetime = SUNDAY - timedelta(days=2), **other: Any) -> Completed:
    told = {"message": message_of(count), "status": "done", "finished_at": known_at - timedelta(hours=1)}
    return Completed(known_at=known_at, **told | other)  # type: ignore[arg-type] # as the tests want them


@dataclass
class Store:
    """A province's waybills."""

    waybills: list[Completed] = field(default_factory=list)

    def completed(self, begin: datetime, end: datetime) -> Iterator[Completed]:
        return (each for each in self.waybills if begin <= each.known_at < end)


@dataclass
class Cut:
    """Where the line is cut next."""

    times: int = 1
    """How often; a sender tries once more by itself, so that it notices the second only."""

    after_bytes: int | None = None
    """Of a part, so many are on the server."""
    of: str = ""
    """The digest of that part; empty for whichever is first."""
    at: str = ""
    """`before` or `after` the renaming of what ends so, such as `after .done`."""
    happened: int = 0
    written: int = 0
    """Bytes that came, of all files."""


class _CutFiles(Files):
    def __init__(self, channel: asyncssh.SSHServerChannel[bytes], home: Path, cut: Cut) -> None:
        super().__init__(channel, home)
        self._cut = cut

    def write(self, file_obj: Any, offset: int, data: bytes) -> Any:
        self._cut.written += len(data)
        cut = self._cut.after_bytes
        if cut is not None and self._cut.of.encode() in file_obj.name and offset + len(data) > cut:
            super().write(file_obj, offset, data[: max(cut - offset, 0)])
            self._hang_up()
        return super().write(file_obj, offset, data)

    def posix_rename(self, oldpath: bytes, newpath: bytes) -> None:
        when, _, end = self._cut.at.partition(" ")
        now = bool(end) and newpath.decode().endswith(end)
        if now and when == "before":
            self._hang_up()
        super().posix_rename(oldpath, newpath)
        if now:
            self._hang_up()

    def _hang_up(self) -> None:
        self._cut.happened += 1
        self._cut.times -= 1
        if self._cut.times == 0:
            self._cut.after_bytes, self._cut.at = None, ""
        self.channel.get_connection().abort()
        raise asyncssh.SFTPConnectionLost("")


class CutServer(SftpServer):
    def __init__(self, *told: Any) -> None:
        super().__init__(*told)
        self.cut = Cut()

    def files(self, channel: asyncssh.SSHServerChannel[bytes]) -> asyncssh.SFTPServer:
        return _CutFiles(channel, self._home / str(channel.get_extra_info("username")), self.cut)


def no_secret(*_: object) -> Any:
    raise AssertionError


class Site:
    """The ministry, with two provinces that have accounts; each test has its own, the server's keys are shared."""

    new_server: type[CutServer] = CutServer
    ssh = asyncssh.generate_private_key("ssh-ed25519")
    host_key = asyncssh.generate_private_key("ssh-ed25519")
    ministry = Key()
    keys: dict[str, Key] = {SHANGHAI: Key(), JIANGSU: Key()}  # noqa: RUF012 - nobody changes it

    def __init__(self, folder: Path, now: datetime = SUNDAY) -> None:
        self.folder = folder
        self.now = now
        self.store = Store()
        self.senders = {ak: {"01": Sender(public_key=key.public_key)} for ak, key in self.keys.items()}
        self._open = ExitStack()

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "id").write_bytes(self.ssh.export_private_key())
        accounts = dict.fromkeys(self.keys, self.ssh.convert_to_public())
        self.server = self._open.enter_context(self.new_server(self.folder / "sftp", accounts, self.host_key))
        self.desk = self._open.enter_context(self.new_desk())
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def new_desk(self) -> HistoryDesk:
        provinces = {
            ak: Province(ak=ak, keys=self.senders[ak], sealed_for=key.public_key) for ak, key in self.keys.items()
        }
        return HistoryDesk(
            self.folder / "ministry.db",
            self.folder / "sftp",
            lambda: self.now,
            provinces=provinces,
            signer=self.ministry,
            keys=[self.ministry.pair],
        )

    def config(self, user: str = SHANGHAI) -> sftp.Config:
        return sftp.Config(
            kind="sftp",
            host="127.0.0.1",
            port=self.server.port,
            user=user,
            key_file=self.folder / "id",
            fingerprints=(self.server.fingerprint,),
            folder="/requests",
            receipts="/receipts",
        )

    def outlet(self, user: str = SHANGHAI) -> sftp.Files:
        return sftp.transport(self.config(user), no_secret)

    def connected(
        self,
        act: Callable[[asyncssh.SSHClientConnection], Coroutine[Any, Any, None]],
        *,
        user: str = SHANGHAI,
        key: asyncssh.SSHKey | None = None,
    ) -> None:
        """`act` with a connection of asyncssh's own client."""

        async def connect() -> None:
            async with asyncssh.connect(
                "127.0.0.1",
                self.server.port,
                username=user,
                client_keys=[key or self.ssh],
                known_hosts=None,
                config=None,
                agent_path=None,
            ) as line:
                await act(line)

        asyncio.run(connect())

    def province(
        self, ak: str = SHANGHAI, *, first: Week = WEEK, folder: str = "", signer: Key | None = None
    ) -> History:
        return History(
            self.folder / (folder or ak),
            ak=ak,
            first=first,
            source=self.store,
            signer=signer or self.keys[ak],
            keys=[self.keys[ak].pair],
            ministry=Ministry(sealed_for=self.ministry.public_key, public_keys={"01": self.ministry.public_key}),
        )

    def requests(self, ak: str = SHANGHAI) -> Path:
        return self.folder / "sftp" / ak / "requests"

    def numbers(self) -> list[str]:
        return [number for number, *_ in self.desk.waybills()]


def many(counts: Iterable[int], **other: Any) -> list[Completed]:
    return [completed(count, **other) for count in counts]
