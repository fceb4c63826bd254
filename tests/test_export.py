"""`log export`: what is in a bundle, who may make one, and that Python alone and openssl alone find it right."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from lxml import html
from typer.testing import CliRunner

from scraper_agent import app as wiring
from scraper_agent import canonical, desk, exporting, orders
from scraper_agent.archive.sqlite import SqliteArchive
from scraper_agent.audit import verify
from scraper_agent.cli import build
from scraper_agent.errors import AgentError, UsageError
from scraper_agent.orders import Order, Outcome, Taken, new_id
from scraper_agent.people import Person, Role
from scraper_agent.values import Exported, JobId
from tests import bundles
from tests.authorities import OTHER
from tests.bundles import Site
from tests.console import archive as small
from tests.test_desk import at_work


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with bundles.site(tmp_path_factory.mktemp("export") / "site") as made:
        yield made


@pytest.fixture(scope="module")
def bundle(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of everything, with a witness."""
    out = tmp_path_factory.mktemp("bundle") / "all"
    site.export(out, exporting.Asked(reason="audit of May"))
    return out


def alone(bundle: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """The bundle's own program, by a Python that sees no package and no environment."""
    command = [sys.executable, "-I", "-S", str(bundle / "verify.py"), str(bundle), *more]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={"PYTHONUTF8": "1"})


def command(site: Site, *words: str) -> tuple[int, str]:
    done = CliRunner().invoke(build(), ["-c", str(site.app.home / "config.yaml"), "log", "export", *words])
    if isinstance(done.exception, AgentError):
        return done.exception.exit_code, str(done.exception)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.output


# --- by Python alone ------------------------------------------------------------------------------------------------


def test_python_alone_proves_every_document(bundle: Path) -> None:
    done = alone(bundle, "--all", *bundles.trusting(bundles.fingerprints(bundle)))
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    lines = done.stdout.splitlines()
    assert lines[0] == "proven"
    assert sum(line.startswith("proven  doc/purchaseOrder/") for line in lines) == 11
    assert sum("the receiver took it" in line for line in lines) == 9
    assert sum("approved by policy" in line for line in lines) == 9
    (tail,) = (line for line in lines if "the tail that no witness has seen" in line)
    assert ": 1 of " in tail  # the fact that says who exported


def test_in_chinese(bundle: Path) -> None:
    done = alone(bundle, "--lang", "zh", *bundles.trusting(bundles.fingerprints(bundle)))
    assert done.stdout.startswith("已证明\n")


def test_without_a_witness_nothing_is_proven_and_the_tail_is_all_of_it(site: Site, tmp_path: Path) -> None:
    code, said = command(site, str(tmp_path / "out"), "--document", site.documents[0])
    assert code == 0, said
    done = alone(tmp_path / "out", *bundles.trusting(bundles.fingerprints(tmp_path / "out")))
    assert done.returncode == 2
    size = json.loads((tmp_path / "out" / "entries.jsonl").read_bytes().splitlines()[-1])["index"] + 1
    assert f"no witness that is trusted here has seen any of its {size} entries" in done.stdout
    assert "CONTRADICTED" not in done.stdout


def test_a_document_that_went_on_after_the_witness_is_not_proven(site: Site, tmp_path: Path) -> None:
    """The others are."""
    by = site.by()
    with SqliteArchive(site.archive, lambda: small.NOW) as archive:
        pipeline = site.app.pipeline(archive, lambda _job, _fact: None)
        held = site.documents[-2]
        pipeline.hold(held, "person:li.na", "to be looked at")
    with SqliteArchive(site.archive, lambda: small.NOW, read_only=True) as archive:
        exporting.export(tmp_path / "out", archive, exporting.Asked(documents=[*site.documents[:1], held]), by)
    result = verify.check(tmp_path / "out", bundles.fingerprints(tmp_path / "out"))
    assert [part.state for part in result.log] == [verify.PROVEN] * len(result.log)
    assert [document.state for document in result.documents] == [verify.PROVEN, verify.NOT_PROVEN]
    assert any("no witness has seen entries" in part.en for part in result.documents[1].parts)


