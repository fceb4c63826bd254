"""`log export`: documents with everything that proves them, for an auditor or for customs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

import scraper_agent
from scraper_agent import app as wiring
from scraper_agent import exporting, orders, people
from scraper_agent.app import App
from scraper_agent.archive.sqlite import SqliteArchive
from scraper_agent.audit import anchor, bundle
from scraper_agent.audit.note import Checkpoint
from scraper_agent.cli import show
from scraper_agent.cli.commands import find_job
from scraper_agent.errors import AgentError, BusinessError, UsageError
from scraper_agent.mapping import CHINA_TIME
from scraper_agent.messages import N_, render, speaking
from scraper_agent.report import evidence
from scraper_agent.signing import keyfolder
from scraper_agent.values import Anchored, JobId


class Language(StrEnum):
    EN = "en"
    ZH = "zh"


def export(  # noqa: PLR0913, PLR0917 - one for each option
    context: typer.Context,
    out: Annotated[Path, typer.Argument(help=render(N_("The folder to make, or a file that ends in .zip.")))],
    document: Annotated[
        list[str] | None, typer.Option(help=render(N_("A document's number or business key; may be repeated.")))
    ] = None,
    format: Annotated[str, typer.Option(help=render(N_("Only documents of this format.")))] = "",
    since: Annotated[
        str, typer.Option(metavar="YYYY-MM-DD", help=render(N_("Only what happened on this day or later.")))
    ] = "",
    until: Annotated[
        str, typer.Option(metavar="YYYY-MM-DD", help=render(N_("Only what happened on this day or earlier.")))
    ] = "",
    lang: Annotated[
        Language | None, typer.Option(help=render(N_("Only the report in this language; default: both.")))
    ] = None,
    without_images: Annotated[
        bool, typer.Option("--without-images", help=render(N_("Leave the images of pages out.")))
    ] = False,
    reason: Annotated[str, typer.Option(help=render(N_("Why; goes into the log.")))] = "",
) -> None:
    app: App = context.obj.app()
    people.require((app.adopted_policy() or app.policy).people, wiring.account(), *exporting.ROLES)
    if format and format not in app.tables.formats:
        raise UsageError(
            "SA7841",
            N_("there is no format `{seen}`"),
            hint=N_("there are: {known}"),
            seen=format,
            known=", ".join(app.tables.formats),
        )
    with app.archive(read_only=True) as archive:
        asked = exporting.Asked(
            documents=[find_job(archive, name).id for name in document or ()],
            format=format,
            since=_midnight(since),
            until=_midnight(until, days=1),
            images=not without_images,
            reason=reason,
        )
        made = exporting.export(out, archive, asked, by(app, archive), reports(app, archive, asked, lang))
    told = {
        "documents": made.documents,
        "entries": made.entries,
        "bodies": made.bodies,
        "size": made.checkpoint.size,
    }
    show.lines([str(out)])
    show.lines(
        [
            render(N_("{documents} documents: {entries} of {size} facts, {bodies} bodies"), told),
            *(render(N_("no longer in the archive: {digest}"), {"digest": each}) for each in made.gone),
        ]
    )


def _midnight(text: str, *, days: int = 0) -> datetime | None:
    """When the day begins, or the one so many days later."""
    try:
        return datetime.combine(date.fromisoformat(text), time(), CHINA_TIME) + timedelta(days=days) if text else None
    except (ValueError, OverflowError):
        raise UsageError("SA7842", N_("`{seen}` is no day"), hint=N_("write it as in 2026-03-31"), seen=text) from None


def by(app: App, archive: SqliteArchive) -> exporting.By:
    receivers = {
        f"{format or 'receiver'}/{sk}": key
        for format, settings in app.config.all_receivers().items()
        for sk, key in settings.public_keys.items()
    }
    return exporting.By(
        person=wiring.account(),
        agent=f"scraper_agent {scraper_agent.__version__}",
        origin=app.config.log_name,
        signer=app.signer,
        keys=[
            json.loads(each.model_dump_json(exclude={"file"}, exclude_none=True))
            for each in keyfolder.entries(app.key_folder)
        ],
        receivers=receivers,
        now=wiring.now,
        log=partial(_logged, app),
        seen=_seen(app, archive),
    )


def _logged(app: App, documents: Sequence[JobId], asked: exporting.Asked) -> None:
    """By this process, or by the one that writes the archive now."""
    who, said = wiring.account(), exporting.ordered(asked)
    try:
        with app.archive() as archive:
            exporting.record(archive, documents, who, said)
    except AgentError as error:
        if error.code != "SA5002":  # another process writes to it
            raise
        if len(documents) > orders.MOST_TARGETS:
            raise BusinessError(
                "SA7840",
                N_("while another process writes, at most {most} documents are exported at once, not {seen}"),
                hint=N_("choose fewer, by `--since` and `--until`, or wait until it has ended"),
                most=orders.MOST_TARGETS,
                seen=len(documents),
            ) from None
        for outcome in app.desk.do(exporting.DO, documents, who, said):
            if outcome.error is not None:
                raise outcome.error from None


def _seen(app: App, archive: SqliteArchive) -> exporting.Seen | None:
    """The largest head of the log that a witness of the config has signed; None if none has."""
    keys = app.witness_keys
    newest = (archive.newest(anchor.job_of(name), "Anchored") for name in keys)
    known = [entry.fact for entry in newest if entry is not None and isinstance(entry.fact, Anchored)]
    last = max(known, key=lambda each: each.size, default=None)
    return None if last is None else exporting.Seen(note=archive.get(last.note), witnesses=keys)


def reports(app: App, archive: SqliteArchive, asked: exporting.Asked, lang: Language | None = None) -> exporting.Beside:
    """Makes `report.en.html` and `report.zh.html`, or one of them."""

    def made(chosen: exporting.Chosen, keys: bundle.Keys, checkpoint: Checkpoint) -> dict[str, bytes]:
        about = evidence.About(
            by=wiring.account(),
            reason=asked.reason,
            asked=asked.told(),
            origin=checkpoint.origin,
            size=checkpoint.size,
            root=checkpoint.root.hex(),
            at=checkpoint.at,
            keys={fingerprint: keys.whose(key) for fingerprint, key in sorted(keys.named().items())},
        )
        found = {}
        entries = list(chosen.entries_of(chosen.documents[: evidence.MOST_DOCUMENTS]))
        for each in Language if lang is None else (lang,):
            with speaking("zh_CN" if each is Language.ZH else "en"):
                found[f"report.{each}.html"] = evidence.page(
                    entries, archive.get, chosen.documents, app.tables.formats, about, images=asked.images
                )
        return found

    return made
