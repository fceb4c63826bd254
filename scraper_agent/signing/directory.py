"""A list of public keys as its owner publishes it (公钥目录): whose they are, since when and until when they count.

A file in the form of DSSE, as the statement of a rotation (`rotation`); signed with each
key of the list that was not revoked, for those who know only an older one. A key is not to be trusted for
standing in a list that was fetched: compare its fingerprint with its owner by another way, once.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, Base64Bytes, BaseModel, ConfigDict, Field, ValidationError

from scraper_agent import canonical
from scraper_agent.ports import Signer
from scraper_agent.signing import keyfolder, keystate, rotation, sm2

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


class _Signature(_Strict):
    keyid: str
    sig: Base64Bytes


class _Statement(_Strict):
    payload: Base64Bytes
    payloadType: Literal["application/vnd.scraper-agent.key-directory+v1"]  # noqa: N815 - DSSE's own name
    signatures: Annotated[tuple[_Signature, ...], Field(min_length=1, max_length=99)]


def sign(said: Directory, signers: Sequence[Signer]) -> bytes:
    payload = canonical.dumps(said.model_dump(mode="python"))
    message = rotation.signed_bytes(payload, TYPE)
    statement = {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": TYPE,
        "signatures": [
            {"keyid": signer.key_index, "sig": base64.b64encode(signer.sign(message)).decode()} for signer in signers
        ],
    }
    return json.dumps(statement, indent=1).encode() + b"\n"


def read(data: bytes, issuer: str, trusted: Mapping[str, str]) -> Directory:
    """The list of `issuer`, signed with one of its `trusted` keys, public keys by `sk`.

    Raises:
        ValueError: it is not of the form, of another issuer, or not signed with a trusted key; or a fingerprint is not
            that of its key.
    """
    if len(data) > _MOST_BYTES:
        raise ValueError("too long for a list of keys")
    try:
        statement = _Statement.model_validate_json(data)
        message = rotation.signed_bytes(statement.payload, TYPE)
        known = [(trusted[each.keyid], each.sig) for each in statement.signatures if each.keyid in trusted]
        if not any(sm2.verify(public_key, message, signature) for public_key, signature in known):
            raise ValueError(f"not signed with a known key of {issuer}")
        said = Directory.model_validate_json(statement.payload)
    except ValidationError:
        raise ValueError("not a list of keys") from None
    if said.issuer != issuer:
        raise ValueError(f"the list is of {said.issuer}")
    if any(key.fingerprint != keyfolder.fingerprint(key.public_key) for key in said.keys):
        raise ValueError("a fingerprint is not that of its key")
    return said
