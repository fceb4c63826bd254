"""One file that shows a run to whoever opens it: what was read, what waits, and where on which page each value stood.

The file needs nothing but a browser. Everything in it that came from a page is hostile: it is escaped in the markup,
reaches the script as JSON alone, and the policy in the file's head lets no other script run and no request leave.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from importlib import resources
from pathlib import Path

import jinja2
from markupsafe import Markup

from scraper_agent import completeness, messages
from scraper_agent.errors import AgentError
from scraper_agent.format import Format
from scraper_agent.messages import N_
from scraper_agent.ports import Archive
from scraper_agent.report import pages, view, words
from scraper_agent.values import JobId

__all__ = ["Verified", "write"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What the check of the whole log found. `root` is hex, after `entries` entries; `problems` are sentences."""

    entries: int
    root: str
    problems: tuple[str, ...] = ()


def write(  # noqa: PLR0913 - the last two have defaults that most callers keep
    path: Path,
    archive: Archive,
    runs: Sequence[JobId],
    documents: Sequence[JobId],
    formats: Mapping[str, Format],
    *,
    now: datetime,
    verified: Verified | None,
    held_because: Mapping[JobId, Sequence[str]] | None = None,
    most_images: int = 60,
) -> None:
    """Write the report on these jobs to `path`, in the language chosen in `messages`.

    `held_because`: the policy's reasons, as sentences, for the documents it left to a person. Of the pages' images the
    first `most_images` go into the file, those that need attention before the others. A body that law or contract has
    had deleted is told of, and the rest is shown.

    Raises:
        AgentError: the file cannot be written.
    """
    shown = view.build(archive, runs, documents, formats, held_because=held_because or {}, most_images=most_images)
    page = _page(shown, now, verified)
    try:
        path.write_bytes(page.encode())
    except OSError as error:
        raise AgentError(
            "SA5040", N_("the report cannot be written to {path}: {error}"), path=path, error=error.strerror
        ) from error


def _page(shown: view.View, now: datetime, verified: Verified | None) -> str:
    script = _beside("report.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    env = jinja2.Environment(
        loader=jinja2.FunctionLoader(_beside),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return env.get_template("report.html").render(
        view=shown,
        verified=verified,
        now=pages.moment(now),
        say=words.say,
        render=messages.render,
        state_of=completeness.of,
        policy=f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'",
        style=Markup(_beside("report.css")),  # noqa: S704 - our own file
        script=Markup(script),  # noqa: S704 - our own file, and the digest above is of these very characters
        data=_json(
            {
                "pages": [asdict(page) | {"jpeg": page.jpeg is not None} for page in shown.pages],
                "origins": [asdict(origin) for origin in shown.origins],
                "words": {name: words.say(name) for name in _SCRIPT_WORDS},
            }
        ),
    )


_SCRIPT_WORDS = ("point", "raw", "target", "steps", "frame", "actual_size", "whole_width", "no_page", "no_box")


def _beside(name: str) -> str:
    return (resources.files("scraper_agent.report") / name).read_text(encoding="utf-8")


def _json(value: object) -> Markup:
    """JSON that no HTML parser can take for the end of its script element, nor for the start of a comment."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)  # noqa: S704 - escaped just now
