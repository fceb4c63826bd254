"""docs/wire.md: every value of its examples recomputed, its signatures verified by openssl, its tables compared."""

from __future__ import annotations

import base64
import hashlib
import re
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

import pytest
from lxml import etree

from scraper_agent import canonical, envelope
from scraper_agent.envelope import Answer, Profile
from scraper_agent.envelope.profile import Name, Setting, spec
from scraper_agent.signing import keyfile, sm2
from tests import docs

TEXT = (docs.ROOT / "docs" / "wire.md").read_text(encoding="utf-8")
BLOCKS: dict[str, str] = dict(re.findall(r"<!-- (.+?) -->\n```\n(.*?)\n```\n", TEXT, re.DOTALL))
ROWS = dict(re.findall(r"^\| ([^|]+) \| .+ \| (\S.*) \|$", TEXT, re.MULTILINE))

NAMES = get_args(Name)
PROFILES = {
    "ak-ts-sk-ps/1": Profile(),
    "ceb-xmldsig/1": Profile(name="ceb-xmldsig/1"),
    "dxp/1": Profile(name="dxp/1", sender_id="DXPENT0000000001", receiver_ids=("DXPEDC0000000001",)),
}
NOW = datetime(2026, 11, 20, 8, 0, 0, tzinfo=UTC)
DOCUMENT = b'{"contractNo":"HT-001","totalAmount":"1000.50"}'

# GB/T 32918.5-2017, written out once more: the module under test is no witness.
A = "fffffffeffffffffffffffffffffffffffffffff00000000fffffffffffffffc"
B = "28e9fa9e9d9f5e344d5a9e4bcf6509a7f39789f515ab8f92ddbcbd414d940e93"
GX = "32c4ae2c1f1981195f9904466a39c9948fe30bbff2660be1715a4589334c74c7"
GY = "bc3736a2f4f6779c59bdcee36b692153d0a9877cc62a474002df32e52139f0a0"
PX = "09f9df311e5421a150dd7d161e4bc5c672179fad1833fc076bb08ff356f35020"
PY = "ccea490ce26775a52dc6ea718cc1aa600aed05fbf35e084a6632f6072da9ad13"


def sm3(data: bytes) -> str:
    return hashlib.new("sm3", data).hexdigest()


Z_A = sm3(bytes.fromhex("0080") + b"1234567812345678" + bytes.fromhex(A + B + GX + GY + PX + PY))
DIGEST = f"sm3:{sm3(DOCUMENT)}"
TEXTS = [b"scraper-agent key/1", b"310001", b"contract", b"HT-001", DIGEST.encode()]
HASHED = b"".join(len(text).to_bytes(4, "big") + text for text in TEXTS)
KEY = sm3(HASHED)


@dataclass(frozen=True)
class Stored:
    """A signer that has made one signature in its life, and says what it was asked to sign."""

    signature: bytes
    asked: list[bytes]
    key_index: str = "01"
    public_key: str = PX + PY

    def sign(self, message: bytes) -> bytes:
        self.asked.append(message)
        return self.signature


def signature_of(raw: str) -> bytes:
    """R‖S as anyone would find it."""
    found = re.search(r'"sn":"([^"]+)"|<ds:SignatureValue>([^<]+)<', raw)
    assert found
    return base64.b64decode(found[1] or found[2])


def test_the_values_that_all_profiles_share_are_right():
    assert ROWS["document"] == f"`{DOCUMENT.decode()}`"
    assert ROWS["digest"] == f"`{DIGEST}`"
    assert BLOCKS["idempotency key, hashed bytes in hex"] == HASHED.hex()
    assert ROWS["key"] == f"`{KEY}`"
    assert ROWS["P"] == f"{PX} {PY}"
    assert ROWS["Z_A"] == Z_A
    assert BLOCKS["public.pem"] == keyfile.public_pem(PX + PY).strip()


@pytest.mark.parametrize("name", NAMES)
def test_the_request_is_what_the_agent_builds(name: Name):
    raw, signed = BLOCKS[f"{name} request"], BLOCKS[f"{name} signed"]
    signer = Stored(signature_of(raw), [])
    built = envelope.build(DOCUMENT, "contract", KEY, "310001", signer, NOW, PROFILES[name])
    assert built.decode() == raw
    assert [message.decode() for message in signer.asked] == [signed]
    table = TEXT.partition(f"<!-- {name} signed -->")[2].partition("<!--")[0]
    told = dict(re.findall(r"^\| (\S[^|]*) \| ([0-9a-f]{64}) \|$", table, re.MULTILINE))
    assert told == {
        "SM3 of what is signed": sm3(signed.encode()),
        "e = SM3(Z_A ‖ what is signed)": sm3(bytes.fromhex(Z_A) + signed.encode()),
        "R": signature_of(raw)[:32].hex(),
        "S": signature_of(raw)[32:].hex(),
    }


