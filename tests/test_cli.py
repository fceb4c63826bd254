"""The command line as a person meets it: what it prints, what it answers with, and what it must never tell.

One harvest of the demo ERP by a real browser serves most tests; each works on a copy of its folder.
"""

from __future__ import annotations

import base64
import html
import http.server
import io
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
import typer.main
import yaml
from loguru import logger
from lxml.html import document_fromstring
from PIL import Image
from pydantic import SecretStr

import scraper_agent
from scraper_agent import app as wiring
from scraper_agent import canonical, cli, messages, report, yamlfile
from scraper_agent import policy as policies
from scraper_agent.app import App
from scraper_agent.archive import bodies as stored
from scraper_agent.archive.sqlite import SqliteArchive
from scraper_agent.archive.verify import verify
from scraper_agent.capture import browser
from scraper_agent.cli import commands
from scraper_agent.config import Config
from scraper_agent.errors import UsageError
from scraper_agent.format import decode, encode
from scraper_agent.formats import FORMATS
from scraper_agent.page import FrozenPage
from scraper_agent.sandbox.erp import USER, Erp
from scraper_agent.sandbox.platform import Platform
from scraper_agent.signing import keyfile, keyfolder, sm2
from scraper_agent.values import (
    Draft,
    Fault,
    Finding,
    Job,
    JobId,
    Outcome,
    Parked,
    Refused,
    RunEnded,
    RunStarted,
    Severity,
    Snapshot,
    State,
    Verdict,
    state,
)
from tests import policies as signed_policies

TOP = Path(__file__).parents[1]
PASSWORD = "c4nary&Erp<77>"  # noqa: S105 - of the ERP this file starts
PASSPHRASE = "c4nary pass phrase"  # noqa: S105 - of the key this file makes
AK = "310001"
POLICY = {"automatic": {"purchaseOrder": {"amounts": {"USD": "1000000"}}}, "recipes": {"approved_by": "nobody"}}
NOBODY = "http://127.0.0.1:9"
LOGIN_PERMIT = {"purpose": "login", "path": "/login", "form": ["user", "password"]}
EVIL = "\x1b[31mred\x1b]0;title\x07\x9b2J\u202egnp.exe\r[bold]"


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str


Agent = Callable[..., Said]


