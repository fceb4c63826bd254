"""`waybill send | list | status | qr | verify-qr` as a person meets them, against a sandbox province.

One harvest of the demo ERP's waybills by a real browser serves all; each test works on a copy of its folder, and on a
waybill of its own, since the province is one.
"""

from __future__ import annotations

import base64
import io
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import openpyxl
import pytest
import yaml
from loguru import logger
from PIL import Image
from pydantic import SecretStr

from scraper_agent import app as wiring
from scraper_agent import cli, messages
from scraper_agent.archive.sqlite import SqliteArchive
from scraper_agent.cli import show
from scraper_agent.envelope import Request
from scraper_agent.errors import BusinessError
from scraper_agent.format import Document, decode, encode
from scraper_agent.formats import FORMATS
from scraper_agent.importing import example, layout, template
from scraper_agent.mapping import local
from scraper_agent.ports import Signer
from scraper_agent.sandbox import licences
from scraper_agent.sandbox.erp import USER, Erp
from scraper_agent.sandbox.platform import Platform, Ruling
from scraper_agent.sandbox.province import Province
from scraper_agent.signing import keyfile, keyfolder, sm2
from scraper_agent.values import Draft, JobId, RunEnded, State, state
from scraper_agent.waybill import answer, image, qr
from scraper_agent.waybill.profile import DEFAULT
from tests import policies
from tests.waybills import DANGEROUS, STATUS, waybill

TOP = Path(__file__).parents[1]
PASSWORD = "c4nary&Erp<77>"  # noqa: S105 - of the ERP this file starts
PASSPHRASE = "c4nary pass phrase"  # noqa: S105 - of the key this file makes
AK = "A10001"
POLICY = {"automatic": {"waybillStatus": {"lines": "1"}}, "recipes": {"approved_by": "nobody"}}
SEARCH = "沪E"
"""Waybills 3, 7, 11, 15, 19 and 23 of the demo ERP; 15 has a fault that a person has to look at."""
TANK, PACKED, GASES, OFFLINE, VOID = 3, 7, 11, 19, 23


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str


Agent = Callable[..., Said]


@dataclass(frozen=True)
class Site:
    """A folder with a config, a key and the waybills that one run left to a person; and the province."""

    folder: Path
    erp: Erp
    province: Province
    run: Said

    @property
    def config(self) -> Path:
        return self.folder / "config.yaml"

    def number(self, waybill: int) -> str:
        return str(self.erp.expected()[f"despatches/{4000 + waybill}"].header["i1"])

    def send_to(self, url: str, status_url: str, public_keys: Mapping[str, str]) -> None:
        known = yaml.safe_load(self.config.read_text(encoding="utf-8"))
        known["receivers"] = {
            name: {"ak": AK, "transport": {"kind": "https", "url": to}, "public_keys": dict(public_keys)}
            for name, to in ((DANGEROUS.name, url), (STATUS.name, status_url))
        }
        self.config.write_text(yaml.safe_dump(known, allow_unicode=True), encoding="utf-8")

    def to_province(self) -> None:
        of = DEFAULT.interfaces.province
        keys = self.province.platform.public_keys
        self.send_to(self.province.url + of.waybill.path, self.province.url + of.status.path, keys)


