"""What is said of a code beyond its list: CHK-01 for containers, CHK-21 for countries."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

from scraper_agent.messages import N_
from scraper_agent.rules import AnyText, Context, Document, Settings, places, text
from scraper_agent.values import Finding, Severity

_CONTAINER = re.compile(r"[A-Z]{4}[0-9]{7}")
_LETTERS = dict(zip("ABCDEFGHIJKLMNOPQRSTUVWXYZ", (n for n in range(10, 39) if n % 11), strict=True))
"""ISO 6346: A is 10, Z is 38, and no letter is a multiple of 11."""


class Container(Settings):
    """CHK-01: the last digit of a container number is the check digit of the ten characters before it."""

    code = "CHK-01"
    source = "ISO 6346"

    check: Literal["container"]
    field: AnyText

    def findings(self, document: Document, _context: Context, /) -> Iterator[Finding]:
        for place in places(document, self.field):
            found = text(*place.at(self.field))
            if found is None or not _CONTAINER.fullmatch(found):  # the field's own form names it
                continue
            if found[-1] != (expected := container_check(found)):
                yield Finding(
                    code=self.code,
                    severity=self.severity,
                    field=place.path(self.field),
                    text=N_("is `{value}`, whose check digit should be {expected}; a character is wrong"),
                    values={"value": found, "expected": expected},
                )


class KnownCountry(Settings):
    """CHK-21: a country of origin or destination is a known one, and not the code for "unknown" or "other"."""

    code = "CHK-21"
    source = "statistics of 1995, 280 and 700"

    check: Literal["known-country"]
    field: AnyText
    unknown: tuple[str, ...] = ("ZEU", "ZZZ", "ZUN")
    severity: Severity = Severity.WARNING

    def findings(self, document: Document, _context: Context, /) -> Iterator[Finding]:
        for place in places(document, self.field):
            found = text(*place.at(self.field))
            if found in self.unknown:
                yield Finding(
                    code=self.code,
                    severity=self.severity,
                    field=place.path(self.field),
                    text=N_("is `{value}`, which names no certain country or region"),
                    values={"value": str(found)},
                )


def container_check(number: str) -> str:
    """The 11th character that belongs to the first 10 (ISO 6346)."""
    total = sum((_LETTERS.get(c) or int(c)) << place for place, c in enumerate(number[:10]))
    return str(total % 11 % 10)
