"""docs/waybill.md: every byte of its example recomputed, its signatures verified, its commands those there are."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from datetime import UTC, datetime

from scraper_agent import canonical, envelope
from scraper_agent.envelope import Answer
from scraper_agent.format import Document, encode
from scraper_agent.signing import sm2
from scraper_agent.waybill import answer, image, qr
from scraper_agent.waybill.profile import DEFAULT
from tests import docs
from tests.test_wire import PX, PY, signature_of
from tests.waybills import DANGEROUS, STATUS, waybill

TEXT = (docs.ROOT / "docs" / "waybill.md").read_text(encoding="utf-8")
BLOCKS: dict[str, str] = dict(re.findall(r"<!-- (.+?) -->\n```\n(.*?)\n```\n", TEXT, re.DOTALL))
ROWS = dict(re.findall(r"^\| ([^|]+) \| `(\S*)` \|$", TEXT, re.MULTILINE))

PUBLIC = PX + PY
NOW = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)
WAYBILL = waybill()
NUMBER = str(WAYBILL.header["i1"])


@dataclass(frozen=True)
class Written:
    """A signer that gives the signature in the text."""

    signature: bytes
    key_index: str = "01"
    public_key: str = PUBLIC

    def sign(self, message: bytes) -> bytes:
        assert sm2.verify(PUBLIC, message, self.signature)
        return self.signature


def test_the_request_is_what_the_agent_builds() -> None:
    body = encode(WAYBILL, DANGEROUS)
    digest = canonical.digest(body)
    key = envelope.idempotency_key("310001", DANGEROUS.name, NUMBER, digest)
    raw = BLOCKS["waybill request"]
    assert envelope.build(body, DANGEROUS.name, key, "310001", Written(signature_of(raw)), NOW).decode() == raw
    assert (ROWS["digest"], ROWS["idempotency key"]) == (digest, key)


def test_the_code_is_what_a_province_makes_of_it() -> None:
    text, data = BLOCKS["qr text"], bytes.fromhex(BLOCKS["qr bytes"])
    signature = base64.b64decode(text.rpartition(DEFAULT.qr.separator)[2])
    assert qr.build(qr.summary(WAYBILL), Written(signature)) == data == text.encode(qr.CHARSET)


def test_the_receipt_is_what_a_province_builds_and_holds_the_code() -> None:
    raw = BLOCKS["waybill receipt"]
    data = bytes.fromhex(BLOCKS["qr bytes"])
    told = {"qr": BLOCKS["qr text"], "image": base64.b64encode(image.png(data)).decode()}
    key, digest = ROWS["idempotency key"], ROWS["digest"]
    said = Answer(code="0000", msg="已接收 accepted", key=key, digest=digest, accepted=True, id="SIM-000001", data=told)
    assert envelope.build_receipt(said, Written(signature_of(raw)), NOW).decode() == raw
    opened = envelope.open_receipt(raw.encode(), sm2.verify, {"01": PUBLIC}, key=key, digest=digest)
    code = answer.code(opened.data, WAYBILL, {"01": PUBLIC}, sm2.verify)
    assert code is not None
    assert code.data == data


def test_the_change_of_status_is_what_the_agent_builds() -> None:
    at = datetime(2026, 11, 20, 17, 30)  # noqa: DTZ001 - local time, as the format has it
    body = encode(Document(format=STATUS.name, header={"i1": NUMBER, "status": "running", "at": at}), STATUS)
    raw = BLOCKS["status request"]
    key = envelope.idempotency_key("310001", STATUS.name, f"{NUMBER} running", canonical.digest(body))
    assert envelope.build(body, STATUS.name, key, "310001", Written(signature_of(raw)), NOW).decode() == raw


def test_the_numbers_in_the_picture_are_those_of_the_interfaces() -> None:
    picture = TEXT.partition("## Dangerous goods")[2].partition("```")[2].partition("```")[0]
    of = DEFAULT.interfaces
    assert re.findall(r"\((\d{4})\)", picture) == [
        *(of.province.waybill.busicode, of.province.query.busicode, of.ministry.query.busicode),
        *(of.province.qr.busicode, of.ministry.qr.busicode),
    ]