def test_every_key_has_to_be_vouched_for(bundle: Path) -> None:
    trust = bundles.fingerprints(bundle)
    assert verify.check(bundle, trust).state == verify.PROVEN
    for left_out in range(len(trust)):
        result = verify.check(bundle, trust[:left_out] + trust[left_out + 1 :])
        assert result.state == verify.NOT_PROVEN
        assert {document.state for document in result.documents} != {verify.PROVEN}


@pytest.mark.parametrize(
    ("name", "state", "said"),
    [
        ("receiver/02", verify.NOT_PROVEN, "a receipt by a key 01 of the receiver that is not in the bundle"),
        ("receiver/01", verify.CONTRADICTED, "the receiver's signature does not hold"),
    ],
)
def test_a_receipt_by_a_key_that_has_left_the_config_is_not_proven_and_by_a_false_one_contradicted(
    site: Site, tmp_path: Path, name: str, state: str, said: str
) -> None:
    by = replace(site.by(), receivers={name: OTHER.public_key})
    with SqliteArchive(site.archive, lambda: small.NOW, read_only=True) as archive:
        exporting.export(tmp_path / "out", archive, exporting.Asked(documents=site.documents[:1]), by)
    result = verify.check(tmp_path / "out", bundles.fingerprints(tmp_path / "out"))
    assert [document.state for document in result.documents] == [state]
    assert [part.en for part in result.documents[0].parts if part.state == state] == [said]


# --- by openssl alone -----------------------------------------------------------------------------------------------


def openssl(bundle: Path) -> subprocess.CompletedProcess[str]:
    path = {"PATH": os.environ["PATH"]}
    return subprocess.run(["sh", str(bundle / "openssl.sh")], capture_output=True, text=True, check=False, env=path)


