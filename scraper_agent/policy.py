"""The policy file: what the enterprise allows, above all recipes. Who must say yes to what is `approval`'s."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from decimal import Decimal
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from scraper_agent.hours import Span
from scraper_agent.messages import N_
from scraper_agent.people import Person
from scraper_agent.recipe import Permit
from scraper_agent.values import Completeness, Finding, Reason, Severity
from scraper_agent.yamlfile import Wrong

ALL = "all"
"""Stands for every format that has no line of its own."""


class Limit(BaseModel):
    """What of one format may leave without a person's approval."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    amounts: dict[str, Annotated[Decimal, Field(ge=0)]] = Field(
        {}, description="Currency -> highest total, with either sign; a currency not named is held."
    )
    lines: Annotated[int, Field(ge=0)] | None = Field(
        None, description="Most lines; for formats without a total it is the only limit."
    )
    warnings: Literal["hold", "allow"] = "hold"
    analyses: Literal["hold", "allow"] = Field(
        "allow",
        description="What is only strange (`ANL-…`): `hold`: it counts as a warning; `allow`: it is only shown.",
    )
    case: Literal["any", "complete"] = Field(
        "any",
        description="`complete`: held until its business case has what it must have; a later run or `send` lets it go.",
    )


# --- who says yes, and what may leave -------------------------------------------------------------------------------


class Sample(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    one_in: Annotated[int, Field(ge=1)] = Field(
        description="Of what would leave without a person of its own, about one in so many waits for one all the same."
    )


class Approving(BaseModel):
    """Who must say yes to documents of one format."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rule: Literal["automatic", "per_batch", "per_document", "four_eyes"] = Field(
        "automatic",
        description="`automatic`: within the limits of `automatic` nobody, beyond them one person. `per_batch`: within "
        "them one person for all of a run together. `per_document`: one for each. `four_eyes`: two for each.",
    )
    sample: Sample | None = None

    @property
    def needs_limits(self) -> bool:
        """Whether it says nothing of a format that `automatic` does not name."""
        return self.rule == "per_batch" or self.sample is not None

    @model_validator(mode="after")
    def _can_draw(self) -> Self:
        if self.sample is not None and self.rule in ("per_document", "four_eyes"):
            raise Wrong(
                N_("with the rule {rule} every document waits for a person: there is no sample"), rule=self.rule
            )
        return self


class Mask(BaseModel):
    """How many characters of a text stay as they are; those between leave as `*`, and so does all of a shorter text."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    keep_first: Annotated[int, Field(ge=0)] = 0
    keep_last: Annotated[int, Field(ge=0)] = 0


class Leaving(BaseModel):
    """Which fields of one format may leave. Fields of lines are named `lines.` and their identifier."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    only: tuple[str, ...] | None = Field(
        None, description="Of the fields that a document may lack, these alone; default: all. Mandatory ones always go."
    )
    leave_out: tuple[str, ...] = Field((), description="Fields that never enter a document.")
    mask: dict[str, Mask] = Field({}, description="Free texts of which only a part leaves.")


class Requests(BaseModel):
    """What may be asked of one ERP. A recipe may ask for less, never for more."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    addresses: tuple[str, ...] = Field((), description="Its addresses: scheme, host, and port if it is not the usual.")
    permits: tuple[Permit, ...] = Field(
        (), description="Requests beside GET and HEAD; a recipe's own must be among them, word for word."
    )
    refuses: tuple[str, ...] = Field(
        (), description="Regular expressions of paths with their queries that are never asked for, by no recipe."
    )


class Window(BaseModel):
    """The days that documents may be of."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    oldest_days: Annotated[int, Field(ge=0)] | None = Field(
        None, description="How many days before the day that it is read a document may be of."
    )
    from_: date | None = Field(None, alias="from", description="The first day.")
    to: date | None = Field(None, description="The last day.")

    def first(self, today: date) -> date | None:
        """The first of them, on `today`; None: there is none."""
        oldest = None if self.oldest_days is None else today - timedelta(days=self.oldest_days)
        return max((each for each in (oldest, self.from_) if each is not None), default=None)

    def misses(self, day: date, today: date) -> Reason | None:
        """Why `day` is none of them, on `today`."""
        first = self.first(today)
        if first is not None and day < first:
            text = N_("{seen} is before {first}, the first day that the policy allows")
            return Reason(text=text, values={"seen": day.isoformat(), "first": first.isoformat()})
        if self.to is not None and day > self.to:
            text = N_("{seen} is after {last}, the last day that the policy allows")
            return Reason(text=text, values={"seen": day.isoformat(), "last": self.to.isoformat()})
        return None


class Pace(BaseModel):
    """How fast an ERP is read at most, whatever the config says."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pages_per_minute: Annotated[int, Field(ge=1)] | None = None
    tabs: Annotated[int, Field(ge=1)] | None = None


class Evidence(BaseModel):
    """What is kept of the pages that were read. The pages themselves always are: they prove what a document says."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    images: Literal["keep", "drop"] | None = Field(
        None, description="Images of pages: `keep` or `drop` whatever the config says; default: as the config says."
    )
    operator: Literal["name", "digest"] = Field(
        "digest",
        description="Who began a run, where a value's origin is explained: `name`, of the people named here, or the "
        "SM3 digest that the log has.",
    )


class Retention(BaseModel):
    """For how many days what is kept; no less than the law wants."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    logs_days: Annotated[int, Field(ge=184)] = Field(
        184, description="The log of the program: 网络安全法 wants six months."
    )
    documents_days: Annotated[int, Field(ge=1096)] = Field(
        1096,
        description="Customs documents, receipts, and the pages they were read from: 海关法 45 wants three years.",
    )
    waybills_days: Annotated[int, Field(ge=366)] = Field(
        366, description="Waybills of dangerous goods: 危险货物道路运输安全管理办法 24 wants twelve months."
    )
    images_days: Annotated[int, Field(ge=0)] | None = Field(
        None, description="Images of pages; default: as long as the documents."
    )


