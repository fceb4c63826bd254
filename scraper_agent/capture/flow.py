"""Steps that hold other steps: sub-flows, cases, repetition. Decides which steps come next; touches no page itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol, TypeAlias, assert_never

from playwright.sync_api import Error, Locator

from scraper_agent.errors import PageError
from scraper_agent.messages import N_
from scraper_agent.ports import Sighting
from scraper_agent.recipe import ForEach, Optional, Recipe, Retry, Step, Target, Use, When
from scraper_agent.values import Refused

Flowing: TypeAlias = Use | When | ForEach | Optional | Retry

_NOT_THERE = frozenset({"SA2202", "SA2220"})
"""A target, or the frame, dialog or window that it is in, does not show."""
_OPTIONS = """e => Array.from(e.options || [], (o) => [o.text.replace(/\\s+/g, ' ').trim(), o.disabled])"""


class Driver(Protocol):
    """What the steps are carried out by."""

    recipe: Recipe
    parameters: Mapping[str, str]

    def steps(self, steps: tuple[Step, ...], where: str) -> Iterator[Sighting]: ...
    def rest(self) -> None: ...
    def is_shown(self, target: Target) -> bool: ...
    def locate(self, target: Target) -> Locator: ...
    def fill_in(self, text: str) -> str: ...
    def patient(self, seconds: float) -> AbstractContextManager[None]: ...


def flowing(step: Flowing, driver: Driver, where: str) -> Iterator[Sighting]:
    match step:
        case Use():
            flow = driver.recipe.flows[step.flow]
            given = {name: p.default for name, p in flow.parameters.items() if p.default is not None}
            given |= {name: driver.fill_in(text) for name, text in step.with_.items()}
            with _with(driver, given):
                yield from driver.steps(flow.steps, f"{where}, flow {step.flow}")
        case When():
            steps = step.steps if _holds(step, driver) else step.otherwise
            yield from driver.steps(steps, f"{where}, when")
        case ForEach():
            for text in _texts(step, driver, where):
                with _with(driver, {step.name: text}):
                    yield from driver.steps(step.steps, f"{where}, {step.name} {text}")
        case Optional():
            yield from _optional(step, driver, where)
        case Retry():
            yield from _retry(step, driver, where)
        case unknown:
            assert_never(unknown)


@contextmanager
def _with(driver: Driver, more: Mapping[str, str]) -> Iterator[None]:
    before = driver.parameters
    driver.parameters = {**before, **more}
    try:
        yield
    finally:
        driver.parameters = before


def _holds(step: When, driver: Driver) -> bool:
    if step.parameter is not None:
        return driver.parameters[step.parameter] == step.is_
    driver.rest()
    if step.shown is not None:
        return driver.is_shown(step.shown)
    return step.absent is not None and not driver.is_shown(step.absent)


def _texts(step: ForEach, driver: Driver, where: str) -> tuple[str, ...]:
    if step.parameter is not None:
        return tuple(text for part in driver.parameters[step.parameter].split(",") if (text := part.strip()))
    if step.options_of is None:
        return step.values
    driver.rest()
    options: list[tuple[str, bool]] = driver.locate(step.options_of).evaluate(_OPTIONS)
    texts = [text for text, disabled in options if text and not disabled and text not in step.except_]
    if not texts or len(set(texts)) < len(texts):
        raise PageError(
            "SA2222",
            N_("{where}: a list with options that differ was expected; seen: {seen}"),
            hint=N_("correct `options_of`: it must be a drop-down list of the page's own, no drawn one"),
            where=where,
            seen=" | ".join(texts)[:200] or "-",
        )
    return tuple(texts)


def _optional(step: Optional, driver: Driver, where: str) -> Iterator[Sighting]:
    with driver.patient(step.timeout_s):
        try:
            yield from driver.steps(step.steps, f"{where}, optional")
        except PageError as error:
            if error.code not in _NOT_THERE:
                raise


def _retry(step: Retry, driver: Driver, where: str) -> Iterator[Sighting]:
    """What was refused is told of every attempt; pages and lists of the one that succeeded alone."""
    for attempt in range(1, step.times + 1):
        seen: list[Sighting] = []
        try:
            seen.extend(driver.steps(step.steps, f"{where}, attempt {attempt}"))
        except (PageError, Error):
            yield from (each for each in seen if isinstance(each, Refused))
            if attempt == step.times:
                raise
        else:
            yield from seen
            return
