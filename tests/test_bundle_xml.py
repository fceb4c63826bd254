"""Signed XML as a bundle's own `verify.py` reads it: what lxml reads, or nothing; against the same hostile messages."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from scraper_agent import envelope, exporting
from scraper_agent.audit import verify
from scraper_agent.envelope import Profile
from tests import bundles
from tests import test_envelope_xml as xml
from tests.faults import mutations
from tests.test_envelope_xml import ANSWER, CEB, DXP, KeySigner, by_profile, receipt, request, toy_signature

Reader = Callable[[bytes], verify.Told]
both = pytest.mark.parametrize(
    ("reader", "built"),
    [(verify._xml_request, request), (verify._xml_receipt, receipt)],
    ids=["request", "receipt"],
)


def said(reader: Reader, raw: bytes) -> tuple[object, ...] | None:
    """What a signature that holds is about; None: nothing is proven."""
    try:
        told = reader(raw)
    except (ValueError, verify.Contradicted):
        return None
    holds = told.signature == toy_signature(told.message)
    return (told.key_index, told.digest, told.accepted, told.id) if holds else None


@by_profile
def test_what_is_written_is_read(profile: Profile) -> None:
    sent, got = verify._xml_request(request(profile)), verify._xml_receipt(receipt(profile))
    assert sent.message == envelope.read_request(request(profile), profile).message
    assert got.message in xml.taken_apart(receipt(profile))
    assert said(verify._xml_request, request(profile)) == ("01", xml.DIGEST, False, "")
    assert said(verify._xml_receipt, receipt(profile)) == ("01", ANSWER.digest, True, "SHB-7")


@by_profile
@both
@pytest.mark.parametrize("change", xml.RESPELLED_AND_SIGNED)
def test_any_layout_in_canonical_form_is_read_alike(
    profile: Profile, reader: Reader, built: Callable[[Profile], bytes], change: str
) -> None:
    raw = built(profile)
    signed = xml.signed_again(xml.RESPELLED_AND_SIGNED[change](raw.decode()).encode())
    other = etree.tostring(etree.fromstring(signed), method="c14n")
    assert said(reader, other) == said(reader, raw) is not None


READ = {"no declaration", "other declaration", "line feed after", "empty elements"}


@by_profile
@both
@pytest.mark.parametrize("change", xml.RESPELLED)
def test_another_spelling_is_the_same_or_not_proven(
    profile: Profile, reader: Reader, built: Callable[[Profile], bytes], change: str
) -> None:
    raw = built(profile)
    other = xml.RESPELLED[change](raw.decode()).encode()
    assert other == raw or said(reader, other) == (said(reader, raw) if change in READ else None)


@by_profile
@both
@pytest.mark.parametrize("change", xml.UNREADABLE)
def test_xml_that_says_more_than_it_has_to_is_not_proven(
    profile: Profile, reader: Reader, built: Callable[[Profile], bytes], change: str
) -> None:
    assert said(reader, xml.UNREADABLE[change](built(profile).decode()).encode()) is None


SET = {
    "namespace of another": "what namespace a profile has is set",
    "no namespace": "likewise",
    "unknown signature": "likewise how it calls SM2 with SM3",
    "default namespace taken back": "stands in no canonical form",
    "answer to another": "the enterprise's id at the receiver is set",
}
"""What can be signed and is proven all the same, as nothing of the settings is in a bundle."""


@by_profile
@pytest.mark.parametrize("change", xml.HOSTILE | xml.HOSTILE_REQUESTS)
def test_a_hostile_request_is_not_proven(profile: Profile, change: str) -> None:
    hostile(request(profile), (xml.HOSTILE | xml.HOSTILE_REQUESTS)[change], verify._xml_request, change)


@by_profile
@pytest.mark.parametrize("change", xml.HOSTILE | xml.HOSTILE_RECEIPTS)
def test_a_hostile_receipt_is_not_proven(profile: Profile, change: str) -> None:
    hostile(receipt(profile), (xml.HOSTILE | xml.HOSTILE_RECEIPTS)[change], verify._xml_receipt, change)


def hostile(raw: bytes, change: Callable[[str], str], reader: Reader, name: str) -> None:
    """As it is, and if it can be, properly signed, as lxml writes it and in canonical form."""
    made = xml.attempts(raw, change)
    for each in tuple(made):
        with contextlib.suppress(etree.LxmlError):
            made.append(etree.tostring(etree.fromstring(each), method="c14n"))
    assert {said(reader, each) for each in made} <= {None, said(reader, raw) if name in SET else None}


@by_profile
@pytest.mark.parametrize("change", xml.HUGE)
def test_a_hostile_size_costs_little(profile: Profile, change: str) -> None:
    raw = xml.HUGE[change](request(profile).decode()).encode()
    began = time.process_time()
    assert said(verify._xml_request, raw) is None
    assert time.process_time() - began < 2


@by_profile
@both
def test_no_flipped_bit_makes_another_content(
    profile: Profile, reader: Reader, built: Callable[[Profile], bytes]
) -> None:
    raw = built(profile)
    seen = [said(reader, changed) for changed in xml.flipped(raw)]
    assert set(seen) == {None, said(reader, raw)}
    assert len(seen) - seen.count(None) < 20  # encoding="utf-8"


@by_profile
@both
@given(
    raw=st.binary(max_size=60)
    | st.lists(xml.SNIPPETS | st.text(max_size=5), max_size=12).map(lambda p: "".join(p).encode("utf-8", "replace"))
)
def test_garbage_is_not_read_and_nothing_else_is_raised(
    profile: Profile, reader: Reader, built: Callable[[Profile], bytes], raw: bytes
) -> None:
    assert said(reader, raw) is None


@by_profile
@given(text=st.text(max_size=60))
def test_any_text_is_read_as_lxml_reads_it(profile: Profile, text: str) -> None:
    raw = receipt(profile, replace(ANSWER, reason=text, msg=text, id=text[:9]))
    assert verify._xml_receipt(raw).id == envelope.read_receipt(raw, profile).remote_id


# --- in a bundle ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=[CEB, DXP], ids=lambda profile: profile.name)
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[bundles.Site]:
    with bundles.site(tmp_path_factory.mktemp("bundle") / "site", request.param) as made:
        yield made


def test_it_is_proven_by_nothing_but_the_standard_library(site: bundles.Site, tmp_path: Path) -> None:
    site.export(tmp_path / "bundle", exporting.Asked(documents=site.documents[:2]))
    command = [sys.executable, "-I", "-S", str(tmp_path / "bundle" / "verify.py"), "--all"]
    trust = bundles.trusting(bundles.fingerprints(tmp_path / "bundle"))
    done = subprocess.run([*command, *trust], capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("proven: signed by the enterprise's key 01, ") == 2
    assert done.stdout.count("proven: the receiver took it, by its key 01, ") == 2


def test_a_receipt_of_another_key_is_contradicted(site: bundles.Site, tmp_path: Path) -> None:
    site.export(tmp_path / "bundle", exporting.Asked(documents=site.documents[:1]))
    trust = bundles.fingerprints(tmp_path / "bundle")
    keys = json.loads((tmp_path / "bundle" / "keys.json").read_bytes())
    ((name, _),) = keys["receivers"].items()
    keys["receivers"] = {name: KeySigner().public_key}
    (tmp_path / "bundle" / "keys.json").write_bytes(verify.canonical(keys))
    bundles.resigned(tmp_path / "bundle", bundles.enterprise(site))
    result = verify.check(tmp_path / "bundle", trust)
    assert [document.state for document in result.documents] == [verify.CONTRADICTED]
    assert result.documents[0].parts[-1].en == "the receiver's signature does not hold"


def test_of_200_mutations_none_is_accepted_that_changes_what_it_says(site: bundles.Site, tmp_path: Path) -> None:
    outcome = mutations.run(site, tmp_path, 200, seed=9)
    assert outcome.accepted == []
    assert outcome.found > 180
