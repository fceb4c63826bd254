"""Secrets in the operating system's own store: Windows Credential Manager, macOS Keychain, Secret Service of Linux.

It guards against copied files, backups and other users; not against who works in the same session.
"""

from __future__ import annotations

from scraper_agent.errors import UsageError
from scraper_agent.messages import N_


def get(service: str, name: str) -> str:
    """The secret, empty if there is none.

    Raises:
        UsageError: this machine has no such store, or it stays locked.
    """
    import keyring  # noqa: PLC0415 - it looks for stores when it is loaded, which most runs do not need
    from keyring.errors import KeyringError  # noqa: PLC0415

    try:
        return keyring.get_password(service, name) or ""
    except KeyringError as error:
        raise _unusable(service, name, error) from error


def put(service: str, name: str, value: str) -> None:
    """Keep a secret; the one before is gone.

    Raises:
        UsageError: as `get`.
    """
    import keyring  # noqa: PLC0415
    from keyring.errors import KeyringError  # noqa: PLC0415

    try:
        keyring.set_password(service, name, value)
    except KeyringError as error:
        raise _unusable(service, name, error) from error


def _unusable(service: str, name: str, error: Exception) -> UsageError:
    return UsageError(
        "SA7031",
        N_("the keyring of this machine cannot be used for {service}/{name}: {reason}"),
        hint=N_("where nobody is logged in, name an environment variable (`env`) or a file (`file`) in the config"),
        service=service,
        name=name,
        reason=(str(error) or type(error).__name__).splitlines()[0][:160],
    )
