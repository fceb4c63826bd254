"""`send`, `job retry` and `job withdraw`, without a browser: documents as a run would have left them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from loguru import logger
from pydantic import SecretStr

from scraper_agent import app as wiring
from scraper_agent import envelope, messages
from scraper_agent.app import App
from scraper_agent.archive.sqlite import SqliteArchive
from scraper_agent.cli import main
from scraper_agent.cli.sandbox import configured_platform
from scraper_agent.format import encode
from scraper_agent.formats import FORMATS
from scraper_agent.sandbox.platform import Platform
from scraper_agent.sending import https
from scraper_agent.signing import keyfolder
from scraper_agent.values import Job, State, state
from tests import policies
from tests.faults.offline import put_signed
from tests.waybills import samples, waybill
from tests.world import AK, NOW, PASSPHRASE, PROFILE, World, frozen

PROVINCE = "440001"


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Site:
    """A folder with a config and an archive: one order accepted, one that waits for a person."""

    folder: Path
    platform: Platform

    def change(self, **change: object) -> None:
        path = self.folder / "config.yaml"
        known = yaml.safe_load(path.read_text(encoding="utf-8"))
        path.write_text(yaml.safe_dump(known | change, allow_unicode=True), encoding="utf-8")

    def send_to(self, url: str) -> None:
        known = yaml.safe_load((self.folder / "config.yaml").read_text(encoding="utf-8"))["receiver"]
        self.change(receiver=known | {"transport": {"kind": "https", "url": url}})

    def jobs(self, wanted: State) -> list[Job]:
        with SqliteArchive(self.folder / "archive.db", lambda: NOW, read_only=True) as archive:
            return [job for id in archive.documents() if state(job := archive.job(id)) is wanted]


Agent = Callable[..., Said]


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    keyfolder.create(folder, SecretStr(PASSPHRASE), NOW)
    return folder


@pytest.fixture
def site(tmp_path: Path, keys: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("OUTBOX_KEY", PASSPHRASE)
    monkeypatch.setenv("LC_ALL", "en_US.UTF-8")
    monkeypatch.setenv("COLUMNS", "200")
    (entry,) = keyfolder.entries(keys)
    with Platform(lambda: datetime.now(UTC), {(AK, "01"): entry.public_key}, FORMATS) as platform:
        config: dict[str, Any] = {
            "enterprise": {"name": PROFILE["name"], "uscc": PROFILE["uscc"]},
            "signing": {"kind": "file", "folder": str(keys), "key": "01"},
            "passphrase": {"env": "OUTBOX_KEY"},
            "receiver": {
                "ak": AK,
                "transport": {"kind": "https", "url": platform.url},
                "public_keys": platform.public_keys,
            },
        }
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(config, allow_unicode=True), encoding="utf-8")
        policy = {"automatic": {"purchaseOrder": {"amounts": {"USD": "1000"}}}}
        (tmp_path / "policy.yaml").write_text(yaml.safe_dump(policy), encoding="utf-8")
        policies.sign(tmp_path, PASSPHRASE)
        with https.HttpsTransport(https.Config(kind="https", url=platform.url)) as transport:
            world = World(tmp_path, keys, transport, platform.public_keys, now=datetime.now(UTC))
            world.everything(frozen(1), frozen(2, price="100.00"))
        yield Site(tmp_path, platform)
    messages.use("en")


@pytest.fixture
def at(site: Site, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Agent:
    def call(*arguments: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["scraper-agent", "-c", str(site.folder / "config.yaml"), *arguments])
        code = 0
        try:
            main()
        except SystemExit as ended:
            code = int(ended.code or 0)
        finally:
            logger.remove()
        told = capsys.readouterr()
        return Said(code, told.out, told.err)

    return call


def number(job: Job) -> str:
    return job.id.rpartition("/")[2][:12]


def test_what_waits_is_told_of_with_its_time(at: Agent, site: Site) -> None:
    (held,) = site.jobs(State.HELD)
    at("approve", number(held))
    site.send_to("http://127.0.0.1:9/receive")
    assert "1 document(s) wait to be sent again, the first until " in at("send").err
    site.change(outbox={"breaker_failures": 1, "shortest_wait_s": 600})
    assert "The receiver is away; it is tried again at " in at("send").err
    assert at("job", "retry", "--all").out == "1 document(s) leave with the next `send`.\n"
    assert at("send").code == 4, "and it is tried at once"
    assert "Retry" in at("log", "show", "--last", "1").out


@pytest.mark.parametrize("arguments", [[], ["--all", "PO-1"]])
def test_what_is_to_be_sent_again_is_named_or_everything(at: Agent, arguments: list[str]) -> None:
    said = at("job", "retry", *arguments)
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("SA7160 ")


def test_what_was_accepted_is_withdrawn_and_leaves_when_it_is_approved(at: Agent, site: Site) -> None:
    sent = site.jobs(State.RECEIPTED)[0]
    said = at("job", "withdraw", number(sent), "--reason", "entered twice")
    assert said.code == 0, said.err
    id = said.out.split()[0]
    assert said.out == f"{id}  held\n"
    assert said.err == f"It leaves when a person approves it: `scraper-agent approve {id}`.\n"
    assert "it withdraws what the receiver has: entered twice" in " ".join(at("job", id).out.split())
    assert at("send").out == "nothing to send\n"
    at("approve", id)
    assert at("send").out == "receipted 1\n"
    assert len(site.platform.stored()) == len(site.jobs(State.RECEIPTED))


def test_what_left_and_what_came_back_are_written_byte_for_byte(at: Agent, site: Site, tmp_path: Path) -> None:
    (sent,) = site.jobs(State.RECEIPTED)
    to = tmp_path / "evidence" / "1"
    said = at("job", "export", number(sent), "--to", str(to))
    assert said.out.split() == [str(to / f"{name}.json") for name in ("document", "request", "receipt")]
    (stored,) = site.platform.stored()
    assert (to / "receipt.json").read_bytes() == stored.receipt
    assert (to / "document.json").read_bytes() == stored.document
    assert envelope.read_request((to / "request.json").read_bytes()).key == stored.key
    again = at("job", "export", number(sent), "--to", str(to))
    assert (again.code, again.err.split()[0]) == (2, "SA7161")
    (held,) = site.jobs(State.HELD)
    assert len(at("job", "export", number(held), "--to", str(tmp_path / "2")).out.split()) == 1


def test_what_has_not_left_is_stopped_by_a_withdrawal(at: Agent, site: Site) -> None:
    (held,) = site.jobs(State.HELD)
    assert at("job", "withdraw", number(held), "--reason", " ").err.startswith("SA6010 ")
    said = at("job", "withdraw", number(held), "--reason", "entered twice")
    assert (said.code, said.out, said.err) == (0, f"{number(held)}  stopped\n", "")


def test_a_waybill_goes_to_the_province_in_steps_and_its_status_after_it(at: Agent, site: Site, tmp_path: Path) -> None:
    running, made = next(samples("waybill_status")).document, waybill()
    number, status = str(running.header["i1"]), f"{running.header['i1']} running"
    assert (made.header["i1"], running.header["status"]) == (number, "running")
    there = {"ak": PROVINCE, "transport": {"kind": "https", "url": "http://127.0.0.1:9/receive"}, "public_keys": {}}
    site.change(receivers={"dangerousGoodsWaybill": there})
    with configured_platform(App.load(site.folder / "config.yaml"), 0, "dangerousGoodsWaybill") as province:
        there |= {"transport": {"kind": "https", "url": province.url}, "public_keys": province.public_keys}
        site.change(receivers={"dangerousGoodsWaybill": there})
        app = App.load(site.folder / "config.yaml")
        with app.archive() as archive:
            for document, key in ((running, status), (made, number)):
                body = encode(document, FORMATS[document.format])
                put_signed(archive, document.format, key, body, wiring.now(), app.signer, PROVINCE)
        province.postpone()
        assert at("send").out == "signed 1  delivered 1\n"
        why = f"dangerousGoodsWaybill {number} has to be accepted by the receiver before, and is delivered"
        for arguments in (("jobs", "--state", "signed"), ("job", status)):
            assert why in " ".join(at(*arguments).out.replace("│", " ").split())
        province.conclude(1)
        assert at("send").out == "receipted 1  delivered 1\n"
        said = at("job", "export", number, "--to", str(tmp_path / "evidence"))
        names = ["document", "request", "interim-receipt", "receipt"]
        assert [Path(line).stem for line in said.out.split()] == names
        assert [(stored.ak, stored.format) for stored in province.stored()] == [
            (PROVINCE, "dangerousGoodsWaybill"),
            (PROVINCE, "waybillStatus"),
        ]
    assert len(site.platform.stored()) == 1, "customs has only its own"
