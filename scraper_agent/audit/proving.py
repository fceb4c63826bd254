"""What the witnesses' word proves of a log whose own tree agrees with itself: proven, not proven, or contradicted."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from scraper_agent import canonical
from scraper_agent.audit import note
from scraper_agent.audit.anchor import Keeper, Log, forked, job_of, longer
from scraper_agent.errors import AgentError
from scraper_agent.messages import N_
from scraper_agent.ports import Verify
from scraper_agent.values import Anchored


class Word(StrEnum):
    PROVEN = "proven"  # a witness has seen all of it; only its own line came after
    NOT_PROVEN = "not_proven"  # of the tail nobody but this machine says anything
    CONTRADICTED = "contradicted"  # a witness has seen another history


@dataclass(slots=True, kw_only=True)
class Proof:
    """`size` entries from the first on are as a witness has seen them; `tail` came after."""

    size: int = 0
    witness: str = ""
    at: datetime | None = None
    """When the witness saw them; None where it does not say."""
    tail: int = 0
    whole: bool = False
    """The tail is nothing but the witnesses' own lines."""
    contradictions: list[AgentError] = field(default_factory=list)
    unasked: list[AgentError] = field(default_factory=list)
    """Witnesses that could not be asked: what they know is not in this."""

    @property
    def word(self) -> Word:
        if self.contradictions:
            return Word.CONTRADICTED
        return Word.PROVEN if self.whole and self.size else Word.NOT_PROVEN


@dataclass(frozen=True, slots=True)
class _Seen:
    witness: str
    checkpoint: note.Checkpoint
    at: datetime | None


def prove(log: Log, origin: str, parties: Iterable[Keeper], keys: Mapping[str, str], verify: Verify) -> Proof:
    """Compare the log with what every witness knows of it: those of `parties` are asked.

    `keys`: public keys of witnesses, by name, whose lines the log itself keeps. What the log keeps of a witness that
    signs nothing proves nothing: whoever may change the log may change that.
    """
    found = Proof()
    head = log.head()
    for seen in (*_kept_here(log, keys, verify), *_asked(parties, origin, verify, found)):
        known = seen.checkpoint
        if known.size > head.size:
            found.contradictions.append(longer(seen.witness, known.size, head.size))
        elif known.size and log.head(known.size).root != known.root:
            found.contradictions.append(forked(seen.witness))
        elif known.size > found.size:
            found.size, found.witness, found.at = known.size, seen.witness, seen.at
    found.tail = head.size - found.size
    found.whole = all(isinstance(entry.fact, Anchored) for entry in log.entries(found.size))
    return found


def _kept_here(log: Log, keys: Mapping[str, str], verify: Verify) -> Iterator[_Seen]:
    """The newest line of each witness: what it has seen before is in the tree of that."""
    for name, public_key in keys.items():
        last = log.last(job_of(name))
        if not isinstance(last, Anchored):
            continue
        try:
            read = note.read(log.get(last.note))
            at = note.seen(read, {name: public_key}, verify).get(name)
        except (AgentError, ValueError):
            continue  # it is erased, or no proof: what the witness itself knows counts
        if at is not None:
            yield _Seen(name, read.checkpoint, at)


def _asked(parties: Iterable[Keeper], origin: str, verify: Verify, found: Proof) -> Iterator[_Seen]:
    for party in parties:
        try:
            kept = list(party.kept(origin))
        except AgentError as error:
            found.unasked.append(error)
            continue
        for data in kept:
            try:
                read = note.read(data)
                at = None
                if party.public_key is not None:
                    at = note.seen(read, {party.name: party.public_key}, verify)[party.name]
            except (ValueError, KeyError):
                continue  # cut off, or not its own word
            if read.checkpoint.origin == origin:
                yield _Seen(party.name, read.checkpoint, at)


# --- on paper -------------------------------------------------------------------------------------------------------

_GROUP = 4
_CHECK = 4


def code(checkpoint: note.Checkpoint) -> str:
    """Size and root, short enough to be copied by hand: at most 86 characters, with a check against slips."""
    letters = base64.b32encode(checkpoint.root).decode().rstrip("=")
    letters += _check(checkpoint.size, letters)
    groups = (letters[at : at + _GROUP] for at in range(0, len(letters), _GROUP))
    return "-".join((str(checkpoint.size), *groups))


def read_code(text: str) -> tuple[int, bytes]:
    """Size and root. Raises ValueError: it is no code, or has a slip."""
    size, _, rest = text.strip().upper().replace(" ", "").partition("-")
    letters = rest.replace("-", "")
    body, check = letters[:-_CHECK], letters[-_CHECK:]
    if not (size.isascii() and size.isdigit()) or _check(int(size), body) != check:
        raise ValueError(N_("a character is wrong or missing"))
    root = base64.b32decode(body + "=" * (-len(body) % 8))
    if len(root) != 32:  # noqa: PLR2004 - bytes of SM3
        raise ValueError(N_("a character is wrong or missing"))
    return int(size), root


def _check(size: int, letters: str) -> str:
    return base64.b32encode(canonical.sm3(f"{size}-{letters}".encode())).decode()[:_CHECK]