@pytest.fixture(scope="module")
def one(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of one document, with a witness."""
    out = tmp_path_factory.mktemp("bundle") / "one"
    site.export(out, exporting.Asked(documents=site.documents[:1]))
    return out


def test_openssl_alone_finds_it_right(one: Path) -> None:
    done = openssl(one)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    lines = done.stdout.splitlines()
    assert lines[-1] == "all of it holds"
    assert all(line.startswith("ok ") for line in lines[:-1])
    # Of the checkpoint, of the witnessed one by log and witness, of what was sent, of the receipt.
    assert sum(", signed by " in line for line in lines) == 5
    assert "ok   the entries are in the tree of the checkpoint" in lines


@pytest.mark.parametrize("what", ["envelope", "receipt", "entries", "checkpoint", "key"])
def test_openssl_alone_finds_what_was_changed(one: Path, tmp_path: Path, what: str) -> None:
    own = shutil.copytree(one, tmp_path / "own")
    about = json.loads((own / "manifest.json").read_bytes())
    holding = {each.get("holds"): each["name"] for each in about["files"]}
    name = {"entries": "entries.jsonl", "checkpoint": "checkpoint"}.get(what) or holding.get(what)
    if name is None:
        pems = sorted((own / "keys").iterdir())
        pems[0].write_bytes(pems[1].read_bytes())
    else:
        data = bytearray((own / name).read_bytes())
        at = {"entries": data.find(b'"at"') + 8, "checkpoint": 1}.get(what, len(data) // 2)
        data[at] ^= 1
        (own / name).write_bytes(data)
    done = openssl(own)
    assert done.returncode == 1
    bad = [line for line in done.stdout.splitlines() if line.startswith("BAD")]
    assert len(bad) >= 2  # its digest, and what depends on it
    assert done.stdout.splitlines()[-1] == "NOT ALL OF IT HOLDS"


# --- what is in it --------------------------------------------------------------------------------------------------


def test_the_manifest_names_every_file_with_both_digests(bundle: Path) -> None:
    about = json.loads((bundle / "manifest.json").read_bytes())
    there = {path.relative_to(bundle).as_posix() for path in bundle.rglob("*") if path.is_file()}
    assert {each["name"] for each in about["files"]} == there - {"manifest.json", "manifest.sig"}
    for each in about["files"]:
        data = (bundle / each["name"]).read_bytes()
        assert each["size"] == str(len(data))
        assert each["sm3"] == canonical.sm3(data).hex()
        assert each["sha256"] == hashlib.sha256(data).hexdigest()
    holds = {each.get("holds", "").partition(":")[0] for each in about["files"]}
    assert {"document", "documents", "provenance", "page", "image", "envelope", "receipt", "recipe", "policy"} <= holds


def test_entries_are_the_bytes_of_the_log(site: Site, bundle: Path) -> None:
    with SqliteArchive(site.archive, lambda: small.NOW, read_only=True) as archive:
        for line in (bundle / "entries.jsonl").read_bytes().splitlines():
            assert archive.raw(json.loads(line)["index"]) == line


def test_of_a_run_only_what_is_about_the_document_goes_with_it(one: Path) -> None:
    entries = [json.loads(line) for line in (one / "entries.jsonl").read_bytes().splitlines()]
    assert len([each for each in entries if each["kind"] == "Snapshot"]) == 1
    assert {each["job"] for each in entries if each["job"].startswith("doc/")} == {
        each["job"] for each in entries if each["kind"] == "Draft"
    }
    assert {"RunStarted", "RunEnded", "Refused", "KeyChanged", "PolicyAdopted", "Exported"} <= {
        each["kind"] for each in entries
    }


def test_who_exported_what_and_why_is_logged_first(site: Site, one: Path) -> None:
    with SqliteArchive(site.archive, lambda: small.NOW, read_only=True) as archive:
        facts = archive.job(exporting.JOB).facts
        (fact,) = (f for f in facts if isinstance(f, Exported) and f.reason == "audit of May")
        assert (fact.by, fact.count, dict(fact.asked)) == (f"person:{wiring.account()}", 11, {})
        assert json.loads(archive.get(fact.documents)) == list(site.documents)
    size = (one / "checkpoint").read_text().splitlines()[1]
    (last,) = (one / "entries.jsonl").read_bytes().splitlines()[-1:]
    assert (json.loads(last)["kind"], json.loads(last)["index"] + 1) == ("Exported", int(size))


def test_no_secret_of_the_folder_is_in_it(site: Site, bundle: Path) -> None:
    secrets = [(site.app.home / name).read_bytes() for name in ("passphrase", "erp-password")]
    private = (site.app.home / "keys" / "sm2-01.pem").read_bytes().splitlines()[1:-1]
    for path in bundle.rglob("*"):
        data = path.read_bytes() if path.is_file() else b""
        assert not [each for each in (*secrets, *private) if each in data], path.name


def test_images_are_left_out_where_nobody_wants_them(site: Site, tmp_path: Path) -> None:
    site.export(tmp_path / "out", exporting.Asked(documents=site.documents[:1], images=False))
    about = json.loads((tmp_path / "out" / "manifest.json").read_bytes())
    assert "image" not in {each.get("holds") for each in about["files"]}
    assert b"data:image" not in (tmp_path / "out" / "report.en.html").read_bytes()
    assert verify.check(tmp_path / "out", bundles.fingerprints(tmp_path / "out")).state == verify.PROVEN


def test_a_zip_file_has_the_same_files_with_no_trace_of_when_it_was_made(site: Site, tmp_path: Path) -> None:
    site.export(tmp_path / "out.zip", exporting.Asked(documents=site.documents[:1]))
    with zipfile.ZipFile(tmp_path / "out.zip") as packed:
        assert {each.date_time for each in packed.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        packed.extractall(tmp_path / "out")
    assert verify.check(tmp_path / "out", bundles.fingerprints(tmp_path / "out")).state == verify.PROVEN


def test_periods_are_of_what_happened_in_chinese_days(site: Site, tmp_path: Path) -> None:
    code, said = command(site, str(tmp_path / "before"), "--until", "2026-05-05")
    assert code == 0, said
    assert documents(tmp_path / "before") == list(site.documents[:3])
    code, said = command(site, str(tmp_path / "none"), "--since", "2026-05-07", "--until", "2026-05-08")
    assert (code, said.partition("\n")[0]) == (2, "SA5103 no document is what was asked for")
    code, said = command(site, str(tmp_path / "none"), "--since", "yesterday")
    assert (code, said.partition("\n")[0]) == (2, "SA7842 `yesterday` is no day")
    code, said = command(site, str(tmp_path / "none"), "--format", "foreignInvoice")
    assert (code, said.partition("\n")[0]) == (2, "SA5103 no document is what was asked for")
    assert not (tmp_path / "none").exists()


def test_while_another_process_writes_it_logs_who_exports(site: Site, tmp_path: Path) -> None:
    with at_work(site.app.home):
        code, said = command(site, str(tmp_path / "out"), "--document", site.documents[0], "--reason", "asked for")
    assert code == 0, said
    assert verify.check(tmp_path / "out", bundles.fingerprints(tmp_path / "out")).log
    with SqliteArchive(site.archive, lambda: small.NOW, read_only=True) as archive:
        fact = archive.job(exporting.JOB).facts[-1]
        assert isinstance(fact, Exported)
        assert json.loads(archive.get(fact.documents)) == [site.documents[0]]
    assert (fact.by, fact.count, fact.reason) == (f"person:{wiring.account()}", 1, "asked for")
    assert fact.asked == {"document": site.documents[0]}
    assert '"kind":"Exported"' in (tmp_path / "out" / "entries.jsonl").read_text("utf-8").splitlines()[-1]


def test_no_more_is_ordered_of_another_process_than_an_order_holds(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orders, "MOST_TARGETS", 1)
    with at_work(site.app.home):
        code, said = command(site, str(tmp_path / "out"))
    assert (code, said.split()[0]) == (3, "SA7840")
    assert not (tmp_path / "out").exists()


def test_what_is_logged_while_a_bundle_is_made_changes_nothing_in_it(site: Site, tmp_path: Path) -> None:
    by = site.by()
    with SqliteArchive(site.archive, lambda: small.NOW) as writer:

        def log(documents: Sequence[JobId], asked: exporting.Asked) -> None:
            exporting.record(writer, documents, "li.na", exporting.ordered(asked))

        def beside(*_: object) -> dict[str, bytes]:
            exporting.record(writer, [], "li.na", {"reason": "meanwhile"})
            return {}

        with SqliteArchive(site.archive, lambda: small.NOW, read_only=True) as archive:
            made = exporting.export(tmp_path / "out", archive, exporting.Asked(), replace(by, log=log), beside)
            assert archive.head().size == made.checkpoint.size + 1
    result = verify.check(tmp_path / "out", bundles.fingerprints(tmp_path / "out"))
    assert result.state == verify.PROVEN
    assert b"meanwhile" not in (tmp_path / "out" / "entries.jsonl").read_bytes()


def test_who_may_not_export_does_not_by_an_order_either(site: Site, tmp_path: Path) -> None:
    known = {"li.na": Person(roles=frozenset({Role.OPERATOR, Role.APPROVER}))}
    said = Order(
        id=new_id(), at=small.NOW, by="li.na", via="cli", do=exporting.DO, targets=(site.documents[0],), values={}
    )
    with SqliteArchive(site.archive, lambda: small.NOW) as archive:
        before = archive.length(exporting.JOB)
        pipeline = site.app.pipeline(archive, lambda _job, _fact: None)
        (outcome,) = desk.carry_out(pipeline, Taken(said, again=False, path=tmp_path), known)
        assert outcome.error is not None
        assert outcome.error.code == "SA6020"
        assert archive.length(exporting.JOB) == before
        known = {"li.na": Person(roles=frozenset({Role.AUDITOR}))}
        for again in (False, True):  # after a crash, what the log has is not said twice
            assert desk.carry_out(pipeline, Taken(said, again=again, path=tmp_path), known) == [Outcome("export")]
            assert archive.length(exporting.JOB) == before + 1


def documents(bundle: Path) -> list[str]:
    return list(json.loads((bundle / "manifest.json").read_bytes())["documents"])


def test_nothing_is_written_over(site: Site, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(UsageError, match="SA5102"):
        site.export(tmp_path / "out", exporting.Asked())


def test_a_log_that_does_not_agree_with_its_tree_is_not_exported(site: Site, tmp_path: Path) -> None:
    """Somebody has changed an entry in the file."""
    copy = tmp_path / "archive.db"
    by = site.by()
    with SqliteArchive(site.archive, lambda: small.NOW) as archive:
        archive._db.execute("VACUUM INTO ?", (str(copy),))
    with SqliteArchive(copy, lambda: small.NOW) as archive:
        archive._db.execute("UPDATE log SET entry = CAST(replace(entry, 'person:x', 'person:y') AS BLOB) WHERE idx = 0")
        with pytest.raises(AgentError, match="SA5100"):
            exporting.export(tmp_path / "out", archive, exporting.Asked(), replace(by, seen=None))
    assert not (tmp_path / "out").exists()


def test_only_auditors_and_administrators_export(site: Site, tmp_path: Path) -> None:
    policy = yaml.safe_load((site.app.home / "policy.yaml").read_text(encoding="utf-8"))
    home = shutil.copytree(site.app.home, tmp_path / "home")
    policy["people"][wiring.account()] = {"roles": ["operator", "approver"]}
    policy["version"] += 1
    (home / "policy.yaml").write_text(yaml.safe_dump(policy, allow_unicode=True), encoding="utf-8")
    (home / "archive.db").unlink()  # the policy in force would be the one before
    code, said = command(replace(site, app=replace(site.app, home=home)), str(tmp_path / "out"))
    assert (code, said.split()[0]) == (3, "SA6020")


# --- the report -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_report_needs_neither_script_nor_network(bundle: Path, lang: str) -> None:
    page: Any = html.fromstring((bundle / f"report.{lang}.html").read_bytes())
    assert not page.xpath("//script | //link | //iframe | //object | //base | //form")
    assert {each.partition(":")[0] for each in page.xpath("//@src")} == {"data"}
    assert all(each.startswith("#") for each in page.xpath("//@href"))
    (policy,) = page.xpath("//meta[@http-equiv='Content-Security-Policy']/@content")
    assert policy.startswith("default-src 'none'; img-src data:")
    assert len(page.xpath("//article")) == 11
    assert len(page.xpath("//article//img")) == 11
    assert page.xpath("string(/html/@lang)") == {"en": "en", "zh": "zh-CN"}[lang]


def test_the_report_tells_facts_fields_and_what_was_sent(bundle: Path) -> None:
    page: Any = html.fromstring((bundle / "report.en.html").read_bytes())
    article = page.xpath("//article[.//h3[starts-with(normalize-space(.), 'PO-101')]]")[0]
    told = " ".join(article.text_content().split())
    assert "Approved by the policy" in told
    assert "Accepted by the receiver" in told
    assert "深沟球轴承" in told
    assert '{"ak":"310001","ts":' in told
    assert '"accepted":true' in told
    kinds = article.xpath(".//table[1]//code[@class='id']/text()")
    assert (kinds[0], kinds[-4:]) == ("Draft", ["Approval", "Envelope", "Attempt", "Receipt"])