@pytest.fixture(scope="module")
def harvested(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    (folder / "recipes" / "demo").mkdir(parents=True)
    shutil.copy(TOP / "recipes/demo/lookups.yaml", folder / "recipes/demo")
    recipe = (TOP / "recipes/demo/despatch.yaml").read_text(encoding="utf-8")
    few = recipe.replace('open, url: "${base}/despatches"', f'open, url: "${{base}}/despatches?q={SEARCH}"')
    (folder / "recipes/demo/few.yaml").write_text(few, encoding="utf-8")
    entry = keyfolder.create(folder / "keys", SecretStr(PASSPHRASE), wiring.now())
    today = local(wiring.now()).date()
    with Erp(PASSWORD, today=today) as erp:
        permits = [{"purpose": "login", "path": "/login", "form": ["user", "password"]}]
        config = {
            "enterprise": {"name": "上海启明精工有限公司", "uscc": "91350100M000100Y43"},
            "erps": {
                "demo": {
                    "parameters": {"base": erp.url, "user": USER},
                    "secrets": {"password": {"env": "CANARY_ERP"}},
                }
            },
            "signing": {"kind": "file", "folder": "keys", "key": "01"},
            "passphrase": {"env": "CANARY_KEY"},
            "receiver": {"ak": AK, "transport": {"kind": "https", "url": "http://127.0.0.1:9/"}, "public_keys": {}},
        }
        (folder / "config.yaml").write_text(yaml.safe_dump(config, allow_unicode=True), encoding="utf-8")
        policy = POLICY | {"requests": {"demo": {"addresses": [erp.url], "permits": permits}}}
        (folder / "policy.yaml").write_text(yaml.safe_dump(policy), encoding="utf-8")
        policies.sign(folder, PASSPHRASE)
        done = subprocess.run(
            [sys.executable, "-m", "scraper_agent", "-c", str(folder / "config.yaml"), "run", "demo/few"],
            cwd=TOP,
            env={
                **os.environ,
                "CANARY_ERP": PASSWORD,
                "CANARY_KEY": PASSPHRASE,
                "LC_ALL": "en_US.UTF-8",
                "COLUMNS": "200",
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=120,
            check=False,
        )
        said = Said(done.returncode, done.stdout.decode(), done.stderr.decode())
        with Province(
            "310000",
            ("上海", "Shanghai"),
            clock=wiring.now,
            nonce=lambda: "never asked",
            enterprises={(AK, "01"): entry.public_key},
            licences=licences.load(),
        ) as province:
            yield Site(folder, erp, province, said)


@pytest.fixture
def site(harvested: Site, tmp_path: Path) -> Site:
    folder = tmp_path / "copy"
    shutil.copytree(harvested.folder, folder)
    copied = replace(harvested, folder=folder)
    copied.to_province()
    return copied


@pytest.fixture
def agent(site: Site, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Agent]:
    """`scraper-agent -c` the site's config, in this process: the entry point itself, with its exit code."""
    monkeypatch.setenv("LC_ALL", "en_US.UTF-8")
    monkeypatch.setenv("CANARY_KEY", PASSPHRASE)
    monkeypatch.setattr(show.console, "_width", 200)
    monkeypatch.setattr(show.talk, "_width", 200)

    def call(*arguments: str | Path) -> Said:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["scraper-agent", "-c", str(site.config), *map(str, arguments)])
        try:
            cli.main()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        finally:
            logger.remove()
        return Said(code, *capsys.readouterr())

    yield call
    messages.use("en")


def listed(agent: Agent) -> dict[str, dict[str, Any]]:
    return {row["number"]: row for row in json.loads(agent("waybill", "list", "--json").out)}


def accepted(agent: Agent, site: Site, number: str) -> str:
    """A waybill that the province has."""
    assert agent("approve", number, "--reason", "checked").code == 0
    said = agent("waybill", "send")
    assert (said.code, said.out.split()) == (0, ["receipted", "1"]), said.err
    return number


def archive(site: Site) -> SqliteArchive:
    return SqliteArchive(site.folder / "archive.db", wiring.now, read_only=True)


def document(site: Site, number: str, format: str = DANGEROUS.name) -> bytes:
    with archive(site) as kept:
        (id,) = kept.documents(format=format, key=number)
        draft = kept.job(id).facts[0]
        assert isinstance(draft, Draft)
        return kept.get(draft.document)


def zbar(png: bytes) -> bytes:
    command = ["zbarimg", "--quiet", "--nodbus", "--raw", "-Sdisable", "-Sqrcode.enable", "-Sbinary", "-"]
    return subprocess.run(command, input=png, capture_output=True, check=True, timeout=60).stdout


def photographed(out: str) -> bytes:
    """The half blocks of a terminal as a phone sees them: white where something is drawn."""
    rows = [line for line in out.splitlines() if len(line) > 40 and set(line) <= set("█▀▄ ")]
    halves = {"█": (255, 255), "▀": (255, 0), "▄": (0, 255), " ": (0, 0)}
    picture = Image.new("L", (len(rows[0]), 2 * len(rows)))
    for y, row in enumerate(rows):
        for x, sign in enumerate(row):
            for below in (0, 1):
                picture.putpixel((x, 2 * y + below), halves[sign][below])
    seen = io.BytesIO()
    picture.resize((picture.width * 4, picture.height * 4), Image.Resampling.NEAREST).save(seen, "PNG")
    return seen.getvalue()


# --- what was read --------------------------------------------------------------------------------------------------


def test_the_recipe_reads_waybills_and_presses_nothing(harvested: Site) -> None:
    assert harvested.run.code == 0, harvested.run.err
    assert harvested.erp.writes == []
    with archive(harvested) as kept:
        states = [state(kept.job(id)) for id in kept.documents(format=DANGEROUS.name)]
    assert states == [State.HELD] * 6
    tank = decode(DANGEROUS, document(harvested, harvested.number(TANK))).header
    books = harvested.erp.expected()[f"despatches/{4000 + TANK}"].header
    assert {id: tank[id] for id in ("i41", "i47", "i481", "i491", "i510")} == {
        id: books[id] for id in ("i41", "i47", "i481", "i491", "i510")
    }
    assert tank["i44"] == "0"


def test_waybills_are_listed_with_where_they_stand(site: Site, agent: Agent) -> None:
    rows = listed(agent)
    assert len(rows) == 6
    row = rows[site.number(TANK)]
    books = site.erp.expected()[f"despatches/{4000 + TANK}"].header
    assert row == {
        "job": row["job"],
        "number": site.number(TANK),
        "plate": books["i46"],
        "trailer": books["i47"],
        "departure": str(books["i41"]),
        "late": False,
        "state": "held",
        "transport": "new",
        "qr": "none",
    }
    table = agent("waybill", "list").out
    assert all(text in table for text in (site.number(TANK), str(books["i47"]), "held", "new 新建未开始"))


# --- the straight way -----------------------------------------------------------------------------------------------


def test_a_waybill_is_sent_and_its_code_is_shown_after_it_was_verified(
    site: Site, agent: Agent, tmp_path: Path
) -> None:
    number = accepted(agent, site, site.number(TANK))
    row = listed(agent)[number]
    assert (row["state"], row["transport"], row["qr"]) == ("receipted", "new", "there")
    target = tmp_path / "code.png"
    said = agent("waybill", "qr", number, "--image", target)
    assert said.code == 0, said.err
    kept = site.province.waybill(number)
    assert kept is not None
    content = kept.qr.encode(qr.CHARSET)
    assert zbar(photographed(said.out)) == content, "what a phone sees on the terminal"
    assert zbar(target.read_bytes()) == content
    assert "genuine: signed with key 01 of the province" in said.out
    assert "UN1202 III 21.625吨" in said.out
    again = agent("waybill", "qr", row["job"].rpartition("/")[2][:10], "--image", target)
    assert (again.code, again.err.split()[0]) == (2, "SA7161"), "nothing is replaced"


def test_no_code_is_shown_of_a_waybill_that_was_not_accepted(site: Site, agent: Agent) -> None:
    said = agent("waybill", "qr", site.number(PACKED))
    assert (said.code, said.out) == (3, "")
    assert said.err.startswith(f"SA7173 the waybill {site.number(PACKED)} has no QR code: it is held\n")


def test_the_status_goes_from_step_to_step_and_to_the_province(site: Site, agent: Agent) -> None:
    number = accepted(agent, site, site.number(PACKED))
    refused = agent("waybill", "status", number, "done")
    assert refused.code == 3
    assert refused.err.startswith("SA1079 a waybill that is new (新建未开始) cannot become done (已完成); ")
    assert "; it can become: running (运输中), void (作废)\n" in refused.err
    assert agent("waybill", "status", number, "running").code == 0
    assert listed(agent)[number]["transport"] == "running"
    assert agent("waybill", "status", number, "running").err.startswith("SA1079 a waybill that is running"), "no step"
    assert agent("waybill", "status", number, "void").err.startswith("SA1079 a waybill that is running")
    assert agent("waybill", "status", number, "done").code == 0
    said = agent("waybill", "send")
    assert (said.code, said.out.split()) == (0, ["receipted", "2"]), said.err
    assert [each.status for each in site.province.changes(number)] == ["running", "done"]
    assert agent("waybill", "status", number, "void").err.startswith("SA1079 a waybill that is done")
    assert listed(agent)[number]["transport"] == "done"
    said = agent("jobs", "--format", STATUS.name)
    assert f"{number} running" in said.out
    assert agent("job", f"{number} done").code == 0


def test_after_a_day_that_no_witness_saw_a_status_is_told_only_with_a_reason(site: Site, agent: Agent) -> None:
    number = accepted(agent, site, site.number(PACKED))
    config = yaml.safe_load(site.config.read_text(encoding="utf-8"))
    config["witnesses"] = [{"kind": "folder", "name": "share", "path": "share"}]
    site.config.write_text(yaml.safe_dump(config, allow_unicode=True), encoding="utf-8")
    share = site.folder / "share"
    share.mkdir()
    app = wiring.App.load(site.config)
    with app.archive() as archive:
        anchoring = app.anchoring(archive)
        assert anchoring is not None
        assert anchoring.anchor() == []
    share.rename(site.folder / "not connected")
    with SqliteArchive(site.folder / "archive.db", lambda: wiring.now() - timedelta(hours=24)) as archive:
        archive.append(JobId("run/old"), 0, RunEnded(complete=True, documents=0, faults=0))
    refused = agent("waybill", "status", number, "running")
    assert (refused.code, refused.err.split()[0]) == (5, "SA6080")
    assert listed(agent)[number]["transport"] == "new"
    assert agent("waybill", "status", number, "running", "--without-anchor", "the share is down").code == 0
    assert listed(agent)[number]["transport"] == "running"


def test_a_status_has_its_time(site: Site, agent: Agent) -> None:
    number = accepted(agent, site, site.number(GASES))
    now = local(wiring.now())
    said = agent("waybill", "status", number, "running", "--at", f"{now + timedelta(hours=1):%Y-%m-%d %H:%M}")
    assert (said.code, said.err.split()[0]) == (3, "SA7171")
    assert "is still to come" in said.err
    before = f"{now - timedelta(hours=1):%Y-%m-%dT%H:%M:%S}"
    said = agent("waybill", "status", number, "running", "--at", before)
    assert said.code == 0
    assert f"WB-05 at is {before.replace('T', ' ')}, but dangerousGoodsWaybill {number} was accepted at" in said.out
    said = agent("waybill", "status", number, "done", "--at", f"{now - timedelta(hours=2):%Y-%m-%d %H:%M}")
    assert (said.code, said.err.split()[0]) == (3, "SA7172")
    assert agent("waybill", "status", number, "done", "--at", "yesterday").code == 2


def test_what_came_to_nothing_has_no_transport(site: Site, agent: Agent) -> None:
    number = site.number(VOID)
    assert agent("decline", number, "--reason", "ordered twice").code == 0
    said = agent("waybill", "status", number, "running")
    assert (said.code, said.err) == (3, f"SA7170 the waybill {number} is declined: no transport goes with it\n")
    assert agent("waybill", "qr", "WB000").err.startswith("SA7103 0 documents are called `WB000`")


def test_what_waits_while_the_line_is_down_leaves_afterwards_in_order(site: Site, agent: Agent) -> None:
    number = site.number(OFFLINE)
    nobody = "http://127.0.0.1:9/receive"
    site.send_to(nobody, nobody, site.province.platform.public_keys)
    assert agent("approve", number, "--reason", "checked").code == 0
    assert agent("waybill", "send").code == 4
    said = agent("waybill", "status", number, "running")
    assert said.code == 0, said.err
    assert "is not accepted yet" in said.out, "a transport that begins before its waybill is accepted is told"
    assert listed(agent)[number]["state"] == "waiting"
    assert agent("waybill", "send").code in (0, 4)
    assert site.province.waybill(number) is None
    site.to_province()
    assert agent("approve", f"{number} running", "--reason", "it had to go").code == 0
    assert agent("job", "retry", "--all").code == 0
    said = agent("waybill", "send")
    assert said.code == 0, said.err
    kept = site.province.waybill(number)
    assert kept is not None
    assert (kept.version, kept.status) == (1, "running")
    assert [each.status for each in site.province.changes(number)] == ["running"]


def test_other_documents_stay_where_they_are(site: Site, agent: Agent) -> None:
    order = FORMATS["purchaseOrder"]
    asked = {field.id for field in layout.asked(order)}
    given = example.document(order)
    header = {id: value for id, value in given.header.items() if id in asked} | {"orderNumber": "PO-77"}
    given = replace(given, header=header)
    path = site.folder / "orders.json"
    path.write_bytes(encode(given, order))
    said = agent("format", "import", path)
    assert said.out, said.err
    with archive(site) as kept:
        (id,) = kept.documents(format=order.name)
        before = kept.job(id).facts
    assert agent("waybill", "send").out.strip() == "nothing to send"
    with archive(site) as kept:
        assert kept.job(id).facts == before


# --- certificate numbers --------------------------------------------------------------------------------------------


def test_no_output_has_a_whole_certificate_number(site: Site, agent: Agent, tmp_path: Path) -> None:
    header = site.erp.expected()[f"despatches/{4000 + TANK}"].header
    secret = [str(header[id]) for id in ("i491", "i501")]
    number = accepted(agent, site, site.number(TANK))
    report = tmp_path / "report.html"
    calls: list[tuple[str | Path, ...]] = [
        ("job", number, "--origins"),
        ("jobs",),
        ("approve", site.number(GASES), "--reason", "checked"),
        ("waybill", "list"),
        ("waybill", "list", "--json"),
        ("waybill", "qr", number),
        ("waybill", "verify-qr", tmp_path / "text"),
        ("report", "--out", report),
        ("waybill", "status", number, "void"),
        ("log", "show"),
    ]
    kept = site.province.waybill(number)
    assert kept is not None
    (tmp_path / "text").write_bytes(kept.qr.encode(qr.CHARSET))
    said = {arguments: agent(*arguments) for arguments in calls}
    assert {arguments: each.err for arguments, each in said.items() if each.code} == {}
    shown = "".join(each.out + each.err for each in (site.run, *said.values())) + report.read_text(encoding="utf-8")
    shown += (site.folder / "agent.log").read_text(encoding="utf-8") if (site.folder / "agent.log").exists() else ""
    assert [each for each in secret if each in shown] == []
    masked = [each[:6] + "******" + each[12:] for each in secret]
    for arguments in (calls[0], calls[5], calls[6]):
        assert all(each in said[arguments].out for each in masked), arguments
    assert all(each in report.read_text(encoding="utf-8") for each in masked)
    assert "its image is in the archive alone" in report.read_text(encoding="utf-8")
    assert "/9j/" not in report.read_text(encoding="utf-8"), "no JPEG of a page that shows them"
    assert all(each.encode() in document(site, number) for each in secret), "what is sent keeps them"
    agent("job", "export", number, "--to", tmp_path / "evidence")
    assert all(each in (tmp_path / "evidence" / "document.json").read_text("utf-8") for each in secret)


# --- what is wrong with an answer -----------------------------------------------------------------------------------

STRANGER = keyfile.generate()


class _Stranger:
    """Signs as key 01, but is nobody."""

    def __init__(self, key_index: str = "01") -> None:
        self.key_index = key_index
        self.public_key = sm2.derive_public(STRANGER.d)

    def sign(self, message: bytes) -> bytes:
        return sm2.sign(STRANGER.d, self.public_key, message)


OTHER = qr.build(qr.summary(waybill()), _Stranger())


def lying(signer: Signer, kind: str, document: Document) -> dict[str, Any]:
    """The data of a receipt that is properly signed, and not right."""

    def text(signer: Signer, of: Document) -> str:
        return qr.build(qr.summary(of), signer).decode(qr.CHARSET)

    match kind:
        case "forged":
            return {"qr": text(_Stranger(), document)}
        case "another waybill":
            return {"qr": text(signer, waybill())}
        case "another image":
            return {"qr": text(signer, document), "image": PICTURE}
        case _:
            return {}


PICTURE = base64.b64encode(image.png(OTHER)).decode()
TEXT = OTHER.decode(qr.CHARSET)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ({"qr": 1}, "SA1084 `qr` in the data of the receipt is not String"),
        ({"qr": None}, "SA1084 `qr` in the data of the receipt is not String"),
        ({"qr": "01#01#"}, "SA1075 the QR content has 3 items"),
        ({"qr": TEXT, "image": base64.b64encode(b"GIF89a").decode()}, "SA1084 `image` in the data of the receipt is"),
        ({"qr": TEXT, "image": "<svg>"}, "SA1084 `image` in the data of the receipt is not Base64(PNG)"),
        ({"qr": TEXT, "image": "é"}, "SA1084 `image` in the data of the receipt is not Base64(PNG)"),
        ({"qr": TEXT, "image": [PICTURE]}, "SA1084 `image` in the data of the receipt is not Base64(PNG)"),
        ({"qr": TEXT.replace("19.625", "19.626")}, "SA1085 the signature of the QR code does not hold"),
        (
            {"qr": TEXT.replace("#01#", "#07#")},
            "SA1086 the QR code is signed with key 07 of the province; known are 01",
        ),
    ],
)
def test_data_that_is_no_code_of_the_waybill_is_refused(data: dict[str, Any], told: str) -> None:
    with pytest.raises(BusinessError) as caught:
        answer.code(data, waybill(), {"01": _Stranger().public_key}, sm2.verify)
    assert str(caught.value).startswith(told)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"i1": "WB2024000000000000000002"}, "item 3 (运单编号)"),
        ({"i47": "沪B1234挂"}, "item 4 (车辆信息)"),
        ({"i501": "310101198101010011"}, "item 5 (驾押人员信息)"),
        ({"i510": "19.624"}, "item 6 (货物总重量)"),
    ],
)
def test_a_code_of_another_waybill_is_refused_by_the_item_that_differs(change: dict[str, str], told: str) -> None:
    keys = {"01": _Stranger().public_key}
    code = answer.code({"qr": TEXT, "image": PICTURE}, waybill(), keys, sm2.verify)
    assert code is not None
    assert (code.data, code.image) == (OTHER, image.png(OTHER))
    with pytest.raises(answer.AnswerInvalid) as caught:
        answer.code({"qr": TEXT}, waybill(None, **change), keys, sm2.verify)
    assert str(caught.value).startswith(f"SA1087 {told} of the QR code is not what the waybill says")
    lines = [{"g7": "19"}]
    with pytest.raises(answer.AnswerInvalid, match="item 7"):
        answer.code({"qr": TEXT}, waybill(lines), keys, sm2.verify)


