"""What one key of the folder may be used for, and when.

A key is planned, active, retired or revoked. It signs from the second of `not_before` on and no more from that of
`not_after` on, so that of a key and the one it gives way to exactly one signs at any time.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from scraper_agent.errors import UsageError
from scraper_agent.messages import N_
from scraper_agent.signing import sm2

INDEX = r"^(0[1-9]|[1-9][0-9])$"
KeyIndex = Annotated[str, Field(pattern=INDEX)]
"""`sk`, 01 to 99."""


class KeyState(StrEnum):
    """What a key may be used for at a time."""

    PLANNED = "planned"  # signs later, or once a rotation names it
    ACTIVE = "active"
    RETIRED = "retired"  # signs no more; its public key is kept to verify what it signed
    REVOKED = "revoked"  # not to be trusted any more


class KeyEntry(BaseModel):
    """One line of `keys.json`. Nothing in it is secret."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sk: KeyIndex
    public_key: Annotated[str, AfterValidator(sm2.parse_public)]
    fingerprint: str
    """SM3 of the public key's SubjectPublicKeyInfo in DER, 64 hex digits: `openssl pkey -pubin -outform DER | openssl
    sm3`."""
    file: Annotated[str, Field(pattern=r"^sm2-\d\d\.pem$")]
    created: AwareDatetime
    status: Literal["planned", "active", "retired", "revoked"]
    """What was decided; `state` says what it means at a time."""
    not_before: AwareDatetime | None = None
    """Signs from this moment on. None: since it was made; of a planned key: not decided yet."""
    not_after: AwareDatetime | None = None
    """Signs no more from this moment on."""
    revoked: AwareDatetime | None = None
    reason: str = ""
    """Why it was revoked."""

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> KeyEntry:
        if (self.status == "revoked") != (self.revoked is not None):
            raise ValueError("`revoked` is the moment of a key whose status is revoked")
        return self

    def state(self, now: datetime) -> KeyState:
        if self.status == "revoked":
            return KeyState.REVOKED
        if self.status == "retired" or (self.not_after is not None and now >= self.not_after):
            return KeyState.RETIRED
        if now < self.not_before if self.not_before is not None else self.status == "planned":
            return KeyState.PLANNED
        return KeyState.ACTIVE


def shown(when: datetime) -> str:
    """In the time of this machine, to the second."""
    return when.astimezone().isoformat(sep=" ", timespec="seconds")


def planned(folder: Path, entry: KeyEntry) -> UsageError:
    if entry.not_before is None:
        return UsageError(
            "SA3023",
            N_("key {sk} in {folder} is planned, and nothing says from when on it signs"),
            hint=N_("once the receiving side knows it: `scraper-agent key rotate --to {sk}`"),
            sk=entry.sk,
            folder=folder,
        )
    return UsageError(
        "SA3022",
        N_("key {sk} in {folder} does not sign before {when}"),
        hint=N_(
            "`scraper-agent key list` shows which key signs now; leave `signing: key:` out of the config to use it"
        ),
        sk=entry.sk,
        folder=folder,
        when=shown(entry.not_before),
    )


def ended(folder: Path, entry: KeyEntry) -> UsageError:
    if entry.revoked is not None:
        return UsageError(
            "SA3025",
            N_("key {sk} in {folder} was revoked on {when}: {reason}"),
            hint=N_("make another one by `scraper-agent key new`, and tell the receiving side"),
            sk=entry.sk,
            folder=folder,
            when=shown(entry.revoked),
            reason=entry.reason,
        )
    if entry.not_after is not None:
        return UsageError(
            "SA3024",
            N_("key {sk} in {folder} signs no more since {when}"),
            hint=N_(
                "`scraper-agent key list` shows which key signs now; leave `signing: key:` out of the config to use it"
            ),
            sk=entry.sk,
            folder=folder,
            when=shown(entry.not_after),
        )
    return UsageError(
        "SA3013",
        N_("key {sk} in {folder} is retired"),
        hint=N_("name an active key in the configuration; `scraper-agent key list` shows them"),
        sk=entry.sk,
        folder=folder,
    )
