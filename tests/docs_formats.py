"""`docs/formats/*.md` and `docs/rules.md`, made of the formats' YAML and of the rules: see `docs.py`."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from pydantic import BaseModel

from scraper_agent import completeness, format, formats
from scraper_agent.analysis.settings import DEFAULT
from scraper_agent.format import Field, Format
from scraper_agent.formats import CODES, FORMATS, pack
from scraper_agent.rules import Settings, When, conditions, fields
from scraper_agent.values import Severity
from tests import catalogue

_DOCS = Path(__file__).parents[1] / "docs"
FORMAT_PAGES = _DOCS / "formats"
RULES = _DOCS / "rules.md"

_MADE = "Made by `python -m tests.docs` from `scraper_agent/formats/` and `scraper_agent/rules/`."


def texts() -> Mapping[Path, str]:
    pages = {FORMAT_PAGES / f"{each.name}.md": page(each) for each in FORMATS.values()}
    return {**pages, FORMAT_PAGES / "README.md": overview(), RULES: rules()}


# --- formats --------------------------------------------------------------------------------------------------------


def overview() -> str:
    lines = [
        f"# Formats\n\n{_MADE}",
        "A type is written as in GB/T 40292-2021, clause 5; M is mandatory, C conditional, O optional. The rules",
        "stand in [rules.md](../rules.md).\n",
        "| format | | fields of the header | of a line |",
        "|---|---|---|---|",
        *(
            f"| [{each.name}]({each.name}.md) | {each.zh}, {each.en} | {len(each.header)} | {len(each.lines) or '–'} |"
            for each in FORMATS.values()
        ),
        "\n## Code lists\n",
        "A file of the same name in the folder that `code_lists` in the config names replaces one.\n",
        "| list | | version | state of | codes | source |",
        "|---|---|---|---|---|---|",
        *(
            _row(f"`{id}`", f"{each.zh}, {each.en}", each.version, each.date, len(each.codes), each.source)
            for id, each in CODES.items()
        ),
    ]
    return "\n".join(lines) + "\n"


def page(of: Format) -> str:
    parts = [
        f"# {of.name}: {of.zh}\n\n{of.en[0].upper()}{of.en[1:]}, version {of.version}. {_MADE}\n",
        f"Status: {of.source}\n",
        f"Two documents are the same in business if they have the same {', '.join(f'`{id}`' for id in of.key)}.\n",
        f"## Header\n\n{_fields(of.header)}",
    ]
    if of.lines:
        without = f" A document may be without if {_condition(of.no_lines)}." if of.no_lines else ""
        parts.append(f"## Lines\n\nAt least one.{without}\n\n{_fields(of.lines)}")
    parts.append(f"## Rules\n\n{_rules_of(of)}")
    return "\n".join(parts)


def _fields(of: tuple[Field, ...]) -> str:
    lines = [
        "| identifier | 中文 | English | type | | rule | values | name and length from |",
        "|---|---|---|---|---|---|---|---|",
        *(_row(f"`{f.id}`", f.zh, f.en, f"`{f.type.notation}`", f.need, f.rule, _allowed(f), f.source) for f in of),
    ]
    return "\n".join(lines) + "\n"


def _allowed(of: Field) -> str:
    if of.codes is not None:
        return f"code list [{of.codes}](README.md#code-lists)"
    if of.choices:
        return ", ".join(f"`{code}` {zh}" for code, zh in of.choices.items())
    if of.pattern is not None:
        return f"`{of.pattern.pattern}`"
    bounds = (("more than", of.more_than), ("at least", of.at_least), ("less than", of.less_than))
    return ", ".join(f"{word} {bound}" for word, bound in bounds if bound is not None)


def _rules_of(of: Format) -> str:
    lines = ["| code | check | severity | of | status |", "|---|---|---|---|---|"]
    for rule in of.rules:
        assert isinstance(rule, Settings)
        check = str(getattr(rule, "check"))  # noqa: B009 - each rule has its own
        told = "; ".join(_setting(rule, name) for name in type(rule).model_fields if _told(rule, name))
        lines.append(_row(f"[{rule.code}](../rules.md#{check})", f"`{check}`", rule.severity, told, rule.status))
    return "\n".join(lines) + "\n"


def _told(rule: Settings, name: str) -> bool:
    shared = name in {"check", "severity", "status"}
    return not shared and getattr(rule, name) != type(rule).model_fields[name].get_default()


def _setting(rule: Settings, name: str) -> str:
    value = getattr(rule, name)
    if isinstance(value, When):
        return f"{name} {_condition(value)}"
    return f"{name} {', '.join(f'`{v}`' for v in value)}" if isinstance(value, tuple) else f"{name} `{value}`"


def _condition(when: When) -> str:
    parts = []
    if when.one_of:
        parts.append(f"`{when.field}` is {' or '.join(f'`{v}`' for v in when.one_of)}")
    else:
        parts.append(f"`{when.field}` is given")
    if when.none_of:
        parts.append(f"is not {' or '.join(f'`{v}`' for v in when.none_of)}")
    if when.differs_from:
        parts.append(f"is not that of `{when.differs_from}`")
    return " and ".join(parts)


def _row(*cells: object) -> str:
    return f"| {' | '.join(str(cell).replace('|', chr(92) + '|') for cell in cells)} |"


# --- rules ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Section:
    """One rule as `rules.md` tells it."""

    check: str
    code: str
    severity: str
    source: str
    told: str
    sentences: tuple[str, ...]
    formats: tuple[str, ...]
    settings: tuple[str, ...] = ()


def rules() -> str:
    known = (_of_fields(), *map(_of_class, classes()), _of_lists())
    sections = sorted(known, key=lambda each: (each.code, each.check))
    lines = [
        f"# Rules\n\n{_MADE}",
        "A finding names the field, the value seen and the value expected; in braces stands what is filled in.",
        "An error blocks a document, a warning is shown to who approves it; severities, tolerances and conditions are",
        "data in a format's YAML.\n",
        "| code | rule | severity | source |",
        "|---|---|---|---|",
        *(_row(each.code, f"[{each.check}](#{each.check})", each.severity, each.source) for each in sections),
        "",
    ]
    return "\n".join([*lines, *map(_told_section, sections), *_between(), *_packs()])


def _between() -> Iterator[str]:
    """What documents are checked for together."""
    yield "## Between documents\n"
    yield "Told from the newest version of every document; severity and tolerances stand in `analysis/defaults.yaml`, a"
    yield "user's own in the file that `analysis` in the config names. The policy may raise one.\n"
    yield "| code | what holds | 中文 | severity | source |\n|---|---|---|---|---|"
    for code, check in DEFAULT.checks.items():
        yield _row(code, check.en, check.zh, check.severity, check.source)
    for name, duty in DEFAULT.cases.obligations.items():
        yield _row(f"CHK-02 {name}", duty.en, duty.zh, duty.severity, "seed 000")
    yield ""


def _packs() -> Iterator[str]:
    """Published tables, which hold only where they are asked for."""
    for name in pack.PACKS:
        of = pack.named(name)
        yield f"## {name}\n"
        yield f"{of.zh} ({of.en}), {of.source}, {of.date}."
        yield f"For `{of.format}`, asked for by `format check --pack {name}`.\n"
        yield "| code | check | 检查内容 | trade modes | repaired | its table |\n|---|---|---|---|---|---|"
        for each in of.checks:
            repairs = "; ".join(f"{r.printed} → {r.read} ({r.confidence})" for r in each.repairs)
            needs = {need[1] for _, condition in each.conditions if (need := conditions.needs(condition)) is not None}
            tables = ", ".join(f"`{table}`" for table in sorted(needs & of.tables.keys()))
            yield _row(each.code, each.id, each.zh, ", ".join(each.modes), repairs, tables)
        yield ""


def _told_section(of: Section) -> str:
    known = catalogue.translations()
    lines = [f"## {of.check}\n\n{of.code}, {of.severity}. {of.told}\n\nSource: {of.source}.\n"]
    if of.settings:
        lines.append("Settings: " + ", ".join(f"`{each}`" for each in of.settings) + ".\n")
    lines.append("| English | 中文 |\n|---|---|")
    lines += [_row(each, known.get(each, "")) for each in of.sentences]
    named = ", ".join(f"[{name}](formats/{name}.md)" for name in of.formats)
    lines.append(f"\nFormats: {'all' if of.formats == tuple(FORMATS) else named or '–'}.\n")
    return "\n".join(lines)


def classes() -> tuple[type[Settings], ...]:
    """Every rule that a format may name."""
    (union, _) = get_args(formats._Rule)
    return get_args(union)


def _of_class(rule: type[Settings]) -> Section:
    (check,) = get_args(rule.model_fields["check"].annotation)
    severities = [str(each.get_default()) for each in rule.model_fields.values() if each.annotation is Severity]
    return Section(
        check=check,
        code=rule.code,
        severity=" or ".join(dict.fromkeys(severities)),
        source=rule.source,
        told=_sentence(rule),
        sentences=tuple(_marked(ast.parse(inspect.getsource(rule)))),
        formats=tuple(name for name, each in FORMATS.items() if any(isinstance(r, rule) for r in each.rules)),
        settings=tuple(name for name in rule.model_fields if name not in {"check", "severity", "status"}),
    )


def _of_fields() -> Section:
    """What is checked of every field without being named."""
    types = (format.Type.fault, format.Type._number_fault, format.Type._text_fault)
    more = (format.Field.fault, format.Field._bound_fault, fields.findings, fields._faults)
    trees = [ast.parse(textwrap.dedent(inspect.getsource(each))) for each in (*types, *more)]
    return Section(
        check="fields",
        code=fields.CODE,
        severity=str(Severity.ERROR),
        source=fields.SOURCE,
        told="Every mandatory field is there, and every value is of its type, in its code list, of its form and within "
        "its bounds.",
        sentences=tuple(dict.fromkeys(text for tree in trees for text in _marked(tree))),
        formats=tuple(FORMATS),
    )


def _of_lists() -> Section:
    """What is checked of a list before its rows become documents."""
    return Section(
        check="completeness",
        code="CHK-22",
        severity="holds",
        source="a robot that reads pages can truncate silently",
        told="A list is read whole: what its page states and what a second look shows are the rows that were read. "
        "This is no rule of a document but the certificate of a list, see [recipes.md](recipes.md); documents of a "
        "list that is less sure than the policy wants wait for a person.",
        sentences=tuple(dict.fromkeys(_marked(ast.parse(inspect.getsource(completeness))))),
        formats=(),
    )


def _marked(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "N_":
            yield str(ast.literal_eval(node.args[0]))


def _sentence(rule: type[BaseModel]) -> str:
    """The docstring without the code at its beginning."""
    told = " ".join(inspect.cleandoc(rule.__doc__ or "").split())
    code, _, rest = told.partition(": ")
    told = rest if code.startswith("CHK-") else told
    return told[0].upper() + told[1:]
