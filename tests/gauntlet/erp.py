"""A server on loopback with fixed answers, and a run of one recipe against it by the real browser."""

from __future__ import annotations

import contextlib
import http.server
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from scraper_agent import canonical
from scraper_agent.archive.sqlite import SqliteArchive
from scraper_agent.authoring.load import Loaded, load
from scraper_agent.capture.browser import Settings
from scraper_agent.formats import FORMATS
from scraper_agent.pipeline import Harvest, Pipeline, Plan
from scraper_agent.policy import Policy
from scraper_agent.values import Digest, Draft, Fact, JobId
from tests.chromium import Sharing

NOW = datetime(2026, 5, 6, 1, 30, tzinfo=UTC)


@dataclass(frozen=True)
class Answer:
    body: bytes
    type: str = "text/html; charset=utf-8"
    file_name: str = ""
    """Sent as an attachment."""
    after: threading.Event | None = None
    """Sent when this is set, and not before."""
    sets: threading.Event | None = None


@dataclass
class Site:
    base: str
    answers: dict[str, Answer] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def put(self, **pages: str) -> None:
        self.answers.update({f"/{name}": Answer(text.encode()) for name, text in pages.items()})


@contextmanager
def site() -> Iterator[Site]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            here.asked.append(self.path)
            answer = here.answers.get(self.path) or here.answers.get(self.path.partition("?")[0])
            if answer is None:
                self.send_error(404)
                return
            if answer.sets is not None:
                answer.sets.set()
            if answer.after is not None:
                answer.after.wait(10)
            self.send_response(200)
            self.send_header("Content-Type", answer.type)
            self.send_header("Content-Length", str(len(answer.body)))
            if answer.file_name:
                self.send_header("Content-Disposition", f'attachment; filename="{answer.file_name}"')
            self.end_headers()
            with contextlib.suppress(OSError):  # the browser may have gone
                self.wfile.write(answer.body)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        here = Site(f"http://127.0.0.1:{server.server_port}")
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield here
        server.shutdown()


@dataclass
class Ran:
    """What one run left."""

    harvest: Harvest
    facts: tuple[Fact, ...]
    drafts: list[Draft]
    path: Path
    loaded: Loaded

    def blob(self, digest: Digest) -> bytes:
        with SqliteArchive(self.path, lambda: NOW, read_only=True) as archive:
            return archive.get(digest)

    def of(self, kind: type[Any]) -> list[Any]:
        return [fact for fact in self.facts if isinstance(fact, kind)]

    def read(self, number: int = 0) -> tuple[Mapping[str, Any], list[Mapping[str, Any]]]:
        """Header and lines of a document as they are written, without what the program adds."""
        document = json.loads(self.blob(self.drafts[number].document))
        header = {k: v for k, v in document["header"].items() if k in self.loaded.recipe.document.header}
        return header, document["lines"]

    def origins(self, number: int = 0) -> list[dict[str, Any]]:
        return cast("list[dict[str, Any]]", json.loads(self.blob(self.drafts[number].provenance)))


def never(*_: object) -> Any:
    raise AssertionError("nothing is signed or sent here")


def run(
    folder: Path,
    recipe: str,
    parameters: Mapping[str, str],
    *,
    number: int = 1,
    then: Callable[[SqliteArchive, Loaded], Mapping[str, str]] | None = None,
    most_documents: int | None = None,
) -> Ran:
    """`recipe` is the YAML text; `then` gives further parameters from what the archive holds."""
    path = folder / "recipe.yaml"
    path.write_text(recipe, encoding="utf-8")
    loaded = load(path, FORMATS)
    with SqliteArchive(folder / "archive.db", lambda: NOW) as archive:
        plan = Plan(
            recipe=loaded.recipe,
            recipe_source=loaded.source,
            lookups=loaded.lookups,
            parameters={**parameters, **(then(archive, loaded) if then else {})},
            policy_source=b"automatic: {}",
            started_by=canonical.sm3(b"account").hex(),
            agent="scraper_agent test",
            most_documents=most_documents,
        )
        pipeline = Pipeline(
            archive=archive,
            now=lambda: NOW,
            formats=FORMATS,
            profile={"uscc": "91350100M000100Y43", "name": "上海启明精工有限公司"},
            policy=Policy(automatic={}),
            signer=never,
            transport=cast("Any", None),
            receiver=cast("Any", None),
        )
        browser = Sharing(settings=Settings(images=False), secret=lambda _: "secret-of-the-test", tell=print)
        id = JobId(f"run/{number}")
        harvest = pipeline.harvest(id, plan, browser)
        facts = archive.job(id).facts
    return Ran(harvest, facts, list(harvest.documents.values()), folder / "archive.db", loaded)
