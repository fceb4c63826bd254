"""The log: what is looked for in it, one entry of it, and whether it is whole."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path
from urllib.parse import urlencode

from loguru import logger
from starlette.responses import Response

from scraper_agent import app as wiring
from scraper_agent import canonical
from scraper_agent.archive.listed import PAGE
from scraper_agent.archive.verify import Report, verify
from scraper_agent.console import told
from scraper_agent.console.ask import Ask, Route, action, page
from scraper_agent.console.words import state_name
from scraper_agent.errors import AgentError, UsageError
from scraper_agent.mapping import CHINA_TIME
from scraper_agent.messages import N_
from scraper_agent.values import JobId

SHOWN_PROBLEMS = 100
FILTERS = ("find", "person", "kind", "job", "since", "until")


def log(ask: Ask) -> Response:
    asked = {name: ask.query.get(name, "").strip() for name in FILTERS}
    since, until = _day(asked["since"]), _day(asked["until"])
    lists = ask.archive.lists
    documents = [] if not asked["find"] else lists.of(lists.search(asked["find"]))
    job = JobId(asked["job"]) if asked["job"] else None
    if job is None and len(documents) == 1:
        job = documents[0].id
    before = ask.query.get("before", "")
    listed = job is not None or not asked["find"]
    entries = (
        lists.facts(
            kinds=told.GROUPS[asked["kind"]][1] if asked["kind"] in told.GROUPS else (),
            person=asked["person"] or None,
            job=job,
            since=since,
            until=None if until is None else until + timedelta(days=1),
            before=int(before) if before.isdecimal() and len(before) < 16 else None,  # noqa: PLR2004 - of 64 bits
        )
        if listed
        else []
    )
    names = people(ask)
    jobs = {line.id: f"{named(ask, line.format)} {line.key}" for line in lists.of({entry.job for entry in entries})}
    older = {**{k: v for k, v in asked.items() if v}, "before": str(entries[-1].index)} if entries else {}
    return ask.render(
        "log.html",
        asked=asked,
        groups=[(name, text) for name, (text, _) in told.GROUPS.items()],
        persons=lists.persons(),
        documents=[(line, told.path(line.id), named(ask, line.format), state_name(line.state)) for line in documents],
        listed=listed,
        rows=[(e, told.path(e.job), jobs.get(e.job, e.job), told.sentence(e, names)) for e in entries],
        older=f"/log?{urlencode(older)}" if len(entries) == PAGE else "",
        newest=f"/log?{urlencode({k: v for k, v in asked.items() if v})}" if before else "",
        size=ask.archive.head().size,
    )


def named(ask: Ask, format: str) -> str:
    """A format's name in the person's language."""
    known = ask.app.tables.formats.get(format)
    return format if known is None else known.zh if ask.lang == "zh" else known.en


def people(ask: Ask) -> Mapping[str, str]:
    """Those whom the policy names, and this account, by the digest that the log has of who starts a run."""
    return {canonical.sm3(name.encode()).hex(): name for name in (wiring.account(), *ask.app.policy.people)}


def _day(text: str) -> datetime | None:
    """The beginning of a day of China."""
    if not text:
        return None
    try:
        return datetime.combine(date.fromisoformat(text), time(), CHINA_TIME)
    except ValueError:
        raise UsageError("SA7770", N_("`{seen}` is no day; write it as 2026-11-21"), seen=text) from None


def entry(ask: Ask) -> Response:
    index = int(ask.path["index"])
    found = next(ask.archive.entries(index), None) if index < ask.archive.head().size else None
    if found is None:
        raise ask.missing()
    fact = json.loads(canonical.dumps(found.fact))
    return ask.render(
        "log-entry.html",
        entry=found,
        kind=type(found.fact).__name__,
        job=told.path(found.job),
        sentence=told.sentence(found, people(ask)),
        fact=json.dumps(fact, ensure_ascii=False, indent=2),
        size=ask.archive.head().size,
    )


# --- verification ---------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Check:
    """A verification of one archive: under way, or done."""

    began: datetime
    by: str
    entries: int
    """That the log had when it began."""
    done: int = 0
    """Of these so many are hashed."""
    report: Report | None = None
    error: AgentError | None = None
    under_way: bool = True


_CHECKS: dict[Path, Check] = {}
"""The newest of each archive. It changes nothing, so that nothing of it is in the log."""
_LOCK = threading.Lock()


def verification(ask: Ask) -> Response:
    return _shown(ask, "log-verify.html")


def verification_progress(ask: Ask) -> Response:
    return _shown(ask, "log-verify-progress.html")


def _shown(ask: Ask, template: str) -> Response:
    check = _CHECKS.get(_path(ask))
    problems = () if check is None or check.report is None else check.report.problems
    more = max(0, len(problems) - SHOWN_PROBLEMS)
    return ask.render(template, check=check, problems=problems[:SHOWN_PROBLEMS], more=more)


def start_verification(ask: Ask) -> Response:
    path = _path(ask)
    with _LOCK:
        running = _CHECKS.get(path)
        if running is None or not running.under_way:
            check = Check(began=ask.now, by=ask.person, entries=ask.archive.head().size)
            _CHECKS[path] = check
            threading.Thread(target=_verify, args=(path, check), name="verify", daemon=True).start()
    return ask.redirect("/log/verification")


def _verify(path: Path, check: Check) -> None:
    def hashed(count: int) -> None:
        check.done = count

    try:
        check.report = verify(path, hashed=hashed)
    except AgentError as error:
        check.error = error
    except Exception:  # noqa: BLE001 - a defect; the page says that nothing is known, and its traceback is kept
        logger.exception("the verification of {} broke off", path)
    finally:
        check.under_way = False


def _path(ask: Ask) -> Path:
    return ask.app.home / ask.app.config.archive


ROUTES: Sequence[Route] = (
    page("/log", log, menu=N_("Log")),
    page("/log/verification", verification),
    page("/log/verification/progress", verification_progress, quiet=True),
    action("/log/verification", start_verification, role=None),
    page("/log/{index:int}", entry),
)