@pytest.mark.parametrize(
    ("kind", "told", "standing"),
    [
        ("forged", "SA1085 the signature of the QR code does not hold under key 01", "there"),
        ("another waybill", "SA1087 item 3 (运单编号) of the QR code is not what the waybill says", "doubtful"),
    ],
)
def test_a_code_that_proves_nothing_is_told_and_never_shown(
    site: Site, agent: Agent, kind: str, told: str, standing: str
) -> None:
    with liar(site, kind):
        assert agent("approve", site.number(GASES), "--reason", "checked").code == 0
        said = agent("waybill", "send")
    assert said.code == 3
    assert told in said.err
    shown = agent("waybill", "qr", site.number(GASES))
    assert (shown.code, shown.out) == (3, "")
    assert told in shown.err
    row = listed(agent)[site.number(GASES)]
    assert (row["state"], row["qr"]) == ("receipted", standing)


def test_an_image_that_shows_another_code_is_not_taken(site: Site, agent: Agent, tmp_path: Path) -> None:
    with liar(site, "another image"):
        accepted(agent, site, site.number(GASES))
    said = agent("waybill", "qr", site.number(GASES), "--image", tmp_path / "code.png")
    assert (said.code, said.out, said.err.split()[0]) == (3, "", "SA7174")
    assert not (tmp_path / "code.png").exists()


