"""One catalogue for everything a person reads: English in the code, other languages by gettext.

A sentence is written where it is raised, marked with `N_`, and filled in when it is shown; what the log keeps is the
English template and its values, so that an entry can be shown in any language years later.
"""

from __future__ import annotations

import gettext
import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from importlib import resources

LANGUAGES = ("en", "zh_CN")

_chosen: gettext.NullTranslations = gettext.NullTranslations()
_here: ContextVar[gettext.NullTranslations | None] = ContextVar("_here", default=None)
"""Within `speaking`."""


def N_(text: str) -> str:  # noqa: N802 - the marker's name is gettext's own
    """`text` itself; marks it for the catalogue."""
    return text


def use(language: str) -> None:
    """Show everything from now on in `language`: a tag such as `zh_CN.UTF-8`, `zh-CN` or `en`."""
    global _chosen  # noqa: PLW0603 - a command line talks to one person
    _chosen = _translations(language)


@contextmanager
def speaking(language: str) -> Iterator[None]:
    """Within it, this thread or task shows everything in `language`: a server talks to several people at a time."""
    before = _here.set(_translations(language))
    try:
        yield
    finally:
        _here.reset(before)


def _translations(language: str) -> gettext.NullTranslations:
    return _chinese() if language.lower().startswith("zh") else gettext.NullTranslations()


@cache
def _chinese() -> gettext.NullTranslations:
    from babel.messages.mofile import write_mo  # noqa: PLC0415 - 0.1 s that English does not need
    from babel.messages.pofile import read_po  # noqa: PLC0415

    source = resources.files("scraper_agent") / "locale" / "zh_CN.po"
    compiled = io.BytesIO()
    with source.open("rb") as po:
        write_mo(compiled, read_po(po, locale="zh_CN"))
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)


def render(text: str, values: Mapping[str, object] | None = None) -> str:
    """`text` in the chosen language, its `{placeholders}` filled from `values`."""
    if not text:
        return ""
    said = (_here.get() or _chosen).gettext(text)
    return said.format_map(_Lenient(values)) if values else said


def english(text: str, values: Mapping[str, object] | None = None) -> str:
    """`text` filled in, whatever language was chosen: for what is compared or kept."""
    return text.format_map(_Lenient(values)) if values else text


class _Lenient(dict[str, object]):
    """A missing value shows as its own placeholder: a message must never hide the error it tells of."""

    def __init__(self, values: Mapping[str, object]) -> None:
        super().__init__(values)

    def __missing__(self, key: str) -> str:
        return "{" + key + "}"
