"""Recipes are approved before use: what counts as the same recipe, who may say yes, and what does not hold."""

from __future__ import annotations

import json
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from loguru import logger
from pydantic import SecretStr

from scraper_agent import app as wiring
from scraper_agent import canonical, cli, messages, recipes_approved
from scraper_agent.app import App
from scraper_agent.archive import bodies
from scraper_agent.archive.sqlite import SqliteArchive
from scraper_agent.archive.verify import verify
from scraper_agent.authoring import edition
from scraper_agent.authoring.load import Loaded
from scraper_agent.errors import AgentError, BusinessError, NeedsPerson
from scraper_agent.formats import FORMATS
from scraper_agent.ports import Signer
from scraper_agent.recipes_approved import TYPE, Approvals, Said, State
from scraper_agent.signing import keyfolder, sm2_file, statement
from scraper_agent.values import Digest, RecipeDecided, RecipeProposed, RunStarted
from tests import policies

TOP = Path(__file__).parents[1]
PASSPHRASE = "a pass phrase of these tests"  # noqa: S105 - of a key this file makes
BASE = "http://127.0.0.1:9"
OVERLAY = "extends: demo/order\nrecipe: site/order\nversion: '2'\ndocument: {header: {orderDate: {label: 制单日期}}}\n"
ALONE = (
    "`scraper-agent recipe diff site/order` shows what it reads; an administrator other than wang approves it, from an "
    "account of their own; where one person works alone, write `recipes: {approved_by: one}` into the policy and sign "
    "it: `scraper-agent policy sign`"
)
PEOPLE = {"wang": ["operator"], "li": ["administrator"], "chen": ["administrator"], "zhao": ["auditor"]}


@dataclass(frozen=True)
class Answer:
    code: int
    out: str
    err: str


@dataclass
class Site:
    """A folder with a config, a key and the demo's recipes, one of them laid over another."""

    folder: Path
    capsys: pytest.CaptureFixture[str]
    monkeypatch: pytest.MonkeyPatch

    def policy(self, approved_by: str | None, people: Mapping[str, list[str]] = {}) -> None:
        permit = {"purpose": "login", "path": "/login", "form": ["user", "password"]}
        requests = {erp: {"addresses": [BASE], "permits": [permit]} for erp in ("demo", "site")}
        data: dict[str, Any] = {"requests": requests}
        data["people"] = {name: {"roles": roles} for name, roles in people.items()}
        if approved_by is not None:
            data["recipes"] = {"approved_by": approved_by}
        (self.folder / "policy.yaml").write_text(json.dumps(data), encoding="utf-8")
        policies.sign(self.folder, PASSPHRASE, sk="02")  # 01 is revoked by some tests

    def app(self) -> App:
        return App.load(self.folder / "config.yaml")

    def by(self, name: str, *arguments: str) -> Answer:
        """`scraper-agent`, from somebody's account."""
        self.monkeypatch.setenv("LOGNAME", name)
        self.monkeypatch.setattr(sys, "argv", ["scraper-agent", "-c", str(self.folder / "config.yaml"), *arguments])
        self.capsys.readouterr()
        try:
            cli.main()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        finally:
            logger.remove()
        captured = self.capsys.readouterr()
        return Answer(code, captured.out, captured.err)

    def change(self, name: str, before: str, after: str) -> None:
        path = self.folder / "recipes" / name
        text = path.read_text(encoding="utf-8")
        assert before in text
        path.write_text(text.replace(before, after), encoding="utf-8")

    def load(self, name: str = "site/order") -> Loaded:
        return self.app().recipe(name)

    def refusal(self, by: str = "wang") -> str:
        """What a run by this person would be told before anything is opened; empty if it goes on."""
        app = self.app()
        with app.archive() as archive:
            try:
                app.approvals(archive).require(app.recipe("site/order").edition, by)
            except AgentError as error:
                return str(error)
        return ""

    def facts(self, recipe: str = "site/order") -> list[object]:
        with self.app().archive(read_only=True) as archive:
            return list(archive.job(recipes_approved.job_id(recipe)).facts)

    def approve(self, name: str = "site/order") -> Digest:
        """By li, what wang proposed."""
        app = self.app()
        with app.archive() as archive:
            approvals, wanted = app.approvals(archive), app.recipe(name).edition
            approvals.propose(wanted, "wang", "")
            approvals.approve(wanted.recipe.recipe, wanted.digest, "li", "looked")
        return wanted.digest


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    for _ in range(2):
        keyfolder.create(folder, SecretStr(PASSPHRASE), wiring.now())
    return folder