class Anchor(BaseModel):
    """How long the log may go on without any witness seeing it, where there are witnesses."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    warn_hours: Annotated[int, Field(ge=1)] = Field(4, description="Then it is told of.")
    stop_hours: Annotated[int, Field(ge=1)] = Field(
        24,
        description="Then nothing is read or taken in, unless a person gives a reason by `--without-anchor`.",
    )

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.warn_hours > self.stop_hours:
            raise Wrong(
                N_("`warn_hours` is {warn}, and `stop_hours` is {stop}: it would stop before it warns"),
                warn=self.warn_hours,
                stop=self.stop_hours,
            )
        return self


class Recipes(BaseModel):
    """Which recipes may be used."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    approved_by: Literal["second_person", "one", "nobody"] = Field(
        "second_person",
        description="Who says yes to a recipe before it is used: another person than its author; anybody; or nobody.",
    )


class Policy(BaseModel):
    """The policy file. A format that is not named is always held; an ERP that is not named is not read."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Annotated[int, Field(ge=1)] | None = Field(
        None, description="Raised with each change; needed to be signed. One that was in force is never gone back to."
    )
    requests: dict[str, Requests] = Field(
        {}, description="By ERP, the first part of a recipe's name: `demo` for `demo/order`."
    )
    documents: tuple[str, ...] | None = Field(
        None, description="The formats that may be read and sent at all; default: every one."
    )
    windows: dict[str, Window] = Field(
        {}, description="By ERP or format: the days that its documents, and the dates a run begins and ends at, lie in."
    )
    hours: dict[str, tuple[Span, ...]] = Field(
        {}, description="By ERP: when it may be read, such as `mon-fri 08:00-18:00`, in the time of China."
    )
    pace: dict[str, Pace] = Field({}, description="By ERP: how fast it may be read at most.")
    documents_per_day: dict[str, Annotated[int, Field(ge=0)]] = Field(
        {},
        description="By format, or `all` together: how many leave on a day of China; others wait for the next.",
    )
    destinations: dict[str, tuple[str, ...]] = Field(
        {},
        description="By format, or `all` others: hosts, addresses and folders that documents may go to; once there is "
        "one, a format that is not named goes nowhere.",
    )
    automatic: dict[str, Limit] = {}
    approval: dict[str, Approving] = Field(
        {}, description="By format; one that is not named here is approved as `automatic` says."
    )
    fields: dict[str, Leaving] = Field(
        {}, description="By format; of one that is not named here every field may leave."
    )
    lists: Completeness = Field(
        Completeness.PLAUSIBLE,
        description="How complete the lists of a run must be for its documents to leave without a person's approval.",
    )
    people: dict[str, Person] = Field(
        {},
        description="Roles by name of an account, or of who signs in; where nobody is named, everybody has every role.",
    )
    evidence: Evidence = Evidence()
    retention: Retention = Retention()
    anchor: Anchor = Anchor()
    recipes: Recipes = Field(Recipes(), description="Who approves recipes, and anew when what they read has changed.")
    severities: dict[str, Severity] = Field(
        {}, description="By check between documents (CHK-02, CHK-14 to CHK-20, ANL-…, OBL-…): `error` blocks."
    )


def lacking(policy: Policy, erp: str, needed: Requests) -> tuple[str, ...]:
    """Of the addresses and permits that are needed, those that the policy does not name."""
    known = policy.requests.get(erp, Requests())
    addresses = [address for address in needed.addresses if address not in known.addresses]
    permits = [permit for permit in needed.permits if permit not in known.permits]
    return (*addresses, *(f"{permit.purpose} {permit.method} {permit.path}" for permit in permits))


def together(one: Requests, other: Requests) -> Requests:
    """What either of two allows, and neither refuses; nothing twice."""
    return Requests(
        addresses=tuple(dict.fromkeys((*one.addresses, *other.addresses))),
        permits=(*one.permits, *(permit for permit in other.permits if permit not in one.permits)),
        refuses=tuple(dict.fromkeys((*one.refuses, *other.refuses))),
    )


# --- what it forbids ------------------------------------------------------------------------------------------------


def windows(policy: Policy, erp: str, format: str) -> tuple[Window, ...]:
    """Those that hold for documents of this format that come from this ERP."""
    return tuple(policy.windows[name] for name in (erp, format) if name in policy.windows)


def reads(policy: Policy, format: str) -> bool:
    """Whether documents of this format may be read and sent at all."""
    return policy.documents is None or format in policy.documents


def forbids(policy: Policy, erp: str, format: str, day: tuple[str, date | None], read_on: date) -> Iterator[Finding]:
    """Why a document must not leave, whoever approves it. `day`: the field with its own date, and that date."""
    if not reads(policy, format):
        yield Finding(
            code="POL-01",
            severity=Severity.ERROR,
            field="",
            text=N_("the policy does not allow documents of the format {format}"),
            values={"format": format},
        )
    field, of = day
    for window in windows(policy, erp, format):
        if of is None:
            yield Finding(
                code="POL-02",
                severity=Severity.ERROR,
                field=field,
                text=N_("it has no date, and the policy allows only documents of some days"),
            )
        elif (missed := window.misses(of, read_on)) is not None:
            yield Finding(code="POL-02", severity=Severity.ERROR, field=field, text=missed.text, values=missed.values)


def destinations(policy: Policy, format: str) -> tuple[str, ...] | None:
    """Where documents of this format may go to; None: anywhere."""
    if not policy.destinations:
        return None
    return policy.destinations.get(format, policy.destinations.get(ALL, ()))


def full(policy: Policy, format: str, left: Mapping[str, int]) -> Reason | None:
    """Why no further document of this format leaves today. `left`: how many have, by format."""
    for name, count in ((format, left.get(format, 0)), (ALL, sum(left.values()))):
        most = policy.documents_per_day.get(name)
        if most is not None and count >= most:
            return Reason(
                text=N_("{count} document(s) left today, as many as the policy allows ({which}); it leaves tomorrow"),
                values={"count": str(count), "which": name},
            )
    return None
