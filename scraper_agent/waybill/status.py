"""The status of a waybill of dangerous goods: what it is called, its code, and what it can become. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from scraper_agent.errors import BusinessError
from scraper_agent.messages import N_
from scraper_agent.waybill.profile import DEFAULT, Status


def first(statuses: Mapping[str, Status] = DEFAULT.statuses) -> str:
    """The name of what a waybill begins as."""
    return next(iter(statuses))


def final(name: str, statuses: Mapping[str, Status] = DEFAULT.statuses) -> bool:
    return not statuses[name].next


def of_code(code: str, statuses: Mapping[str, Status] = DEFAULT.statuses) -> str:
    """The name of the status with `code`.

    Raises:
        BusinessError: there is none.
    """
    for name, status in statuses.items():
        if status.code == code:
            return name
    raise BusinessError(
        "SA1078",
        N_("there is no waybill status with the code `{seen}`; there are {known}"),
        hint=N_("agree on the codes with the other side, and write them into the profile"),
        seen=code[:20],
        known=", ".join(f"{status.code} {status.zh}" for status in statuses.values()),
    )


def follow(current: str, wanted: str, statuses: Mapping[str, Status] = DEFAULT.statuses) -> str:
    """`wanted`, if a waybill that is `current` may become it. The same status again is no step and is refused, too.

    Raises:
        BusinessError: it may not, or there is no status of that name.
    """
    if current in statuses and wanted in statuses[current].next:
        return wanted
    raise BusinessError(
        "SA1079",
        N_("a waybill that is {current} cannot become {wanted}; it can become: {next}"),
        hint=N_("ask for the waybill's status again: it may have changed meanwhile"),
        current=_named(current, statuses),
        wanted=_named(wanted, statuses),
        next=", ".join(_named(name, statuses) for name in statuses[current].next) if current in statuses else "",
    )


def _named(name: str, statuses: Mapping[str, Status]) -> str:
    return f"{name} ({statuses[name].zh})" if name in statuses else name[:20]
