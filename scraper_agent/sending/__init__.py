"""Transports. To add one: a file here, and its two lines below (`Config` becomes a union told apart by `kind`)."""

from __future__ import annotations

from typing import TypeAlias, assert_never

from scraper_agent.credentials import Secrets
from scraper_agent.ports import Transport
from scraper_agent.sending import https

Config: TypeAlias = https.Config


def connect(config: Config, secrets: Secrets) -> Transport:  # noqa: ARG001 - not every kind has one
    """Ready to send; connects to nothing yet. Paths in `config` are absolute.

    Raises:
        NeedsPerson: a secret is not where it should be.
        UsageError: a file that the configuration names cannot be read.
    """
    match config:
        case https.Config():
            return https.HttpsTransport(config)
        case unknown:
            assert_never(unknown)
