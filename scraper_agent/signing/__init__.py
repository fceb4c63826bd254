"""Signers. To add one: a file here, and its lines below."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, TypeAlias, assert_never

from pydantic import Field, SecretStr

from scraper_agent.ports import Clock, Signer
from scraper_agent.signing import eport, keyfolder, skf, sm2_file

Config: TypeAlias = Annotated[sm2_file.Config | eport.Config | skf.Config, Field(discriminator="kind")]


def chosen(config: Config, now: datetime) -> Config:
    """The same, with the key named that signs at `now`: as long as this is equal, a signer can be used again.

    Raises:
        UsageError: no key signs now, or the one that the config names does not.
    """
    match config:
        case sm2_file.Config():
            return config.model_copy(update={"key": keyfolder.chosen(config.folder, config.key, now).sk})
        case eport.Config() | skf.Config():
            return config  # a token has one key
        case unknown:
            assert_never(unknown)


def connect(config: Config, secret: SecretStr, now: Clock) -> Signer:
    """Ready to sign. `secret` is the passphrase of a key file, or the PIN of a token.

    Raises:
        NeedsPerson: wrong passphrase or PIN; no token.
        UsageError: the key cannot be used; says why.
        AgentError: the token or its program does not do what it should.
    """
    match config:
        case sm2_file.Config():
            return sm2_file.Sm2FileSigner(config, secret, now)
        case eport.Config():
            return eport.EportSigner(config, secret)
        case skf.Config():
            return skf.SkfSigner(config, secret)
        case unknown:
            assert_never(unknown)