@pytest.fixture
def site(
    tmp_path: Path, keys: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Site]:
    """Whose browser is none: what gets so far is told by that."""
    monkeypatch.setenv("LC_ALL", "en_US.UTF-8")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("CANARY", PASSPHRASE)
    shutil.copytree(keys, tmp_path / "keys")
    for name in ("order.yaml", "lookups.yaml"):
        (tmp_path / "recipes/demo").mkdir(parents=True, exist_ok=True)
        shutil.copy(TOP / "recipes/demo" / name, tmp_path / "recipes/demo")
    (tmp_path / "recipes/site").mkdir()
    (tmp_path / "recipes/site/order.yaml").write_text(OVERLAY, encoding="utf-8")
    erp = {"parameters": {"base": BASE, "user": "query"}, "secrets": {"password": {"env": "CANARY"}}}
    config = {
        "enterprise": {"name": "上海启明精工有限公司", "uscc": "91350100M000100Y43", "customs_master": "2200"},
        "erps": {"demo": erp, "site": {**erp, "session_key": {"env": "CANARY"}}},
        "browser": {"executable": str(tmp_path / "no-browser")},
        "signing": {"kind": "file", "folder": "keys", "key": "01"},
        "passphrase": {"env": "CANARY"},
        "receiver": {"ak": "310001", "transport": {"kind": "https", "url": BASE}, "public_keys": {}},
    }
    (tmp_path / "config.yaml").write_text(json.dumps(config), encoding="utf-8")
    made = Site(tmp_path, capsys, monkeypatch)
    made.policy(None)
    yield made
    messages.use("en")


# --- what is approved -----------------------------------------------------------------------------------------------


def test_a_digest_is_of_the_bytes_of_all_files_and_not_of_where_they_lie(site: Site, tmp_path: Path) -> None:
    first = site.load().edition
    assert list(first.files) == ["0/order.yaml", "1/order.yaml", "1/lookups/lookups.yaml"]
    shutil.copytree(site.folder / "recipes", tmp_path / "elsewhere")
    (tmp_path / "elsewhere/site/another.yaml").write_text("nothing", encoding="utf-8")
    copy = wiring.load_recipe("site/order", tmp_path / "elsewhere", FORMATS)
    assert copy.edition.digest == first.digest


@pytest.mark.parametrize(
    ("file", "before", "after"),
    [
        ("site/order.yaml", "version: '2'", "version: '2'  # a comment"),
        ("demo/order.yaml", "version: ", "version:  "),
        ("demo/lookups.yaml", "currency:", "currency: "),
    ],
)
def test_each_byte_of_each_file_counts(site: Site, file: str, before: str, after: str) -> None:
    first = site.load().edition
    site.change(file, before, after)
    assert site.load().edition.digest != first.digest


def test_an_edition_is_read_from_its_files_alone(site: Site) -> None:
    loaded = site.load()
    recalled = edition.recall(dict(loaded.files))
    assert (recalled.recipe, dict(recalled.lookups)) == (loaded.recipe, dict(loaded.lookups))
    assert recalled.digest == loaded.edition.digest


# --- before it is used ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command", [("run", "site/order"), ("run", "site/order", "--dry-run"), ("login", "site/order")]
)
def test_what_nobody_approved_is_refused_before_a_browser_opens(site: Site, command: tuple[str, ...]) -> None:
    said = site.by("wang", *command)
    assert said.code == 5
    assert said.err[said.err.index("SA6070") :].splitlines() == [
        "SA6070 the recipe site/order, version 2, waits for approval; proposed by wang",
        f"hint: {ALONE}",
    ]
    (proposed,) = site.facts()
    assert isinstance(proposed, RecipeProposed)
    assert (proposed.by, proposed.digest) == ("person:wang", site.load().edition.digest)
    with site.app().archive(read_only=True) as archive:
        assert archive.runs() == []
        assert {name: archive.get(each) for name, each in proposed.files.items()} == site.load().files
    site.by("wang", *command)
    assert len(site.facts()) == 1, "what is proposed is not proposed again"


