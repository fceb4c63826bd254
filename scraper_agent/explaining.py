"""What one robot, a recipe under the enterprise's policy, can and cannot do: as sentences, in sections.

As data, so that a terminal and a page show the same. Every sentence is a template of the catalogue with its values.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from scraper_agent import people
from scraper_agent import policy as policies
from scraper_agent.format import Format
from scraper_agent.messages import N_
from scraper_agent.people import Role
from scraper_agent.policy import Approving, Leaving, Policy
from scraper_agent.recipe import Permit, Recipe
from scraper_agent.values import Completeness, Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    title: str
    """A template without values."""
    lines: tuple[Reason, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Robot:
    """A recipe, and what is configured for it. The policy may allow less than that."""

    recipe: Recipe
    format: Format
    lacking: tuple[str, ...]
    """What the recipe would ask the ERP for, and the policy does not allow."""
    tabs: int
    pages_per_minute: int | None
    images: bool
    """As the policy leaves them."""
    to: str
    """Where documents of its format go by the config."""
    stray: bool
    """Whether the policy does not let them go there."""

    @property
    def erp(self) -> str:
        """As config and policy call it."""
        return self.recipe.recipe.split("/")[0]


def explain(policy: Policy, robot: Robot) -> tuple[Section, ...]:
    """In the order in which a person asks."""
    sections = (
        (N_("What it may read"), _read(policy, robot)),
        (N_("What it may ask the ERP for"), _asked(policy, robot)),
        (N_("What it never does"), _never(policy, robot)),
        (N_("When, and how fast"), _when(policy, robot)),
        (N_("What leaves, and where it goes"), _leaves(policy, robot)),
        (N_("Who must agree"), _agreed(policy, robot)),
        (N_("What is kept, and for how long"), _kept(policy, robot)),
    )
    return tuple(Section(title=title, lines=tuple(lines)) for title, lines in sections)


def _say(text: str, **values: object) -> Reason:
    return Reason(text=text, values={name: str(value) for name, value in values.items()})


def _listed(names: Iterable[object]) -> str:
    return ", ".join(map(str, names)) or "-"


def _read(policy: Policy, robot: Robot) -> Iterator[Reason]:
    format = robot.format
    if not policies.reads(policy, format.name):
        yield _say(
            N_("Nothing: the policy allows only documents of the formats {known}."),
            known=_listed(policy.documents or ()),
        )
        return
    told = {"format": format.name, "zh": format.zh, "erp": robot.erp}
    yield _say(N_("Documents of the format {format} ({zh}) from {erp}."), **told)
    found = policies.windows(policy, robot.erp, format.name)
    for window in found:
        if window.oldest_days is not None:
            text = N_("Only documents that are at most {days} days old when they are read.")
            yield _say(text, days=window.oldest_days)
        if window.from_ is not None:
            yield _say(N_("Only documents dated {first} or later."), first=window.from_)
        if window.to is not None:
            yield _say(N_("Only documents dated {last} or earlier."), last=window.to)
    if found:
        yield _say(N_("A document of another day is blocked, whoever would approve it."))
    else:
        yield _say(N_("Documents of any day."))


def _asked(policy: Policy, robot: Robot) -> Iterator[Reason]:
    known = policy.requests.get(robot.erp)
    if known is None:
        yield _say(N_("Nothing: the policy does not name the ERP {erp}, so it is not read."), erp=robot.erp)
        return
    if robot.lacking:
        text = N_("Nothing yet: the recipe asks for what the policy does not allow: {seen}.")
        yield _say(text, seen="; ".join(robot.lacking))
    text = N_("Pages, by GET and HEAD, from these addresses alone: {addresses}.")
    yield _say(text, addresses=_listed(known.addresses))
    for permit in robot.recipe.permits:
        if permit in known.permits:
            yield _permit(permit)


def _permit(permit: Permit) -> Reason:
    told = {"request": f"{permit.method} {permit.path}"}
    match permit.purpose:
        case "login":
            text = N_("To log in: {request}, with the fields {fields} and no other.")
            return _say(text, **told, fields=_listed(permit.form or permit.json_))
        case "query":
            text = N_("To ask a question: {request}, where the body is: {body}.")
            body = (f"{key} = {pattern}" for key, pattern in permit.json_.items())
            return _say(text, **told, body=_listed(permit.form or body))
        case "stub":
            return _say(N_("Answered in the ERP's place, so that it never gets there: {request}."), **told)


def _never(policy: Policy, robot: Robot) -> Iterator[Reason]:
    yield _say(N_("It changes nothing in the ERP: every other request is refused and logged."))
    yield _say(N_("It clicks nothing that reads as saving, submitting, approving or deleting."))
    refused = (*policy.requests.get(robot.erp, policies.Requests()).refuses, *robot.recipe.refuses)
    for pattern in dict.fromkeys(refused):
        yield _say(N_("It never asks for a path like {pattern}."), pattern=pattern)
    yield _say(N_("No recipe can widen any of this."))


def _when(policy: Policy, robot: Robot) -> Iterator[Reason]:
    spans = policy.hours.get(robot.erp)
    if spans is None:
        yield _say(N_("At any hour."))
    elif spans:
        yield _say(N_("Within these hours, in the time of China: {hours}."), hours=_listed(spans))
        yield _say(N_("A run that comes to their end waits for the next."))
    else:
        yield _say(N_("Never: the policy gives it no hours."))
    yield _say(N_("At most {tabs} page(s) of records load at a time."), tabs=robot.tabs)
    if robot.pages_per_minute is None:
        yield _say(N_("As many pages a minute as the ERP gives."))
    else:
        yield _say(N_("At most {count} page(s) are asked for in any minute."), count=robot.pages_per_minute)


def _leaves(policy: Policy, robot: Robot) -> Iterator[Reason]:
    yield _say(
        N_("The fields of {format}, as a signed document; no page, no image, no password."), format=robot.format.name
    )
    leaving = policy.fields.get(robot.format.name, Leaving())
    if leaving.only is not None:
        text = N_("Of the fields that a document may lack, these alone: {fields}.")
        yield _say(text, fields=_listed(leaving.only) or "-")
    if leaving.leave_out:
        yield _say(N_("Never these fields: {fields}."), fields=_listed(leaving.leave_out))
    if leaving.mask:
        yield _say(N_("Of these texts the beginning or the end alone: {fields}."), fields=_listed(leaving.mask))
    for name in (robot.format.name, policies.ALL):
        if name not in policy.documents_per_day:
            continue
        most = policy.documents_per_day[name]
        if name == policies.ALL:
            yield _say(N_("At most {count} document(s) of all formats together leave on a day."), count=most)
        else:
            yield _say(N_("At most {count} document(s) of this format leave on a day."), count=most)
    if robot.stray:
        yield _say(N_("To nobody: the config sends it to {to}, which the policy does not name."), to=robot.to)
    else:
        yield _say(N_("To {to}."), to=robot.to)
    known = policies.destinations(policy, robot.format.name)
    if known is None:
        yield _say(N_("The policy names no destinations: the config alone says where it goes."))
    else:
        yield _say(N_("Whatever the config says, nowhere but: {known}."), known=_listed(known))


def _agreed(policy: Policy, robot: Robot) -> Iterator[Reason]:
    match policy.recipes.approved_by:
        case "second_person":
            yield _say(N_("The recipe is used once another person than its author has approved it."))
        case "one":
            yield _say(N_("The recipe is used once a person has approved it."))
        case "nobody":
            yield _say(N_("The recipe is used without anybody's approval."))
    yield from _approved(policy, robot.format.name)
    yield _say(N_("A document with an error leaves on nobody's word."))
    if policy.people:
        able = (name for name in policy.people if Role.APPROVER in people.roles(policy.people, name))
        yield _say(N_("May approve documents: {names}."), names=_listed(able))
    else:
        yield _say(N_("The policy names nobody: whoever may open the archive may approve documents."))


def _approved(policy: Policy, format: str) -> Iterator[Reason]:
    """Who says yes to a document."""
    rule, limit = policy.approval.get(format, Approving()), policy.automatic.get(format)
    if rule.rule == "four_eyes":
        yield _say(N_("Every document waits until two different people have approved it."))
    elif rule.rule == "per_document" or limit is None:
        yield _say(N_("Every document waits for a person's approval."))
    else:
        yield from _automatic(limit, policy)
        if rule.rule == "per_batch":
            yield _say(N_("What would leave without a person waits for one approval of all of its run together."))
        if rule.sample is not None:
            text = N_("Of what would leave without a person, about one in {count} waits for one all the same.")
            yield _say(text, count=rule.sample.one_in)


def _automatic(limit: policies.Limit, policy: Policy) -> Iterator[Reason]:
    if limit.amounts:
        amounts = _listed(f"{most} {currency}" for currency, most in limit.amounts.items())
        yield _say(N_("Without a person leaves a document of at most: {amounts}."), amounts=amounts)
    if limit.lines is not None:
        yield _say(N_("Without a person leaves a document of at most {lines} lines."), lines=limit.lines)
    if limit.warnings == "hold":
        yield _say(N_("One with a warning waits for a person."))
    if limit.analyses == "hold":
        yield _say(N_("One that is only strange waits for a person, too."))
    if limit.case == "complete":
        yield _say(N_("One whose business case is not complete waits."))
    match policy.lists:
        case Completeness.PROVED:
            yield _say(N_("All wait for a person where it is not proved that the lists of the run were complete."))
        case Completeness.PLAUSIBLE:
            yield _say(N_("All wait for a person where something speaks against the lists of the run being complete."))
        case Completeness.UNPROVED:
            yield _say(N_("It does not matter whether the lists of the run were complete."))
    yield _say(N_("All others wait for a person's approval."))


def _kept(policy: Policy, robot: Robot) -> Iterator[Reason]:
    kept = policy.retention
    yield _say(N_("Every step, in a log that shows any change made to it."))
    yield _say(N_("What the program did, in a log of its own: at least {days} days."), days=kept.logs_days)
    yield _say(
        N_("Documents, receipts and the pages they were read from: at least {days} days."), days=kept.documents_days
    )
    if robot.format.name == "dangerousGoodsWaybill":
        yield _say(N_("Waybills of dangerous goods: at least {days} days."), days=kept.waybills_days)
    if not robot.images:
        yield _say(N_("No images of pages."))
    elif kept.images_days is None:
        yield _say(N_("Images of the pages: as long as the documents."))
    else:
        yield _say(N_("Images of the pages: {days} days."), days=kept.images_days)
