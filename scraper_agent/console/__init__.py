"""The console: pages on loopback for people. What they decide is done by the desk, as from anywhere.

It holds no state but who is signed in: all it shows comes from the archive, and all that is decided goes into the log.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from scraper_agent import control
from scraper_agent.app import App
from scraper_agent.console.children import Children
from scraper_agent.console.current import Current
from scraper_agent.console.journal import Journal, note
from scraper_agent.console.session import Sessions, TokenFile
from scraper_agent.console.web import Web
from scraper_agent.errors import AgentError
from scraper_agent.messages import N_
from scraper_agent.serving import Serving

__all__ = ["Console", "doorway", "note", "serve", "token_file"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Console:
    """One that listens."""

    port: int
    sessions: Sessions

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def link(self, person: str, now: datetime) -> str:
        """Signs this person in, once, within some minutes. What follows the `#` is in no log: no browser sends it."""
        return f"{self.url}/sign-in#{self.sessions.link(person, now)}"


def doorway(app: App, link: str) -> Path:
    """A file of this account alone that leads a browser to `link`: what a program is started with, all accounts see.

    Raises:
        AgentError: it cannot be written.
    """
    path = app.home / app.config.control / "console.html"
    try:
        control.prepare(path.parent)
        path.unlink(missing_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(f'<!doctype html><meta http-equiv="refresh" content="0;url={link}">')
    except OSError as error:
        raise control.unwritable(path, error) from error
    return path


def token_file(app: App) -> TokenFile:
    return TokenFile(app.home / app.config.control / "console-tokens.json")


@contextmanager
def serve(app: App, *, config: Path, port: int, clock: Callable[[], datetime]) -> Iterator[Console]:
    """Serve on 127.0.0.1; `port` 0 takes a free one. `config`: the file that `app` is of.

    Raises:
        AgentError: the port is taken.
    """
    current = Current(app, config)
    journal = Journal(lambda fact: note(current(), fact))
    sessions = Sessions(token_file(app), journal.tell)
    names: set[str] = set()
    web = Web(
        current,
        sessions,
        Children(config, app.home / app.config.control),
        journal.tell,
        clock,
        lambda: frozenset(names),
    )
    try:
        serving = Serving(web.asgi, port)
    except OSError as error:
        journal.close()
        raise AgentError(
            "SA7707",
            N_("the console cannot listen on port {port}: {reason}"),
            hint=N_("`--port 0` takes a free one"),
            port=port,
            reason=os.strerror(error.errno) if error.errno else str(error),
        ) from error
    names |= {f"127.0.0.1:{serving.port}", f"localhost:{serving.port}"}
    try:
        yield Console(port=serving.port, sessions=sessions)
    finally:
        serving.stop()
        journal.close()
