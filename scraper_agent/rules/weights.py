"""CHK-06: weights."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import BaseModel

from scraper_agent.messages import N_
from scraper_agent.rules import SETTINGS, Context, Document, HeaderNumber, number, plain
from scraper_agent.values import Finding, Severity


class GrossNet(BaseModel):
    """CHK-06: the gross weight is not below the net weight."""

    model_config = SETTINGS

    check: Literal["gross-net"]
    gross: HeaderNumber
    net: HeaderNumber
    severity: Severity = Severity.ERROR

    def findings(self, document: Document, _context: Context, /) -> Iterator[Finding]:
        gross, net = number(document.header, self.gross), number(document.header, self.net)
        if gross is not None and net is not None and gross < net:
            yield Finding(
                code="CHK-06",
                severity=self.severity,
                field=self.gross,
                text=N_("is {value}, but the net weight is {net}"),
                values={"value": plain(gross), "net": plain(net)},
            )
