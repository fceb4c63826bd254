"""Whom a transport trusts, and what it may send to unencrypted."""

from __future__ import annotations

import ipaddress
import ssl
from pathlib import Path

from scraper_agent.errors import UsageError
from scraper_agent.messages import N_


def trust(ca_file: Path | None) -> ssl.SSLContext:
    """For connections to hosts whose certificate an authority in `ca_file` has signed; None: those of the machine.

    Raises:
        UsageError: `ca_file` cannot be read.
    """
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except OSError as error:  # also ssl.SSLError, for what is no certificate
        raise UsageError(
            "SA4029",
            N_("cannot read certificates from {path}: {reason}"),
            hint=N_("`ca_file` names one or more certificates in PEM"),
            path=ca_file,
            reason=error.strerror or str(error),
        ) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def without_account(url: str) -> str:
    """An address for a message: what stands before `@` may hold a password."""
    return url.rpartition("@")[2]
