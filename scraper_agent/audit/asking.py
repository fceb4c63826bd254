"""What a witness is asked, and how it answers: the bytes of C2SP `tlog-witness`."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass

TAKEN, STALE, UNPROVEN = 200, 409, 422


@dataclass(frozen=True, slots=True)
class Answer:
    """`status` as HTTP has it: 200 with a line, 409 with the size that is known, 400, 403, 404, 422 with a reason."""

    status: int
    body: bytes


def request(old: int, proof: Sequence[bytes], checkpoint: bytes) -> bytes:
    """The body of `add-checkpoint`."""
    lines = [f"old {old}", *(base64.b64encode(part).decode() for part in proof), ""]
    return "".join(f"{line}\n" for line in lines).encode() + checkpoint
