"""CHK-06: weights."""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from typing import Literal

from scraper_agent.messages import N_
from scraper_agent.rules import (
    EXACT,
    AnyNumber,
    Context,
    Document,
    HeaderNumber,
    Settings,
    number,
    places,
    plain,
)
from scraper_agent.values import Finding


class GrossNet(Settings):
    """CHK-06: the gross weight is not below the net weight."""

    code = "CHK-06"
    source = "SS2"

    check: Literal["gross-net"]
    gross: AnyNumber
    net: AnyNumber

    def findings(self, document: Document, _context: Context, /) -> Iterator[Finding]:
        for place in places(document, self.gross, self.net):
            gross, net = number(*place.at(self.gross)), number(*place.at(self.net))
            if gross is not None and net is not None and gross < net:
                yield Finding(
                    code=self.code,
                    severity=self.severity,
                    field=place.path(self.gross),
                    text=N_("is {value}, but the net weight is {net}"),
                    values={"value": plain(gross), "net": plain(net)},
                )


class TotalWeight(Settings):
    """CHK-06: a total weight is not below the sum of its parts; there may be others that are not told."""

    code = "CHK-06"
    source = "SS2"

    check: Literal["total-weight"]
    total: HeaderNumber
    parts: tuple[HeaderNumber, ...]

    def findings(self, document: Document, _context: Context, /) -> Iterator[Finding]:
        total = number(document.header, self.total)
        parts = [number(document.header, id) for id in self.parts]
        known = [part for part in parts if part is not None]
        if total is None or len(known) < len(parts):
            return
        least = reduce(EXACT.add, known)
        if total < least:
            yield Finding(
                code=self.code,
                severity=self.severity,
                field=self.total,
                text=N_("is {value}, but {parts} alone are {expected}"),
                values={"value": plain(total), "parts": " + ".join(self.parts), "expected": plain(least)},
            )
