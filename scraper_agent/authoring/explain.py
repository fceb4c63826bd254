"""A recipe told in words: what the robot will open, press and read, and what it may not do."""

from __future__ import annotations

from collections.abc import Iterator

from scraper_agent.authoring.load import Loaded
from scraper_agent.messages import N_, render
from scraper_agent.recipe import (
    ByClick,
    ByLink,
    ByWalk,
    Click,
    Fill,
    List,
    Open,
    Permit,
    Read,
    Select,
    Snap,
    Step,
    Target,
    Unfold,
    Wait,
    parts,
)


def explain(loaded: Loaded) -> Iterator[str]:
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
    if recipe.login is not None:
        yield render(N_("It logs in:"))
        yield from _steps(recipe.login.steps)
    for name, source in recipe.sources.items():
        yield render(
            N_("Once a run it reads {name}, and looks up {values} there:"),
            {"name": name, "values": ", ".join(source.take)},
        )
        yield from _steps(source.steps)
    yield render(N_("Then:"))
    yield from _steps(recipe.steps)
    yield render(N_("Each page `{page}` is one document:"), {"page": recipe.document.page})
    for id, read in recipe.document.header.items():
        yield f"  {id} ({loaded.format.header_fields[id].zh}): {_read(read)}"
    yield render(N_("  and each row of its table is one line:"))
    for id, read in recipe.document.lines.values.items():
        yield f"  {id} ({loaded.format.line_fields[id].zh}): {_read(read)}"
    yield render(N_("It only reads. Beside GET and HEAD to its own addresses it may send:"))
    for permit in recipe.permits:
        yield f"  {_permit(permit)}"
    if not recipe.permits:
        yield render(N_("  nothing"))


def _steps(steps: tuple[Step, ...], depth: int = 1) -> Iterator[str]:
    for step in steps:
        for line in _step(step):
            yield "  " * depth + line


def _step(step: Step) -> Iterator[str]:
    match step:
        case Open(url=url):
            yield render(N_("open {url}"), {"url": url})
        case Click(on=on, double=double):
            yield render(N_("double-click {target}") if double else N_("click {target}"), {"target": _target(on)})
        case Fill(into=into, text=text):
            yield render(N_("type {text} into {target}"), {"text": text, "target": _target(into)})
        case Select(into=into, option=option):
            yield render(N_("choose {option} in {target}"), {"option": option, "target": _target(into)})
        case Wait(until=until):
            yield render(N_("wait until {target} shows"), {"target": _target(until)})
        case Unfold(button=button):
            yield render(N_("press {target} until it is gone"), {"target": _target(button)})
        case Snap(name=name):
            yield render(N_("freeze the page as `{name}`"), {"name": name})
        case List():
            yield from _list(step)


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


def _read(read: Read) -> str:
    if read.profile is not None:
        return render(N_("from the enterprise's profile: {name}"), {"name": read.profile})
    if read.source is not None and read.by is not None:
        return render(
            N_("{take} of {source}, looked up by {key}"),
            {"take": read.take, "source": read.source, "key": " + ".join(map(_read, parts(read.by)))},
        )
    ways = (("label", read.label), ("column", read.column), ("css", read.css), ("url", read.url), ("row", read.row))
    told = " / ".join(f"{name} {value}" if isinstance(value, str) else name for name, value in ways if value)
    extras = (("pattern", read.pattern), ("lookup", read.lookup), ("as", read.convert), ("date", read.date))
    return told + "".join(f", {name} {value}" for name, value in extras if value)


def _target(target: Target) -> str:
    parts = (target.label, f"{target.role} {target.name}" if target.role else None, target.text, target.css)
    return f"[{next(p for p in parts if p)}]"


def _permit(permit: Permit) -> str:
    body = ", ".join((*(f"{k} ~ {p}" for k, p in permit.json_.items()), *permit.form))
    return f"{permit.purpose}: {permit.method} {permit.path} ({body})"
