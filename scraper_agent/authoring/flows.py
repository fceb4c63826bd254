"""What may be wrong with a recipe's flow: sub-flows that do not exist or never end, parameters, retries of a login."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from scraper_agent import convert
from scraper_agent.convert import Unreadable
from scraper_agent.errors import Problem
from scraper_agent.messages import N_
from scraper_agent.recipe import (
    PLACEHOLDER,
    Download,
    Flow,
    ForEach,
    Locale,
    Parameter,
    Receive,
    Recipe,
    Retry,
    Snap,
    Step,
    Use,
    When,
    blocks,
    within,
)
from scraper_agent.yamlfile import Loc, Positions


def sequences(recipe: Recipe) -> Iterator[tuple[Loc, tuple[Step, ...]]]:
    """Every list of steps that stands on its own, with its place in the file."""
    for number, apart in enumerate(recipe.apart):
        yield ("apart", number, "log_out"), apart.log_out
    if recipe.login is not None:
        yield ("login", "steps"), recipe.login.steps
        if recipe.login.account is not None:
            yield ("login", "account", "log_out"), recipe.login.account.log_out
    for name, flow in recipe.flows.items():
        yield ("flows", name, "steps"), flow.steps
    for name, source in recipe.sources.items():
        yield ("sources", name, "steps"), source.steps
    yield ("steps",), recipe.steps
    yield ("finally",), recipe.finally_


def walk(loc: Loc, steps: tuple[Step, ...]) -> Iterator[tuple[Loc, Step]]:
    """Every step, those within others too; not those of flows that it uses."""
    for number, step in enumerate(steps):
        here = (*loc, number)
        yield here, step
        for block in blocks(step):
            yield from walk((*here, *block), within(step, block))


def snaps(
    recipe: Recipe, steps: tuple[Step, ...], used: frozenset[str] = frozenset()
) -> Iterator[Snap | Download | Receive]:
    """Every snap that the steps may come to, through flows too."""
    for _, step in walk((), steps):
        if isinstance(step, Snap | Download | Receive):
            yield step
        elif isinstance(step, Use) and step.flow in recipe.flows and step.flow not in used:
            yield from snaps(recipe, recipe.flows[step.flow].steps, used | {step.flow})


def names_at(recipe: Recipe, loc: Loc) -> Mapping[str, str]:
    """What `${name}` may say at this place of the file, and the type of each."""
    known = {name: str(p.type) for name, p in recipe.parameters.items()}
    if loc and loc[0] == "flows":
        known |= {name: str(p.type) for name, p in recipe.flows[str(loc[1])].parameters.items()}
    for start, steps in sequences(recipe):
        for here, step in walk(start, steps):
            if isinstance(step, ForEach) and loc[: len(here) + 1] == (*here, "steps"):
                known[step.name] = "text"
    return known


@dataclass(frozen=True, slots=True, kw_only=True)
class Checker:
    recipe: Recipe
    at: Positions

    def problems(self) -> Iterator[Problem]:
        for start, steps in sequences(self.recipe):
            for loc, step in walk(start, steps):
                match step:
                    case Use():
                        yield from self._use(loc, step)
                    case When(parameter=str(name)):
                        yield from self._known((*loc, "parameter"), name)
                    case ForEach(parameter=str(name)):
                        yield from self._known((*loc, "parameter"), name)
                    case Retry() if start[0] == "login":
                        yield self._login((*loc, "do"))
                    case _:
                        pass
        for name in self.recipe.flows:
            if (circle := self._circle(name, ())) is not None:
                yield Problem(
                    at=self.at.key(("flows", name)),
                    code="SA1321",
                    text=N_("the flow `{name}` uses itself: {circle}"),
                    hint=N_("no flow may come back to itself; `for_each` and `retry` repeat"),
                    values={"name": name, "circle": " → ".join(circle)},
                )
        if self.recipe.login is not None and self._retries(self.recipe.login.steps, frozenset()):
            yield self._login(("login", "steps"))

    def _retries(self, steps: tuple[Step, ...], seen: frozenset[str]) -> bool:
        """Whether a flow that the steps use retries."""
        for _, step in walk((), steps):
            if isinstance(step, Use) and step.flow in self.recipe.flows and step.flow not in seen:
                inner = self.recipe.flows[step.flow].steps
                if any(isinstance(s, Retry) for _, s in walk((), inner)) or self._retries(inner, seen | {step.flow}):
                    return True
        return False

    def _login(self, loc: Loc) -> Problem:
        return Problem(
            at=self.at.of(loc),
            code="SA1322",
            text=N_("a login is tried once: no `retry` in it"),
            hint=N_("a wrong password tried again locks the account"),
            values={},
        )

    def _use(self, loc: Loc, step: Use) -> Iterator[Problem]:
        flow = self.recipe.flows.get(step.flow)
        if flow is None:
            yield self._unknown("SA1320", N_("there is no flow `{seen}`"), (*loc, "flow"), step.flow, self.recipe.flows)
            return
        for name, text in step.with_.items():
            here = (*loc, "with", name)
            if name not in flow.parameters:
                text_ = N_("the flow has no parameter `{seen}`")
                yield self._unknown("SA1323", text_, here, name, flow.parameters, key=True)
            else:
                yield from self._argument(here, text, flow.parameters[name])
        missing = [n for n, p in flow.parameters.items() if p.default is None and n not in step.with_]
        if missing:
            yield Problem(
                at=self.at.of((*loc, "flow")),
                code="SA1324",
                text=N_("the flow `{flow}` needs the parameter(s) {missing}"),
                hint=N_("give each under `with`, or a `default` in the flow"),
                values={"flow": step.flow, "missing": ", ".join(missing)},
            )

    def _argument(self, loc: Loc, text: str, parameter: Parameter) -> Iterator[Problem]:
        known = names_at(self.recipe, loc)
        for kind, name in PLACEHOLDER.findall(text):
            if kind:
                yield Problem(
                    at=self.at.of(loc),
                    code="SA1209",
                    text=N_("a secret may only be typed: `${{secret:{name}}}` stands outside of `fill`"),
                    values={"name": name},
                )
            elif name not in known:
                yield from self._known(loc, name)
        whole = PLACEHOLDER.fullmatch(text)
        given = known.get(whole[2]) if whole else None
        # A text of any kind may be a part of a text; what another type asks for must be of it as a whole.
        fits = given == parameter.type if given is not None else is_of_type(text, parameter)
        if parameter.type != "text" and not fits:
            yield Problem(
                at=self.at.of(loc),
                code="SA1325",
                text=N_("`{seen}` is no {type}"),
                hint=N_("the flow declares the type of this parameter"),
                values={"seen": text, "type": parameter.type},
            )

    def _known(self, loc: Loc, name: str) -> Iterator[Problem]:
        known = names_at(self.recipe, loc)
        if name not in known:
            yield self._unknown("SA1210", N_("there is no parameter `{seen}`"), loc, name, known)

    def _circle(self, name: str, path: tuple[str, ...]) -> tuple[str, ...] | None:
        """The way from the first flow of `path` back to itself, if there is one."""
        if path and name == path[0]:
            return (*path, name)
        flow: Flow | None = self.recipe.flows.get(name)
        if flow is None or name in path:
            return None
        used = dict.fromkeys(step.flow for _, step in walk((), flow.steps) if isinstance(step, Use))
        ways = (self._circle(inner, (*path, name)) for inner in used)
        return next((way for way in ways if way is not None), None)

    def _unknown(
        self, code: str, text: str, loc: Loc, seen: str, known: Mapping[str, object], *, key: bool = False
    ) -> Problem:
        near = difflib.get_close_matches(seen, list(known), n=1)
        return Problem(
            at=self.at.key(loc) if key else self.at.of(loc),
            code=code,
            text=text,
            hint=N_("did you mean `{near}`?") if near else N_("there are: {known}"),
            values={"seen": seen, "near": near[0] if near else "", "known": ", ".join(sorted(known)) or "-"},
        )


def is_of_type(text: str, parameter: Parameter) -> bool:
    """Whether a literal is what the parameter's type asks for."""
    match parameter.type:
        case "integer":
            return text.isascii() and text.removeprefix("-").isdigit()
        case "date":
            try:
                convert.day(text, Locale().date)
            except Unreadable:
                return False
            return True
        case "url":
            return False  # an address is a parameter of the recipe: only those may be reached
        case _:
            return True
