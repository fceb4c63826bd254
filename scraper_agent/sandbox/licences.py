"""The licences of enterprises, vehicles and persons (许可资格) that a simulated province compares a waybill with."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict

from scraper_agent import yamlfile
from scraper_agent.format import Document

DEFAULT = Path(__file__).parent / "licences.yaml"

_STRICT = ConfigDict(frozen=True, extra="forbid")

Work: TypeAlias = Literal["driver", "escort"]


class _Licence(BaseModel):
    model_config = _STRICT

    valid_until: dt.date
    """The last day."""


class Enterprise(_Licence):
    number: str
    """承运人许可证号, i451."""
    name: str


class Vehicle(_Licence):
    plate: str
    colour: str
    certificate: str
    """道路运输证号, i462 or i471."""


class Person(_Licence):
    certificate: str
    """从业资格证, i491 or i501."""
    name: str
    work: tuple[Work, ...]


@dataclass(frozen=True, slots=True)
class Lack:
    """What speaks against one field."""

    field: str
    zh: str
    en: str


class Licences(BaseModel):
    model_config = _STRICT

    enterprises: tuple[Enterprise, ...]
    vehicles: tuple[Vehicle, ...]
    persons: tuple[Person, ...]

    def lacks(self, waybill: Document, today: dt.date) -> Iterator[Lack]:
        """What of a waybill, whose fields are right, is not licensed on its day of departure or today, the later."""
        header = {id: str(value) for id, value in waybill.header.items()}
        departure = waybill.header["i41"]
        day = max(today, departure) if isinstance(departure, dt.date) else today
        yield from self._enterprise(header, day)
        yield from self._vehicle(header, "i46", "i462", day)
        if header.get("i47"):
            yield from self._vehicle(header, "i47", "i471", day)
        yield from self._person(header, "i49", "i491", "driver", day)
        yield from self._person(header, "i50", "i501", "escort", day)

    def _enterprise(self, header: dict[str, str], day: dt.date) -> Iterator[Lack]:
        found = self._enterprises.get(header["i451"])
        if found is None:
            yield Lack("i451", "无此许可证", "no such licence")
            return
        if found.name != header["i45"]:
            yield Lack("i45", "与许可证上的单位名称不符", "is not the name on the licence")
        yield from _in_time("i451", found, day)

    def _vehicle(self, header: dict[str, str], plate: str, certificate: str, day: dt.date) -> Iterator[Lack]:
        found = self._vehicles.get(header[plate])
        if found is None:
            yield Lack(plate, "无此车辆", "no such vehicle")
            return
        if found.certificate != header[certificate]:
            yield Lack(certificate, "不是该车的道路运输证", "is not the certificate of this vehicle")
        if plate == "i46" and found.colour != header["i461"]:
            yield Lack("i461", "与登记的车牌颜色不符", "is not the colour of this plate")
        yield from _in_time(certificate, found, day)

    def _person(self, header: dict[str, str], name: str, certificate: str, work: Work, day: dt.date) -> Iterator[Lack]:
        found = self._persons.get(header[certificate])
        if found is None:
            yield Lack(certificate, "无此从业资格证", "no such certificate")
            return
        if found.name != header[name]:
            yield Lack(name, "与从业资格证上的姓名不符", "is not the name on the certificate")
        if work not in found.work:
            what = {"driver": ("驾驶员", "a driver"), "escort": ("押运员", "an escort")}[work]
            yield Lack(certificate, f"不是{what[0]}资格", f"is not the certificate of {what[1]}")
        yield from _in_time(certificate, found, day)

    @cached_property
    def _enterprises(self) -> dict[str, Enterprise]:
        return {each.number: each for each in self.enterprises}

    @cached_property
    def _vehicles(self) -> dict[str, Vehicle]:
        return {each.plate: each for each in self.vehicles}

    @cached_property
    def _persons(self) -> dict[str, Person]:
        return {each.certificate: each for each in self.persons}


def load(path: Path = DEFAULT) -> Licences:
    """Raises UsageError or SourceErrors: there is no such file, or it does not fit."""
    return yamlfile.load(path, Licences)


def _in_time(field: str, licence: _Licence, day: dt.date) -> Iterator[Lack]:
    if licence.valid_until < day:
        until = licence.valid_until.isoformat()
        yield Lack(field, f"已于{until}到期", f"expired on {until}")
