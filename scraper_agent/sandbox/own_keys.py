"""The keys of one simulated side: it signs with the newest, and keeps the others for what they signed.

Not for production: the private keys lie unencrypted in its database.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import datetime

from scraper_agent.ports import Signer
from scraper_agent.signing import keyfile, native, sm2
from scraper_agent.signing.keyfile import PrivateKey
from scraper_agent.signing.keystate import KeyState
from scraper_agent.signing.native import NativeKey

SCHEMA = """
CREATE TABLE IF NOT EXISTS own_key (sk TEXT PRIMARY KEY, d TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS own_key_life (
    sk TEXT PRIMARY KEY, not_before TEXT NOT NULL, not_after TEXT, revoked TEXT
) STRICT;
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnKey:
    sk: str
    pair: PrivateKey
    not_before: datetime | None
    """None: unknown, of a database that was made before there were lives."""
    not_after: datetime | None
    revoked: datetime | None

    @property
    def state(self) -> KeyState:
        if self.revoked is not None:
            return KeyState.REVOKED
        return KeyState.ACTIVE if self.not_after is None else KeyState.RETIRED


class OwnKeys:
    """A Signer. The first key is made with the database; `renew` and `revoke` need its transaction."""

    def __init__(self, database: sqlite3.Connection, now: datetime) -> None:
        self._database = database
        self._load()
        if not self.keys:
            self.renew(now)

    @property
    def current(self) -> OwnKey:
        return self.keys[-1]

    @property
    def key_index(self) -> str:
        return self.current.sk

    @property
    def public_key(self) -> str:
        return self.current.pair.public_key

    @property
    def public_keys(self) -> dict[str, str]:
        """By `sk`, without the revoked ones."""
        return {key.sk: key.pair.public_key for key in self.keys if key.revoked is None}

    def sign(self, message: bytes) -> bytes:
        return self.signers[-1].sign(message)

    def renew(self, now: datetime) -> OwnKey:
        """A new key under the next index, which signs from now on."""
        sk = f"{int(self.keys[-1].sk) + 1 if self.keys else 1:02}"
        self._database.execute("UPDATE own_key_life SET not_after = ? WHERE not_after IS NULL", (now.isoformat(),))
        self._database.execute("INSERT INTO own_key VALUES (?, ?)", (sk, f"{keyfile.generate().d:064x}"))
        self._database.execute("INSERT INTO own_key_life VALUES (?, ?, NULL, NULL)", (sk, now.isoformat()))
        self._load()
        return self.current

    def revoke(self, sk: str, now: datetime) -> None:
        """What `sk` signed counts no more. If it is the one that signs, another is made.

        Raises:
            LookupError: there is no such key.
        """
        if sk not in [key.sk for key in self.keys]:
            raise LookupError(sk)
        if sk == self.current.sk:
            self.renew(now)
        self._database.execute("UPDATE own_key_life SET revoked = ? WHERE sk = ?", (now.isoformat(), sk))
        self._load()

    def _load(self) -> None:
        rows = self._database.execute(
            "SELECT sk, d, not_before, not_after, revoked FROM own_key LEFT JOIN own_key_life USING (sk) ORDER BY sk"
        )
        self.keys: tuple[OwnKey, ...] = tuple(
            OwnKey(
                sk=sk,
                pair=PrivateKey(d=int(d, 16), public_key=sm2.derive_public(int(d, 16))),
                not_before=_moment(not_before),
                not_after=_moment(not_after),
                revoked=_moment(revoked),
            )
            for sk, d, not_before, not_after, revoked in rows
        )
        self.signers: tuple[Signer, ...] = tuple(_Signing(key) for key in self.keys if key.revoked is None)


class _Signing:
    """One key as a Signer."""

    def __init__(self, key: OwnKey) -> None:
        self.key_index = key.sk
        self.public_key = key.pair.public_key
        self._d = key.pair.d
        self._native = NativeKey(self._d, self.public_key) if native.available() else None

    def sign(self, message: bytes) -> bytes:
        if self._native is not None:
            return self._native.sign(message)
        return sm2.sign(self._d, self.public_key, message)


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