@pytest.mark.parametrize("name", NAMES)
def test_the_receipt_is_what_a_platform_builds_and_counts(name: Name):
    raw = BLOCKS[f"{name} receipt"]
    answer = Answer(code="0000", msg="已接收", key=KEY, digest=DIGEST, accepted=True, id="SHB-7")
    assert envelope.build_receipt(answer, Stored(signature_of(raw), []), NOW, PROFILES[name]).decode() == raw
    read = envelope.open_receipt(
        raw.encode(), sm2.verify, {"01": PX + PY}, key=KEY, digest=DIGEST, profile=PROFILES[name]
    )
    assert (read.accepted, read.remote_id, read.at) == (True, "SHB-7", NOW)


def signed_in(name: str, what: str) -> bytes:
    """What is signed of a request or receipt, found as the page says: by hand, or by C14N."""
    raw = BLOCKS[f"{name} {what}"]
    if name != "ak-ts-sk-ps/1":
        info = etree.fromstring(raw.encode())[-1][0]
        return etree.tostring(info, method="c14n")
    if what == "request":
        return BLOCKS[f"{name} signed"].encode()
    found = re.fullmatch(r'\{"code":"(.*)","msg":"(.*)","rs":(.*),"sk":"(..)","sn":".*","ts":(\d+)\}', raw)
    assert found
    code, msg, rs, sk, ts = found.groups()
    return f"{code}{msg}{ts}{sk}{rs}".encode()


@pytest.mark.parametrize("what", ["request", "receipt"])
@pytest.mark.parametrize("name", NAMES)
def test_the_commands_of_the_page_verify_the_example(tmp_path: Path, name: str, what: str):
    message = signed_in(name, what)
    (tmp_path / "message").write_bytes(message)
    (tmp_path / "signature.der").write_bytes(sm2.signature_to_der(signature_of(BLOCKS[f"{name} {what}"])))
    (tmp_path / "public.pem").write_text(BLOCKS["public.pem"] + "\n")
    hashing, verifying = BLOCKS["openssl"].splitlines()
    assert output(hashing, tmp_path).split()[-1] == sm3(message)
    assert output(verifying, tmp_path).strip() == "Signature Verified Successfully"
    (tmp_path / "message").write_bytes(message[:-1])
    assert "Successfully" not in output(verifying, tmp_path, status=1)


@pytest.mark.parametrize("what", ["request", "receipt"])
@pytest.mark.parametrize("name", ["ceb-xmldsig/1", "dxp/1"])
def test_what_is_left_when_the_signature_is_cut_out_has_the_digest_of_the_reference(
    tmp_path: Path, name: str, what: str
):
    raw = BLOCKS[f"{name} {what}"]
    content = re.sub(r"^<\?.*?\?>|<ds:Signature .*</ds:Signature>", "", raw)
    (tmp_path / "content").write_text(content, encoding="utf-8", newline="")
    assert f"<ds:DigestValue>{output(BLOCKS['openssl, digest'], tmp_path).strip()}<" in raw
    assert etree.tostring(etree.fromstring(content.encode()), method="c14n").decode() == content


def output(command: str, folder: Path, status: int = 0) -> str:
    done = subprocess.run(["bash", "-c", command], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stderr
    return done.stdout


# --- its tables -----------------------------------------------------------------------------------------------------


def default_of(setting: Setting) -> str:
    match setting.default:
        case None:
            return "has to be set"
        case str() as one:
            return f"`{one}`" if one else "empty"
        case several:
            return ", ".join(f"`{each}`" for each in several)


@pytest.mark.parametrize("name", NAMES)
def test_the_tables_of_a_profile_are_those_of_its_file(name: Name):
    told = spec(name)
    section = TEXT.partition(f"\n## Profile {name}\n")[2].partition("\n## ")[0]
    rows = {row for row in section.splitlines() if row.startswith("|")}
    for key, setting in told.settings.items():
        assert f"| `{key}` | {default_of(setting)} | {setting.text} |" in rows
    for assumption in told.assumptions:
        changed_by = f"`{assumption.setting}`" if assumption.setting else "another profile"
        assert f"| {' '.join(assumption.text.split())} | {changed_by} |" in rows
    for code, meaning in told.codes.items():
        assert f"| {code} | {meaning.zh} | {meaning.en} | {', '.join(meaning.stands_for)} |" in rows


def test_the_example_is_canonical():
    assert canonical.digest(DOCUMENT) == DIGEST
    assert envelope.idempotency_key("310001", "contract", "HT-001", canonical.digest(DOCUMENT)) == KEY
