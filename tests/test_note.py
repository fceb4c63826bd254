"""Checkpoints as signed notes: what is read is what was signed, in one spelling, by the key it says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scraper_agent import canonical, merkle
from scraper_agent.audit import note
from scraper_agent.signing import sm2
from tests.authorities import OTHER, SIGNER

AT = datetime(2026, 5, 6, 1, 30, tzinfo=UTC)
FIRST = note.Checkpoint(origin="example.cn/log-1", size=7, root=merkle.leaf(b"x"), at=AT)
NEXT = note.Checkpoint(
    origin=FIRST.origin, size=9, root=merkle.leaf(b"y"), at=AT, previous=note.digest(note.text(FIRST))
)
SIGNED = note.sign(NEXT, SIGNER)
SEEN = SIGNED + note.cosign(note.text(NEXT), "witness.example", OTHER, AT + timedelta(seconds=5))
WITNESSES = {"witness.example": OTHER.public_key}


@pytest.mark.parametrize("checkpoint", [FIRST, NEXT])
def test_a_note_says_what_was_signed(checkpoint: note.Checkpoint) -> None:
    read = note.read(note.sign(checkpoint, SIGNER))
    assert read.checkpoint == checkpoint
    assert note.signed(read, SIGNER.public_key, sm2.verify)
    assert not note.signed(read, OTHER.public_key, sm2.verify)


def test_a_witness_says_when_it_saw_it() -> None:
    read = note.read(SEEN)
    assert note.signed(read, SIGNER.public_key, sm2.verify), "beside the log's own"
    assert note.seen(read, WITNESSES, sm2.verify) == {"witness.example": AT + timedelta(seconds=5)}
    assert note.seen(read, {"witness.example": SIGNER.public_key}, sm2.verify) == {}
    assert note.seen(read, {"other.example": OTHER.public_key}, sm2.verify) == {}


def test_a_cosignature_is_no_signature_of_the_log_and_the_other_way_round() -> None:
    body = note.text(NEXT)
    moment = int(AT.timestamp()).to_bytes(8, "big")
    as_log = note.line(
        NEXT.origin, SIGNER.public_key, note.CHECKPOINT, SIGNER.sign(canonical.pae(body, note.COSIGNATURE))
    )
    assert not note.signed(note.read(body + b"\n" + as_log), SIGNER.public_key, sm2.verify)
    of_log = SIGNER.sign(canonical.pae(body, note.CHECKPOINT))
    as_witness = note.line("w.example", SIGNER.public_key, note.COSIGNATURE, moment + of_log)
    assert note.seen(note.read(body + b"\n" + as_witness), {"w.example": SIGNER.public_key}, sm2.verify) == {}


def test_the_time_of_a_cosignature_is_signed_too() -> None:
    line = note.read(SEEN).lines[1]
    later = (int.from_bytes(line.signature[:8], "big") + 1).to_bytes(8, "big") + line.signature[8:]
    changed = SIGNED + note.line(line.name, OTHER.public_key, note.COSIGNATURE, later)
    assert note.seen(note.read(changed), WITNESSES, sm2.verify) == {}


@given(at=st.integers(0, len(SEEN) - 1), bit=st.integers(0, 7))
def test_no_changed_bit_is_overlooked(at: int, bit: int) -> None:
    data = bytearray(SEEN)
    data[at] ^= 1 << bit
    try:
        read = note.read(bytes(data))
    except ValueError:
        return
    whole = note.signed(read, SIGNER.public_key, sm2.verify) and bool(note.seen(read, WITNESSES, sm2.verify))
    assert not whole


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (SIGNED[:-1], "cut off"),
        (SIGNED.partition(b"\n\n")[0] + b"\n", "no empty line"),
        (SIGNED.replace(b"\n9\n", b"\n09\n"), "no size"),
        (SIGNED.replace(b"prev ", b"next "), "an extension that is not known"),
        (SIGNED.replace(b"01:30:00Z", b"01:30:00+00:00"), "spelled otherwise"),
        (SIGNED.replace(b"example.cn/", b"example cn/"), "no origin"),
        (SIGNED.replace(b"\nat ", b"\nmore\nat "), "6 lines"),
        (SIGNED + b"x\n", "a line that is no signature"),
        (SIGNED + b"x" * note.MOST_BYTES, "longer than"),
    ],
)
def test_what_is_no_note_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        note.read(data)
