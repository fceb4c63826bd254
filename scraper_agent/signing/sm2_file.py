"""Signs with a key of the key folder."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, SecretStr

from scraper_agent.ports import Clock
from scraper_agent.signing import keyfile, keyfolder, keystate, native, sm2
from scraper_agent.signing.check import Gate


class Config(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["file"]
    folder: Path
    """Where `keys.json` and the key files are."""
    key: keystate.KeyIndex | None = None
    """Which of them signs. None: the one that is active at the time of signing."""
    native: Literal["auto", "never"] = "auto"
    """auto: GmSSL signs where the extra `native` is installed and passes its self-test, else gmssl. never: gmssl."""


class Sm2FileSigner:
    """The private key stays in memory from construction on. Thread-safe.

    About 5 ms per signature with gmssl, 0.5 ms with GmSSL (`native`).

    It reads the list of keys anew at each signature, so that a key which somebody revokes signs no more at once.
    """

    def __init__(self, config: Config, passphrase: SecretStr, now: Clock) -> None:
        """Opens the key file.

        Raises:
            NeedsPerson: wrong passphrase.
            UsageError: no such key, one that does not sign now, or a file that is damaged or of another key.
        """
        entry = keyfolder.chosen(config.folder, config.key, now())
        key = keyfile.read(config.folder / entry.file, passphrase)
        keyfolder.check_pair(config.folder, entry, key)
        self._folder = config.folder
        self._now = now
        self._key = key
        self._index = entry.sk
        self._gate = Gate(key.public_key)
        self._native: native.NativeKey | None = None
        if config.native == "auto" and native.available():
            self._native = native.NativeKey(key.d, key.public_key)

    def __repr__(self) -> str:
        return f"Sm2FileSigner(key_index={self._index!r}, by={'GmSSL' if self._native else 'gmssl'!r})"

    @property
    def key_index(self) -> str:
        return self._index

    @property
    def public_key(self) -> str:
        return self._key.public_key

    def sign(self, message: bytes) -> bytes:
        """As `ports.Signer.sign`. Raises UsageError if the key does not sign any more."""
        keyfolder.usable(self._folder, self._index, self._now())
        if self._native is not None:
            return self._native.sign(message)
        return sm2.sign(self._key.d, self._key.public_key, message, check=self._gate.holds)
