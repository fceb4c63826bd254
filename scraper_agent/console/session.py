"""Who is signed in: tokens that sign in, and the sessions they open, which end with the process.

A token is 256 random bits. Of a lasting one the file keeps the SM3 digest: who reads the file cannot sign in.
"""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from scraper_agent import canonical
from scraper_agent.errors import AgentError, UsageError
from scraper_agent.messages import N_
from scraper_agent.values import ConsoleFact, SignedIn, SignedOut, SignInRefused

LINK_LASTS = timedelta(minutes=10)
TOKEN_LASTS = timedelta(days=90)
IDLE = timedelta(minutes=30)
LONGEST = timedelta(hours=12)
PATIENCE = 5
"""So many wrong tokens in a row are answered at once; after them each makes everybody wait."""
LONGEST_WAIT = timedelta(seconds=15)

How = Literal["link", "token"]


class Token(BaseModel):
    """A lasting token of a person, as the file keeps it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    digest: str
    """SM3 of the token, 64 hex digits."""
    made: datetime
    until: datetime


_TOKENS = TypeAdapter(tuple[Token, ...])


@dataclass(frozen=True, slots=True)
class TokenFile:
    """The lasting tokens of an installation; nobody but the owner of the file reads it."""

    path: Path

    def read(self) -> tuple[Token, ...]:
        """Raises AgentError: it is damaged, or open to others."""
        try:
            open_to = self.path.stat().st_mode & 0o077
            text = self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise self._unusable(error.strerror or str(error)) from error
        if open_to and os.name != "nt":
            raise AgentError(
                "SA7701",
                N_("{path} can be opened by other accounts: mode {mode}"),
                hint=N_("make it the owner's own (`chmod 600`), and revoke the tokens in it: they may be known"),
                path=self.path,
                mode=f"{open_to:o}",
            )
        try:
            return _TOKENS.validate_json(text)
        except ValidationError as error:
            raise self._unusable("JSON") from error

    def make(self, name: str, now: datetime) -> str:
        """A new token of a person, told this once. Takes the place of none."""
        token = secrets.token_urlsafe(32)
        made = Token(name=name, digest=_digest(token), made=now, until=now + TOKEN_LASTS)
        self._write((*self.read(), made))
        return token

    def revoke(self, name: str) -> int:
        """All of a person's; how many there were."""
        known = self.read()
        left = tuple(each for each in known if each.name != name)
        if len(left) < len(known):
            self._write(left)
        return len(known) - len(left)

    def _write(self, tokens: Iterable[Token]) -> None:
        part = self.path.with_name(f"{self.path.name}.part")
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            part.unlink(missing_ok=True)
            handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(_TOKENS.dump_json(tuple(tokens), indent=1))
                file.flush()
                os.fsync(handle)
            part.replace(self.path)
        except OSError as error:
            raise self._unusable(error.strerror or str(error)) from error

    def _unusable(self, why: str) -> AgentError:
        return AgentError("SA7702", N_("{path}, the console's tokens, cannot be used: {why}"), path=self.path, why=why)


@dataclass(slots=True, kw_only=True)
class Session:
    """One person in one browser."""

    person: str
    how: How
    token: str
    """Digest of the token it was opened with."""
    begun: datetime
    seen: datetime
    lang: str
    csrf: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    said: list[str] = field(default_factory=list)
    """What the next page tells, once."""


class TooMany(UsageError):
    """Wrong tokens came too fast; the next is looked at in `wait_s` seconds."""

    wait_s: int = 1


