"""The statement of a rotation: one key gives way to another, signed by both.

Its payload is canonical JSON, see `statement`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, ValidationError

from scraper_agent import canonical
from scraper_agent.errors import UsageError
from scraper_agent.messages import N_
from scraper_agent.signing import keyfile, keystate, sm2, statement

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


def sign(said: Rotation, old: keyfile.PrivateKey, new: keyfile.PrivateKey) -> bytes:
    """The statement's file. The old key vouches for the new one; the new one proves that its owner has it."""
    payload = canonical.dumps(said.model_dump(mode="python"))
    message = canonical.pae(payload, TYPE)
    pairs = ((said.old, old), (said.new, new))
    return statement.write(
        payload, TYPE, [(party.sk, sm2.sign(key.d, key.public_key, message)) for party, key in pairs]
    )


def read(path: Path) -> Rotation:
    """What the statement in `path` says, both its signatures verified; whether its old key is trusted, it cannot say.

    Raises:
        UsageError: it cannot be read, is no such statement, or a signature does not hold.
    """
    try:
        with path.open("rb") as file:
            return _verified(file.read(_MOST_BYTES + 1))
    except OSError as error:
        raise _invalid(path, error.strerror or type(error).__name__) from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise _invalid(path, ".".join(map(str, first["loc"])) + f": {first['msg']}") from None
    except ValueError as error:
        raise _invalid(path, str(error)) from None


def _verified(data: bytes) -> Rotation:
    signed = statement.read(data, TYPE, most_bytes=_MOST_BYTES)
    said = Rotation.model_validate_json(signed.payload)
    if canonical.dumps(said.model_dump(mode="python")) != signed.payload:
        raise ValueError("spelled otherwise than it is made")
    if len(signed.signatures) != 2:  # noqa: PLR2004 - the old and the new
        raise ValueError(f"signatures: {len(signed.signatures)}, not 2")
    for party, signature in zip((said.old, said.new), signed.signatures, strict=True):
        right = sm2.verify(party.public_key, canonical.pae(signed.payload, TYPE), signature.sig)
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
