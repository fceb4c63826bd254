"""A recipe told in words: what the robot will open, press and read, and what it may not do."""

from __future__ import annotations

from collections.abc import Iterator

from scraper_agent.authoring.load import Loaded
from scraper_agent.messages import N_, render
from scraper_agent.recipe import (
    RELATIONS,
    ByClick,
    ByLink,
    ByWalk,
    Click,
    Close,
    Download,
    Fill,
    ForEach,
    Inside,
    Keep,
    List,
    Login,
    Open,
    Optional,
    Permit,
    Read,
    Receive,
    Retry,
    Select,
    Snap,
    Step,
    Target,
    Unfold,
    Use,
    Wait,
    When,
    Where,
    chain,
    parts,
)


def explain(loaded: Loaded) -> Iterator[str]:  # noqa: C901, PLR0912 - one paragraph after the other
    """Lines of text in the chosen language; two spaces a level."""
    recipe = loaded.recipe
    yield render(
        N_("{recipe} version {version} reads {format} ({zh}) from {erp}"),
        {
            "recipe": recipe.recipe,
            "version": recipe.version,
            "format": loaded.format.name,
            "zh": loaded.format.zh,
            "erp": recipe.erp,
        },
    )
    if recipe.parameters:
        yield render(N_("Options of `run`, unless the config sets them:"))
    for name, parameter in recipe.parameters.items():
        default = "" if parameter.default is None else f" = {parameter.default}"
        option = f"  --{name.replace('_', '-')} {parameter.type.upper()}{default}"
        yield f"{option}  {parameter.title}".rstrip()
    for apart in recipe.apart:
        told = {"name": apart.name, "url": apart.url, "logged_in": told_target(apart.logged_in)}
        yield render(
            N_("Before it logs in, nobody may be logged in at {name}, {url}. If {logged_in} shows there:"), told
        )
        yield from _steps(apart.log_out)
    if recipe.login is not None:
        yield render(N_("It logs in:"))
        yield from _steps(recipe.login.steps)
        yield from _checked(recipe.login)
    if recipe.session is not None:
        yield render(N_("A session that ends is told by what shows; it then logs in once more and goes on."))
    for name, flow in recipe.flows.items():
        given = ", ".join(f"{p} ({parameter.type})" for p, parameter in flow.parameters.items()) or "-"
        yield render(N_("By `{name}`, given {parameters}, is meant:"), {"name": name, "parameters": given})
        yield from _steps(flow.steps)
    for name, source in recipe.sources.items():
        yield render(
            N_("Once a run it reads {name}, and looks up {values} there:"),
            {"name": name, "values": ", ".join(source.take)},
        )
        yield from _steps(source.steps)
    yield render(N_("Then:"))
    yield from _steps(recipe.steps)
    if recipe.finally_:
        yield render(N_("At the end, after a failure too:"))
        yield from _steps(recipe.finally_)
    yield render(N_("Each page `{page}` is one document:"), {"page": recipe.document.page})
    for id, read in recipe.document.header.items():
        yield f"  {id} ({loaded.format.header_fields[id].zh}): {told_read(read)}"
    yield render(N_("  and each row of its table is one line:"))
    for id, read in recipe.document.lines.values.items():
        yield f"  {id} ({loaded.format.line_fields[id].zh}): {told_read(read)}"
    yield render(N_("It only reads. Beside GET and HEAD to its own addresses it may send:"))
    for permit in recipe.permits:
        yield f"  {told_permit(permit)}"
    if not recipe.permits:
        yield render(N_("  nothing"))
    if recipe.refuses:
        yield render(N_("never asked for:"))
        yield from (f"  {pattern}" for pattern in recipe.refuses)


def _checked(login: Login) -> Iterator[str]:
    if login.account is not None:
        told = {"target": told_target(login.account.at), "text": login.account.reads}
        yield render(N_("{target} must read {text}; if it does not:"), told)
        yield from _steps(login.account.log_out)
        yield render(N_("  log in once more") if login.account.log_out else N_("  stop"))
    if login.ready is not None:
        told = {"press": told_target(login.ready.press), "target": told_target(login.ready.leads_to)}
        yield render(N_("It clicks {press}, which must lead to {target}."), told)


def _steps(steps: tuple[Step, ...], depth: int = 1) -> Iterator[str]:
    for step in steps:
        for line in told_step(step):
            yield "  " * depth + line


def told_step(step: Step) -> Iterator[str]:  # noqa: C901, PLR0912 - one case for each step
    match step:
        case Open(url=url):
            yield render(N_("open {url}"), {"url": url})
        case Click(on=on, double=double, although=although):
            yield render(N_("double-click {target}") if double else N_("click {target}"), {"target": told_target(on)})
            yield from _vouched(although)
        case Fill(into=into, text=text):
            yield render(N_("type {text} into {target}"), {"text": text, "target": told_target(into)})
        case Select(into=into, option=option):
            yield render(N_("choose {option} in {target}"), {"option": option, "target": told_target(into)})
        case Wait(until=until):
            yield render(N_("wait until {target} shows"), {"target": told_target(until)})
        case Unfold(button=button):
            yield render(N_("press {target} until it is gone"), {"target": told_target(button)})
        case Snap(name=name, in_=window):
            text = N_("freeze the page as `{name}`") if window is None else N_("freeze the popup as `{name}`")
            yield render(text, {"name": name})
        case Download(on=on, name=name, although=although):
            told = {"target": told_target(on), "name": name}
            yield render(N_("download a file by {target}, and read its table as `{name}`"), told)
            yield from _vouched(although)
        case Keep(name=name):
            yield render(N_("keep the PDF `{name}` that shows or comes while it does:"), {"name": name})
            yield from _steps(step.steps)
        case Receive(path=path, name=name):
            yield render(
                N_("keep the JSON of {path} as `{name}`, which the page receives when these are done:"),
                {"path": path, "name": name},
            )
            yield from _steps(step.steps)
        case List():
            yield from _list(step)
        case Close():
            yield render(N_("close the newest window that the page opened"))
        case Inside(in_=where, steps=steps):
            yield render(N_("inside {where}:"), {"where": _where(where)})
            yield from _steps(steps)
        case Use() | When() | ForEach() | Optional() | Retry():
            yield from _flow(step)


