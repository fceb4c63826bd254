"""What of the documentation is generated: `python -m tests.docs [--check]`.

`docs/commands.md` is the help of every command; `docs/recipe-keys.md` and `recipes/recipe.schema.json` are
made of the model of recipes; `docs/formats/` and `docs/rules.md` of the formats, see `docs_formats.py`; the vectors of
`docs/log-format.md` of the facts, see `docs_log.py`. What is written depends on the code alone, not on terminal, locale
or machine.
"""

from __future__ import annotations

import inspect
import json
import os
import sys
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Union, get_args

import typer.main
from pydantic import BaseModel

from scraper_agent import messages, recipe
from tests import docs_formats, docs_log

ROOT = Path(__file__).parents[1]
COMMANDS = ROOT / "docs" / "commands.md"
KEYS = ROOT / "docs" / "recipe-keys.md"
LOG = ROOT / "docs" / "log-format.md"
SCHEMA = ROOT / "recipes" / "recipe.schema.json"
PROGRAM = "scraper-agent"

_WIDTH = 100
_BEGIN = "<!-- keys: made by `python -m tests.docs` from scraper_agent/recipe.py -->"
_END = "<!-- /keys -->"

_COMMANDS_HEAD = """\
# Commands

Every command with its `--help`. In Chinese: `scraper-agent --lang zh jobs`, and so on, or in a Chinese locale. stdout
is data, stderr is talk; what the exit codes mean stands in [install.md](install.md). Made by `python -m tests.docs`.
"""


def main(arguments: list[str]) -> int:
    stale = [path for path, text in texts().items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    for path in stale:
        print(path.relative_to(ROOT), file=sys.stderr)
        if "--check" not in arguments:
            path.parent.mkdir(exist_ok=True)
            path.write_text(texts()[path], encoding="utf-8", newline="\n")
    return 1 if stale and "--check" in arguments else 0


def texts() -> Mapping[Path, str]:
    """Every generated file as it should be."""
    written = KEYS.read_text(encoding="utf-8")
    before, begin, rest = written.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise SystemExit(f"{KEYS} has no {_BEGIN} … {_END}")
    pinned = LOG.read_text(encoding="utf-8")
    return {
        COMMANDS: commands(),
        LOG: f"{pinned.partition(docs_log.BEGIN)[0]}{docs_log.BEGIN}\n\n{docs_log.vectors()}\n{docs_log.END}\n",
        KEYS: f"{before}{_BEGIN}\n\n{keys()}\n{_END}{after}",
        SCHEMA: schema(),
        **docs_formats.texts(),
    }


# --- commands -------------------------------------------------------------------------------------------------------


def program() -> Any:
    """The command line as Typer's group; in English if nothing has loaded it before."""
    messages.use("en")
    from scraper_agent.cli import build  # noqa: PLC0415 - after the language

    return typer.main.get_command(build())


def all_commands(command: Any = None, above: Any = None, name: str = PROGRAM) -> Iterator[Any]:
    """A context for each command, groups before their members."""
    command = program() if command is None else command
    context = command.context_class(
        command, info_name=name, parent=above, terminal_width=_WIDTH, max_content_width=_WIDTH
    )
    yield context
    for inner in getattr(command, "commands", {}):
        yield from all_commands(command.commands[inner], context, inner)


def commands() -> str:
    parts = [_COMMANDS_HEAD]
    for context in all_commands():
        level = "##" if context.parent is None or context.parent.parent is None else "###"
        parts.append(f"{level} {context.command_path}\n\n```\n{context.get_help()}\n```\n")
    return "\n".join(parts)


# --- recipes --------------------------------------------------------------------------------------------------------


def schema() -> str:
    """What `scraper-agent recipe schema` prints."""
    from scraper_agent.cli import recipe as command  # noqa: PLC0415 - after the language

    head = {"$schema": "http://json-schema.org/draft-07/schema#"}
    return json.dumps({**head, **command._schema()}, indent=1) + "\n"


def models() -> tuple[type[BaseModel], ...]:
    """Every model of a recipe, in the order in which its keys are told."""
    found: dict[type[BaseModel], None] = {}
    waiting: list[type[BaseModel]] = [recipe.Recipe]
    while waiting:
        model = waiting.pop(0)
        if model not in found:
            found[model] = None
            waiting += [inner for field in model.model_fields.values() for inner in _models_in(field.annotation)]
    return tuple(found)


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models_in(inner)


STEPS = tuple(_models_in(recipe.Step))


def keys() -> str:
    steps = ", ".join(_kind(step) for step in STEPS)
    return "\n".join((f"A step is one of: {steps}.\n", *map(_table, models())))


def _table(model: type[BaseModel]) -> str:
    told = " ".join(inspect.cleandoc(model.__doc__ or "").split())
    lines = [
        f"### {model.__name__}",
        *(["", told] if told else []),
        "",
        "| key | takes | default | |",
        "|---|---|---|---|",
    ]
    for name, field in model.model_fields.items():
        default = "required" if field.is_required() else _default(field.get_default(call_default_factory=True))
        cells = (f"`{field.alias or name}`", _kind(field.annotation), default, field.description or "")
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines) + "\n"


def _default(value: object) -> str:
    match value:
        case None | () | {}:
            return "–"
        case "":
            return '`""`'
        case bool():
            return f"`{str(value).lower()}`"
        case BaseModel():
            return "its defaults"
        case _:
            return f"`{value}`"


_WORDS: Mapping[Any, str] = {str: "text", int: "whole number", float: "number", bool: "`true`, `false`"}


def _kind(annotation: Any) -> str:
    """A type in words."""
    if annotation in _WORDS:
        return _WORDS[annotation]
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"[{annotation.__name__}](#{annotation.__name__.lower()})"
    origin, inner = getattr(annotation, "__origin__", None), get_args(annotation)
    if hasattr(annotation, "__metadata__"):
        return _kind(origin)
    if isinstance(annotation, types.UnionType) or origin is Union:
        known = tuple(i for i in inner if i is not type(None))
        return "step" if known == STEPS else " or ".join(map(_kind, known))
    if origin is tuple:
        return f"list of {_kind(inner[0])}"
    if origin is dict:
        kind = _kind(inner[1])
        return f"name → ({kind})" if " or " in kind else f"name → {kind}"
    return ", ".join(f"`{i}`" if i else '`""`' for i in inner)


if __name__ == "__main__":
    os.environ["LC_ALL"] = "C"
    sys.exit(main(sys.argv[1:]))
