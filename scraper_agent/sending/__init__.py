"""Transports. To add one: a file here, and its two lines below (`Config` becomes a union told apart by `kind`)."""

from __future__ import annotations

from typing import TypeAlias, assert_never

from scraper_agent.ports import Transport
from scraper_agent.sending import https

Config: TypeAlias = https.Config


def connect(config: Config) -> Transport:
    """Ready to send; connects to nothing yet.

    Raises:
        UsageError: a file that the configuration names cannot be read.
    """
    match config:
        case https.Config():
            return https.HttpsTransport(config)
        case unknown:
            assert_never(unknown)
