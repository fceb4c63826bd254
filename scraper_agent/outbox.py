"""When what is signed leaves: waits between attempts, the breaker of a destination, and when to give up. Pure.

Nothing here sleeps, asks the time or draws lots; all three come from the caller. The state is the log's: whoever takes
up a log that another process left goes on where that one stopped.
"""

from __future__ import annotations

import email.utils
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from scraper_agent.values import Attempt, Delivered, Entry, Fact, JobId, Receipt, Released, Retry

RETRY_AFTER_MOST = timedelta(days=1)
"""A receiver that asks for more is not heard further: its answer is not signed."""
REMEMBERED = 64
"""So many of the newest facts about sending tell how a destination is."""
FOLLOWS: Mapping[str, str] = {"waybillStatus": "dangerousGoodsWaybill"}
"""By format: the format of the document that the receiver has to have accepted first, and whose receiver it goes to
where the config names no other. The business key is that document's, a space, and what tells the followers apart; these
leave one after the other.
"""


class Settings(BaseModel):
    """How what was signed is sent again."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    shortest_wait_s: int = Field(1, ge=1, description="Shortest wait before another attempt.")
    longest_wait_s: int = Field(
        900, ge=1, description="Longest; waits double up to it, and each is drawn at random below that."
    )
    most_attempts: int = Field(
        20,
        ge=1,
        description="Attempts that reached the destination and brought no receipt, before a document becomes a dead "
        "letter. Those that found it away do not count.",
    )
    oldest_days: int = Field(
        90, ge=1, description="Days from the first attempt to the last one, before it becomes one."
    )
    breaker_failures: int = Field(
        5, ge=1, description="Failures in a row after which the others wait while one at a time tries the destination."
    )
    resign_after_s: int = Field(
        240, ge=1, description="Age of a signature with which a document leaves; an older one is made anew before."
    )
    overdue_h: int = Field(24, ge=1, description="Hours without a receipt after which a delivered document is told of.")
    ask_every_s: int = Field(60, ge=1, description="How often `send --wait` asks for receipts that are to come.")


DEFAULT = Settings()


def longest(tries: int, settings: Settings) -> timedelta:
    """The most that a document may wait after so many tries."""
    doubled = settings.shortest_wait_s * 2 ** min(tries, 40)
    return timedelta(seconds=min(max(doubled, settings.shortest_wait_s), settings.longest_wait_s))


def wait(tries: int, settings: Settings, draw: float) -> timedelta:
    """Full jitter. `draw`: evenly from 0 up to 1; thousands that failed together must not come back together."""
    return max(timedelta(seconds=settings.shortest_wait_s), longest(tries, settings) * draw)


def retry_after(told: object, now: datetime) -> timedelta:
    """What the header `Retry-After` asks for: seconds, or an HTTP date (RFC 9110, 10.2.3); zero if it is neither."""
    text = str(told).strip()
    if text.isascii() and text.isdigit():
        return min(timedelta(seconds=int(text[:9])), RETRY_AFTER_MOST)
    try:
        moment = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return timedelta(0)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(max(moment - now, timedelta(0)), RETRY_AFTER_MOST)


def may_have_it(facts: Iterable[Fact], *, repeat: str) -> bool:
    """Whether the receiver may have one of the envelopes that left, as far as these facts tell."""
    left = doubt = False  # of the newest attempt, and of those before it
    for fact in facts:
        match fact:
            case Attempt() | Delivered():
                left = True
            case Receipt(accepted=accepted):
                left, doubt = False, accepted
            case Retry(cause="absent"):
                left = doubt = False
            case Retry(by="", cause=cause):
                # That one attempt failed for certain says nothing of those before it.
                left, doubt = False, doubt or cause == "unknown" or (cause is None and repeat == "safe")
            case _:
                pass
    return left or doubt


def given_up(facts: Sequence[Fact], times: Sequence[datetime], now: datetime, settings: Settings) -> bool:
    """Whether a document that waits has been tried often and long enough, since a person last wanted it sent.

    `times`: when each of `facts` was logged.
    """
    wanted = (n for n, fact in enumerate(facts) if isinstance(fact, Released) or (isinstance(fact, Retry) and fact.by))
    since = max(wanted, default=-1) + 1
    tries = sum(isinstance(fact, Retry) and fact.cause != "away" for fact in facts[since:])
    first = next((at for fact, at in zip(facts[since:], times[since:], strict=True) if isinstance(fact, Attempt)), now)
    return tries >= settings.most_attempts or now - first > timedelta(days=settings.oldest_days)


@dataclass(slots=True, kw_only=True)
class Breaker:
    """How one destination is. It opens after some failures in a row, and then lets one try at a time, after a wait.

    Not thread-safe.
    """

    settings: Settings
    failures: int = 0
    """In a row, up to now."""
    until: datetime | None = None
    """Of the newest failure: when the destination may be tried again."""
    trying: bool = False
    """The one try of an open breaker is under way."""

    @classmethod
    def of(cls, newest: Iterable[Entry], settings: Settings) -> Self:
        """As the log has it; `newest` as `Archive.sends` gives them."""
        failures = 0
        at: datetime | None = None
        until: datetime | None = None
        seen: set[JobId] = set()
        for entry in newest:
            match entry.fact:
                case Attempt() if entry.job not in seen:  # nobody has seen its answer
                    failures, at = failures + 1, at or entry.at
                case Attempt() | Retry(by="", cause="unknown"):
                    pass
                case Retry(by="", cause="away") as failed:
                    until = failed.not_before if at is None else until
                    failures, at = failures + 1, at or entry.at
                case _:
                    break
            seen.add(entry.job)
        if at is not None and until is None:
            until = at + longest(failures, settings)  # its own wait was not logged
        return cls(settings=settings, failures=failures, until=until)

    @property
    def open(self) -> bool:
        return self.failures >= self.settings.breaker_failures

    def holds(self, now: datetime) -> bool:
        """Whether nothing may leave now."""
        return self.open and (self.trying or (self.until is not None and now < self.until))

    def rests(self, now: datetime) -> bool:
        """Whether nothing can be done before its time comes: nothing is under way that may tell how it is."""
        return self.holds(now) and not self.trying

    def admits(self, now: datetime) -> bool:
        """Whether one may leave now, or the receiver be asked; that one is then under way."""
        if self.holds(now):
            return False
        self.trying = self.open
        return True

    def answered(self) -> None:
        """The destination gave a sign of life; or a person wants it tried."""
        self.failures, self.until, self.trying = 0, None, False

    def failed(self, until: datetime) -> None:
        """It did not; `until`: when it may be tried again."""
        self.failures, self.until, self.trying = self.failures + 1, until, False

    def untold(self) -> None:
        """What was under way told nothing of the destination."""
        self.trying = False
