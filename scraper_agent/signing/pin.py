"""How many PINs were tried in vain on one token, kept on disk: a token locks itself, and only its issuer unlocks it."""

from __future__ import annotations

import os
from pathlib import Path

from scraper_agent.durable import sync_folder
from scraper_agent.errors import NeedsPerson
from scraper_agent.messages import N_
from scraper_agent.signing import keyfile

MOST = 2
"""Tries in a row without a right one; tokens allow six to ten, and the rest are left to a person."""


class PinTries:
    """The size of the file is the count, so that two processes at once cannot lose a try. No file: none."""

    def __init__(self, path: Path, token: str) -> None:
        self._path = path
        self._token = token

    def begin(self) -> None:
        """Count one try. Durable when this returns: whoever dies before the token's answer has used the try up.

        Raises:
            NeedsPerson: `MOST` tries have been in vain; or so it may be.
            AgentError: the file cannot be written.
        """
        try:
            created = not self._path.exists()
            handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o600)
            try:
                allowed = os.fstat(handle).st_size < MOST
                if allowed:
                    os.write(handle, b"x")
                    os.fsync(handle)
                    allowed = os.fstat(handle).st_size <= MOST  # another process may have counted at the same moment
            finally:
                os.close(handle)
            if created:
                sync_folder(self._path.parent)
        except OSError as error:
            raise keyfile.cannot_write(self._path, error) from error
        if not allowed:
            raise NeedsPerson(
                "SA3041",
                N_("{most} PINs in a row were tried on {token} in vain; no more are tried, so that it is not locked"),
                hint=N_(
                    "sign in once with the token's own program, which knows how many tries are left; delete {path}"
                ),
                most=MOST,
                token=self._token,
                path=self._path,
            )

    def right(self) -> None:
        """The token took the PIN: nothing is counted any more.

        Raises:
            AgentError: the file cannot be written.
        """
        clear(self._path)

    def unused(self) -> None:
        """The token surely never saw the PIN of the try that was begun.

        Raises:
            AgentError: the file cannot be written.
        """
        try:
            os.truncate(self._path, max(0, self._path.stat().st_size - 1))
        except OSError as error:
            raise keyfile.cannot_write(self._path, error) from error


def clear(path: Path) -> None:
    """Count from none again: after the right PIN, or when a person has looked at the token. May be repeated.

    Raises:
        AgentError: the file cannot be written.
    """
    try:
        os.truncate(path, 0)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise keyfile.cannot_write(path, error) from error


def wrong(token: str) -> NeedsPerson:
    return NeedsPerson(
        "SA3042",
        N_("wrong PIN for {token}"),
        hint=N_("correct it where `passphrase` in the configuration says it is; only few tries are left"),
        token=token,
    )


def locked(token: str) -> NeedsPerson:
    return NeedsPerson(
        "SA3043",
        N_("{token} is locked after too many wrong PINs"),
        hint=N_("have it unlocked where it was issued"),
        token=token,
    )
