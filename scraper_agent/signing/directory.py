"""A list of public keys as its owner publishes it (公钥目录): whose they are, since when and until when they count.

A `statement`, signed with each key of the list that was not revoked, for those who know only an older one. A key is not
to be trusted for standing in a list that was fetched: compare its fingerprint with its owner by another way, once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, ValidationError

from scraper_agent import canonical
from scraper_agent.ports import Signer
from scraper_agent.signing import keyfolder, keystate, sm2, statement

TYPE = "application/vnd.scraper-agent.key-directory+v1"

_MOST_BYTES = 1 << 20


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Listed(_Strict):
    """One key."""

    ak: str
    """Whose it is."""
    sk: keystate.KeyIndex
    public_key: Annotated[str, AfterValidator(sm2.parse_public)]
    fingerprint: str
    """As `key list` shows it."""
    state: Literal["planned", "active", "retired", "revoked", "unconfirmed"]
    """`unconfirmed`: its owner lists it, but nobody has compared it yet."""
    not_before: AwareDatetime | None = None
    not_after: AwareDatetime | None = None
    revoked: AwareDatetime | None = None


class Directory(_Strict):
    issuer: str
    """`ak` of whoever made the list."""
    issued: AwareDatetime
    keys: tuple[Listed, ...]
    away: tuple[str, ...] = ()
    """Systems that could not be asked just now; what stands here of them is as it was known."""


def sign(said: Directory, signers: Sequence[Signer]) -> bytes:
    return statement.sign(canonical.dumps(said.model_dump(mode="python")), TYPE, signers)


def read(data: bytes, issuer: str, trusted: Mapping[str, str]) -> Directory:
    """The list of `issuer`, signed with one of its `trusted` keys, public keys by `sk`.

    Raises:
        ValueError: it is not of the form, of another issuer, or not signed with a trusted key; or a fingerprint is not
            that of its key.
    """
    try:
        signed = statement.read(data, TYPE, most_bytes=_MOST_BYTES)
    except ValueError:
        raise ValueError("not a list of keys") from None
    if not statement.signed_by(signed, trusted):
        raise ValueError(f"not signed with a known key of {issuer}")
    try:
        said = Directory.model_validate_json(signed.payload)
    except ValidationError:
        raise ValueError("not a list of keys") from None
    if said.issuer != issuer:
        raise ValueError(f"the list is of {said.issuer}")
    if any(key.fingerprint != keyfolder.fingerprint(key.public_key) for key in said.keys):
        raise ValueError("a fingerprint is not that of its key")
    return said
