"""A shipper's transport task (运输任务) becomes a carrier's waybill: GB/T 40292-2021, clause 4. Pure.

The standard has no form of a task. Ours is the waybill's elements without those that the carrier's own system fills,
and a number of the task.
"""

from __future__ import annotations

import string
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from scraper_agent import canonical, yamlfile
from scraper_agent.format import Field as Element
from scraper_agent.format import Format, Type, Value
from scraper_agent.messages import N_
from scraper_agent.rules import Values

NAME = "transportTask"
WAYBILL = "crossBorderWaybill"
NUMBER = "taskNumber"
NOT_INSURED = "无"

_CARRIERS = frozenset(
    (
        "waybillNumber",
        "waybillGenerationDateTime",
        "waybillDeliveryDateTime",
        "senderCode",
        "recipientCode",
        "logisticsEnterpriseName",
        "logisticsEnterpriseCode",
        "transportPermitNumber",
    )
)
"""What the carrier's system fills."""
_TIMES = ("waybillGenerationDateTime", "waybillDeliveryDateTime")
_INSURANCE = ("policyNumber", "insuranceCompany")
_DIGITS = 16
_RULE = "crossborder number"


def _rule(rule: str) -> str:
    try:
        names = {name for _, name, _, _ in string.Formatter().parse(rule) if name is not None}
        made = rule.format(digest="0" * _DIGITS, shipper="0", task="0")
    except (ValueError, KeyError, IndexError, AttributeError):
        names, made = set(), ""
    unique = "digest" in names or {"shipper", "task"} <= names
    if unique and names <= {"digest", "shipper", "task"} and made.isascii():
        return rule
    raise yamlfile.Wrong(
        N_("`{rule}` makes no unique waybill numbers"),
        hint=N_("it needs `{{digest}}`, or both `{{shipper}}` and `{{task}}`, and beside them letters and digits"),
        rule=rule,
    )


class Carrier(BaseModel):
    """What a waybill says of the carrier beside its name and code."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sender_code: str = Field(
        min_length=1, max_length=30, description="发送方代码 of this system, as the platform gave it out."
    )
    recipient_code: str = Field(min_length=1, max_length=30, description="接收方代码 of the platform.")
    transport_permit: str = Field(
        "", max_length=30, description="物流企业运输经营许可证号 of a network freight operator."
    )
    number: Annotated[str, AfterValidator(_rule)] = Field(
        "XB{digest}",
        description="Rule of waybill numbers: `{task}` and `{shipper}` are the task's number and the shipper's, "
        "`{digest}` 16 digits made of both.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A waybill's header, and whence each value is that the task does not say."""

    header: Values
    sources: Mapping[str, str]


def form(waybill: Format) -> Format:
    """The form of a task for this format of waybills, with the elements that users added to it.

    Nothing but the number is asked for: what is missing is a finding of the waybill, which is blocked by it.
    """
    number = Element(
        id=NUMBER,
        zh="运输任务编号",
        en="number of the transport task",
        type=Type.parse("an..30"),
        need="M",
        rule="unique for the shipper",
        source="an assumption: the standard has no form of a task",
    )
    asked = (each for each in waybill.header if each.id not in _CARRIERS)
    return replace(
        waybill,
        name=NAME,
        zh="运输任务",
        en="transport task",
        source="an assumption: GB/T 40292-2021 names the task, but has no form of it",
        key=(NUMBER, "consignerID"),
        header=(number, *(replace(each, need="O" if each.id in _INSURANCE else each.need) for each in asked)),
        rules=(),
    )


def number(rule: str, shipper: str, task: str) -> str:
    """The waybill's number: the same for the same task, and another for every other."""
    digest = canonical.sm3(canonical.dumps([shipper, task])).hex()[:_DIGITS].upper()
    return rule.format(digest=digest, shipper=shipper, task=task)


def number_of(task: Values, carrier: Carrier) -> str:
    """Of a task's waybill."""
    return number(carrier.number, str(task.get("consignerID", "")), str(task[NUMBER]))


def waybill(task: Values, carrier: Carrier, *, name: str, code: str, at: datetime, known: Values | None = None) -> Made:
    """The waybill of a task. Nothing is guessed: what neither says is missing.

    `name`, `code`: of the logistics enterprise, as on its licence. `at`: local time of China. `known`: the waybill
    made of this task before; if nothing but its times would change, it keeps them, and so is the same waybill.
    """
    own: dict[str, tuple[Value, str]] = {
        "waybillNumber": (number_of(task, carrier), _RULE),
        "senderCode": (carrier.sender_code, "crossborder sender_code"),
        "recipientCode": (carrier.recipient_code, "crossborder recipient_code"),
        "logisticsEnterpriseName": (name, "profile name"),
        "logisticsEnterpriseCode": (code, "profile uscc"),
    }
    if carrier.transport_permit:
        own["transportPermitNumber"] = (carrier.transport_permit, "crossborder transport_permit")
    if not any(id in task for id in _INSURANCE):
        own |= dict.fromkeys(_INSURANCE, (NOT_INSURED, "no insurance in the task"))
    header = {id: value for id, value in task.items() if id != NUMBER} | {id: value for id, (value, _) in own.items()}
    same = known is not None and {id: value for id, value in known.items() if id not in _TIMES} == header
    made = dict.fromkeys(_TIMES, at.replace(microsecond=0))
    times = {id: known[id] for id in _TIMES if id in known} if known is not None and same else made
    sources = {id: source for id, (_, source) in own.items()} | dict.fromkeys(_TIMES, "clock")
    return Made(header={**header, **times}, sources=sources)
