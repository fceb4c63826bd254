"""Signed statements: what they say is what was signed, of the one type, spelled in the one way."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scraper_agent import canonical
from scraper_agent.signing import statement
from tests.authorities import OTHER
from tests.authorities import SIGNER as ONE

TYPE = "application/vnd.scraper-agent.test+v1"
KEYS = {each.key_index: each.public_key for each in (ONE, OTHER)}
FILE = statement.sign(b"payload", TYPE, [ONE, OTHER])


def test_it_tells_who_signed() -> None:
    said = statement.read(FILE, TYPE, most_bytes=10_000)
    assert said.payload == b"payload"
    assert statement.signed_by(said, KEYS) == ("01", "02")
    assert statement.signed_by(said, {"02": OTHER.public_key}) == ("02",)
    assert statement.signed_by(said, {"01": OTHER.public_key}) == (), "a key under another's index"


def test_a_statement_of_another_type_is_none() -> None:
    with pytest.raises(ValueError, match="a statement of the type"):
        statement.read(FILE, "application/vnd.scraper-agent.other+v1", most_bytes=10_000)
    changed = FILE.replace(TYPE.encode(), b"application/vnd.scraper-agent.other+v1")
    said = statement.read(changed, "application/vnd.scraper-agent.other+v1", most_bytes=10_000)
    assert statement.signed_by(said, KEYS) == (), "its type is signed, too"


def test_a_long_one_is_not_parsed() -> None:
    with pytest.raises(ValueError, match="longer than 100 bytes"):
        statement.read(FILE, TYPE, most_bytes=100)


def test_another_spelling_is_refused() -> None:
    with pytest.raises(ValueError, match="spelled otherwise"):
        statement.read(json.dumps(json.loads(FILE)).encode(), TYPE, most_bytes=10_000)


@given(at=st.integers(0, len(FILE) - 1), bit=st.integers(0, 7))
def test_a_bit_that_was_changed_takes_a_signature_away_or_makes_it_none(at: int, bit: int) -> None:
    data = bytearray(FILE)
    data[at] ^= 1 << bit
    try:
        said = statement.read(bytes(data), TYPE, most_bytes=10_000)
    except ValueError:
        return
    assert len(statement.signed_by(said, KEYS)) < 2


def test_what_is_signed_begins_as_no_request_does() -> None:
    signature = base64.b64decode(json.loads(FILE)["signatures"][0]["sig"])
    assert len(signature) == 64
    assert canonical.pae(b"payload", TYPE)[:7] == b"DSSEv1 "
