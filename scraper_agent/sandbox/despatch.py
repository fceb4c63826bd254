"""What the demo ERP's dispatcher has written: waybills of dangerous goods, by the node identifiers of the format.

Every name, plate and certificate is made up. Departures lie around one day, since a waybill is late after its own.
"""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import NamedTuple, TypeAlias

Values: TypeAlias = dict[str, str | int | Decimal | date | None]

COUNT = 24


class Party(NamedTuple):
    name: str
    telephone: str
    place: str
    division: str
    loader: str
    """Who loads there."""


class Goods(NamedTuple):
    un_number: str
    name: str
    division: str
    packing_group: str | None
    package: str
    unit: str
    tonnes: Decimal
    """Of one unit."""


CONSIGNORS = (
    Party("上海示例化工有限公司", "021-55550001", "上海市金山区漕泾镇化工路1号", "310116", "示例化工第二油库"),
    Party("上海临港溶剂有限公司", "021-55550011", "上海市浦东新区示例路88号", "310115", "临港溶剂灌装站"),
    Party("苏州示例气体有限公司", "0512-55550021", "江苏省苏州市吴中区示例路8号", "320506", "示例气体充装站"),
)
CONSIGNEES = (
    Party("苏州示例新材料有限公司", "0512-55550003", "江苏省苏州市虎丘区示例街9号", "320505", ""),
    Party("上海启明精工有限公司", "021-55550005", "上海市嘉定区示例公路66号", "310114", ""),
    Party("杭州示例涂装有限公司", "0571-55550007", "浙江省杭州市萧山区示例大道5号", "330109", ""),
    Party("南通示例染料有限公司", "0513-55550009", "江苏省南通市通州区示例路17号", "320612", ""),
)
BULK = (
    Goods("1203", "汽油", "3", "II", "散装", "吨", Decimal(1)),
    Goods("1202", "柴油", "3", "III", "散装", "吨", Decimal(1)),
    Goods("1170", "乙醇", "3", "II", "散装", "吨", Decimal(1)),
    Goods("1830", "硫酸，含酸高于51%", "8", "II", "散装", "吨", Decimal(1)),
)
PACKED = (
    Goods("1263", "涂料", "3", "III", "20L铁桶", "桶", Decimal("0.025")),
    Goods("1230", "甲醇", "3(6.1)", "II", "200L钢桶", "桶", Decimal("0.178")),
    Goods("1789", "氢氯酸", "8", "II", "25L塑料桶", "桶", Decimal("0.03")),
    Goods("1824", "氢氧化钠溶液", "8", "II", "IBC吨箱", "箱", Decimal("1.5")),
    Goods("1866", "树脂溶液", "3", "III", "200L钢桶", "桶", Decimal("0.21")),
)
GASES = (
    Goods("1072", "氧，压缩的", "2.2(5.1)", None, "40L钢瓶", "瓶", Decimal("0.058")),
    Goods("1965", "烃类气体混合物，液化的，未另作规定的", "2.1", None, "50kg钢瓶", "瓶", Decimal("0.085")),
    Goods("1006", "氩，压缩的", "2.2", None, "40L钢瓶", "瓶", Decimal("0.06")),
)
CREWS = (
    ("张建国", "李志强"),
    ("王海涛", "赵永明"),
    ("陈卫东", "刘春生"),
    ("孙立军", "周文斌"),
    ("吴晓峰", "郑国平"),
)


def waybill(number: int, today: date) -> tuple[Values, tuple[Values, ...]]:
    """Header and goods of waybill `number`, counted from 1, as a sound ERP writes them around `today`.

    Every third is a tank on a trailer, every third has gas cylinders, the others have several packed goods.
    """
    kind = number % 3
    sender, consignee = CONSIGNORS[2 if kind == 2 else number % 2], CONSIGNEES[number % 4]  # noqa: PLR2004
    departure, crew = today + timedelta(days=number % 4), CREWS[number % 5]
    lines, tonnes = _goods(number, kind)
    header: Values = {
        "i1": f"WB{sender.division}{departure:%Y%m%d}{number:08}",
        "i11": sender.name,
        "i12": sender.telephone,
        "i21": sender.loader,
        "i22": sender.telephone[:-1] + "8",
        "i31": consignee.name,
        "i32": consignee.telephone,
        "i41": departure,
        "i42": sender.place,
        "i421": sender.division,
        "i43": consignee.place,
        "i431": consignee.division,
        "i44": "是" if sender.division[:2] == consignee.division[:2] == "31" else "否",
        "i45": "上海示例危险品运输有限公司",
        "i451": "310116000001",
        "i452": "021-55550004",
        "i46": f"沪{'ABDE'[number % 4]}{10200 + 37 * number}",
        "i461": "黄色",
        "i462": f"3101160{number + 12000:05}",
        "i47": f"沪{'ABDE'[number % 4]}{2100 + 13 * number}挂" if kind == 0 else None,
        "i471": f"3101160{number + 54000:05}" if kind == 0 else None,
        "i48": f"GT-2020-{number:04}" if kind == 0 else None,
        "i481": Decimal("38.50") + number if kind == 0 else None,
        "i49": crew[0],
        "i491": _certificate(number % 5, "driver"),
        "i492": f"1390000{number % 5:04}",
        "i50": crew[1],
        "i501": _certificate(number % 5, "escort"),
        "i502": f"1380000{number % 5:04}",
        "i510": tonnes,
        "i52": "夜间限行，请走绕城高速" if number % 5 == 1 else None,
        "i53": "何调度",
        "i54": today - timedelta(days=number % 2),
    }
    return header, lines


def _certificate(crew: int, role: str) -> str:
    """18 characters as those of an identity card, of a person who was never born: the month is 13."""
    return f"3101161{975 + crew}13{7 if role == 'driver' else 8}{crew}00{crew}X"


def _goods(number: int, kind: int) -> tuple[tuple[Values, ...], Decimal]:
    if kind == 0:
        loaded = [(BULK[number // 3 % len(BULK)], Decimal("18.625") + number % 7)]
    else:
        chosen = PACKED if kind == 1 else GASES
        count = 1 + number % (4 if kind == 1 else 3)
        loaded = [(chosen[(number + n) % len(chosen)], Decimal(4 + (number * 7 + n * 5) % 11)) for n in range(count)]
    lines: list[Values] = [
        {
            "g1": at,
            "g2": goods.un_number,
            "g3": goods.name,
            "g4": goods.division,
            "g5": goods.packing_group,
            "g6": goods.package,
            "g7": str(quantity),
            "g8": goods.unit,
        }
        for at, (goods, quantity) in enumerate(loaded, 1)
    ]
    return tuple(lines), sum((goods.tonnes * quantity for goods, quantity in loaded), Decimal(0))