def _vouched(although: str | None) -> Iterator[str]:
    if although is not None:
        yield render(N_("  although it reads `{text}`: the author vouches that nothing is written"), {"text": although})


def _flow(step: Use | When | ForEach | Optional | Retry) -> Iterator[str]:
    match step:
        case Use(flow=flow, with_=given):
            told = ", ".join(f"{name} = {text}" for name, text in given.items()) or "-"
            yield render(N_("do `{flow}` with {given}"), {"flow": flow, "given": told})
        case When(steps=steps, otherwise=otherwise):
            yield _case(step)
            yield from _steps(steps)
            if otherwise:
                yield render(N_("else:"))
                yield from _steps(otherwise)
        case ForEach(name=name, steps=steps):
            yield render(N_("for each {name} of {texts}:"), {"name": name, "texts": _texts(step)})
            yield from _steps(steps)
        case Optional(steps=steps):
            yield render(N_("if it shows, and without a fault if it does not:"))
            yield from _steps(steps)
        case Retry(times=times, steps=steps):
            yield render(N_("at most {times} times, until it succeeds:"), {"times": times})
            yield from _steps(steps)


def _case(step: When) -> str:
    if step.shown is not None:
        return render(N_("if {target} shows:"), {"target": told_target(step.shown)})
    if step.absent is not None:
        return render(N_("if {target} does not show:"), {"target": told_target(step.absent)})
    return render(N_("if {parameter} is {text}:"), {"parameter": step.parameter, "text": step.is_})


def _texts(step: ForEach) -> str:
    if step.options_of is not None:
        left_out = f" - {', '.join(step.except_)}" if step.except_ else ""
        return f"{told_target(step.options_of)}{left_out}"
    return f"${{{step.parameter}}}" if step.parameter is not None else ", ".join(step.values)


def _where(where: Where | None) -> str:
    return " > ".join(part if isinstance(part, str) else f"frame {part.frame}" for part in chain(where))


def _list(step: List) -> Iterator[str]:
    yield render(N_("read the list `{name}`, page by page"), {"name": step.name})
    yield from _steps(step.page)
    match step.open:
        case ByLink():
            yield render(N_("  open the link of every row, and there:"))
        case ByClick():
            yield render(N_("  click every row, and there:"))
        case ByWalk():
            yield render(N_("  open the first row, go on from record to record, and on each:"))
        case None:
            return
    yield from _steps(step.steps, 2)


def told_read(read: Read) -> str:
    """All that it says: two that differ are told differently."""
    extras: tuple[tuple[str, str | bool | None], ...] = (
        ("in", _where(read.in_)),
        ("in section", read.in_section),
        ("page", read.page),
        ("per", read.per),
        ("attribute", read.attribute),
        ("hidden", read.hidden),
        ("pattern", read.pattern),
        ("lookup", read.lookup),
        ("as", read.convert),
        ("date", read.date),
        ("dates", read.dates),
        ("numbers", read.numbers),
        ("optional", read.optional),
    )
    return _place(read) + "".join(f", {_named(name, value)}" for name, value in extras if value)


def _place(read: Read) -> str:
    if read.profile is not None:
        return render(N_("from the enterprise's profile: {name}"), {"name": read.profile})
    if read.source is not None and read.by is not None:
        return render(
            N_("{take} of {source}, looked up by {key}"),
            {"take": read.take, "source": read.source, "key": " + ".join(map(told_read, parts(read.by)))},
        )
    if read.any_of:
        return " / ".join(map(told_read, read.any_of))
    beside = ((side, getattr(read, side)) for side in RELATIONS)
    ways: tuple[tuple[str, str | bool | None], ...] = (
        ("label", read.label), *beside, (read.role or "", read.name), ("id", read.id), ("column", read.column),
        ("json", read.json_),        ("css", read.css), ("url", read.url), ("row", read.row),
    )  # fmt: skip
    return " / ".join(_named(name, value) for name, value in ways if value)


def _named(name: str, value: str | bool | None) -> str:
    return f"{name} {value}" if isinstance(value, str) else name


def told_target(target: Target) -> str:
    if target.any_of:
        told = " / ".join(map(told_target, target.any_of))
    else:
        role = f"{target.role} {target.name}" if target.role else None
        told = f"[{next(p for p in (target.label, role, target.text, target.id, target.css) if p)}]"
    return f"{_where(target.in_)} > {told}" if target.in_ is not None else told


def told_permit(permit: Permit) -> str:
    body = ", ".join((*(f"{k} ~ {p}" for k, p in permit.json_.items()), *permit.form))
    answer = "" if permit.answer is None else f" -> {permit.answer}"
    return f"{permit.purpose}: {permit.method} {permit.path} ({body}){answer}"
