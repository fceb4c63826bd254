"""`log canary`: whether a secret that this installation knows stands in what it has written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from pydantic import BaseModel

from scraper_agent.app import App
from scraper_agent.archive import canary as searching
from scraper_agent.cli import show
from scraper_agent.credentials import SecretPlace
from scraper_agent.errors import AgentError
from scraper_agent.messages import N_, render


def canary(context: typer.Context) -> None:
    app: App = context.obj.app()
    secrets, own = known(app)
    search = searching.Search(secrets)
    found = list(search.folder(app.home, own))
    if (app.home / app.config.archive).is_file():
        with app.archive(read_only=True) as archive:
            found += search.archive(archive)
    for each in found:
        told = render(
            N_("{where} holds the secret `{secret}` ({form})"),
            {"where": each.where, "secret": each.secret, "form": each.form},
        )
        show.console.print(show.visible(told), markup=False, soft_wrap=True)
    told = render(
        N_("{secrets} secrets were looked for in {files} files and {bodies} bodies: {names}"),
        {"secrets": len(secrets), "files": search.files, "bodies": search.bodies, "names": ", ".join(secrets) or "-"},
    )
    show.console.print(show.visible(told), markup=False, soft_wrap=True)
    if found:
        raise AgentError(
            "SA7860",
            N_("secrets stand in what was written, in {count} places"),
            hint=N_("change these secrets first; then remove the files, or have the bodies deleted"),
            count=len(found),
        )


def known(app: App) -> tuple[dict[str, str], set[Path]]:
    """The secrets whose place the config names, by what it calls them, and the files that are such places.

    Who is not there is told; nobody is asked for one.
    """
    secrets: dict[str, str] = {}
    own: set[Path] = set()
    for name, place in _places(app.config, ""):
        if place.asked:
            continue
        if place.file is not None:
            own.add((app.home / place.file).resolve())
        try:
            value = app.secret(place, name)
        except AgentError:
            value = ""
        if len(value.encode()) >= searching.LEAST:
            secrets[name] = value
        else:
            told = render(
                N_("`{name}` is not looked for: it is not there, or shorter than {least} bytes"),
                {"name": name, "least": searching.LEAST},
            )
            show.talk.print(show.visible(told), markup=False, soft_wrap=True)
    return secrets, own


def _places(of: Any, name: str) -> Iterator[tuple[str, SecretPlace]]:
    match of:
        case SecretPlace():
            yield name, of
        case BaseModel():
            for field in type(of).model_fields:
                yield from _places(getattr(of, field), f"{name}.{field}".lstrip("."))
        case dict():
            for key, value in of.items():
                yield from _places(value, f"{name}.{key}")
        case list() | tuple():
            for number, value in enumerate(of):
                yield from _places(value, f"{name}.{number}")
        case _:
            return
