"""The QR code of a waybill of dangerous goods (运单二维码): its text, its signature, and who carries what. Pure.

    01#01#WB2024…#京AG6888,黄色,京AG689挂#甲,ID-1;乙,ID-2#19.625#1203,II,100桶|1202,III,20桶#Base64(R‖S)

in GBK; what is signed are the bytes of items 1 to 7. The second byte of a GBK character may be `|` or `^`: the bytes
are decoded first and split afterwards. What is read was held before a camera by anybody: it is bounded, nothing of it
is guessed, and one summary has one text.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum

from scraper_agent import format
from scraper_agent.errors import BusinessError
from scraper_agent.format import Document, Field
from scraper_agent.messages import N_
from scraper_agent.ports import Signer, Verify
from scraper_agent.rules import Value, Values
from scraper_agent.waybill.profile import DEFAULT, FORMAT, Qr

CHARSET = "gbk"
"""Note 1) of Table 2. Every text that it has, it has as one row of bytes: Python's reads no two rows as one text."""

MOST_BYTES = 2953
"""What the largest symbol holds: version 40, level L, bytes."""

_SIGNATURE_BYTES = 64
_SHOWN = 40
_ITEMS = 8
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]")
"""Controls and marks that turn the reading direction: they would change what a person sees."""
_INDEX = re.compile(r"0[1-9]|[1-9][0-9]")
_WEIGHT = re.compile(r"(?:0|[1-9][0-9]*)\.[0-9]{3}")
_AMOUNT = re.compile(r"([0-9.]+)(.+)")

NAMES = (
    "二维码数据格式版本",
    "数据校验密钥属性",
    "运单编号",
    "车辆信息",
    "驾押人员信息",
    "货物总重量",
    "货物信息列表",
    "数据校验码",
)