def call(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> Said:
    """`scraper-agent` in this process: the entry point itself, with its exit code."""
    capsys.readouterr()
    before = sys.argv
    sys.argv = ["scraper-agent", *map(str, arguments)]
    try:
        cli.main()
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    finally:
        sys.argv = before
        logger.remove()
    captured = capsys.readouterr()
    return Said(code, captured.out, captured.err)


@pytest.fixture(autouse=True)
def _english(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("LC_ALL", "en_US.UTF-8")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("CANARY_ERP", PASSWORD)
    monkeypatch.setenv("CANARY_KEY", PASSPHRASE)
    yield
    messages.use("en")


def process(*arguments: str | Path, **environment: str) -> Said:
    """`python -m scraper_agent` in a process of its own, without a terminal."""
    done = subprocess.run(
        [sys.executable, "-m", "scraper_agent", *map(str, arguments)],
        cwd=TOP,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=False,
    )
    return Said(done.returncode, done.stdout.decode(), done.stderr.decode())


def configuration(base: str, url: str = "http://127.0.0.1:9/receive", **change: object) -> dict[str, Any]:
    return {
        "enterprise": {"name": "上海启明精工有限公司", "uscc": "91350100M000100Y43", "customs_master": "2200"},
        "erps": {
            "demo": {
                "parameters": {"base": base, "user": USER},
                "secrets": {"password": {"env": "CANARY_ERP"}},
            }
        },
        "signing": {"kind": "file", "folder": "keys", "key": "01"},
        "passphrase": {"env": "CANARY_KEY"},
        "receiver": {"ak": AK, "transport": {"kind": "https", "url": url}, "public_keys": {}},
    } | change


def write(folder: Path, config: Mapping[str, Any]) -> Path:
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(dict(config), allow_unicode=True), encoding="utf-8")
    address = config["erps"]["demo"]["parameters"]["base"]
    requests = {"demo": {"addresses": [address, NOBODY], "permits": [LOGIN_PERMIT]}}
    policy = yaml.safe_dump(POLICY | {"requests": requests})
    (folder / "policy.yaml").write_text(policy, encoding="utf-8")
    if (folder / "keys").exists():
        signed_policies.sign(folder, PASSPHRASE)
    return path


@dataclass(frozen=True)
class Site:
    """A folder with a config, a key and what one run of a supplier's orders left, and both servers of it."""

    folder: Path
    erp: Erp
    platform: Platform
    run: Said

    @property
    def config(self) -> Path:
        return self.folder / "config.yaml"

    def change(self, **change: object) -> None:
        known = yaml.safe_load(self.config.read_text(encoding="utf-8"))
        self.config.write_text(yaml.safe_dump(known | change, allow_unicode=True), encoding="utf-8")

    def send_to(self, url: str) -> None:
        known = yaml.safe_load(self.config.read_text(encoding="utf-8"))["receiver"]
        self.change(receiver=known | {"transport": {"kind": "https", "url": url}})

    def allow(self, address: str) -> None:
        path = self.folder / "policy.yaml"
        known = yaml.safe_load(path.read_text(encoding="utf-8"))
        known["requests"]["demo"]["addresses"].append(address)
        path.write_text(yaml.safe_dump(known), encoding="utf-8")
        signed_policies.sign(self.folder, PASSPHRASE)

    def archive(self, *, read_only: bool = True) -> SqliteArchive:
        return SqliteArchive(self.folder / "archive.db", wiring.now, read_only=read_only)

    def jobs(self, wanted: State) -> list[Job]:
        with self.archive() as archive:
            found = [archive.job(id) for id in archive.documents()]
        return [job for job in found if state(job) is wanted]


def number(job: Job) -> str:
    return job.id.rpartition("/")[2][:12]


@pytest.fixture(scope="module")
def harvested(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Orders of one supplier: one faulty, one above the limit, the others sent."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "recipes" / "demo").mkdir(parents=True)
    shutil.copy(TOP / "recipes/demo/lookups.yaml", folder / "recipes/demo")
    recipe = (TOP / "recipes/demo/order.yaml").read_text(encoding="utf-8")
    few = recipe.replace('"${base}/orders"', '"${base}/orders?q=Great+Lakes"')
    (folder / "recipes/demo/few.yaml").write_text(few, encoding="utf-8")
    entry = keyfolder.create(folder / "keys", SecretStr(PASSPHRASE), wiring.now())
    keys = {(AK, "01"): entry.public_key}
    with Erp(PASSWORD) as erp, Platform(wiring.now, keys, FORMATS) as platform:
        config = configuration(erp.url)
        config["receiver"] |= {
            "transport": {"kind": "https", "url": platform.url},
            "public_keys": platform.public_keys,
        }
        path = write(folder, config)
        said = process("--lang", "en", "-c", path, "run", "demo/few", CANARY_ERP=PASSWORD, CANARY_KEY=PASSPHRASE)
        yield Site(folder, erp, platform, said)


@pytest.fixture
def site(harvested: Site, tmp_path: Path) -> Site:
    folder = tmp_path / "copy"
    shutil.copytree(harvested.folder, folder)
    return replace(harvested, folder=folder)


@pytest.fixture
def agent(capsys: pytest.CaptureFixture[str]) -> Agent:
    return lambda *arguments: call(capsys, *arguments)


@pytest.fixture
def at(agent: Agent, site: Site) -> Agent:
    """`scraper-agent -c` the site's config."""
    return lambda *arguments: agent("-c", site.config, *arguments)


# --- the tree of commands -------------------------------------------------------------------------------------------


def tree() -> Any:
    return typer.main.get_command(cli.build())


def walk(group: Any, *path: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from walk(command, *path, name)
        else:
            yield (*path, name), command


def test_building_the_commands_twice_gives_each_once() -> None:
    before = [path for path, _ in walk(tree())]
    groups = [each.name for each in cli.build().registered_groups]
    cli.build()
    assert [path for path, _ in walk(tree())] == before
    assert [each.name for each in cli.build().registered_groups] == groups
    assert len(before) == len(set(before))
    named = [name for name in groups if isinstance(name, str)]
    assert len(named) == len(set(named))


def test_every_command_has_help_with_an_example() -> None:
    found = dict(walk(tree()))
    assert {("run",), ("jobs",), ("log", "verify"), ("key", "new"), ("recipe", "check"), ("demo",)} <= found.keys()
    for path, command in found.items():
        assert command.help, path
        assert command.epilog, path
        assert command.epilog.startswith(f"Example: scraper-agent {' '.join(path)}"), path
        for parameter in command.params:
            assert getattr(parameter, "help", "") or parameter.name == "help", (path, parameter.name)


def test_help_is_printed_for_every_command(agent: Agent) -> None:
    for path, _ in walk(tree()):
        said = agent(*path, "--help")
        assert (said.code, said.err) == (0, ""), path
        assert "Example: scraper-agent" in said.out, path


def test_version_is_printed(agent: Agent) -> None:
    assert agent("--version").out.strip() == scraper_agent.__version__


# --- init, and the examples -----------------------------------------------------------------------------------------


def test_the_examples_load() -> None:
    yamlfile.load(TOP / "config.example.yaml", Config)
    yamlfile.load(TOP / "policy.example.yaml", policies.Policy)


def test_init_writes_a_config_that_loads_and_never_overwrites(agent: Agent, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "agent"
    assert agent("init", folder).code == 0
    App.load(folder / "config.yaml")
    (folder / "config.yaml").unlink()
    (folder / "policy.yaml").write_text("automatic: {}\n", encoding="utf-8")
    said = agent("init", folder)
    assert (said.code, said.out) == (2, "")
    assert said.err == f"SA7101 {folder / 'policy.yaml'} exists and is not overwritten\nhint: choose another folder\n"
    assert not (folder / "config.yaml").exists(), "nothing is written by halves"
    assert (folder / "policy.yaml").read_text(encoding="utf-8") == "automatic: {}\n"


def test_init_where_nothing_can_be_written_says_so(agent: Agent, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    said = agent("init", tmp_path / "file")
    assert said.code == 2
    assert said.err.startswith("SA7107 ")


# --- exit codes: usage ----------------------------------------------------------------------------------------------


def test_a_missing_config_is_usage(agent: Agent, tmp_path: Path) -> None:
    said = agent("-c", tmp_path / "config.yaml", "jobs")
    assert (said.code, said.out) == (2, "")
    assert said.err == (
        f"SA1001 {tmp_path / 'config.yaml'} does not exist\nhint: check the name, and the folder you are in\n"
    )


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("ak: '310001'", "aak: '310001'", "unknown key `aak`"),
        ("91350100M000100Y43", "91350100M000100Y44", "is not a unified social credit code"),
        ("customs_master: '2200'", "customs_master: '22'", ""),
        ("key: '01'", "key: '1'", ""),
        ("public_keys: {}", f"public_keys: {{'1': {sm2.G}}}", ""),
        ("public_keys: {}", f"public_keys: {{'01': {sm2.G}0}}", "is not an SM2 public key"),
        ("public_keys: {}", f"public_keys: {{'01': {'1' * 128}}}", "is not an SM2 public key"),
        ("url: http://127.0.0.1:9/receive", "url: ftp://x", "is not an address to send to"),
        ("env: CANARY_KEY", "env: CANARY_KEY\n  file: x", "give only one of env, file"),
    ],
)
def test_a_wrong_config_is_told_of_by_line_and_column(
    agent: Agent, tmp_path: Path, old: str, new: str, told: str
) -> None:
    path = write(tmp_path, configuration("http://127.0.0.1:9"))
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    said = agent("-c", path, "jobs")
    assert said.code == 2
    place = re.match(re.escape(str(path)) + r":(\d+):(\d+): SA1\d{3} ", said.err)
    assert place, said.err
    assert told in said.err
    shown = path.read_text(encoding="utf-8").splitlines()[int(place[1]) - 1]
    assert f"  | {shown}\n" in said.err


@pytest.mark.parametrize(
    ("policy", "told"),
    [
        ("automatic: {purchaseOrders: {lines: 1}}", "1:13: SA7006 there is no format `purchaseOrders`; there are "),
        ("automatic: {goodsReceipt: {amounts: {usd: 1}}}", "1:38: SA7007 `usd` is no currency of the code list"),
    ],
)
def test_a_limit_that_no_document_could_meet_is_told_of(agent: Agent, tmp_path: Path, policy: str, told: str) -> None:
    path = write(tmp_path, configuration("http://127.0.0.1:9"))
    (tmp_path / "policy.yaml").write_text(policy, encoding="utf-8")
    said = agent("-c", path, "jobs")
    assert said.code == 2
    assert said.err.startswith(f"{tmp_path / 'policy.yaml'}:{told}")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["run", "demo/nothing"], "SA7005"),
        (["run", "demo/few", "--set", "colour=red"], "SA7003"),
        (["run", "demo/few", "--set", "base"], "SA7102"),
        (["run", "demo/few", "--set", "base=ftp://x"], "SA7004"),
        (["run", "demo/few", "--set", "user="], "SA7004"),
        (["run", "demo/few", "--base=ftp://x"], "SA7004"),
        (["run", "demo/few", "--base", "ftp://x"], "SA7004"),
        (["run", "demo/few", "--base"], "SA7115"),
        (["run", "demo/few", "-x", "1"], "SA7115"),
        (["run", "demo/few", "--dry-rum"], "SA7115"),
        (["run", "demo/few", "--dry-rum", "--max-documents", "1"], "SA7115"),
        (["run", "--base", "http://x"], "SA7117"),
        (["run", "demo/few", "--password", "hunter2"], "SA7116"),
        (["run", "demo/few", "--user", "a", "--set", "user=b"], "SA7118"),
        (["job", "ffffffffffff"], "SA7103"),
        (["approve", "nothing"], "SA7103"),
        (["jobs", "--format", "poem"], "SA7108"),
        (["log", "show", "--job", "run/never"], "SA7109"),
        (["sandbox", "erp", "--password-file", "/nowhere"], "SA7112"),
    ],
)
def test_what_a_person_wrote_wrong_is_usage(at: Agent, arguments: list[str], code: str) -> None:
    said = at(*arguments)
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith(f"{code} ")
    assert "hunter2" not in said.err


