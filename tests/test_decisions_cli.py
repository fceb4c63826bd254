"""`job preview | diff | hold | release | exclude`, `approve` by two and of a batch, and who may."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime

import pytest
import yaml

from scraper_agent import app as wiring
from scraper_agent import canonical
from scraper_agent.archive.sqlite import SqliteArchive
from scraper_agent.errors import SourceErrors
from scraper_agent.sending import https
from scraper_agent.values import Approval, Endorsed, Envelope, State, in_force
from tests import policies
from tests.test_outbox_cli import Agent, Site, at, keys, number, site
from tests.world import PASSPHRASE, World, frozen

__all__ = ["at", "keys", "site"]

LIMITS = {"automatic": {"purchaseOrder": {"amounts": {"USD": "1000"}}}}


def policy(site: Site, **more: object) -> None:
    (site.folder / "policy.yaml").write_text(yaml.safe_dump(LIMITS | more), encoding="utf-8")
    policies.sign(site.folder, PASSPHRASE)


def body(site: Site, digest: str) -> bytes:
    with SqliteArchive(site.folder / "archive.db", lambda: datetime.now(UTC), read_only=True) as archive:
        return archive.get(digest)  # type: ignore[arg-type]


def test_a_preview_is_the_fields_and_the_exact_bytes(at: Agent, site: Site) -> None:
    (held,) = site.jobs(State.HELD)
    document = body(site, in_force(held))
    shown = at("job", "preview", number(held))
    assert "totalAmount" in shown.out
    assert "3000" in shown.out
    assert f"{in_force(held)}  {len(document)} bytes" in shown.out
    assert at("job", "preview", number(held), "--raw").out.encode() == document
    request = at("job", "preview", number(held), "--envelope")
    assert request.err == "Not signed yet: its time and its signature will be others.\n"
    before = json.loads(request.out)
    assert set(before["sn"]) <= set("A=")
    at("approve", number(held))
    at("send")
    (signed,) = (fact for fact in site.jobs(State.RECEIPTED)[1].facts if isinstance(fact, Envelope))
    after = at("job", "preview", number(held), "--envelope")
    assert (after.out.encode(), after.err) == (body(site, signed.envelope), "")
    now = json.loads(after.out)
    assert {**now, "ts": 0, "sn": ""} == {**before, "ts": 0, "sn": ""}, "only its time and signature are others"


def test_a_difference_is_told_to_what_the_receiver_has_or_to_another(at: Agent, site: Site) -> None:
    (first,), (held,) = site.jobs(State.RECEIPTED), site.jobs(State.HELD)
    assert at("job", "diff", number(held)).err == "The receiver has no version of it yet.\n"
    table = at("job", "diff", number(held), number(first)).out
    assert re.search(r"totalAmount .* 300 .* 3000 ", table)
    assert re.search(r"lines\[1\].unitPrice .* 10 .* 100 ", table)
    assert "supplierName" not in table
    with https.HttpsTransport(https.Config(kind="https", url=site.platform.url)) as transport:
        world = World(site.folder, site.folder, transport, site.platform.public_keys, now=datetime.now(UTC))
        world.harvest(frozen(1, supplier="ACME Ltd"))
    (changed,) = site.jobs(State.READ)
    assert re.search(r"supplierName .* ACME .* ACME Ltd ", at("job", "diff", number(changed)).out)


def test_a_document_is_held_released_and_loses_a_field(at: Agent, site: Site) -> None:
    (job,) = site.jobs(State.HELD)
    assert "on hold" in at("job", "hold", number(job), "--reason", "wait").out
    assert at("approve", number(job)).code == 3
    assert f"{wiring.account()} keeps it back: wait" in at("jobs", "--state", "on_hold").out
    assert "on hold" in at("job", "exclude", number(job), "operatorAccountHash", "--reason", "not for customs").out
    assert "held" in at("job", "release", number(job)).out
    shown = at("job", "show", number(job))
    assert "left out operatorAccountHash: not for customs" in shown.out
    assert "operatorAccountHash" not in at("job", "preview", number(job), "--raw").out
    assert at("approve", number(job)).code == 0
    assert at("send").code == 0
    assert len(site.jobs(State.RECEIPTED)) == 2
    assert canonical.digest(site.platform.stored()[1].document) == in_force(site.jobs(State.RECEIPTED)[1])


def test_four_eyes_are_two_people(at: Agent, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    policy(site, approval={"purchaseOrder": {"rule": "four_eyes"}})
    (job,) = site.jobs(State.HELD)
    monkeypatch.setattr(wiring, "account", lambda: "li")
    assert at("approve", number(job)).err == "A second person has to approve it as well.\n"
    assert "li has approved it, a second person has to" in at("jobs", "--state", "held").out
    assert "SA6055" in at("approve", number(job)).err
    monkeypatch.setattr(wiring, "account", lambda: "wang")
    assert "approved" in at("approve", number(job)).out
    (done,) = site.jobs(State.APPROVED)
    assert [type(fact) for fact in done.facts[-2:]] == [Endorsed, Approval]


def test_a_batch_is_shown_first_and_then_approved_by_its_digest(at: Agent, site: Site) -> None:
    policy(site, approval={"purchaseOrder": {"rule": "per_batch"}}, automatic={"purchaseOrder": {"lines": 5}})
    (job,) = site.jobs(State.HELD)
    policy(
        site,
        approval={"purchaseOrder": {"rule": "per_batch"}},
        automatic={"purchaseOrder": {"amounts": {"USD": "5000"}}},
    )
    shown = at("approve", "--run", "run/1")
    assert re.search(r"\b1\b .* 3000 USD", shown.out)
    command = re.search(
        r"`scraper-agent (approve --run run/1 --digest sm3:[0-9a-f]{64})`", shown.err.replace("\n", " ")
    )
    assert command is not None
    assert site.jobs(State.HELD) == [job], "nothing is approved by looking"
    assert "SA6056" in at("approve", "--all", "--digest", f"sm3:{'0' * 64}").err
    assert at(*command[1].split()).out.endswith("1 document(s) are approved; they leave with the next `send`.\n")
    (approved,) = site.jobs(State.APPROVED)
    assert approved.last.batch == command[1].split()[-1]  # type: ignore[union-attr]


@pytest.mark.parametrize("arguments", [(), ("PO-2", "--all"), ("--run", "run/1", "--all")])
def test_what_is_to_be_approved_is_said_in_one_way(at: Agent, arguments: tuple[str, ...]) -> None:
    assert "SA7162" in at("approve", *arguments).err


@pytest.mark.parametrize(
    "command",
    [
        ("approve", "PO-2"),
        ("approve", "--all"),
        ("decline", "PO-2", "--reason", "x"),
        ("job", "hold", "PO-2", "--reason", "x"),
        ("job", "release", "PO-2"),
        ("job", "exclude", "PO-2", "remark", "--reason", "x"),
        ("job", "withdraw", "PO-2", "--reason", "x"),
    ],
)
def test_only_an_approver_decides(at: Agent, site: Site, command: tuple[str, ...]) -> None:
    policy(site, people={wiring.account(): {"roles": ["operator", "auditor", "administrator"]}})
    before = site.jobs(State.HELD)
    said = at(*command)
    assert (said.code, "SA6020" in said.err) == (3, True)
    assert site.jobs(State.HELD) == before


@pytest.mark.parametrize(
    ("section", "code"),
    [
        ({"approval": {"order": {"rule": "four_eyes"}}}, "SA7006"),
        ({"fields": {"order": {}}}, "SA7006"),
        ({"approval": {"contract": {"rule": "per_batch"}}}, "SA6049"),
        ({"approval": {"contract": {"sample": {"one_in": "3"}}}}, "SA6049"),
        ({"fields": {"purchaseOrder": {"leave_out": ["remrk"]}}}, "SA6046"),
        ({"fields": {"purchaseOrder": {"only": ["unitPrice"]}}}, "SA6046"),
        ({"fields": {"purchaseOrder": {"leave_out": ["lines.unitPrice"]}}}, "SA6047"),
        ({"fields": {"purchaseOrder": {"mask": {"supplierName": {}}}}}, "SA6048"),
        ({"fields": {"purchaseOrder": {"mask": {"supplierCountryCode": {}}}}}, "SA6048"),
        ({"fields": {"purchaseOrder": {"mask": {"taxAmount": {}}}}}, "SA6048"),
    ],
)
def test_a_policy_that_no_document_could_follow_is_refused(
    at: Agent, site: Site, section: dict[str, object], code: str
) -> None:
    policy(site, **section)
    said = at("jobs")
    assert code in said.err
    assert "policy.yaml:" in said.err
    assert said.code == SourceErrors.exit_code
