"""The statement of a rotation: one key gives way to another, signed by both.

A file in the form of DSSE (secure-systems-lab/dsse): `payload` is canonical JSON in base64, and what is signed is not
the payload but its pre-authentication encoding, which begins with `DSSEv1`, a space and the statement's type. What is
signed of a request begins with six letters or digits and a number without a space (see `envelope`): neither is ever the
other.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, Base64Bytes, BaseModel, ConfigDict, Field, ValidationError

from scraper_agent import canonical
from scraper_agent.errors import UsageError
from scraper_agent.messages import N_
from scraper_agent.signing import keyfile, keystate, sm2

TYPE = "application/vnd.scraper-agent.key-rotation+v1"

_MOST_BYTES = 65_536


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Party(_Strict):
    """One of the two keys."""

    sk: keystate.KeyIndex
    public_key: Annotated[str, AfterValidator(sm2.parse_public)]


class Rotation(_Strict):
    """What the statement says."""

    ak: str
    """Whose keys they are: the system identifier that the receiving side gave out."""
    old: Party
    new: Party
    issued: AwareDatetime
    not_before: AwareDatetime
    """The old key signs before this moment, the new one from it on."""


class _Signature(_Strict):
    keyid: str
    """`sk`."""
    sig: Base64Bytes
    """R‖S, 64 bytes."""


class _Statement(_Strict):
    payload: Base64Bytes
    payloadType: Literal["application/vnd.scraper-agent.key-rotation+v1"]  # noqa: N815 - DSSE's own name
    signatures: Annotated[tuple[_Signature, ...], Field(min_length=2, max_length=2)]


def signed_bytes(payload: bytes, type: str = TYPE) -> bytes:
    """PAE of DSSE: lengths in decimal, so that no two pairs of type and payload share it."""
    return b"DSSEv1 %d %s %d %s" % (len(type), type.encode(), len(payload), payload)


def sign(said: Rotation, old: keyfile.PrivateKey, new: keyfile.PrivateKey) -> bytes:
    """The statement's file. The old key vouches for the new one; the new one proves that its owner has it."""
    payload = canonical.dumps(said.model_dump(mode="python"))
    message = signed_bytes(payload)
    pairs = ((said.old, old), (said.new, new))
    return _file(payload, [(party.sk, sm2.sign(key.d, key.public_key, message)) for party, key in pairs])


def _file(payload: bytes, signatures: list[tuple[str, bytes]]) -> bytes:
    statement = {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": TYPE,
        "signatures": [{"keyid": sk, "sig": base64.b64encode(signature).decode()} for sk, signature in signatures],
    }
    return json.dumps(statement, indent=2).encode() + b"\n"


def read(path: Path) -> Rotation:
    """What the statement in `path` says, both its signatures verified; whether its old key is trusted, it cannot say.

    Raises:
        UsageError: it cannot be read, is no such statement, or a signature does not hold.
    """
    try:
        with path.open("rb") as file:
            return _verified(file.read(_MOST_BYTES))
    except OSError as error:
        raise _invalid(path, error.strerror or type(error).__name__) from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise _invalid(path, ".".join(map(str, first["loc"])) + f": {first['msg']}") from None
    except ValueError as error:
        raise _invalid(path, str(error)) from None


def _verified(data: bytes) -> Rotation:
    statement = _Statement.model_validate_json(data)
    said = Rotation.model_validate_json(statement.payload)
    written = _file(canonical.dumps(said.model_dump(mode="python")), [(s.keyid, s.sig) for s in statement.signatures])
    if written != data:
        raise ValueError("spelled otherwise than it is made")
    for party, signature in zip((said.old, said.new), statement.signatures, strict=True):
        right = sm2.verify(party.public_key, signed_bytes(statement.payload), signature.sig)
        if not right or signature.keyid != party.sk:
            raise ValueError(f"signature of {party.sk}")
    if said.old.sk == said.new.sk or said.old.public_key == said.new.public_key:
        raise ValueError("old and new are one key")
    return said


def _invalid(path: Path, reason: str) -> UsageError:
    return UsageError(
        "SA3031",
        N_("{path} is not a rotation statement that holds: {reason}"),
        hint=N_("the log keeps the statement as it was made: `scraper-agent log show --job keys` names its digest"),
        path=path,
        reason=reason,
    )
