"""Signers. To add one: a file here, and its two lines below (`Config` becomes a union told apart by `kind`)."""

from __future__ import annotations

from datetime import datetime
from typing import TypeAlias, assert_never

from pydantic import SecretStr

from scraper_agent.ports import Clock, Signer
from scraper_agent.signing import keyfolder, sm2_file

Config: TypeAlias = sm2_file.Config


def chosen(config: Config, now: datetime) -> Config:
    """The same, with the key named that signs at `now`: as long as this is equal, a signer can be used again.

    Raises:
        UsageError: no key signs now, or the one that the config names does not.
    """
    match config:
        case sm2_file.Config():
            return config.model_copy(update={"key": keyfolder.chosen(config.folder, config.key, now).sk})
        case unknown:
            assert_never(unknown)


def connect(config: Config, passphrase: SecretStr, now: Clock) -> Signer:
    """Ready to sign.

    Raises:
        NeedsPerson: wrong passphrase.
        UsageError: the key cannot be used; says why.
    """
    match config:
        case sm2_file.Config():
            return sm2_file.Sm2FileSigner(config, passphrase, now)
        case unknown:
            assert_never(unknown)
