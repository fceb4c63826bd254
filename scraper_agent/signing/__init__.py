"""Signers. To add one: a file here, and its two lines below."""

from __future__ import annotations

from typing import Annotated, TypeAlias, assert_never

from pydantic import Field, SecretStr

from scraper_agent.ports import Signer
from scraper_agent.signing import eport, skf, sm2_file

Config: TypeAlias = Annotated[sm2_file.Config | eport.Config | skf.Config, Field(discriminator="kind")]


def connect(config: Config, secret: SecretStr) -> Signer:
    """Ready to sign. `secret` is the passphrase of a key file, or the PIN of a token.

    Raises:
        NeedsPerson: wrong passphrase or PIN; no token.
        UsageError: the key cannot be used; says why.
        AgentError: the token or its program does not do what it should.
    """
    match config:
        case sm2_file.Config():
            return sm2_file.Sm2FileSigner(config, secret)
        case eport.Config():
            return eport.EportSigner(config, secret)
        case skf.Config():
            return skf.SkfSigner(config, secret)
        case unknown:
            assert_never(unknown)
