"""Errors a person can act on. Anything else that escapes is a bug in the agent."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from scraper_agent import messages
from scraper_agent.messages import N_


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a text file; `line` and `column` start at 1."""

    path: Path
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing wrong with a file the user wrote."""

    at: Position
    code: str
    text: str
    hint: str = ""
    values: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Lines:
    """A value that keeps its lines, because the agent itself wrote them."""

    text: str

    def __str__(self) -> str:
        return self.text


class AgentError(Exception):
    """Base of every error shown without a traceback: a stable code, one sentence, a hint."""

    exit_code = 4
    """2 usage (what the user wrote), 3 business (documents), 4 application (machine, network), 5 a person is needed."""

    def __init__(self, code: str, text: str, /, *, hint: str = "", **values: object) -> None:
        super().__init__(code, text)
        self.code = code
        self.text = text
        self.hint = hint
        self.values: dict[str, object] = {k: _whole(v) if isinstance(v, str) else v for k, v in values.items()}

    @property
    def sentence(self) -> str:
        return messages.render(self.text, self._shown)

    @property
    def hinted(self) -> str:
        """What to do about it; empty if nothing is known."""
        return messages.render(self.hint, self._shown)

    @property
    def _shown(self) -> dict[str, object]:
        """The values; none of them can begin a line of its own, since they may be text of a page."""
        return {k: " ".join(v.splitlines()) if isinstance(v, str) else v for k, v in self.values.items()}

    def __str__(self) -> str:
        told = f"{self.code} {self.sentence}"
        if self.hint:
            told += f"\n{messages.render(N_('hint: '))}{self.hinted}"
        return told


class UsageError(AgentError):
    """Config, recipe, policy, option or file name is wrong: correct it and start again."""

    exit_code = 2


class BusinessError(AgentError):
    """A document or what is wanted of it breaks a rule."""

    exit_code = 3


class NeedsPerson(AgentError):
    """Only a person can go on: wrong password, passphrase, a code by SMS, a captcha."""

    exit_code = 5


class PageError(BusinessError):
    """A page does not have what the recipe names. What was read before stays; the run goes on with the next one."""


class SourceErrors(UsageError):
    """A YAML file is wrong; carries every problem found, in file order."""

    def __init__(self, problems: tuple[Problem, ...], text: str, *, others: Mapping[Path, str] | None = None) -> None:
        super().__init__("SA1000", N_("{count} problem(s)"), count=len(problems))
        self.problems = problems
        self.source = text
        self.others = others or {}
        """The texts of other files that a problem may stand in."""

    def __str__(self) -> str:
        out = []
        for problem in self.problems:
            lines = self.others.get(problem.at.path, self.source).splitlines()
            out.append(f"{problem.at}: {problem.code} {messages.render(problem.text, problem.values)}")
            if problem.at.line <= len(lines):
                line = lines[problem.at.line - 1]
                out += [f"  | {line}", f"  | {' ' * _width(line[: problem.at.column - 1])}^"]
            if problem.hint:
                out.append(messages.render(N_("hint: ")) + messages.render(problem.hint, problem.values))
        return "\n".join(out)


class SendFailed(AgentError):
    """The transport is sure that the receiver did not get the envelope; sending again is safe.

    The destination is away, or takes nothing now: after some in a row the others wait. Its `retry_after`, if it has
    that value, is seconds or an HTTP date.
    """


class SendRefused(SendFailed):
    """The receiver is there and did not take this envelope; others it may take."""


class SendUnknown(AgentError):
    """The receiver may have the envelope; ask with `Transport.find` before sending again."""


class Conflict(AgentError):
    """Another worker has moved the job on."""


def causes(error: BaseException) -> Iterator[BaseException]:
    """It, and what it came of, each once: errors that were raised again in another task may come of each other."""
    met: set[int] = set()
    each: BaseException | None = error
    while each is not None and id(each) not in met:
        met.add(id(each))
        yield each
        each = each.__cause__ or each.__context__


def _whole(text: str) -> str:
    """`text` without halves of characters, which a page may show and nothing can write down."""
    return text.encode("utf-8", "replace").decode()


def _width(text: str) -> int:
    """Columns `text` takes on a terminal; a Chinese character takes two."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)