def test_what_a_second_person_approved_is_used(site: Site) -> None:
    digest = site.load().edition.digest
    assert site.by("wang", "recipe", "propose", "site/order").out == f"site/order 2  waiting  {digest}\n"
    said = site.by("li", "recipe", "approve", "site/order", "--digest", digest[4:16], "--reason", "looked")
    assert said.out == f"site/order 2  approved  {digest}\n"
    said = site.by("wang", "run", "site/order")
    assert "SA6070" not in said.err
    with site.app().archive(read_only=True) as archive:
        started = archive.job(archive.runs()[-1]).facts[0]
        signed = json.loads(archive.get(_decision(site).statement or Digest("")))
    assert isinstance(started, RunStarted)
    assert started.edition == digest
    assert signed["payloadType"] == "application/vnd.scraper-agent.recipe+v1"
    assert "SA6070" not in site.by("wang", "login", "site/order").err
    assert verify(site.folder / "archive.db").whole


def test_the_policy_may_ask_for_no_approval(site: Site) -> None:
    site.policy("nobody")
    said = site.by("wang", "run", "site/order")
    assert "SA6070" not in said.err
    with site.app().archive(read_only=True) as archive:
        started = archive.job(archive.runs()[-1]).facts[0]
        assert archive.recipes() == []
    assert isinstance(started, RunStarted)
    assert started.edition is None


@pytest.mark.parametrize(
    ("file", "before", "after"),
    [
        ("site/order.yaml", "制单日期", "交货日期"),
        ("demo/order.yaml", "title: 演示", "title: 又一个"),
        ("demo/lookups.yaml", "currency:", "currency: "),
    ],
)
def test_what_was_changed_since_waits_again(site: Site, file: str, before: str, after: str) -> None:
    """A file of those that it extends or looks up in is as good as its own."""
    site.approve()
    site.change(file, before, after)
    told = "SA6070 the recipe site/order has changed since it was approved, and waits for approval; by chen\n"
    assert site.refusal("chen").startswith(told)


def test_an_older_edition_that_was_approved_may_be_used_again_until_it_is_declined(site: Site) -> None:
    older = site.approve()
    site.change("site/order.yaml", "制单日期", "交货日期")
    site.approve()
    site.change("site/order.yaml", "交货日期", "制单日期")
    assert site.refusal() == ""
    assert site.by("li", "recipe", "decline", "site/order", "--digest", older[4:12], "--reason", " ").code == 3
    assert site.by("li", "recipe", "decline", "site/order", "--digest", older[4:12], "--reason", "old page").code == 0
    assert site.refusal().startswith("SA6070 the recipe site/order, version 2, was declined by li: old page")
    site.change("site/order.yaml", "制单日期", "交货日期")
    assert site.refusal() == "", "the newer one is as it was"


# --- who may --------------------------------------------------------------------------------------------------------


def test_who_proposed_it_may_not_approve_it_unless_the_policy_says_so(site: Site) -> None:
    digest = site.load().edition.digest
    site.by("li", "recipe", "propose", "site/order")
    said = site.by("li", "recipe", "approve", "site/order", "--digest", digest)
    assert said.code == 3
    assert said.err.startswith(
        "SA6072 li proposed the recipe site/order, and the policy wants it approved by a second person\n"
        "hint: `scraper-agent recipe diff site/order` shows what it reads; an administrator other than li approves"
    )
    site.policy("one")
    assert site.by("li", "recipe", "approve", "site/order", "--digest", digest).code == 0
    assert site.refusal("li") == ""
    site.policy("second_person")
    assert "does not hold: li proposed it too, and the policy wants a second person" in site.refusal("li")


def test_everybody_who_proposed_it_is_its_author(site: Site) -> None:
    digest = site.load().edition.digest
    for name in ("wang", "li"):
        site.by(name, "recipe", "propose", "site/order")
    said = site.by("li", "recipe", "approve", "site/order", "--digest", digest)
    assert "SA6072" in said.err
    assert "an administrator other than wang, li approves it" in said.err


def test_where_one_is_enough_nobody_needs_to_propose_first(site: Site) -> None:
    site.policy("one")
    said = site.by("li", "recipe", "approve", "site/order", "--digest", site.load().edition.digest[4:12])
    assert (said.code, [type(fact) for fact in site.facts()]) == (0, [RecipeProposed, RecipeDecided])