def test_without_a_reader_of_images_one_is_made_of_the_text(
    site: Site, agent: Agent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = accepted(agent, site, site.number(TANK))
    target = tmp_path / "code.png"
    with monkeypatch.context() as without:
        without.setenv("PATH", str(tmp_path))
        said = agent("waybill", "qr", number, "--image", target)
        seen = agent("waybill", "verify-qr", target)
    assert said.code == 0
    assert "takes `zbarimg`" in said.err
    kept = site.province.waybill(number)
    assert kept is not None
    assert zbar(target.read_bytes()) == kept.qr.encode(qr.CHARSET)
    assert (seen.code, seen.err.split()[0]) == (4, "SA7177")


def test_an_answer_without_a_code_is_none(site: Site, agent: Agent) -> None:
    with liar(site, "no data"):
        accepted(agent, site, site.number(GASES))
    assert listed(agent)[site.number(GASES)]["qr"] == "none"


@contextmanager
def liar(site: Site, kind: str) -> Iterator[None]:
    """A platform in the province's place, whose receipts are signed and whose data is wrong."""
    (entry,) = keyfolder.entries(site.folder / "keys")

    def judge(request: Request, _database: sqlite3.Connection) -> Ruling:
        given = lying(platform.signer, kind, decode(DANGEROUS, request.document))
        return Ruling(code="0000", msg="已接收", accepted=True, data=given)

    with Platform(wiring.now, {(AK, "01"): entry.public_key}, FORMATS, judge=judge) as platform:
        site.send_to(platform.url, platform.url, platform.public_keys)
        yield


# --- codes from anywhere --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def code() -> bytes:
    return OTHER


def test_a_code_is_verified_from_text_bytes_and_image(agent: Agent, code: bytes, tmp_path: Path) -> None:
    key = f"01={_Stranger().public_key}"
    (tmp_path / "gbk.txt").write_bytes(code + b"\r\n")
    (tmp_path / "utf-8.txt").write_text(code.decode(qr.CHARSET) + "\n", encoding="utf-8")
    (tmp_path / "code.png").write_bytes(image.png(code))
    for given in (code.decode(qr.CHARSET), *(tmp_path / name for name in ("gbk.txt", "utf-8.txt", "code.png"))):
        said = agent("waybill", "verify-qr", given, "--key", key)
        assert said.code == 0, (given, said.err)
        assert "genuine: signed with key 01 of the province" in said.out
        assert "张三, 310101******010010; 李四, 310101******010010" in said.out
        assert "沪A12345, 黄色" in said.out
        assert "19.625 t" in said.out


def test_a_code_that_is_not_genuine_is_told_by_its_exit_code(agent: Agent, code: bytes) -> None:
    text, key = code.decode(qr.CHARSET), f"01={_Stranger().public_key}"
    said = agent("waybill", "verify-qr", text.replace("19.625", "19.626"), "--key", key)
    assert (said.code, said.err.split()[0]) == (3, "SA7175")
    assert "19.626 t" in said.out, "what it says is shown"
    said = agent("waybill", "verify-qr", text, "--key", f"02={_Stranger().public_key}")
    assert (said.code, said.err.split()[0]) == (5, "SA7176")
    said = agent("waybill", "verify-qr", text)
    assert (said.code, said.err.split()[0]) == (3, "SA7175"), "under the keys of the config it is forged"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("01#01#WB", "SA1075 the QR content has 3 items between `#`; expected 8"),
        ("a\x1b[31m#", "SA1074 the QR content has the control character U+001B"),
        ("x" * 5000, "SA1072 the QR content has 5000 bytes"),
        ("", "SA1075 the QR content has 1 items"),
    ],
)
def test_what_is_no_code_is_refused(agent: Agent, given: str, told: str) -> None:
    said = agent("waybill", "verify-qr", given)
    assert (said.code, said.out) == (3, "")
    assert said.err.startswith(told)


