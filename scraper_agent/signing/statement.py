"""What somebody says under a signature that is no request: a file in the form of DSSE (secure-systems-lab/dsse).

`payload` is in base64, and what is signed is not the payload but its pre-authentication encoding (`canonical.pae`),
which begins with `DSSEv1`, a space and the statement's type: it is never taken for a request, nor for one of another
type.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from typing import Annotated

from pydantic import Base64Bytes, BaseModel, ConfigDict, Field

from scraper_agent import canonical
from scraper_agent.ports import Signer
from scraper_agent.signing import sm2


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Signature(_Strict):
    keyid: str
    """`sk`."""
    sig: Base64Bytes
    """R‖S, 64 bytes."""


class Statement(_Strict):
    """Of whom it is and whether they are trusted, it cannot say: see `signed_by`."""

    payload: Base64Bytes
    payloadType: str  # noqa: N815 - DSSE's own name
    signatures: Annotated[tuple[Signature, ...], Field(min_length=1, max_length=99)]


def sign(payload: bytes, type: str, signers: Iterable[Signer]) -> bytes:
    """The file of a statement of this type, with a signature of each."""
    message = canonical.pae(payload, type)
    return write(payload, type, [(each.key_index, each.sign(message)) for each in signers])


def write(payload: bytes, type: str, signatures: Iterable[tuple[str, bytes]]) -> bytes:
    """The one way that a statement is spelled. `signatures`: `sk` and R‖S."""
    statement = {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": type,
        "signatures": [{"keyid": sk, "sig": base64.b64encode(signature).decode()} for sk, signature in signatures],
    }
    return json.dumps(statement, indent=2).encode() + b"\n"


def read(data: bytes, type: str, *, most_bytes: int) -> Statement:
    """What the file says; its signatures are not looked at yet.

    Raises:
        ValueError: it is too long, of another form or type, or spelled otherwise than it is made.
    """
    if len(data) > most_bytes:
        raise ValueError(f"longer than {most_bytes} bytes")
    said = Statement.model_validate_json(data)
    if said.payloadType != type:
        raise ValueError(f"a statement of the type {said.payloadType[:100]}")
    if write(said.payload, type, [(each.keyid, each.sig) for each in said.signatures]) != data:
        raise ValueError("spelled otherwise than it is made")
    return said


def signed_by(said: Statement, keys: Mapping[str, str]) -> tuple[str, ...]:
    """Which of these keys, public keys by `sk`, have signed it. A signature that does not hold counts as none."""
    message = canonical.pae(said.payload, said.payloadType)
    return tuple(
        each.keyid for each in said.signatures if each.keyid in keys and sm2.verify(keys[each.keyid], message, each.sig)
    )