@pytest.mark.parametrize("arguments", [["jobs", "--state", "lost"], ["decline", "x"], ["fly"], ["run"]])
def test_what_the_parser_refuses_is_usage(at: Agent, arguments: list[str]) -> None:
    assert at(*arguments).code == 2


def test_an_unknown_recipe_is_told_of_with_those_there_are(at: Agent, site: Site) -> None:
    said = at("run", "demo/nothing")
    assert said.err == (
        f"SA7005 there is no recipe `demo/nothing` in {site.folder / 'recipes'}\n"
        f"hint: give a file, or one of: {re.search('one of: (.*)', said.err)[1]}\n"  # type: ignore[index]
    )
    assert "demo/order" in said.err


def test_a_wrong_parameter_of_a_later_recipe_is_told_of_before_anything_is_read(at: Agent, site: Site) -> None:
    before = verify(site.folder / "archive.db").entries
    other = site.folder / "recipes/demo/other.yaml"
    text = (site.folder / "recipes/demo/few.yaml").read_text(encoding="utf-8").replace("demo/order", "demo/other")
    other.write_text(text.replace("parameters:\n", "parameters:\n  since: {type: date}\n"), encoding="utf-8")
    said = at("run", "demo/few", "demo/other")
    assert said.code == 2
    assert said.err.startswith("SA7004 the parameter `since` of demo/other is `-`; expected date\nhint: ")
    assert verify(site.folder / "archive.db").entries == before


# --- report ---------------------------------------------------------------------------------------------------------


def test_a_report_holds_every_document_of_the_newest_run_and_how_the_log_verified(site: Site, agent: Agent) -> None:
    target = site.folder / "monday.html"
    said = agent("--lang", "en", "-c", site.config, "report", "--out", target)
    assert (said.code, said.out.strip()) == (0, str(target))
    page = document_fromstring(target.read_bytes())
    shown = "".join(map(str, page.itertext()))
    with site.archive() as archive:
        entries = verify(site.folder / "archive.db").entries
        jobs = [archive.job(id) for id in archive.documents()]
    assert all(draft.key in shown for job in jobs if isinstance(draft := job.facts[0], Draft))
    assert str(entries) in shown
    assert len(page.cssselect("#images img")) >= len(jobs)


def test_a_report_of_nothing_is_refused(site: Site, agent: Agent) -> None:
    site.change(archive="other.db")
    with SqliteArchive(site.folder / "other.db", wiring.now):
        pass
    said = agent("--lang", "en", "-c", site.config, "report")
    assert (said.code, said.err.split()[0]) == (2, "SA7110")


# --- run ------------------------------------------------------------------------------------------------------------


def test_a_run_prints_its_table_and_answers_3_for_what_is_blocked(harvested: Site) -> None:
    said = harvested.run
    assert said.code == 3, said.err
    counts = {wanted: len(harvested.jobs(wanted)) for wanted in State}
    assert (counts[State.BLOCKED], counts[State.HELD]) == (1, 1)
    assert counts[State.RECEIPTED] >= 3
    total = sum(counts.values())
    row = next(line for line in said.out.splitlines() if line.strip().startswith("in all"))
    sent = counts[State.RECEIPTED]
    assert [int(n) for n in re.findall(r"\d+", row)][:6] == [total, 1, 1, sent, sent, 0]
    assert "Not everything is in order: `scraper-agent jobs --state blocked`, `log show`." in said.err
    assert harvested.erp.writes == []


def test_a_run_of_a_few_documents_is_in_order(at: Agent, site: Site) -> None:
    said = at("run", "demo/order", "--max-documents", "3")
    assert said.code == 0, said.err
    with site.archive() as archive:
        run = archive.runs()[-1]
        assert archive.last(run) == RunEnded(complete=False, documents=3, faults=0)
        assert len(archive.documents(run=run)) in {2, 3}