def test_only_administrators_approve_and_they_are_named(site: Site) -> None:
    site.policy("second_person", PEOPLE)
    said = site.by("wang", "run", "site/order")
    assert said.err.splitlines()[-1] == (
        "hint: `scraper-agent recipe diff site/order` shows what it reads; chen, li may approve it: "
        "`scraper-agent recipe approve site/order`"
    )
    digest = site.load().edition.digest
    for command in (("approve", "--digest", digest), ("decline", "--digest", digest, "--reason", "no")):
        said = site.by("wang", "recipe", command[0], "site/order", *command[1:])
        assert (said.code, said.err[:6]) == (3, "SA6020")
    assert site.by("zhao", "recipe", "propose", "site/order").err.startswith("SA6020"), "an auditor changes nothing"
    assert site.by("nobody", "run", "site/order").code == 5, "it is proposed already: nothing is logged"
    assert [type(fact) for fact in site.facts()] == [RecipeProposed]
    assert site.by("li", "recipe", "approve", "site/order", "--digest", digest).code == 0
    site.change("site/order.yaml", "制单日期", "交货日期")
    said = site.by("zhao", "run", "site/order")
    assert (said.code, len(site.facts())) == (3, 2)
    assert "SA6020" in said.err


def test_nothing_is_approved_that_was_not_shown(site: Site) -> None:
    site.by("wang", "recipe", "propose", "site/order")
    digest = site.load().edition.digest
    said = site.by("li", "recipe", "approve", "site/order")
    assert said.code == 2
    assert said.out.startswith("site/order was never approved. What it does:\n")
    assert said.err == (
        "SA7202 nothing is approved yet\nhint: if this is what the enterprise wants: "
        f"`scraper-agent recipe approve site/order --digest {digest[4:16]}`\n"
    )
    for seen in ("0000", digest[4:7], "sm3:" + "0" * 64):
        said = site.by("li", "recipe", "approve", "site/order", "--digest", seen)
        assert (said.code, said.err[:6]) == (3, "SA6071")
    site.change("site/order.yaml", "制单日期", "交货日期")
    newer = site.load().edition.digest
    assert "SA6071" in site.by("li", "recipe", "approve", "site/order", "--digest", newer).err, "nobody proposed it"
    assert len(site.facts()) == 1


def test_what_is_approved_is_not_approved_twice(site: Site) -> None:
    digest = site.approve()
    said = site.by("chen", "recipe", "approve", "site/order", "--digest", digest)
    assert said.err == "SA6073 the recipe site/order, version 2, is approved already, by li\n"


# --- what does not hold ---------------------------------------------------------------------------------------------


def _decision(site: Site) -> RecipeDecided:
    (decided,) = (fact for fact in site.facts() if isinstance(fact, RecipeDecided))
    return decided


def _signer(folder: Path, key: str = "01") -> Signer:
    config = sm2_file.Config(kind="file", folder=folder, key=key)
    return sm2_file.Sm2FileSigner(config, SecretStr(PASSPHRASE), wiring.now)


def _said(site: Site, **change: Any) -> dict[str, Any]:
    told = {
        "recipe": "site/order",
        "version": "2",
        "digest": site.load().edition.digest,
        "approved_by": "person:li",
        "time": "2026-05-06T01:30:00.000000Z",
    }
    return told | change


def _forge(site: Site, body: bytes | None) -> str:
    """Somebody who can write the archive, and not sign, says that li approved it; what a run is told then."""
    app, loaded = site.app(), site.load()
    with app.archive() as archive:
        app.approvals(archive).propose(loaded.edition, "wang", "")
        job = recipes_approved.job_id("site/order")
        kept = None if body is None else archive.put(body)
        fact = RecipeDecided(digest=loaded.edition.digest, granted=True, by="person:li", reason="", statement=kept)
        archive.append(job, archive.length(job), fact)
    return site.refusal()


def _statement(payload: Mapping[str, Any], signer: Signer, type: str = TYPE) -> bytes:
    return statement.sign(canonical.dumps(payload), type, [signer])


@dataclass(frozen=True)
class Foreign:
    """Signs as a key that is none of the installation's."""

    known: Signer
    key_index: str = "77"

    @property
    def public_key(self) -> str:
        return self.known.public_key

    def sign(self, message: bytes) -> bytes:
        return self.known.sign(message)


