"""Checkpoints of the log as signed notes, in the form of C2SP `tlog-checkpoint` and `signed-note`.

    <origin>
    <size>
    <root, base64>
    at <time>                  (extension lines)
    prev <SM3 of the note before, hex>
    <empty line>
    — <name> <base64(key id ‖ signature)>

What is signed is not the text but its pre-authentication encoding (DSSE) with a type of its own, by SM2 with SM3. The
public witness network takes SHA-256 and Ed25519 only, so it cannot be used; the form is kept for what reads it.

A cosignature is a line of the same form. Its signature is 8 bytes of time (seconds since 1970, big-endian) before R‖S,
over `cosignature/v1`, that time and the text: what a witness saw, and when.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from scraper_agent import canonical
from scraper_agent.ports import Signer, Verify

CHECKPOINT = "application/vnd.scraper-agent.checkpoint+v1"
COSIGNATURE = "application/vnd.scraper-agent.cosignature+v1"

MOST_BYTES = 16_384
"""Longer is no note of ours: it has five lines and a few signatures."""

_ORIGIN = re.compile(r"[!-*,-~]{1,200}", re.ASCII)
"""No white space, no `+`: as C2SP has names of keys."""
_SIGNATURE_BYTES = 64
_TIME_BYTES = 8
_KEY_ID_BYTES = 4
_DASH = "\u2014"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """The head of a log at a moment."""

    origin: str
    """Which log it is: the same for its whole life."""
    size: int
    root: bytes
    at: datetime
    previous: str = ""
    """SM3 of the checkpoint's text before this one, 64 hex digits; empty for the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One signature of a note."""

    name: str
    key_id: bytes
    signature: bytes
    """R‖S; of a cosignature the time before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A checkpoint with signatures that nobody has looked at yet."""

    checkpoint: Checkpoint
    text: bytes
    lines: tuple[Line, ...]


def key_id(name: str, public_key: str, type: str) -> bytes:
    """Tells keys apart, proves nothing: the first four bytes of SM3 over name, type and key."""
    return canonical.sm3(f"{name}\n{type}\n{public_key}".encode())[:_KEY_ID_BYTES]


def text(checkpoint: Checkpoint) -> bytes:
    """What is signed, up to and with the line end before the empty line."""
    lines = [
        checkpoint.origin,
        str(checkpoint.size),
        base64.b64encode(checkpoint.root).decode(),
        f"at {_time(checkpoint.at)}",
    ]
    if checkpoint.previous:
        lines.append(f"prev {checkpoint.previous}")
    return "".join(f"{line}\n" for line in lines).encode()


def digest(text: bytes) -> str:
    """What the next checkpoint names as `previous`."""
    return canonical.sm3(text).hex()


def sign(checkpoint: Checkpoint, signer: Signer) -> bytes:
    """The log's own signature stands under its origin."""
    body = text(checkpoint)
    signature = signer.sign(canonical.pae(body, CHECKPOINT))
    return body + b"\n" + line(checkpoint.origin, signer.public_key, CHECKPOINT, signature)


def cosign(body: bytes, name: str, signer: Signer, at: datetime) -> bytes:
    """A witness's line for the checkpoint with this text."""
    moment = int(at.timestamp()).to_bytes(_TIME_BYTES, "big")
    signature = signer.sign(canonical.pae(_seen(body, moment), COSIGNATURE))
    return line(name, signer.public_key, COSIGNATURE, moment + signature)


def line(name: str, public_key: str, type: str, signature: bytes) -> bytes:
    return f"{_DASH} {name} {base64.b64encode(key_id(name, public_key, type) + signature).decode()}\n".encode()


