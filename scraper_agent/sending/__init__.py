"""Transports. To add one: a file here, and its two lines below."""

from __future__ import annotations

from typing import Annotated, TypeAlias, assert_never

from pydantic import Field

from scraper_agent.credentials import Secrets
from scraper_agent.ports import Transport
from scraper_agent.sending import ftp, https, sftp

Config: TypeAlias = Annotated[https.Config | sftp.Config | ftp.Config, Field(discriminator="kind")]


def connect(config: Config, secrets: Secrets) -> Transport:
    """Ready to send; connects to nothing yet. Paths in `config` are absolute.

    Raises:
        NeedsPerson: a secret is not where it should be.
        UsageError: a file that the configuration names cannot be read.
    """
    match config:
        case https.Config():
            return https.HttpsTransport(config)
        case sftp.Config():
            return sftp.transport(config, secrets)
        case ftp.Config():
            return ftp.transport(config, secrets)
        case unknown:
            assert_never(unknown)
