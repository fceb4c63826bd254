"""Checkpoints as mails: what is sent to a mailbox, and what can be proved with a mail that was saved from there.

The note in it and its signature are all that counts. Whoever administers the workstation could have sent such a mail
too: what they cannot change is what stands in a mailbox that is not theirs, and since when. Header lines, DKIM and the
like are not looked at.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage, Message
from email.utils import format_datetime
from pathlib import Path

from scraper_agent.audit import note, proving
from scraper_agent.errors import AgentError
from scraper_agent.messages import N_, render
from scraper_agent.ports import Verify

MOST_BYTES = 1 << 18
"""Longer is no mail of ours, with all that a mailbox adds to it."""
MOST_FILES = 10_000
_MOST_PARTS = 10
_BEGIN, _END = b"-----BEGIN CHECKPOINT-----\n", b"-----END CHECKPOINT-----\n"
_NESTED = re.compile(rb"multipart/|message/", re.IGNORECASE)


def message(checkpoint: bytes, sender: str, to: str) -> bytes:
    """The mail with a checkpoint. Of the same checkpoint it is the same, so that a mailbox may know a second one."""
    read = note.read(checkpoint)
    made = EmailMessage(policy.SMTP)
    made["From"], made["To"] = sender, to
    made["Date"] = format_datetime(read.checkpoint.at)
    made["Subject"] = f"log {read.checkpoint.origin} {read.checkpoint.size}"
    made["Message-ID"] = f"<{note.digest(read.text)}@scraper-agent>"
    text = (
        render(
            N_("The log {origin} has {size} entries. Keep this mail where nobody can change it who runs the robot."),
            {"origin": read.checkpoint.origin, "size": read.checkpoint.size},
        ),
        render(N_("To check the log: `scraper-agent log code --check CODE`, with this code:")),
        proving.code(read.checkpoint),
        render(N_("or save this mail as it is and have it read: `scraper-agent log verify --mail FILE`.")),
        f"{_BEGIN.decode()}{checkpoint.decode()}{_END.decode()}",
    )
    made.set_content("\n\n".join(text), charset="utf-8", cte="quoted-printable")
    return made.as_bytes()


def notes(data: bytes) -> list[bytes]:
    """The notes in a mail as it was saved. Whatever is attached to it is not opened.

    Raises:
        ValueError: it is no mail, or one that nobody sends who means well.
    """
    if len(data) > MOST_BYTES or len(_NESTED.findall(data)) > _MOST_PARTS:
        raise ValueError(N_("it is too long, or has too many parts"))
    try:
        parts = [part for part in message_from_bytes(data, policy=policy.compat32).walk() if _is_text(part)]
        texts = [part.get_payload(decode=True) for part in parts]
    except Exception as error:
        raise ValueError(N_("it cannot be read as a mail")) from error
    return [found for text in texts if isinstance(text, bytes) for found in _between(text.replace(b"\r\n", b"\n"))]


def _is_text(part: Message) -> bool:
    return part.get_content_type() == "text/plain" and part.get_filename() is None


def _between(text: bytes) -> Iterator[bytes]:
    for piece in text.split(_BEGIN)[1:]:
        inside, end, _ = piece.partition(_END)
        if end:
            yield inside


@dataclass(frozen=True, slots=True)
class Saved:
    """One saved mail, asked as a witness is."""

    path: Path
    keys: Collection[str]
    """Public keys of the log: what none of them signed counts for nothing."""
    verify: Verify

    public_key = None

    @property
    def name(self) -> str:
        return self.path.name

    def kept(self, origin: str) -> Iterable[bytes]:
        """Raises AgentError: it has no checkpoint of this log that one of its keys signed."""
        try:
            with self.path.open("rb") as file:
                found = notes(file.read(MOST_BYTES + 1))
        except (OSError, ValueError) as error:
            raise self._useless(str(getattr(error, "strerror", None) or render(str(error)))) from error
        good = [data for data in found if self._holds(data, origin)]
        if not good:
            raise self._useless(render(N_("it has no checkpoint of this log with a signature that holds")))
        return good

    def _holds(self, data: bytes, origin: str) -> bool:
        with suppress(ValueError):
            read = note.read(data)
            return read.checkpoint.origin == origin and any(note.signed(read, key, self.verify) for key in self.keys)
        return False

    def _useless(self, reason: str) -> AgentError:
        return AgentError(
            "SA5092",
            N_("the mail {path} proves nothing: {reason}"),
            hint=N_("save it as it came, as .eml; if a key is missing here that signed earlier, ask where it went"),
            path=self.path,
            reason=reason,
        )


def saved(path: Path, keys: Collection[str], verify: Verify) -> list[Saved]:
    """A mail, or all `*.eml` of a folder.

    Raises:
        AgentError: there are none, or too many.
    """
    try:
        files = sorted(each for each in path.iterdir() if each.suffix.lower() == ".eml") if path.is_dir() else [path]
        files = [each for each in files if each.is_file()]
    except OSError:
        files = []
    if not 0 < len(files) <= MOST_FILES:
        raise AgentError(
            "SA5093",
            N_("{path} has {count} mails; expected: a mail, or a folder with up to {most} files .eml"),
            path=path,
            count=len(files),
            most=MOST_FILES,
        )
    return [Saved(each, keys, verify) for each in files]