def test_a_dry_run_sends_nothing_and_needs_no_passphrase(
    at: Agent, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CANARY_KEY")
    before = site.platform.stored()
    said = at("run", "demo/invoice", "--dry-run", "--max-documents", "2")
    assert said.code == 0, said.err
    with site.archive() as archive:
        run = archive.runs(recipe_id="demo/invoice")[-1]
        for id in archive.documents(run=run):
            assert isinstance(archive.last(id), Verdict)
    assert site.platform.stored() == before


def test_a_wrong_password_needs_a_person_and_is_not_tried_twice(
    at: Agent, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    logins: list[str] = []
    monkeypatch.setattr(Erp, "login", lambda _, user, password: logins.append(user))
    said = at("run", "demo/few", "demo/order")
    assert said.code == 5
    assert "SA2203 the ERP refused the login; it says: 用户名或密码错误\nhint: " in said.err
    assert logins == [USER]
    with site.archive() as archive:
        run = archive.runs()[-1]
        parked = archive.last(run)
    assert isinstance(parked, Parked)
    assert (parked.outcome, parked.where) == (Outcome.WRONG_PASSWORD, "login")
    assert "waits for a person" in at("jobs").out
    shown = at("job", run).out
    assert "wrong password, in login: the ERP refused the login; it says: 用户名或密码错误" in shown
    assert str(parked.page) in shown


def test_an_account_that_was_refused_rests_until_a_person_clears_it(
    at: Agent, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    logins: list[str] = []
    with monkeypatch.context() as wrong:
        wrong.setattr(Erp, "login", lambda _, user, password: logins.append(user))
        assert at("run", "demo/few").code == 5
        said = at("run", "demo/order", "--max-documents", "1")
        assert (said.code, logins) == (5, [USER]), "another recipe of the same ERP does not try either"
        assert "SA7030 nobody logs in to demo with this account: wrong_password" in said.err
        with site.archive() as archive:
            before = archive.runs()[-1]
        assert "demo: the account rests" in at("session", "list").out
    assert at("session", "clear", "demo").code == 0
    assert at("session", "clear", "demo").code == 2
    assert at("run", "demo/few").code in (0, 3)
    with site.archive() as archive:
        assert archive.runs()[-1] == before, "the run that waited was taken up"
        assert isinstance(archive.last(before), RunEnded)


def test_refused_requests_are_counted_by_run_and_listed_by_job(at: Agent, site: Site, harvested: Site) -> None:
    count = int(re.search(r"(\d+) request\(s\) of the pages were refused", harvested.run.err)[1])  # type: ignore[index]
    with site.archive() as archive:
        run = archive.runs()[0]
        refused = [fact for fact in archive.job(run).facts if isinstance(fact, Refused)]
        (document, *_) = archive.documents(run=run)
    assert count == len(refused) > 0
    for name in (run, document):
        out = at("job", name).out
        assert f"refused requests of the run: {count}" in out
        for each in refused:
            assert f"× {each.method} {each.url}  {each.reason}" in out


def test_the_policy_says_what_an_erp_may_be_asked_for(at: Agent, site: Site) -> None:
    """What is to be added to it is printed as it has to stand there; before, nothing is opened or logged."""
    recipe, policy = site.folder / "recipes/demo/few.yaml", site.folder / "policy.yaml"
    permit = "  - {purpose: query, path: /find, json: {kind: order}}\npermits:\n"
    text = recipe.read_text(encoding="utf-8")
    recipe.write_text(text.replace("permits:\n", "permits:\n" + permit.partition("permits")[0]), encoding="utf-8")
    with site.archive() as archive:
        before = archive.runs()
    said = at("run", "demo/few", "--set", "base=http://127.0.0.1:8")
    first, hint, *section = said.err[said.err.index("SA7020") :].splitlines()
    told = "the policy does not allow the recipe demo/order to ask the ERP for: http://127.0.0.1:8; query POST /find"
    assert (said.code, first) == (2, f"SA7020 {told}")
    assert hint == f"hint: if the enterprise wants it read so, this belongs into {policy}:"
    known, added = yaml.safe_load(policy.read_text(encoding="utf-8")), yaml.safe_load("\n".join(section))
    assert {*known["requests"]["demo"]["addresses"]} < {*added["requests"]["demo"]["addresses"]}
    with site.archive() as archive:
        assert archive.runs() == before
    policy.write_text(yaml.safe_dump(known | added), encoding="utf-8")
    signed_policies.sign(site.folder, PASSPHRASE)
    assert "SA2201" in at("run", "demo/few", "--set", "base=http://127.0.0.1:8").err, "nobody listens there"
    policy.write_text("automatic: {}\n", encoding="utf-8")
    signed_policies.sign(site.folder, PASSPHRASE)
    assert "SA7020" in at("run", "demo/few").err, "an ERP that is not named is not read"


@pytest.mark.parametrize(
    ("requests", "told"),
    [
        ("{demo: {addresses: [ftp://erp]}}", "1:31: SA7021 `ftp://erp` is no address"),
        ("{demo: {addresses: [http://erp/path]}}", "1:31: SA7021 `http://erp/path` is no address"),
        ("{demo: {refuses: ['(']}}", "1:29: SA7022 `(` is not a regular expression: "),
        ("{demo: {permits: [{purpose: query, path: '('}]}}", "1:52: SA7022 `(` is not a regular expression: "),
    ],
)
def test_a_request_that_none_could_be_is_told_of(agent: Agent, tmp_path: Path, requests: str, told: str) -> None:
    path = write(tmp_path, configuration("http://x"))
    (tmp_path / "policy.yaml").write_text(f"requests: {requests}\n", encoding="utf-8")
    said = agent("-c", path, "jobs")
    assert said.code == 2
    assert said.err.startswith(f"{tmp_path / 'policy.yaml'}:{told}")


def test_the_policy_for_recipes_is_printed(agent: Agent) -> None:
    said = agent("recipe", "permits", "demo/order", "demo/invoice", "tryton/order", "--address", "https://erp.example")
    printed = yaml.safe_load(said.out)["requests"]
    assert printed.keys() == {"demo", "tryton"}
    assert printed["demo"] == {"addresses": ["https://erp.example"], "permits": [LOGIN_PERMIT]}
    example = yamlfile.load(TOP / "policy.example.yaml", policies.Policy).requests["demo"]
    for name in ("demo/order", "demo/invoice", "demo/receipt"):
        recipe = wiring.load_recipe(name, TOP / "recipes").recipe
        assert not policies.lacking(
            policies.Policy(requests={"demo": example}), "demo", policies.Requests(permits=recipe.permits)
        )


def test_an_erp_that_cannot_be_reached_is_told_of(at: Agent, site: Site) -> None:
    said = at("run", "demo/few", "--set", "base=http://127.0.0.1:9")
    assert said.code == 4
    assert "SA2201 the ERP cannot be reached at http://127.0.0.1:9/login: " in said.err
    with site.archive() as archive:
        run = archive.job(archive.runs()[-1])
    assert [fact.code for fact in run.facts if isinstance(fact, Fault)] == ["SA2201"]


def test_what_one_recipe_read_goes_on_though_the_next_one_failed(
    at: Agent, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first harvest finds an order that nobody has sent yet; the second meets an ERP that is gone."""
    for file in site.folder.glob("archive.db*"):
        file.unlink()
    harvest, calls = App.harvest, []

    def once(self: App, *arguments: Any, **named: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise UsageError("SA0000", "gone")
        return harvest(self, *arguments, **named)

    monkeypatch.setattr(App, "harvest", once)
    said = at("run", "demo/few", "demo/order", "--max-documents", "1")
    assert said.code == 2
    assert said.err.endswith("SA0000 gone\n")
    assert "purchaseOrder" in said.out
    with site.archive() as archive:
        assert [each.last for each in archive.states()] == ["Receipt"]


@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C is a signal to a group of processes only on POSIX")
@pytest.mark.parametrize("group", [True, False], ids=["terminal", "process"])
def test_ctrl_c_leaves_a_whole_log_and_answers_130(tmp_path: Path, site: Site, group: bool) -> None:
    third = threading.Event()

    class Slow(Erp):
        seen = 0

        def page(self, path: str, query: Mapping[str, list[str]]) -> str | None:
            self.seen += path.startswith("orders/")
            if self.seen == 3:
                third.set()
            return super().page(path, query)

    with Slow(PASSWORD) as erp:
        site.allow(erp.url)
        command = [sys.executable, "-m", "scraper_agent", "--lang", "en", "-c", str(site.config), "run", "demo/order"]
        child = subprocess.Popen(
            [*command, "--set", f"base={erp.url}"],
            cwd=TOP,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            assert third.wait(60)
            if group:
                os.killpg(child.pid, signal.SIGINT)
            else:
                child.send_signal(signal.SIGINT)
            _, told = child.communicate(timeout=60)
        finally:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
                child.communicate()
    assert child.returncode == 130, told.decode()
    assert b"Traceback" not in told
    assert verify(site.folder / "archive.db").problems == ()
    with site.archive() as archive:
        run = archive.runs(recipe_id="demo/order")[-1]
        assert isinstance(archive.job(run).facts[0], RunStarted)
        assert not isinstance(archive.last(run), RunEnded), "the next run takes it up"


def test_ctrl_c_waits_for_the_next_fact_and_the_second_one_for_nothing(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    ended: list[int] = []
    monkeypatch.setattr(os, "_exit", ended.append)
    before = signal.getsignal(signal.SIGINT)
    with commands._between_facts() as check:
        check()
        signal.raise_signal(signal.SIGINT)
        assert capfd.readouterr().err == "\nEnding after this page; Ctrl-C again ends at once.\n"
        with pytest.raises(KeyboardInterrupt):
            check()
        assert ended == []
        signal.raise_signal(signal.SIGINT)
        assert ended == [130]
    assert signal.getsignal(signal.SIGINT) == before


@pytest.mark.parametrize(("pressed", "raised"), [(True, KeyboardInterrupt), (False, UsageError)])
def test_what_fails_because_of_ctrl_c_is_no_failure(pressed: bool, raised: type[BaseException]) -> None:
    """The browser hears it as well, and is gone before the agent asks it anything more."""

    def fail() -> None:
        with commands._between_facts():
            if pressed:
                signal.raise_signal(signal.SIGINT)
            raise UsageError("SA2212", "the browser says: connection closed")

    with pytest.raises(raised):
        fail()


def test_a_second_process_is_refused_while_one_writes(at: Agent, site: Site) -> None:
    with site.archive(read_only=False):
        for arguments in (["send"], ["run", "demo/few"], ["log", "reindex"]):
            said = at(*arguments)
            assert (said.code, said.out) == (4, "")
            assert "SA5002 " in said.err
            assert "another process is writing to this archive" in said.err
        assert at("jobs").code == 0, "reading goes on"


# --- jobs, and what a person decides --------------------------------------------------------------------------------


def test_jobs_lists_every_document_with_its_state(at: Agent, site: Site) -> None:
    said = at("jobs")
    assert said.code == 0
    with site.archive() as archive:
        for each in archive.states():
            job = archive.job(each.id)
            line = next(line for line in said.out.splitlines() if number(job) in line)
            assert each.key in line
            assert str(state(job)) in line


def test_jobs_of_one_state_tell_why(at: Agent, site: Site) -> None:
    (held,), (blocked,) = site.jobs(State.HELD), site.jobs(State.BLOCKED)
    said = at("jobs", "--state", "held")
    assert number(held) in said.out
    assert number(blocked) not in said.out
    assert "is above the limit of 1000000" in " ".join(said.out.split())
    said = at("jobs", "--state", "blocked", "--format", "purchaseOrder")
    assert number(blocked) in said.out
    assert "CHK-" in said.out
    assert number(held) not in said.out
    assert number(held) not in at("jobs", "--format", "goodsReceipt").out


def test_jobs_opens_no_job_twice_and_no_more_than_it_needs(
    at: Agent, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[JobId] = []
    job = SqliteArchive.job

    def counted(self: SqliteArchive, id: JobId) -> Job:
        opened.append(id)
        return job(self, id)

    monkeypatch.setattr(SqliteArchive, "job", counted)
    at("jobs")
    assert len(opened) == len(set(opened))
    opened.clear()
    at("jobs", "--state", "held")
    assert len(opened) == len(set(opened)), "a run is opened once, for the certificates of its lists"
    assert sorted(id for id in opened if not id.startswith("run/")) == sorted(
        j.id for j in [*site.jobs(State.HELD), *site.jobs(State.BLOCKED)]
    )


def test_job_tells_how_complete_the_lists_are_that_led_to_it(at: Agent, site: Site) -> None:
    (held,) = site.jobs(State.HELD)
    said = " ".join(at("job", number(held)).out.split())
    assert "orders: proved" in said


def test_job_shows_values_findings_facts_and_origins(at: Agent, site: Site) -> None:
    (blocked,) = site.jobs(State.BLOCKED)
    said = at("job", number(blocked)[:6], "--origins")
    assert said.code == 0
    draft = blocked.facts[0]
    assert isinstance(draft, Draft)
    for told in (draft.key, draft.document, "CHK-", "Draft {", "Verdict {", "supplierName", "label 订单编号"):
        assert told in said.out
    origins = said.out[said.out.index("\n[\n") :]
    assert {"orderNumber", "totalAmount"} <= {each["field"] for each in json.loads(origins)}


@pytest.mark.parametrize("by", ["key", "id", "first digits"])
def test_a_document_is_named_by_its_key_its_id_or_its_first_digits(at: Agent, site: Site, by: str) -> None:
    (held,) = site.jobs(State.HELD)
    draft = held.facts[0]
    assert isinstance(draft, Draft)
    names = {"key": draft.key, "id": held.id, "first digits": held.id.rpartition("/")[2][:20]}
    assert held.id in at("job", names[by]).out


def test_too_few_digits_or_the_last_ones_name_nothing(at: Agent, site: Site) -> None:
    (held,) = site.jobs(State.HELD)
    for name in ("", number(held)[:3], held.id[-8:]):
        assert at("approve", name).err.startswith(f"SA7103 0 documents are called `{name}`")


def test_what_is_approved_leaves_with_the_next_send(at: Agent, site: Site) -> None:
    (held,) = site.jobs(State.HELD)
    said = at("approve", number(held), "--reason", "checked")
    assert said.code == 0
    draft = held.facts[0]
    assert isinstance(draft, Draft)
    assert re.fullmatch(rf"{number(held)}  {re.escape(draft.key)}  [\d.]+ USD  approved\n", said.out)
    said = at("send")
    assert (said.code, said.out) == (0, "receipted 1\n"), said.err
    assert held.id in {job.id for job in site.jobs(State.RECEIPTED)}
    said = at("send")
    assert (said.code, said.out) == (0, "nothing to send\n")


def test_what_is_declined_stays(at: Agent, site: Site) -> None:
    (held,) = site.jobs(State.HELD)
    assert at("decline", number(held), "--reason", " ").err.startswith("SA6003 ")
    said = at("decline", number(held), "--reason", "wrong price")
    assert said.code == 0
    assert said.out.endswith("  declined\n")
    assert at("send").out == "nothing to send\n"
    assert "wrong price" in at("jobs", "--state", "declined").out
    again = at("approve", number(held))
    assert again.code == 3
    assert again.err.startswith(f"SA6005 {held.id} does not wait for a person; its last fact is Approval\nhint: ")


def test_what_is_blocked_cannot_be_approved(at: Agent, site: Site) -> None:
    (blocked,) = site.jobs(State.BLOCKED)
    said = at("approve", number(blocked))
    assert said.code == 3
    assert said.err == (
        "SA6001 the document is blocked by CHK-05 and cannot be approved\nhint: correct it in the ERP and run again\n"
    )
    assert site.jobs(State.BLOCKED) == [blocked]


def test_another_document_than_the_one_shown_is_not_approved(at: Agent, site: Site) -> None:
    (held,) = site.jobs(State.HELD)
    said = at("approve", number(held), "--digest", "sm3:" + "0" * 64)
    assert said.code == 3
    assert said.err.startswith("SA6002 ")
    assert site.jobs(State.HELD) == [held]


def test_a_platform_that_is_down_is_told_of_and_sent_to_later(at: Agent, site: Site) -> None:
    (held,) = site.jobs(State.HELD)
    at("approve", number(held))
    site.send_to("http://127.0.0.1:9/receive")
    said = at("send")
    assert (said.code, said.out) == (4, "waiting 1\n")
    assert "SA4020 no connection to http://127.0.0.1:9/receive: " in said.err
    assert "no connection to http" in at("jobs", "--state", "waiting").out
    site.send_to(site.platform.url)
    assert at("job", "retry", number(held)).out == "1 document(s) leave with the next `send`.\n"
    assert at("send").out == "receipted 1\n"


@pytest.mark.parametrize(
    ("environment", "change", "code"),
    [
        ({"CANARY_KEY": "another pass phrase"}, {}, "SA30"),
        ({"CANARY_KEY": ""}, {}, "SA7002"),
        ({}, {"passphrase": {}}, "SA7001"),
        ({}, {"passphrase": {"file": "no-such-file"}}, "SA7002"),
    ],
    ids=["wrong", "empty", "nobody", "no file"],
)
def test_without_the_right_passphrase_a_person_is_needed(
    at: Agent,
    site: Site,
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    change: dict[str, object],
    code: str,
) -> None:
    (held,) = site.jobs(State.HELD)
    at("approve", number(held))
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    site.change(**change)
    said = at("send")
    assert said.code == 5
    assert code in said.err
    assert "hint: " in said.err
    assert [job.id for job in site.jobs(State.APPROVED)] == [held.id]


@pytest.mark.parametrize(("content", "right"), [("{}\n", True), ("\ufeff{}\r\nrest", True), ("", False), ("\n", False)])
def test_a_secret_is_the_first_line_of_its_file(at: Agent, site: Site, content: str, right: bool) -> None:
    (held,) = site.jobs(State.HELD)
    at("approve", number(held))
    (site.folder / "secret").write_bytes(content.format(PASSPHRASE).encode())
    site.change(passphrase={"file": "secret"})
    assert at("send").code == (0 if right else 5)


def test_a_person_is_asked_once_for_each_secret(site: Site) -> None:
    asked: list[str] = []

    def prompt(name: str) -> str:
        asked.append(name)
        return f"secret {name}"

    site.change(erps={})
    app = App.load(site.config, prompt=prompt)
    for name in ("password", "password", "pin"):
        assert app._erp_secret("demo", name) == f"secret demo.{name}"
    assert asked == ["demo.password", "demo.pin"]
    assert app.known_secrets == {"secret demo.password", "secret demo.pin"}
    assert "secret demo" not in repr(app)


# --- what pages say is not obeyed -----------------------------------------------------------------------------------


def hostile(site: Site) -> Job:
    """A document that waits, of a page that says `EVIL` wherever it can."""
    (held,) = site.jobs(State.HELD)
    with site.archive(read_only=False) as archive:
        draft = held.facts[0]
        assert isinstance(draft, Draft)
        format = FORMATS[draft.format]
        read = decode(format, archive.get(draft.document))
        changed = replace(read, header={**read.header, "orderNumber": EVIL, "supplierName": EVIL + "长" * 5000})
        document = archive.put(encode(changed, format))
        origins = json.loads(archive.get(draft.provenance))
        for origin in origins:
            origin["raw"] = EVIL
        evil = replace(
            draft, key=EVIL, record=EVIL, document=document, provenance=archive.put(canonical.dumps(origins))
        )
        warning = Finding(
            code="CHK-07",
            severity=Severity.WARNING,
            field="buyerUscc",
            text="is `{value}`, which has different names in this run: {names}",
            values={"value": EVIL, "names": EVIL},
        )
        id = JobId(f"doc/purchaseOrder/{'e' * 64}")
        archive.append(id, 0, evil)
        archive.append(id, 1, Verdict(document=document, findings=(warning,)))
        return archive.job(id)


def test_terminal_codes_of_a_page_are_never_printed(at: Agent, site: Site) -> None:
    job = hostile(site)
    for arguments in (
        ["jobs"],
        ["job", number(job), "--origins"],
        ["log", "show"],
        ["log", "show", "--job", number(job)],
        ["approve", number(job), "--reason", "seen"],
        ["job", EVIL],
        ["job", EVIL + "?"],
    ):
        said = at(*arguments)
        assert said.out + said.err
        strange = {c for c in said.out + said.err if not c.isprintable() and c != "\n"}
        assert not strange, arguments
        assert "[bold]" in said.out + said.err, arguments
    log = (site.folder / "agent.log").read_text(encoding="utf-8")
    assert "SA7103" in log
    assert {c for c in log if not c.isprintable()} <= {"\n"}


def test_a_very_long_value_is_shown_to_its_end(at: Agent, site: Site) -> None:
    said = at("job", number(hostile(site)))
    table = said.out[: said.out.index("Draft {")]
    assert table.count("长") == 5000


# --- the log --------------------------------------------------------------------------------------------------------


def test_log_show_prints_facts_in_order(at: Agent, site: Site) -> None:
    lines = at("log", "show").out.splitlines()
    assert [int(line.split()[0]) for line in lines] == list(range(len(lines)))
    assert " policy PolicyAdopted {" in lines[0]
    assert " RunStarted {" in lines[1]
    assert at("log", "show", "--last", "2").out.splitlines() == lines[-2:]


def test_log_show_of_one_job_or_run(at: Agent, site: Site) -> None:
    (held,) = site.jobs(State.HELD)
    of_job = at("log", "show", "--job", number(held)).out.splitlines()
    assert [line.split()[3] for line in of_job] == ["Draft", "Verdict"]
    assert at("log", "show", "--job", number(held), "--last", "1").out.splitlines() == of_job[-1:]
    with site.archive() as archive:
        run = archive.runs()[-1]
    of_run = at("log", "show", "--job", run).out.splitlines()
    assert all(run in line for line in of_run)
    assert " RunEnded {" in of_run[-1]


def test_log_verify_of_a_whole_log(at: Agent, site: Site) -> None:
    said = at("log", "verify")
    assert said.code == 0
    with site.archive() as archive:
        head = archive.head()
    assert said.out.startswith(f"{head.size} facts, ")
    assert said.out.endswith(f" bodies, root {head.root.hex()}\nThe log is whole.\n")


def test_log_verify_names_the_entry_that_was_changed(at: Agent, site: Site) -> None:
    with closing(sqlite3.connect(site.folder / "archive.db")) as db, db:
        changed = db.execute("UPDATE log SET entry = CAST(entry || ' ' AS BLOB) WHERE idx = 5").rowcount
        assert changed == 1
    said = at("log", "verify")
    assert said.code == 4
    assert "SA5023 entry 5, or the tree hash stored with it, has been changed" in said.out
    assert re.match(r"SA7105 the log does not verify: \d+ problem\(s\)\nhint: stop using this archive", said.err)


def test_log_reindex_remakes_the_index(at: Agent, site: Site) -> None:
    before = at("jobs").out
    with closing(sqlite3.connect(site.folder / "archive.db")) as db, db:
        db.execute("DELETE FROM documents")
    assert at("jobs").out != before
    said = at("log", "reindex")
    assert said.code == 0
    assert re.fullmatch(r"The index is remade from \d+ facts\.\n", said.out)
    assert at("jobs").out == before


# --- keys -----------------------------------------------------------------------------------------------------------


def test_a_key_is_made_and_listed_and_nothing_of_it_told(at: Agent, site: Site) -> None:
    said = at("key", "new")
    assert said.code == 0
    _, made = keyfolder.entries(site.folder / "keys")
    assert said.out == (f"02 active {made.created:%Y-%m-%d} SM3 {made.fingerprint}\n   {made.public_key}\n")
    listed = at("key", "list").out
    assert "│ 01    │ active │" in listed
    assert "│ 02    │ active │" in listed
    d = keyfile.read(site.folder / "keys" / made.file, SecretStr(PASSPHRASE)).d
    assert not hits(site.folder, secret_forms(f"{d:064x}".encode(), d.to_bytes(32, "big")))


# --- recipes and the sandbox ----------------------------------------------------------------------------------------


def test_recipes_are_checked_explained_and_described(agent: Agent, tmp_path: Path) -> None:
    said = agent("recipe", "check", "demo/order", "demo/invoice")
    assert (said.code, said.out.count(": fine\n")) == (0, 2)
    assert json.loads(agent("recipe", "schema").out)["title"] == "Recipe"
    assert agent("recipe", "explain", "demo/order").code == 0
    wrong = tmp_path / "wrong.yaml"
    shutil.copy(TOP / "recipes/demo/lookups.yaml", tmp_path)
    text = (TOP / "recipes/demo/order.yaml").read_text(encoding="utf-8")
    wrong.write_text(text.replace("title:", "tittle:"), encoding="utf-8")
    said = agent("recipe", "check", "demo/order", wrong)
    assert said.code == 2
    assert said.err.startswith(f"{wrong}:4:1: ")
    assert "tittle" in said.err


def test_a_document_read_before_becomes_a_sample(at: Agent, site: Site) -> None:
    (held,) = site.jobs(State.HELD)
    recipe = site.folder / "recipes/demo/few.yaml"
    said = at("recipe", "accept", recipe, "--job", number(held), "--case", "large")
    assert said.code == 0, said.err
    case = recipe.with_suffix(".samples") / "large"
    assert {path.name for path in case.iterdir()} >= {"order.xhtml", "suppliers.xhtml", "expected.txt"}
    assert at("recipe", "test", recipe).code == 0
    (case / "expected.txt").write_text("record: other\n", encoding="utf-8")
    said = at("recipe", "test", recipe)
    assert said.code == 3
    assert said.err.startswith("SA7201 1 sample(s) differ from what was accepted\nhint: ")


def test_a_port_that_is_taken_is_told_of(at: Agent, site: Site) -> None:
    port = site.erp.url.rpartition(":")[2]
    said = at("sandbox", "erp", "--port", port)
    assert said.code == 4
    assert said.err.startswith(f"SA7114 cannot listen on port {port}: ")


# --- languages ------------------------------------------------------------------------------------------------------


def test_chinese_help_and_messages(tmp_path: Path) -> None:
    said = process("--lang", "zh", "--help")
    assert (said.code, said.err) == (0, "")
    assert re.search("[\u4e00-\u9fff]", said.out)
    said = process("-c", tmp_path / "none.yaml", "jobs", LC_ALL="zh_CN.UTF-8")
    assert said.code == 2
    assert said.err.startswith("SA1001 ")
    assert "does not exist" not in said.err


# --- secrets --------------------------------------------------------------------------------------------------------


def secret_forms(*secrets: bytes) -> set[bytes]:
    """How a secret may be written: as it is, in HTML, in an address, in base64, in hex, in UTF-16."""
    forms: set[bytes] = set()
    for secret in secrets:
        text = secret.decode("latin-1")
        written = {text, html.escape(text), quote(text), quote_plus(text), json.dumps(text)[1:-1], secret.hex()}
        forms |= {each.encode("latin-1") for each in written} | {text.encode("utf-16-le")}
        forms.add(base64.b64encode(secret).rstrip(b"="))
    return forms


def hits(folder: Path, forms: set[bytes], *texts: str) -> list[str]:
    """Where any of these forms stands: every file of `folder`, every body of its archive, and these texts."""
    bodies: list[tuple[str, bytes]] = [(str(path), path.read_bytes()) for path in folder.rglob("*") if path.is_file()]
    with closing(sqlite3.connect(folder / "archive.db")) as db:
        bodies += [(row[0].hex(), stored.opened(row) or pytest.fail("unreadable body")) for row in stored.rows(db)]
        bodies += [(f"entry {idx}", data) for idx, data in db.execute("SELECT idx, entry FROM log")]
    bodies += [(text[:40], text.encode()) for text in texts]
    return [where for where, data in bodies if any(form in data for form in forms)]


def all_secrets(site: Site) -> set[bytes]:
    d = keyfile.read(site.folder / "keys" / "sm2-01.pem", SecretStr(PASSPHRASE)).d
    return secret_forms(PASSWORD.encode(), PASSPHRASE.encode(), f"{d:064x}".encode(), d.to_bytes(32, "big"))


def test_the_search_for_secrets_finds_them(site: Site) -> None:
    """Whoever looks for something must be seen to find it."""
    (site.folder / "leak").write_text(quote_plus(PASSWORD), encoding="utf-8")
    with site.archive(read_only=False) as archive:
        digest = archive.put(b"<p>" + b"x" * 9000 + html.escape(PASSWORD).encode())
    assert hits(site.folder, all_secrets(site), f"told {PASSPHRASE}") == [
        str(site.folder / "leak"),
        digest[4:],
        f"told {PASSPHRASE}"[:40],
    ]


def test_after_a_good_run_no_secret_is_anywhere(harvested: Site, site: Site) -> None:
    with site.archive() as archive:
        runs, documents = archive.runs(), archive.documents()
        verified = report.Verified(entries=0, root="")
        target = site.folder / "report.html"
        report.write(target, archive, runs, documents, FORMATS, now=wiring.now(), verified=verified)
    assert hits(site.folder, all_secrets(site), harvested.run.out, harvested.run.err) == []


@pytest.mark.parametrize("trouble", ["refused", "unreachable", "no button", "no passphrase"])
def test_after_a_failed_run_no_secret_is_anywhere(
    at: Agent, site: Site, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    forms = all_secrets(site)
    arguments = ["run", "demo/few"]
    match trouble:
        case "refused":
            monkeypatch.setattr(Erp, "login", lambda *_: None)
        case "unreachable":
            arguments += ["--set", "base=http://127.0.0.1:9"]
        case "no button":  # on the login page itself, with the password in its field
            monkeypatch.setattr(browser, "_ACT_S", 0.5)
            path = site.folder / "recipes/demo/few.yaml"
            path.write_text(path.read_text(encoding="utf-8").replace("name: 登录", "name: 进入"), encoding="utf-8")
        case _:
            (held,) = site.jobs(State.HELD)
            at("approve", number(held))
            monkeypatch.setenv("CANARY_KEY", f"{PASSPHRASE} wrong")
            arguments = ["send"]
    said = at(*arguments)
    assert said.code >= 3
    assert said.err
    assert (site.folder / "agent.log").is_file()
    assert hits(site.folder, forms, said.out, said.err) == []


LOGIN = """<!doctype html><meta charset="utf-8"><title>login</title>
<style>input {{ position: absolute; left: 40px; width: 300px; height: 40px; font-size: 30px; border: 0;
  background: repeating-linear-gradient(90deg, #fff, #000 5px); }} #echo {{ position: absolute; top: 300px }}</style>
<form><label for="u">用户名</label><input id="u" style="top: 40px">
<label for="p">密码</label><input id="p" type="{kind}" style="top: 120px" oninput="{script}"></form><p id="echo"></p>"""


@contextmanager
def page_of(text: str) -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("kind", ["password", "text"])
def test_the_image_of_a_filled_password_field_shows_a_mask(
    at: Agent, site: Site, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Also where the page shows what is typed. Around it, the page is seen: the other field keeps its stripes."""
    monkeypatch.setattr(browser, "_ACT_S", 3)  # of a busy machine, until both fields are filled
    with page_of(LOGIN.format(kind=kind, script="")) as base:
        site.allow(base)
        said = at("run", "demo/few", "--set", f"base={base}")
    assert said.code == 3, said.err
    with site.archive() as archive:
        (shot,) = [fact for fact in archive.job(archive.runs()[-1]).facts if isinstance(fact, Snapshot)]
        seen = FrozenPage(archive.get(shot.page))
        image = archive.get(shot.image) if shot.image is not None else None
    assert hits(site.folder, all_secrets(site), said.out, said.err) == []
    if image is None:
        assert kind == "text", "a page that shows the secret as text is kept without an image"
        return
    password, account = (field_range(image, seen, css) for css in ("#p", "#u"))
    assert password <= 8, "one colour, as far as JPEG can"
    assert account >= 100


def field_range(image: bytes, page: FrozenPage, css: str) -> int:
    """How far the brightest pixel of a field is from its darkest; its rim is left out."""
    (element,) = page.select(css)
    x, y, width, height = map(int, str(element.get("frozen-box")).split())
    with Image.open(io.BytesIO(image)) as picture:
        inner = (x + 10, y + 10, x + width - 10, y + height - 10)
        darkest, brightest = picture.convert("L").crop(inner).getextrema()
    return int(brightest) - int(darkest)  # type: ignore[arg-type]


def test_a_refusal_that_repeats_the_password_is_told_without_it(
    at: Agent, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusal = Erp.login_page
    told = f"用户名或密码错误 {html.escape(PASSWORD)}"
    monkeypatch.setattr(Erp, "login", lambda *_: None)
    monkeypatch.setattr(
        Erp, "login_page", lambda self, *, refused: refusal(self, refused=refused).replace("用户名或密码错误", told)
    )
    said = at("run", "demo/few")
    assert said.code == 5
    assert hits(site.folder, all_secrets(site), said.out, said.err) == []


def test_a_page_that_copies_the_password_into_its_text_is_kept_without_it(
    at: Agent, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(browser, "_ACT_S", 2)
    script = "document.getElementById('echo').textContent = 'wrong: ' + this.value; document.title = this.value"
    with page_of(LOGIN.format(kind="password", script=script)) as base:
        site.allow(base)
        said = at("run", "demo/few", "--set", f"base={base}")
    assert said.code == 3
    with site.archive() as archive:
        (shot,) = [fact for fact in archive.job(archive.runs()[-1]).facts if isinstance(fact, Snapshot)]
        assert shot.image is None
        assert "wrong: ●●●●●●".encode() in archive.get(shot.page)
    assert hits(site.folder, all_secrets(site), said.out, said.err) == []