def read(data: bytes) -> Note:
    """Raises ValueError: it is no note of this form, or not spelled in the one way."""
    if len(data) > MOST_BYTES:
        raise ValueError(f"longer than {MOST_BYTES} bytes")
    body, gap, signatures = data.partition(b"\n\n")
    if not gap:
        raise ValueError("no empty line")
    body += b"\n"
    checkpoint = _checkpoint(body.decode())
    if text(checkpoint) != body:
        raise ValueError("spelled otherwise than it is made")
    if not signatures.endswith(b"\n"):
        raise ValueError("no signature, or one that is cut off")
    return Note(
        checkpoint=checkpoint,
        text=body,
        lines=tuple(read_line(each) for each in signatures.decode().removesuffix("\n").split("\n")),
    )


def read_line(data: str) -> Line:
    """Raises ValueError: it is no line of a signature."""
    dash, _, rest = data.partition(" ")
    name, _, encoded = rest.partition(" ")
    if dash != _DASH or _ORIGIN.fullmatch(name) is None:
        raise ValueError("a line that is no signature")
    raw = _base64(encoded)
    if len(raw) - _KEY_ID_BYTES not in (_SIGNATURE_BYTES, _TIME_BYTES + _SIGNATURE_BYTES):
        raise ValueError(f"a signature of {len(raw) - _KEY_ID_BYTES} bytes")
    return Line(name=name, key_id=raw[:_KEY_ID_BYTES], signature=raw[_KEY_ID_BYTES:])


def signed(note: Note, public_key: str, verify: Verify) -> bool:
    """Whether the log's own key has signed it."""
    own = key_id(note.checkpoint.origin, public_key, CHECKPOINT)
    message = canonical.pae(note.text, CHECKPOINT)
    return any(
        each.name == note.checkpoint.origin
        and each.key_id == own
        and len(each.signature) == _SIGNATURE_BYTES
        and verify(public_key, message, each.signature)
        for each in note.lines
    )


def seen(note: Note, witnesses: Mapping[str, str], verify: Verify) -> dict[str, datetime]:
    """The witnesses (public keys by name) that have signed it, and when; a bad line counts as none."""
    found: dict[str, datetime] = {}
    for each in note.lines:
        public_key = witnesses.get(each.name)
        if public_key is None or len(each.signature) != _TIME_BYTES + _SIGNATURE_BYTES:
            continue
        moment, signature = each.signature[:_TIME_BYTES], each.signature[_TIME_BYTES:]
        if each.key_id != key_id(each.name, public_key, COSIGNATURE):
            continue
        if verify(public_key, canonical.pae(_seen(note.text, moment), COSIGNATURE), signature):
            found[each.name] = _moment(moment)
    return found


def _seen(body: bytes, moment: bytes) -> bytes:
    return b"cosignature/v1\ntime %d\n%s" % (int.from_bytes(moment, "big"), body)


def _moment(moment: bytes) -> datetime:
    seconds = int.from_bytes(moment, "big")
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, OSError, ValueError):
        raise ValueError(f"no time: {seconds}") from None


def _checkpoint(body: str) -> Checkpoint:
    lines = body.removesuffix("\n").split("\n")
    if len(lines) not in (4, 5):
        raise ValueError(f"{len(lines)} lines of text")
    origin, size, root, at, *more = lines
    if _ORIGIN.fullmatch(origin) is None:
        raise ValueError("no origin")
    if re.fullmatch(r"0|[1-9][0-9]{0,15}", size, re.ASCII) is None:
        raise ValueError("no size")
    known = _base64(root)
    if len(known) != 32:  # noqa: PLR2004 - bytes of SM3
        raise ValueError("no root")
    if not at.startswith("at "):
        raise ValueError("no time")
    previous = more[0].removeprefix("prev ") if more else ""
    if more and re.fullmatch(r"prev [0-9a-f]{64}", more[0], re.ASCII) is None:
        raise ValueError("an extension that is not known")
    return Checkpoint(
        origin=origin, size=int(size), root=known, at=datetime.fromisoformat(at.removeprefix("at ")), previous=previous
    )


def _time(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _base64(encoded: str) -> bytes:
    try:
        raw = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("not base64") from None
    if base64.b64encode(raw).decode() != encoded:
        raise ValueError("base64 spelled otherwise")
    return raw
