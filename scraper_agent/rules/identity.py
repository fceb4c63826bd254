"""CHK-03, CHK-07, CHK-08: who and which. Keys, unified social credit codes, customs registration codes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

from scraper_agent.messages import N_
from scraper_agent.rules import Context, Document, HeaderText, Settings, text
from scraper_agent.values import Finding, Severity

USCC_LENGTH = 18
_USCC = "0123456789ABCDEFGHJKLMNPQRTUWXY"
"""The 31 characters of GB 32100-2015; the value of each is its index."""
_ORGANISATION = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_ORGANISATION_WEIGHTS = (3, 7, 9, 10, 5, 8, 4, 2)
_CARD = re.compile(r"[0-9]{17}[0-9X]")

CUSTOMS_CODE_LENGTH = 10


class DuplicateKey(Settings):
    """CHK-03: no other document of the run has this business key. `field` is where the finding is shown."""

    code = "CHK-03"
    source = "statistics of 1995, 123"

    check: Literal["duplicate-key"]
    field: HeaderText

    def findings(self, document: Document, context: Context, /) -> Iterator[Finding]:
        key = text(document.header, self.field)
        if context.duplicates and key is not None:
            yield Finding(
                code=self.code,
                severity=self.severity,
                field=self.field,
                text=N_("is `{value}`; other documents of this run have the same key: {others}"),
                values={"value": key, "others": ", ".join(context.duplicates)},
            )


class CreditCode(Settings):
    """CHK-07: a unified social credit code (GB 32100-2015) has the right check characters and always the same name.

    The check of the organisation code inside it (GB 11714) is a warning only: old codes are known to break it.
    """

    code = "CHK-07"
    source = "GB 32100-2015, GB 11714"

    check: Literal["credit-code"]
    field: HeaderText
    organisation: Severity = Severity.WARNING
    names: Severity = Severity.WARNING

    def findings(self, document: Document, context: Context, /) -> Iterator[Finding]:
        code = text(document.header, self.field)
        if code is None or len(code) != USCC_LENGTH:  # CHK-01 names it
            return
        if strange := [character for character in code if character not in _USCC]:
            yield self._finding(
                self.severity,
                N_("is `{value}`, but {character} is no character of such a code"),
                code,
                character=strange[0],
            )
        elif code[-1] != (expected := credit_code_check(code)):
            yield self._finding(
                self.severity,
                N_("is `{value}`, whose check character should be {expected}; a character is wrong"),
                code,
                expected=expected,
            )
        elif code[16] != (expected := organisation_check(code[8:16])):
            yield self._finding(
                self.organisation,
                N_("is `{value}`, whose organisation code (characters 9 to 17) should end in {expected}"),
                code,
                expected=expected,
            )
        names = context.names.get(code, frozenset())
        if len(names) > 1:
            yield self._finding(
                self.names,
                N_("is `{value}`, which has different names in this run: {names}"),
                code,
                names="; ".join(sorted(names)),
            )

    def _finding(self, severity: Severity, text: str, code: str, **values: str) -> Finding:
        return Finding(code=self.code, severity=severity, field=self.field, text=text, values={"value": code, **values})


class PartyId(Settings):
    """CHK-07: 18 characters that name an enterprise or a person are a right credit code or identity card number.

    Any other length is another kind of document, such as a passport. The number is a person's: no finding quotes it.
    """

    code = "CHK-07"
    source = "GB 32100-2015, GB 11643-1999"

    check: Literal["party-id"]
    field: HeaderText
    severity: Severity = Severity.WARNING

    def findings(self, document: Document, _context: Context, /) -> Iterator[Finding]:
        code = text(document.header, self.field)
        if code is None or len(code) != USCC_LENGTH or _is_credit_code(code) or _is_card(code):
            return
        yield Finding(
            code=self.code,
            severity=self.severity,
            field=self.field,
            text=N_("has 18 characters, but is no right credit code or identity card number; a character is wrong"),
        )


class CustomsCode(Settings):
    """CHK-08: zone and nature digits (5th, 6th) of a customs registration code, and its district (1st to 5th)."""

    code = "CHK-08"
    source = "statistics of 1995, 400 and 440"
    needs = ("districts",)

    check: Literal["customs-code"]
    field: HeaderText
    zones: str = "123456789WA"
    natures: str = "123456789"
    severity: Severity = Severity.WARNING

    def findings(self, document: Document, context: Context, /) -> Iterator[Finding]:
        code = text(document.header, self.field)
        if code is None or len(code) != CUSTOMS_CODE_LENGTH:  # CHK-01 names it
            return
        zone, nature, district = code[4], code[5], code[:5]
        if zone not in self.zones:
            yield self._finding(N_("is `{value}`, whose 5th character {found} is no economic zone"), code, zone)
        elif context.districts is not None and district not in context.districts:
            yield self._finding(
                N_("is `{value}`, whose district {found} is not in your district table"), code, district
            )
        if nature not in self.natures:
            yield self._finding(N_("is `{value}`, whose 6th character {found} is no kind of enterprise"), code, nature)

    def _finding(self, text: str, code: str, found: str) -> Finding:
        return Finding(
            code=self.code, severity=self.severity, field=self.field, text=text, values={"value": code, "found": found}
        )


def credit_code_check(code: str) -> str:
    """The 18th character that belongs to the first 17 (GB 32100-2015, Annex A)."""
    total = sum(_USCC.index(character) * pow(3, place, 31) for place, character in enumerate(code[:17]))
    return _USCC[-total % 31]


def organisation_check(code: str) -> str:
    """The check character that belongs to the 8 characters of an organisation code (GB 11714)."""
    total = sum(
        _ORGANISATION.index(character) * weight for character, weight in zip(code, _ORGANISATION_WEIGHTS, strict=True)
    )
    return "0123456789X0"[11 - total % 11]


def identity_card_check(number: str) -> str:
    """The 18th character that belongs to the first 17 digits of an identity card number (GB 11643-1999, MOD 11-2)."""
    total = sum(int(digit) * pow(2, 17 - place, 11) for place, digit in enumerate(number[:17]))
    return "0123456789X"[(1 - total) % 11]


def _is_credit_code(code: str) -> bool:
    return all(character in _USCC for character in code) and code[-1] == credit_code_check(code)


def _is_card(code: str) -> bool:
    return _CARD.fullmatch(code) is not None and code[-1] == identity_card_check(code)
