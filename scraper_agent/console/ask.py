"""What a page's function gets, and the tables that say which function answers what."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, TypeAlias
from urllib.parse import quote

from starlette.datastructures import ImmutableMultiDict
from starlette.responses import Response

from scraper_agent import people
from scraper_agent.app import App
from scraper_agent.archive.sqlite import SqliteArchive
from scraper_agent.console import looks
from scraper_agent.console.children import Children
from scraper_agent.console.session import Session
from scraper_agent.desk import Desk
from scraper_agent.errors import UsageError
from scraper_agent.messages import N_
from scraper_agent.people import Role

Answer: TypeAlias = Callable[["Ask"], Response]
Media: TypeAlias = Literal["image/jpeg", "application/json", "text/plain; charset=utf-8", "application/octet-stream"]
"""None of these is run by a browser, whatever is in the bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    method: Literal["GET", "POST"]
    path: str
    answer: Answer
    menu: str = ""
    """English name in the menu; empty: it is not there."""
    role: Role | None = None
    """Who may do it; None: whoever is signed in."""
    quiet: bool = False
    """The browser asks by itself, which does not show that anybody is there."""


def page(path: str, view: Answer, *, menu: str = "", quiet: bool = False) -> Route:
    """`path` as Starlette has it: `/documents/{id:path}` gives `ask.path["id"]`. A GET changes nothing."""
    return Route(method="GET", path=path, answer=view, menu=menu, quiet=quiet)


def action(path: str, do: Answer, *, role: Role | None) -> Route:
    """A POST from a form of this console; `role` None: whoever is signed in."""
    return Route(method="POST", path=path, answer=do, role=role)


@dataclass(slots=True, kw_only=True)
class Ask:
    """One request of a person who is signed in. Lives in one thread."""

    app: App
    now: datetime
    route: Route
    session: Session
    path: Mapping[str, str]
    query: ImmutableMultiDict[str, str]
    form: ImmutableMultiDict[str, str]
    """Of a POST, its token checked; `getlist` for what a form says several times."""
    children: Children
    """Runs that were begun from here."""
    around: Mapping[str, Any]
    """What base.html needs beside this."""
    _closing: ExitStack = field(default_factory=ExitStack, repr=False)
    _archive: SqliteArchive | None = field(default=None, repr=False)

    @property
    def person(self) -> str:
        return self.session.person

    @property
    def roles(self) -> frozenset[Role]:
        return people.roles(self.app.policy.people, self.person)

    @property
    def lang(self) -> str:
        """`zh` or `en`."""
        return self.session.lang

    @property
    def archive(self) -> SqliteArchive:
        """Opened for reading at the first use, until the answer is made.

        Raises:
            AgentError: there is none yet, or it cannot be read.
        """
        if self._archive is None:
            self._archive = self._closing.enter_context(self.app.archive(read_only=True))
        return self._archive

    @property
    def desk(self) -> Desk:
        """Where what the person wants done is said: `ask.desk.do("approve", [id], ask.person, {…}, via="console")`."""
        return self.app.desk

    def close(self) -> None:
        self._closing.close()

    def may(self, role: Role) -> bool:
        return role in self.roles

    def render(self, template: str, *, status: int = 200, **values: Any) -> Response:
        """A page, or a part of one, in the person's language."""
        shell = {
            **self.around,
            "ask": self,
            "csrf": self.session.csrf,
            "lang": self.lang,
            "here": self.route.path,
            "told_once": () if self.route.quiet else tuple(self.session.said),
        }
        if shell.keys() & values:
            raise ValueError(f"{template}: {shell.keys() & values} belong to the layout")
        if not self.route.quiet:
            self.session.said.clear()
        text = looks.render(template, {**shell, **values})
        return Response(text, status, media_type="text/html")

    def redirect(self, path: str, said: str = "") -> Response:
        """303 to a page of this console, which tells what was done."""
        if not is_own(path):
            raise ValueError(f"{path} is no page of this console")
        if said:
            self.session.said.append(said)
        return Response(status_code=303, headers={"Location": quote(path, safe="/?&=%:#+,;@~!$'()*-._")})

    def body(self, data: bytes, media: Media, name: str = "") -> Response:
        """Bytes as they are. `name`: to be saved under it, and not shown."""
        kind = "inline" if not name else f"attachment; filename*=UTF-8''{quote(name, safe='')}"
        return Response(data, headers={"Content-Type": media, "Content-Disposition": kind})

    def missing(self) -> UsageError:
        """To be raised where there is nothing under this address."""
        return NotThere("SA7705", N_("there is nothing under this address"))


def is_own(path: str) -> bool:
    """Whether it is an address within this console, whatever a browser makes of it."""
    return path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()


class NotThere(UsageError):
    """The page is answered with 404."""