Forged = Callable[[Site, Signer], bytes | None]


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (lambda *_: None, "its statement is damaged: "),
        (lambda *_: b"{}", "its statement is damaged: Field required"),
        (lambda s, k: _statement(_said(s), k).replace(b"  ", b" ", 1), "spelled otherwise than it is made"),
        (lambda s, k: _statement(_said(s), k, "application/vnd.scraper-agent.policy+v1"), "a statement of the type"),
        (lambda s, k: _statement(_said(s, recipe="demo/order"), k), "about something else: demo/order 2 sm3:"),
        (lambda s, k: _statement(_said(s, digest="sm3:" + "0" * 64), k), "about something else: site/order 2 sm3:0000"),
        (lambda s, k: _statement(_said(s, approved_by="person:chen"), k), "about something else"),
        (lambda s, k: _statement(_said(s, version="1"), k), "about something else: site/order 1"),
        (lambda s, k: _statement(_said(s, more="x"), k), "damaged: Extra inputs are not permitted"),
        (
            lambda s, k: statement.write(canonical.dumps(_said(s)), TYPE, [("01", k.sign(b"something else"))]),
            "no key of this installation has signed its statement; it names 01",
        ),
        (
            lambda s, k: _statement(_said(s), Foreign(k)),
            "it names 77",
        ),
    ],
)
def test_what_was_forged_is_no_approval(site: Site, made: Forged, why: str) -> None:
    told = _forge(site, made(site, _signer(site.folder / "keys")))
    assert told.startswith("SA6070 the approval of the recipe site/order, version 2, does not hold: ")
    assert why in told


def test_a_statement_as_it_should_be_is_one(site: Site) -> None:
    """What the forgeries differ from."""
    assert _forge(site, _statement(_said(site), _signer(site.folder / "keys"))) == ""


def test_a_key_that_was_revoked_approves_nothing_more(site: Site) -> None:
    made = _statement(_said(site), _signer(site.folder / "keys"))
    keyfolder.revoke(site.folder / "keys", "01", "stolen", wiring.now())
    told = _forge(site, made)
    assert "does not hold: the key 01 was not to be trusted any more when it signed the statement" in told


def test_what_a_key_approved_before_it_was_revoked_holds(site: Site) -> None:
    site.approve()
    keyfolder.revoke(site.folder / "keys", "01", "lost", wiring.now())
    assert site.refusal() == ""


def test_without_its_statement_or_its_files_the_archive_tells(site: Site) -> None:
    site.approve()
    (proposed, decided) = site.facts()
    assert isinstance(proposed, RecipeProposed)
    assert isinstance(decided, RecipeDecided)
    gone = (decided.statement or "", proposed.files["1/order.yaml"])
    with sqlite3.connect(site.folder / "archive.db") as db:
        bodies.delete(db, [bytes.fromhex(digest[4:]) for digest in gone])
    db.close()
    missing = f"{site.folder / 'archive.db'}: body {decided.statement} is not in the archive"
    assert f"does not hold: {missing}" in site.refusal()
    found = verify(site.folder / "archive.db")
    assert {problem.values["digest"] for problem in found.problems} == set(gone)


# --- what is new ----------------------------------------------------------------------------------------------------


def test_diff_tells_what_is_new_since_the_last_approval(site: Site) -> None:
    site.approve()
    assert site.by("li", "recipe", "diff", "site/order").out.splitlines()[:2] == [
        "site/order, since li approved version 2:",
        "Nothing has changed.",
    ]
    site.change("site/order.yaml", "version: '2'", "version: '2' # again")
    assert "only the text differs" in site.by("li", "recipe", "diff", "site/order").out
    site.change("site/order.yaml", "制单日期", "交货日期")
    said = site.by("li", "recipe", "diff", "site/order", "--text")
    assert (
        "  document > header > orderDate (下单日期) is read from elsewhere: label 制单日期 → label 交货日期\n"
        in said.out
    )
    assert "\n-document: {header: {orderDate: {label: 制单日期}}}\n" in said.out
    assert f"Digest of site/order as it is now: {site.load().edition.digest}" in said.out


def test_diff_compares_two_files_without_a_config(site: Site) -> None:
    shutil.copy(site.folder / "recipes/demo/order.yaml", site.folder / "recipes/demo/before.yaml")
    site.change("demo/order.yaml", "path: /login", "path: /sign-in")
    (site.folder / "config.yaml").unlink()
    files = [str(site.folder / "recipes/demo" / name) for name in ("order.yaml", "before.yaml")]
    assert site.by("li", "recipe", "diff", *files).out.splitlines() == [
        "  it may send no more: login: POST /login (user, password)",
        "  it may also send: login: POST /sign-in (user, password)",
    ]


def test_an_edition_that_this_program_no_longer_reads_is_compared_as_text(site: Site) -> None:
    site.approve()
    path = site.folder / "archive.db"
    later = {name: body.replace(b"version: '2'", b"version: '3'") for name, body in site.load().files.items()}
    with SqliteArchive(path, wiring.now) as archive:
        files = {
            name: archive.put(body + b"\nspeed: 3\n" if name == "0/order.yaml" else body)
            for name, body in later.items()
        }
        job, digest = recipes_approved.job_id("site/order"), archive.put(canonical.dumps(files))
        told = RecipeProposed(recipe_id="site/order", version="3", digest=digest, files=files, by="person:wang")
        archive.append(job, archive.length(job), told)
    assert site.by("li", "recipe", "approve", "site/order", "--digest", digest).code == 0
    said = site.by("li", "recipe", "diff", "site/order")
    assert "The approved recipe is of an earlier version of the program; its text differs so:" in said.out
    assert "\n-speed: 3\n" in said.out