class Sessions:
    """The sessions of this process. Safe for several threads."""

    def __init__(self, file: TokenFile, tell: Callable[[ConsoleFact], None]) -> None:
        self._file = file
        self._tell = tell
        self._links: dict[str, tuple[str, datetime]] = {}
        """Digest of a token that is good once -> (person, until)."""
        self._open: dict[str, Session] = {}
        """By the digest of the cookie."""
        self._gate = threading.Lock()
        self._wrong = 0
        self._not_before: datetime | None = None

    def link(self, person: str, now: datetime) -> str:
        """A token that signs this person in once, within some minutes."""
        token = secrets.token_urlsafe(32)
        with self._gate:
            self._links[_digest(token)] = (person, now + LINK_LASTS)
        return token

    def sign_in(self, token: str, lang: str, now: datetime) -> tuple[str, Session]:
        """(value of the cookie, session).

        Raises:
            TooMany: it was not even looked at.
            UsageError: it is no token, or is so no more.
        """
        with self._gate:
            self._wait(now)
            digest = _digest(token)
            person, how = self._known(digest, now)
            self._wrong, self._not_before = 0, None
            cookie = secrets.token_urlsafe(32)
            session = Session(person=person, how=how, token=digest, begun=now, seen=now, lang=lang)
            for key in [key for key, each in self._open.items() if _over(each, now)]:
                self._drop(key, now)
            self._open[_digest(cookie)] = session
            self._tell(SignedIn(by=f"person:{person}", how=how))
            return cookie, session

    def find(self, cookie: str, now: datetime, *, quiet: bool = False) -> Session | None:
        """Whose cookie this is. `quiet`: the browser asks by itself, which does not show that anybody is there."""
        with self._gate:
            key = _digest(cookie)
            session = self._open.get(key)
            if session is None:
                return None
            if _over(session, now) or not self._still(session, now):
                self._drop(key, now)
                return None
            if not quiet:
                session.seen = now
            return session

    def end(self, cookie: str) -> None:
        """A person signs out."""
        with self._gate:
            session = self._open.pop(_digest(cookie), None)
            if session is not None:
                self._tell(SignedOut(by=f"person:{session.person}", why="asked"))

    def _drop(self, key: str, now: datetime) -> None:
        session = self._open.pop(key)
        why = _over(session, now) or "revoked"
        self._tell(SignedOut(by=f"person:{session.person}", why=why))

    def _known(self, digest: str, now: datetime) -> tuple[str, How]:
        link = self._links.pop(digest, None)
        if link is not None and now < link[1]:
            return link[0], "link"
        for token in self._file.read():
            if token.digest == digest and now < token.until:
                return token.name, "token"
        raise self._refused(now)

    def _still(self, session: Session, now: datetime) -> bool:
        """Whether a lasting token has not been revoked since."""
        return session.how == "link" or any(t.digest == session.token and now < t.until for t in self._file.read())

    def _wait(self, now: datetime) -> None:
        if self._not_before is None or now >= self._not_before:
            return
        wait_s = max(1, round((self._not_before - now).total_seconds()))
        error = TooMany(
            "SA7703",
            N_("{count} wrong tokens came one after the other; no other is looked at for {seconds} s"),
            count=self._wrong,
            seconds=wait_s,
        )
        error.wait_s = wait_s
        raise error

    def _refused(self, now: datetime) -> UsageError:
        self._wrong += 1
        if self._wrong & (self._wrong - 1) == 0:  # 1, 2, 4, 8, …: who tries cannot fill the log
            self._tell(SignInRefused(count=self._wrong))
        if self._wrong >= PATIENCE:
            self._not_before = now + min(LONGEST_WAIT, timedelta(seconds=2 ** min(self._wrong - PATIENCE, 8)))
        return UsageError(
            "SA7704",
            N_("this token does not sign in: it is wrong, was used before, has expired or was revoked"),
            hint=N_(
                "`scraper-agent console` prints a new link; `scraper-agent console token new` makes a lasting token"
            ),
        )


def _over(session: Session, now: datetime) -> Literal["idle", "longest"] | None:
    """Why it has come to its end; None if it has not."""
    if now - session.begun > LONGEST:
        return "longest"
    return "idle" if now - session.seen > IDLE else None


def _digest(token: str) -> str:
    return canonical.sm3(token.encode("utf-8", "surrogatepass")).hex()