def test_an_image_without_a_code_is_refused(agent: Agent, tmp_path: Path) -> None:
    white = io.BytesIO()
    Image.new("L", (80, 80), 255).save(white, "PNG")
    for name, data in (("white.png", white.getvalue()), ("cut.png", image.png(OTHER)[:200])):
        (tmp_path / name).write_bytes(data)
        said = agent("waybill", "verify-qr", tmp_path / name)
        assert (said.code, said.err.split()[0]) == (3, "SA7178")


@pytest.mark.parametrize("key", ["01", "1=00", f"001={'0' * 128}", f"01={'0' * 128}", "01=xyz"])
def test_a_key_that_is_none_is_usage(agent: Agent, key: str) -> None:
    said = agent("waybill", "verify-qr", "x", "--key", key)
    assert (said.code, said.err.split()[0]) == (2, "SA7179")


# --- files that people fill in --------------------------------------------------------------------------------------


def filled(path: Path, given: Document) -> None:
    """The template with this document below its example."""
    book = openpyxl.load_workbook(io.BytesIO(template.workbook(DANGEROUS)))
    for name, rows in ((layout.HEADER, [given.header]), (layout.LINES, given.lines)):
        sheet = book[name]
        columns = {cell.value: cell.column for cell in sheet[2]}
        for number, row in enumerate(rows, 5):
            for id, value in {**({"i1": given.header["i1"]} if name == layout.LINES else {}), **row}.items():
                cell = sheet.cell(number, columns[id])
                cell.value = value if isinstance(value, str | date) else float(str(value))
                if isinstance(value, str):
                    cell.data_type = "s"  # as typed into a column of text
    book.save(path)


