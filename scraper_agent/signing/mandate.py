"""The signature over a policy file: a signed statement (see `statement`) that names the file by its digest.

It stands beside the policy, as `policy.yaml.sig`. Its payload is canonical JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from scraper_agent import canonical
from scraper_agent.ports import Signer
from scraper_agent.signing import statement

TYPE = "application/vnd.scraper-agent.policy+v1"
SUFFIX = ".sig"

MOST_BYTES = 65_536


class Mandate(BaseModel):
    """What the statement says."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    policy: Annotated[str, Field(pattern=r"^sm3:[0-9a-f]{64}$")]
    """Of the policy file's own bytes."""
    version: Annotated[int, Field(ge=1)]
    issued: AwareDatetime
    enterprise: str
    """统一社会信用代码."""
    by: str
    """`person:` and the name of who had it signed."""
    reason: str = ""


def sign(said: Mandate, signer: Signer) -> bytes:
    """The file of the statement."""
    return statement.sign(canonical.dumps(said.model_dump(mode="python")), TYPE, [signer])


def read(data: bytes, keys: Mapping[str, str]) -> tuple[Mandate, str]:
    """What it says, and the `sk` of the key that signed it, which is one of `keys`: public keys by `sk`.

    Raises:
        ValueError: it is no such statement, or none of these keys has signed it.
    """
    signed = statement.read(data, TYPE, most_bytes=MOST_BYTES)
    said = Mandate.model_validate_json(signed.payload)
    if canonical.dumps(said.model_dump(mode="python")) != signed.payload:
        raise ValueError("spelled otherwise than it is made")
    by = statement.signed_by(signed, keys)
    if not by:
        raise ValueError(f"signed by none of the keys {', '.join(sorted(keys)) or '-'}")
    return said, by[0]
