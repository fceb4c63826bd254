"""`docs/threats.md` names each threat, and only tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TOP = Path(__file__).parents[1]
TEXT = (TOP / "docs" / "threats.md").read_text(encoding="utf-8")
ROWS = [line for line in TEXT.splitlines() if line.startswith("| **")]
NAMED = re.compile(r"`(tests/[a-z_/]+\.py)::(test_[a-z0-9_]+)`")


def test_every_threat_says_what_is_done_and_by_which_test_or_what_is_open() -> None:
    assert len(ROWS) >= 17 + 9
    for row in ROWS:
        _, threat, done, tests, missing, _ = (cell.strip() for cell in row.split("|"))
        assert done, threat
        assert NAMED.search(tests) or missing, threat
        assert not NAMED.sub("", tests).strip(" ,"), threat


@pytest.mark.parametrize(("file", "name"), sorted(set(NAMED.findall(TEXT))))
def test_the_tests_that_are_named_exist(file: str, name: str) -> None:
    assert re.search(rf"^(async )?def {name}\(", (TOP / file).read_text(encoding="utf-8"), re.MULTILINE)
