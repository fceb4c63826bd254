"""The ministry's system for waybills of dangerous goods (部级交互系统), simulated: asks the right province for others.

A query names a division, whose first two digits tell the province that has the waybill; that a waybill's number tells
it is not public. A QR code is of the province whose key it is signed with.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Self

from scraper_agent.envelope import Request
from scraper_agent.sandbox import authority, ministry_web
from scraper_agent.sandbox.platform import WINDOW, Platform, Ruling, Sender
from scraper_agent.sandbox.platform_web import Door
from scraper_agent.sandbox.sealed import Asker, NoAnswer, Peer
from scraper_agent.signing import directory, keyfolder, sm2
from scraper_agent.signing.directory import Directory, Listed
from scraper_agent.waybill import qr
from scraper_agent.waybill.profile import DEFAULT, Interface, Profile

_DIVISION = 2
"""Digits of a division code that tell the province."""
_DIVISION_CODE = re.compile(r"[1-9][0-9](?:[0-9]{4})?")
_REASON_CHARACTERS = 4000
"""A receipt takes 4,096."""


class Ministry:
    """Listens while inside a `with`. `platform` is how requests come to it."""

    def __init__(
        self,
        *,
        clock: Callable[[], datetime],
        nonce: Callable[[], str],
        database: Path | None = None,
        port: int = 0,
        profile: Profile = DEFAULT,
        window: timedelta = WINDOW,
    ) -> None:
        """`nonce`: never twice the same text."""
        self.ak = profile.ministry
        self.profile = profile
        self._clock = clock
        self.provinces: dict[str, Peer] = {}
        """By the first two digits of their division codes."""
        self._found: dict[tuple[str, str], Ruling] = {}
        """What came of asking, by key and digest of the question, until it is written down."""
        interfaces = profile.interfaces.ministry
        self.platform = Platform(
            clock,
            {},
            {interfaces.query.format, interfaces.qr.format},
            database=database,
            port=port,
            window=window,
            title=("部级交互系统(模拟)", f"Sandbox ministry {self.ak}"),
            judge=self._judge,
            web=lambda _: ministry_web.application(self, self._doors(), self.keys),
        )
        self._asker = Asker(ak=self.ak, keys=self.platform.own_keys, clock=clock, nonce=nonce)

    def __enter__(self) -> Self:
        self.platform.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.platform.close()

    @property
    def url(self) -> str:
        """What the paths of its interfaces follow."""
        return self.platform.home

    def meet(self, province: Peer) -> None:
        """A province, whose keys were handed over: it is asked, and may ask."""
        self.provinces[province.ak[:_DIVISION]] = province
        self.platform.know({(province.ak, sk): key for sk, key in province.public_keys.items()})

    # --- lists of keys ---

    def keys(self) -> bytes:
        """The signed list of its own public keys and of those of all provinces, who are asked for theirs first."""
        keys, away = list(authority.listed(self.ak, self.platform.own_keys)), []
        for province in list(self.provinces.values()):
            try:
                keys += self._confirmed(province, self._list_of(province))
            except NoAnswer:
                away.append(province.ak)
                keys += [_known(province.ak, sk, public_key) for sk, public_key in province.public_keys.items()]
        said = Directory(issuer=self.ak, issued=self._clock(), keys=tuple(keys), away=tuple(away))
        return directory.sign(said, self.platform.own_keys.signers)

    def confirm(self, ak: str, fingerprint: str) -> None:
        """Trust the key of this fingerprint that province `ak` lists: a person has compared it.

        Raises:
            NoAnswer: the province's list cannot be had, or is not signed with a key that is trusted.
            LookupError: no such province, or it lists no such key that counts.
        """
        province = self.provinces[ak[:_DIVISION]]
        for key in self._list_of(province).keys:
            if (key.ak, key.fingerprint) == (ak, fingerprint) and key.state != "revoked":
                self.meet(replace(province, public_keys={**province.public_keys, key.sk: key.public_key}))
                return
        raise LookupError(fingerprint)

    def _list_of(self, province: Peer) -> Directory:
        url = province.url + self.profile.interfaces.province.keys.path
        try:
            return directory.read(authority.fetched(url, province.timeout_s), province.ak, province.public_keys)
        except ValueError as error:
            raise NoAnswer(str(error)) from None

    def _confirmed(self, province: Peer, said: Directory) -> Iterator[Listed]:
        """What a province lists, a key that nobody has compared as such. That one is revoked is believed at once."""
        for key in said.keys:
            if key.ak != province.ak:
                continue
            if province.public_keys.get(key.sk) != key.public_key:
                yield key if key.state == "revoked" else key.model_copy(update={"state": "unconfirmed"})
                continue
            if key.state == "revoked":
                left = {sk: public_key for sk, public_key in province.public_keys.items() if sk != key.sk}
                self.meet(replace(province, public_keys=left))
                gone = Sender(public_key=key.public_key, revoked=key.revoked or self._clock())
                self.platform.know({(province.ak, key.sk): gone})
            yield key

    # --- what it is asked ---

    def _doors(self) -> Iterator[Door]:
        for interface in (self.profile.interfaces.ministry.query, self.profile.interfaces.ministry.qr):
            take = partial(self._take, frozenset({interface.format}))
            yield authority.sealed_door(interface, self.platform, self.profile.codes.unsealed, take, slow=True)

    def _take(self, formats: frozenset[str], raw: bytes, key: str, refuse: str = "") -> tuple[int, bytes]:
        """Asks the province before the request is taken: the database is not locked while a province is waited for."""
        request = None if refuse else self.platform.awaited(raw, key, formats)
        if request is not None:
            self._found[request.key, request.digest] = self._ask(request)
        return self.platform.receive(raw, key, refuse, formats)

    def _judge(self, request: Request, database: sqlite3.Connection) -> Ruling:  # noqa: ARG002 - a Judge
        nothing = authority.refused(self.profile.codes.province_away, "not asked")
        return self._found.pop((request.key, request.digest), nothing)

    def _ask(self, request: Request) -> Ruling:
        codes, of = self.profile.codes, self.profile.interfaces.province
        question = authority.question(request.document)
        match question:
            case {"i1": _, "division": division} if request.format == of.query.format and len(question) == 2:  # noqa: PLR2004
                province = self.provinces.get(division[:_DIVISION]) if _DIVISION_CODE.fullmatch(division) else None
                if province is None:
                    return authority.refused(codes.no_province, f"division {division[:6]}")
                return self._asked(province, of.query, question)
            case {"text": text} if request.format == of.qr.format and len(question) == 1:
                return self._ask_signer(text, question)
        return authority.refused(codes.bad_query, "")

    def _ask_signer(self, text: str, question: Mapping[str, str]) -> Ruling:
        """Of the province with whose key a QR code is signed; there are as many keys of one index as provinces."""
        codes = self.profile.codes
        try:
            content = qr.parse(text, self.profile.qr)
        except qr.QrInvalid as error:
            return authority.refused(codes.bad_query, f"{error.code} {error.sentence}")
        for province in list(self.provinces.values()):
            if qr.standing(content, province.public_keys, sm2.verify) is qr.Standing.GENUINE:
                return self._asked(province, self.profile.interfaces.province.qr, question)
        return authority.refused(codes.no_province, f"key {content.key_index}")

    def _asked(self, province: Peer, interface: Interface, question: Mapping[str, str]) -> Ruling:
        codes = self.profile.codes
        try:
            answer = self._asker.ask(province, interface, question)
        except NoAnswer as error:
            return authority.refused(codes.province_away, f"{province.ak}: {error}")
        if not answer.accepted:
            reason = f"{province.ak}: {answer.code} {answer.message}: {answer.reason}"
            return authority.refused(codes.province_refuses, reason[:_REASON_CHARACTERS])
        return authority.accepted(codes, {"province": province.ak, **(answer.data or {})})


def _known(ak: str, sk: str, public_key: str) -> Listed:
    return Listed(ak=ak, sk=sk, public_key=public_key, fingerprint=keyfolder.fingerprint(public_key), state="active")
