"""Signers. To add one: a file here, and its two lines below (`Config` becomes a union told apart by `kind`)."""

from __future__ import annotations

from typing import TypeAlias, assert_never

from pydantic import SecretStr

from scraper_agent.ports import Signer
from scraper_agent.signing import sm2_file

Config: TypeAlias = sm2_file.Config


def connect(config: Config, passphrase: SecretStr) -> Signer:
    """Ready to sign.

    Raises:
        NeedsPerson: wrong passphrase.
        UsageError: the key cannot be used; says why.
    """
    match config:
        case sm2_file.Config():
            return sm2_file.Sm2FileSigner(config, passphrase)
        case unknown:
            assert_never(unknown)