def test_the_list_tells_how_each_recipe_stands(site: Site) -> None:
    site.approve()
    site.by("wang", "run", "demo/order")
    assert _row(site, "site/order")[2] == "approved"
    assert _row(site, "demo/order")[2] == "waits for approval"
    site.change("site/order.yaml", "制单日期", "交货日期")
    assert _row(site, "site/order")[2] == "approved; it has changed since, and is not proposed so"
    site.by("wang", "recipe", "propose", "site/order")
    row = _row(site, "site/order")
    assert (row[2], row[3], row[5]) == ("waits for approval", site.load().edition.digest[4:16], "-")
    (site.folder / "recipes/site/order.yaml").unlink()
    assert "there is no recipe `site/order`" in _row(site, "site/order")[2]


def _row(site: Site, name: str) -> list[str]:
    lines = site.by("li", "recipe", "list").out.splitlines()
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines]
    first = next(n for n, cells in enumerate(rows) if cells and cells[0] == name)
    row = rows[first]
    for more in rows[first + 1 :]:
        if not more or more[0]:
            break
        row = [f"{one} {other}".strip() for one, other in zip(row, more, strict=True)]
    return row


# --- as a module ----------------------------------------------------------------------------------------------------


def test_the_time_that_counts_is_the_logs(site: Site) -> None:
    """A stolen key may write any time into the statement, but not when the log took it in."""
    clock = datetime(2026, 5, 6, 1, 30, tzinfo=UTC)
    loaded, app = site.load(), site.app()
    known = app.approvals  # the keys as the installation has them
    with SqliteArchive(site.folder / "archive.db", lambda: clock) as archive:
        approvals = Approvals(
            archive=archive,
            policy=app.policy,
            keys=lambda: {
                sk: recipes_approved.Key(public_key=key.public_key, until=ends)
                for sk, key in known(archive).keys().items()
            },
            signer=lambda: app.signer,
            now=lambda: clock - timedelta(days=30),
        )
        ends: datetime | None = None
        approvals.propose(loaded.edition, "wang", "")
        made = approvals.approve("site/order", loaded.edition.digest, "li", "")
        assert made.state is State.APPROVED
        ends = clock
        assert approvals.editions("site/order")[0].state is State.VOID
        ends = clock + timedelta(seconds=1)
        assert approvals.editions("site/order")[0].state is State.APPROVED
        assert Said.model_validate_json(_payload(archive, made)).time == clock - timedelta(days=30)


def _payload(archive: SqliteArchive, of: recipes_approved.Standing) -> bytes:
    (decided,) = (f for f in archive.job(recipes_approved.job_id(of.recipe_id)).facts if isinstance(f, RecipeDecided))
    return statement.read(archive.get(decided.statement or Digest("")), TYPE, most_bytes=65_536).payload


def test_a_console_needs_no_recipe_file(site: Site) -> None:
    """What waits is shown and decided from the archive alone."""
    site.approve()
    site.change("site/order.yaml", "制单日期", "交货日期")
    site.by("wang", "recipe", "propose", "site/order")
    shutil.rmtree(site.folder / "recipes")
    app = site.app()
    with app.archive() as archive:
        approvals = app.approvals(archive)
        (waits,) = approvals.recipes()
        assert (waits.state, waits.authors) == (State.WAITING, ("person:wang",))
        found = approvals.difference(approvals.recalled(waits))
        assert found.since is not None
        assert [(c.part, c.kind, c.old, c.new) for c in found.changes or ()] == [
            ("field", "changed", "label 制单日期", "label 交货日期")
        ]
        with pytest.raises(BusinessError, match="SA6074"):
            approvals.decline("site/order", waits.digest, "li", " ")
        assert approvals.approve("site/order", waits.digest, "li", "").state is State.APPROVED
        with pytest.raises(NeedsPerson, match="SA6070"):
            approvals.require(site_demo(), "wang")


def site_demo() -> edition.Edition:
    return wiring.load_recipe("demo/receipt", TOP / "recipes", FORMATS).edition
