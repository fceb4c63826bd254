"""`docs/log-format.md` pins the bytes of the log: they are read, written and hashed as it says, by two programs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import fields

import pytest

from scraper_agent import canonical, merkle
from scraper_agent.audit import verify
from tests import docs, docs_log

_VECTOR = re.compile(r"^### (\w+)\n\n```json\n(.*)\n```\n\nleaf `([0-9a-f]{64})`$", re.MULTILINE)


def vectors() -> Iterator[tuple[str, bytes, str]]:
    for kind, line, leaf in _VECTOR.findall(docs.LOG.read_text(encoding="utf-8")):
        yield kind, line.encode(), leaf


def test_every_kind_of_fact_has_its_vector() -> None:
    assert [kind for kind, _, _ in vectors()] == sorted(canonical.KINDS)


@pytest.mark.parametrize(("kind", "line", "leaf"), list(vectors()))
def test_an_entry_of_the_page_has_the_bytes_and_the_hash_that_stand_there(kind: str, line: bytes, leaf: str) -> None:
    entry = canonical.entry(line)
    assert type(entry.fact).__name__ == kind
    assert canonical.entry_bytes(entry) == line
    assert merkle.leaf(line).hex() == leaf
    own = verify.entry_of(line)
    assert (own.index, own.kind, own.job) == (entry.index, kind, entry.job)
    assert verify.leaf(line).hex() == leaf == verify._own_sm3(b"\x00" + line).hex()


def test_the_vectors_are_those_of_the_code() -> None:
    page = docs.LOG.read_text(encoding="utf-8")
    assert page.partition(docs_log.BEGIN)[2].strip() == f"{docs_log.vectors()}\n{docs_log.END}".strip()


def test_fields_that_came_later_leave_older_entries_as_they_were() -> None:
    """What is written of them where they are None: nothing."""
    for entry in docs_log.examples():
        raw = json.loads(canonical.entry_bytes(entry))
        for field in fields(entry.fact):
            if field.metadata.get("none") == "left out":
                del raw["fact"][field.name]
        older = canonical.dumps_plain(raw)
        assert canonical.entry_bytes(canonical.entry(older)) == older