@pytest.mark.parametrize("kind", ["xlsx", "json"])
def test_a_waybill_from_a_file_is_checked_as_one_that_was_read(site: Site, agent: Agent, kind: str) -> None:
    goods = [{}, {"g1": "2", "g2": "1202", "g3": "柴油", "g5": "III", "g7": "3.5"}]
    given = waybill(goods, i47="沪B1234挂", i471="310116054321", i48="GT-1", i481="45.5")
    path = site.folder / f"waybills.{kind}"
    if kind == "xlsx":
        filled(path, given)
    else:
        path.write_bytes(encode(given, DANGEROUS))
    said = agent("format", "import", path)
    assert said.code == 0, said.out + said.err
    number = str(given.header["i1"])
    assert decode(DANGEROUS, document(site, number)) == given
    shown = agent("job", number, "--origins").out
    assert "WB-04 i41 is 2026-03-02: a waybill is uploaded before the transport starts, and this one is late" in shown
    assert "310101198001010010" not in shown
    assert listed(agent)[number]["late"] is True


def test_a_file_with_a_number_for_a_certificate_is_refused_without_quoting_it(site: Site, agent: Agent) -> None:
    path = site.folder / "wrong.json"
    data = json.loads(encode(waybill(), DANGEROUS))
    data["header"]["i491"] = 310101198001010010
    path.write_text(json.dumps(data), encoding="utf-8")
    said = agent("format", "import", path)
    assert said.code == 3
    assert "310101198001010010" not in said.out + said.err
    assert re.search(r"`310101\*{6}010010` is a number where a text belongs", said.err)