class QrInvalid(BusinessError):
    """Not the content of a waybill's QR code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vehicle:
    plate: str
    colour: str
    trailer: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    name: str
    certificate: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Goods:
    un_number: str
    packing_group: str
    """Empty if the goods have none."""
    quantity: str
    unit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Items 3 to 7 (运单摘要)."""

    waybill: str
    vehicle: Vehicle
    driver: Person
    escort: Person
    weight: Decimal
    """Tonnes, at most 3 decimals."""
    goods: tuple[Goods, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What one code says. Whether it is genuine, `standing` tells."""

    key_index: str
    summary: Summary
    message: bytes
    """What is signed."""
    signature: bytes
    """R‖S, 64 bytes."""


class Standing(StrEnum):
    """Of a code's signature."""

    GENUINE = "genuine"
    FORGED = "forged"
    """Not signed with the key of its index: content, signature or index was changed."""
    UNKNOWN_KEY = "unknown-key"
    """No key of its index is known: nothing is proved."""


def summary(document: Document, qr: Qr = DEFAULT.qr) -> Summary:
    """What the code says of a document that passed its checks.

    Raises:
        ValueError: a field that the code needs is missing or of another kind: the document was not checked.
    """
    header = document.header
    weight = header.get(qr.weight)
    if document.format != FORMAT.name or not isinstance(weight, Decimal) or not document.lines:
        raise ValueError("not a checked waybill of dangerous goods")
    plate, colour, trailer = qr.vehicle
    un_number, group, quantity, unit = qr.cargo
    return Summary(
        waybill=_given(header, qr.waybill),
        vehicle=Vehicle(plate=_given(header, plate), colour=_given(header, colour), trailer=_text(header, trailer)),
        driver=Person(name=_given(header, qr.driver[0]), certificate=_given(header, qr.driver[1])),
        escort=Person(name=_given(header, qr.escort[0]), certificate=_given(header, qr.escort[1])),
        weight=weight,
        goods=tuple(
            Goods(
                un_number=_given(line, un_number),
                packing_group=_text(line, group),
                quantity=_given(line, quantity),
                unit=_given(line, unit),
            )
            for line in document.lines
        ),
    )


def build(summary: Summary, signer: Signer, qr: Qr = DEFAULT.qr) -> bytes:
    """The bytes of the code, signed. The signer's key index is item 2.

    Raises:
        QrInvalid: a value holds a separator or a character that the charset lacks, or all together is too long.
        ValueError: a value is not of its field: the summary was not made of a checked document.
    """
    message = _message(_head(summary, signer.key_index, qr), qr)
    signature = base64.b64encode(signer.sign(message))
    data = message + (b"" if qr.signs_last_separator else qr.separator.encode()) + signature
    # The reader's own rules decide what may be written: there is no content that it would refuse, or read otherwise.
    if parse(data, qr).summary != summary:
        raise ValueError("the content would be read otherwise")
    return data


def parse(read: bytes | str, qr: Qr = DEFAULT.qr) -> Content:
    """What a reader saw: the bytes of the symbol, or its text if the reader knew the charset.

    Raises:
        QrInvalid: it is not of the profile; says which item, and at which character, counted from 1.
    """
    text, data = _decoded(read)
    if control := _UNPRINTABLE.search(text):
        raise QrInvalid(
            "SA1074",
            N_("the QR content has the control character U+{character} at character {at}"),
            hint=N_("it was not made by a waybill system: do not trust it"),
            character=f"{ord(control[0]):04X}",
            at=control.start() + 1,
        )
    items = text.split(qr.separator)
    if len(items) != _ITEMS:
        raise QrInvalid(
            "SA1075",
            N_("the QR content has {found} items between `{separator}`; expected {expected}"),
            hint=N_("it is no code of a waybill, or its province separates by another sign: set it in the profile"),
            found=len(items),
            separator=qr.separator,
            expected=_ITEMS,
        )
    return _Parser(items, qr).content(data)


def standing(content: Content, public_keys: Mapping[str, str], verify: Verify) -> Standing:
    """Whether the content is signed with the key of its index.

    `public_keys`: by index, X‖Y in hex; those that held when the waybill was made.
    """
    public_key = public_keys.get(content.key_index)
    if public_key is None:
        return Standing.UNKNOWN_KEY
    return Standing.GENUINE if verify(public_key, content.message, content.signature) else Standing.FORGED


def difference(found: Summary, expected: Summary) -> tuple[int, str] | None:
    """Number and name of the first item that says something else; None if all say the same."""
    pairs = (
        (found.waybill, expected.waybill),
        (found.vehicle, expected.vehicle),
        ((found.driver, found.escort), (expected.driver, expected.escort)),
        (found.weight, expected.weight),
        (found.goods, expected.goods),
    )
    for item, (one, other) in enumerate(pairs, 3):
        if one != other:
            return item, NAMES[item - 1]
    return None


def masked(summary: Summary, qr: Qr = DEFAULT.qr) -> Summary:
    """As it is shown to people: the middle of each certificate number is `*`."""
    return replace(
        summary,
        driver=replace(summary.driver, certificate=mask(summary.driver.certificate, qr.masked)),
        escort=replace(summary.escort, certificate=mask(summary.escort.certificate, qr.masked)),
    )


def mask(certificate: str, count: int = DEFAULT.qr.masked) -> str:
    """`certificate` with its middle `count` characters as `*`; the odd one more stands behind them."""
    return format.mask(certificate, count)


# --- writing --------------------------------------------------------------------------------------------------------


def _given(values: Values, id: str) -> str:
    if not (value := _text(values, id)):
        raise ValueError(f"{id} is missing")
    return value


def _text(values: Values, id: str) -> str:
    value = values.get(id, "")
    if not isinstance(value, str):
        raise ValueError(f"{id} is {value!r}, not text")  # noqa: TRY004 - a value of the document, not of the program
    return value


def _head(summary: Summary, key_index: str, qr: Qr) -> str:
    """Items 1 to 7."""
    vehicle, driver, escort = summary.vehicle, summary.driver, summary.escort
    plate = _joined(zip(qr.vehicle, (vehicle.plate, vehicle.colour, vehicle.trailer), strict=True), qr.values, qr)
    people = (
        _joined(zip(ids, (person.name, person.certificate), strict=True), qr.values + qr.people, qr)
        for ids, person in ((qr.driver, driver), (qr.escort, escort))
    )
    goods = (
        _joined(
            [
                (qr.cargo[0], each.un_number),
                (qr.cargo[1], each.packing_group),
                (qr.cargo[3], each.quantity + each.unit),
            ],
            qr.values + qr.goods,
            qr,
        )
        for each in summary.goods
    )
    items = (
        qr.version,
        key_index,
        _joined([(qr.waybill, summary.waybill)], "", qr),
        plate if vehicle.trailer else plate.removesuffix(qr.values),
        qr.people.join(people),
        f"{summary.weight:.3f}{qr.weight_unit}",
        qr.goods.join(goods),
    )
    return qr.separator.join(items)


def _joined(values: Sequence[tuple[str, str]] | zip[tuple[str, str]], inner: str, qr: Qr) -> str:
    """Values of one item, each with its node, which must not hold what the reader will split there."""
    checked = []
    for id, value in values:
        for separator in (qr.separator, *inner):
            if separator in value:
                raise QrInvalid(
                    "SA1070",
                    N_("{field} is `{value}`, but `{separator}` separates values in the QR code"),
                    hint=N_("write it with another sign, such as the full-width one"),
                    field=id,
                    value=value[:_SHOWN],
                    separator=separator,
                )
        try:
            value.encode(CHARSET)
        except UnicodeEncodeError as error:
            raise QrInvalid(
                "SA1071",
                N_("{field} has the character `{character}`, which the QR code's charset {charset} lacks"),
                hint=N_("agree with the province how such a name is written"),
                field=id,
                character=value[error.start],
                charset=CHARSET.upper(),
            ) from None
        checked.append(value)
    return qr.values.join(checked)


def _message(head: str, qr: Qr) -> bytes:
    return (head + qr.separator if qr.signs_last_separator else head).encode(CHARSET)


# --- reading --------------------------------------------------------------------------------------------------------


def _decoded(read: bytes | str) -> tuple[str, bytes]:
    if len(read) > MOST_BYTES:
        raise QrInvalid(
            "SA1072",
            N_("the QR content has {found} bytes; a QR code holds at most {most}"),
            hint=N_("it is not the content of one QR code"),
            found=len(read),
            most=MOST_BYTES,
        )
    try:
        text = read if isinstance(read, str) else read.decode(CHARSET)
        return text, text.encode(CHARSET)
    except (UnicodeDecodeError, UnicodeEncodeError) as error:
        raise QrInvalid(
            "SA1073",
            N_("the QR content is not {charset}, at place {at}"),
            hint=N_("give the bytes of the code rather than the text that its reader guessed"),
            charset=CHARSET.upper(),
            at=error.start + 1,
        ) from None


class _Parser:
    """The eight items of one text."""

    def __init__(self, items: Sequence[str], qr: Qr) -> None:
        self._items = items
        self._qr = qr

    def content(self, data: bytes) -> Content:
        qr = self._qr
        self._expect(1, self._items[0] == qr.version, qr.version)
        key_index = self._items[1]
        self._expect(2, _INDEX.fullmatch(key_index) is not None, "01–99")
        summary = Summary(
            waybill=self._held(3, self._items[2], FORMAT.header_fields[qr.waybill]),
            vehicle=self._vehicle(),
            driver=self._person(0, qr.driver),
            escort=self._person(1, qr.escort),
            weight=self._weight(),
            goods=tuple(self._goods(each) for each in self._items[6].split(qr.goods)),
        )
        signature = self._signature()
        size = len(self._items[7]) + (0 if qr.signs_last_separator else 1)
        return Content(key_index=key_index, summary=summary, message=data[:-size], signature=signature)

    def _vehicle(self) -> Vehicle:
        qr = self._qr
        values = self._items[3].split(qr.values)
        right = len(values) in (len(qr.vehicle) - 1, len(qr.vehicle))
        self._expect(4, right, f"货车号牌{qr.values}货车车牌颜色[{qr.values}挂车号牌]")
        held = [self._held(4, each, FORMAT.header_fields[id]) for each, id in zip(values, qr.vehicle, strict=False)]
        return Vehicle(plate=held[0], colour=held[1], trailer="".join(held[2:]))

    def _person(self, place: int, ids: tuple[str, str]) -> Person:
        qr = self._qr
        form = f"驾驶员姓名{qr.values}证件号码{qr.people}押运员姓名{qr.values}证件号码"
        people = [person.split(qr.values) for person in self._items[4].split(qr.people)]
        self._expect(5, [len(person) for person in people] == [2, 2], form)
        name, certificate = (
            self._held(5, each, FORMAT.header_fields[id]) for each, id in zip(people[place], ids, strict=True)
        )
        return Person(name=name, certificate=certificate)

    def _weight(self) -> Decimal:
        form = f"0.000{self._qr.weight_unit}"
        number = self._items[5].removesuffix(self._qr.weight_unit)
        whole = number + self._qr.weight_unit == self._items[5]
        self._expect(6, whole and _WEIGHT.fullmatch(number) is not None, form)
        weight = Decimal(number)
        self._expect(6, FORMAT.header_fields[self._qr.weight].fault(weight) is None, form)
        return weight

    def _goods(self, text: str) -> Goods:
        qr = self._qr
        values = text.split(qr.values)
        amount = _AMOUNT.fullmatch(values[-1])
        form = f"联合国编号{qr.values}包装类别{qr.values}数量单位"
        self._expect(7, len(values) == len(qr.cargo) - 1 and amount is not None, form)
        found = (values[0], values[1], *(amount.groups() if amount else ()))
        fields = [FORMAT.line_fields[id] for id in qr.cargo]
        un_number, group, quantity, unit = (
            self._held(7, each, field) if each or field.need == "M" else ""
            for each, field in zip(found, fields, strict=True)
        )
        return Goods(un_number=un_number, packing_group=group, quantity=quantity, unit=unit)

    def _signature(self) -> bytes:
        try:
            signature = base64.b64decode(self._items[7])
        except (binascii.Error, ValueError):
            signature = b""
        # Python passes over foreign characters and loose bits; what it would write itself has neither.
        right = len(signature) == _SIGNATURE_BYTES and base64.b64encode(signature).decode() == self._items[7]
        self._expect(8, right, "Base64(R‖S)")
        return signature

    def _held(self, item: int, value: str, field: Field) -> str:
        """`value`, of `field`."""
        held: Value = value
        self._expect(item, bool(value) and field.fault(held) is None, f"{field.id} {field.zh} {field.printed}")
        return value

    def _expect(self, item: int, right: bool, form: str) -> None:
        if right:
            return
        raise QrInvalid(
            "SA1076",
            N_("item {item} ({name}) of the QR content, at character {at}, is `{value}`; expected {form}"),
            hint=N_("it was changed, or its province writes it otherwise: compare with the profile"),
            item=item,
            name=NAMES[item - 1],
            at=sum(len(each) + 1 for each in self._items[: item - 1]) + 1,
            value=self._items[item - 1][:_SHOWN],
            form=form,
        )
