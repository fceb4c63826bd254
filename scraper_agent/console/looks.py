"""Templates: one environment for the process, everything escaped, and no character that is obeyed instead of shown."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from typing import Any

import jinja2
from markupsafe import Markup

from scraper_agent import messages
from scraper_agent.mapping import CHINA_TIME


def visible(text: str) -> str:
    """`text` with control characters, and those that turn what stands beside them around, told and not obeyed.

    Line feeds stay: where they may break nothing, the style sheet shows them.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" or unicodedata.category(c) == "Zs" else _told(c) for c in text)


def _told(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[n : n + 4]}" for n in range(0, len(units), 4))


def moment(at: datetime) -> str:
    """Beijing time, to the second."""
    return f"{at.astimezone(CHINA_TIME):%Y-%m-%d %H:%M:%S}"


def render(template: str, values: Mapping[str, Any]) -> str:
    return _environment().get_template(template).render(values)


@cache
def _environment() -> jinja2.Environment:
    env = jinja2.Environment(
        loader=jinja2.PackageLoader("scraper_agent.console", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        finalize=_shown,
    )
    env.globals.update(t=_say, name_of=_say)
    env.filters.update(moment=moment)
    return env


def _say(text: str, **values: object) -> str:
    return messages.render(text, values)


def _shown(value: object) -> object:
    """What an expression of a template gives, as it is written before it is escaped."""
    match value:
        case Markup():
            return value
        case str():
            return visible(value)
        case Decimal():
            return format(value, "f")
        case datetime():
            return moment(value)
        case date():
            return value.isoformat()
        case int():
            return str(value)
        case _:
            return visible(str(value)) if value is not None else ""
