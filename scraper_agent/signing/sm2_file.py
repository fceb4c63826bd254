"""Signs with a key of the key folder."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, SecretStr

from scraper_agent.errors import UsageError
from scraper_agent.messages import N_
from scraper_agent.signing import keyfile, keyfolder, native, sm2
from scraper_agent.signing.check import Gate


class Config(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["file"]
    folder: Path
    """Where `keys.json` and the key files are."""
    key: keyfolder.KeyIndex
    """Which of them signs."""
    native: Literal["auto", "never"] = "auto"
    """auto: GmSSL signs where the extra `native` is installed and passes its self-test, else gmssl. never: gmssl."""


class Sm2FileSigner:
    """The private key stays in memory from construction on. Thread-safe.

    About 5 ms per signature with gmssl, 0.5 ms with GmSSL (`native`).
    """

    def __init__(self, config: Config, passphrase: SecretStr) -> None:
        """Opens the key file.

        Raises:
            NeedsPerson: wrong passphrase.
            UsageError: no such key, a retired one, or a file that is damaged or of another key.
        """
        entry = keyfolder.find(config.folder, config.key)
        if entry.status == "retired":
            raise UsageError(
                "SA3013",
                N_("key {sk} in {folder} is retired"),
                hint=N_("name an active key in the configuration; `scraper-agent key list` shows them"),
                sk=entry.sk,
                folder=config.folder,
            )
        path = config.folder / entry.file
        key = keyfile.read(path, passphrase)
        if key.public_key != entry.public_key:
            raise UsageError(
                "SA3014",
                N_("{path} holds public key {seen}; expected {expected}, which the list of keys names"),
                hint=N_("put the right file back from its backup"),
                path=path,
                seen=keyfolder.fingerprint(key.public_key),
                expected=entry.fingerprint,
            )
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
        if self._native is not None:
            return self._native.sign(message)
        return sm2.sign(self._key.d, self._key.public_key, message, check=self._gate.holds)
