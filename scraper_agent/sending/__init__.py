"""Transports. To add one: a file here, and its two lines below."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, TypeAlias, assert_never
from urllib.parse import urlsplit

from pydantic import Field

from scraper_agent import envelope
from scraper_agent.audit.anchor import Carrier
from scraper_agent.credentials import Secrets
from scraper_agent.format import Format
from scraper_agent.formats import FORMATS
from scraper_agent.ports import Transport
from scraper_agent.sending import folder, ftp, https, mq, sftp

Config: TypeAlias = Annotated[
    https.Config | mq.Config | sftp.Config | ftp.Config | folder.Config, Field(discriminator="kind")
]


def connect(
    config: Config,
    secrets: Secrets,
    *,
    profile: envelope.Profile = envelope.DEFAULT,
    formats: Mapping[str, Format] = FORMATS,
    carrier: Carrier | None = None,
) -> Transport:
    """Ready to send; connects to nothing yet. Paths in `config` are absolute.

    `profile` and `formats`: of what is sent, for a transport that does not send the request as it is. `carrier`: of
    a receiver that is a witness; over https alone.

    Raises:
        NeedsPerson: a secret is not where it should be.
        UsageError: a file that the configuration names cannot be used.
    """
    match config:
        case https.Config():
            return https.HttpsTransport(config, carrier)
        case mq.Config():
            return mq.MqTransport(config, secrets(config.password, f"mq.{config.user}"))
        case folder.Config():
            return folder.connect(config, profile, formats)
        case sftp.Config():
            return sftp.transport(config, secrets)
        case ftp.Config():
            return ftp.transport(config, secrets)
        case unknown:
            assert_never(unknown)


def places(config: Config) -> frozenset[str]:
    """Where documents go, in the ways that a policy may name it: the host, and the address; or the folder.

    A folder is absolute, all else in lower case. An address ends before the path.
    """
    match config:
        case https.Config(url=url) | mq.Config(url=url):
            parts = urlsplit(url)
            address = f"{parts.scheme}://{parts.netloc}"
            return frozenset({(parts.hostname or "").lower(), address.lower()})
        case sftp.Config() | ftp.Config():
            host = config.host.lower()
            return frozenset({host, f"{config.kind}://{host}:{config.port}"})
        case folder.Config(path=path):
            return frozenset({str(path.resolve())})
        case unknown:
            assert_never(unknown)
