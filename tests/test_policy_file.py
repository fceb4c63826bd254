"""The policy of an enterprise: signed, in force, and above all recipes."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import SecretStr

from scraper_agent import adoption, canonical, messages
from scraper_agent.app import App, account
from scraper_agent.archive.sqlite import SqliteArchive
from scraper_agent.rules.identity import credit_code_check
from scraper_agent.signing import keyfolder, mandate
from scraper_agent.values import PolicyAdopted
from tests import policies
from tests.authorities import OTHER
from tests.calls import caller
from tests.world import AK, NOW, PASSPHRASE, PROFILE

POLICY = {"automatic": {"purchaseOrder": {"amounts": {"USD": "1000"}}}, "recipes": {"approved_by": "nobody"}}

Agent = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    keyfolder.create(folder, SecretStr(PASSPHRASE), NOW)
    return folder


@pytest.fixture
def home(tmp_path: Path, keys: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a config and a policy that nobody has signed."""
    monkeypatch.setenv("LC_ALL", "en_US.UTF-8")
    monkeypatch.setenv("POLICY_KEY", PASSPHRASE)
    config(tmp_path, signing={"kind": "file", "folder": str(keys)})
    write(tmp_path, {"version": 1, **POLICY})
    yield tmp_path
    messages.use("en")


def config(home: Path, **change: object) -> None:
    path = home / "config.yaml"
    known = yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else {}
    base: dict[str, Any] = {
        "enterprise": {"name": PROFILE["name"], "uscc": PROFILE["uscc"]},
        "passphrase": {"env": "POLICY_KEY"},
        "receiver": {"ak": AK, "transport": {"kind": "https", "url": "http://127.0.0.1:9/"}, "public_keys": {}},
    }
    path.write_text(yaml.safe_dump(base | known | change, allow_unicode=True), encoding="utf-8")


def write(home: Path, policy: dict[str, Any]) -> None:
    (home / "policy.yaml").write_text(yaml.safe_dump(policy, allow_unicode=True), encoding="utf-8")


@pytest.fixture
def agent(home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Agent:
    called = caller(home / "config.yaml", capsys, monkeypatch)

    def call(*arguments: str) -> tuple[int, str, str]:
        code, out, told = called(*arguments)
        return code, out, told.strip()

    return call


def adopted(home: Path) -> list[PolicyAdopted]:
    with SqliteArchive(home / "archive.db", lambda: NOW, read_only=True) as archive:
        return [fact for fact in archive.job(adoption.JOB).facts if isinstance(fact, PolicyAdopted)]


# --- signed ---------------------------------------------------------------------------------------------------------


def test_nothing_is_done_under_a_policy_that_nobody_signed(agent: Agent, home: Path) -> None:
    code, _, err = agent("send")
    assert (code, err.splitlines()[0]) == (
        2,
        f"SA7091 the policy {home / 'policy.yaml'} is not signed: No such file or directory",
    )
    assert agent("jobs")[0] == 0, "what only reads needs no signature"
    with SqliteArchive(home / "archive.db", lambda: NOW, read_only=True) as archive:
        assert archive.head().size == 0


def test_the_first_use_of_a_signed_policy_puts_it_in_force_once(agent: Agent, home: Path) -> None:
    code, out, err = agent("policy", "sign", "--reason", "the first")
    assert (code, out.splitlines()[0]) == (0, str(home / "policy.yaml.sig")), err
    assert agent("policy", "check")[1].splitlines()[-1] == "It comes into force with its first use."
    assert agent("send")[0] == 0
    assert agent("send")[0] == 0
    (fact,) = adopted(home)
    source = (home / "policy.yaml").read_bytes()
    assert (fact.version, fact.policy, fact.key_index) == (1, canonical.digest(source), "01")
    assert (fact.by, fact.reason) == (f"person:{account()}", "the first")
    with SqliteArchive(home / "archive.db", lambda: NOW, read_only=True) as archive:
        assert archive.get(fact.policy) == source
        said, _ = mandate.read(archive.get(fact.statement), {"01": fact.public_key})
    assert said.enterprise == PROFILE["uscc"]
    _, out, _ = agent("policy", "check")
    assert out.splitlines()[-1] == "It is in force."
    assert "with key 01; reason: the first" in out


def test_a_policy_that_was_altered_after_it_was_signed_is_refused(agent: Agent, home: Path) -> None:
    assert agent("policy", "sign")[0] == 0
    with (home / "policy.yaml").open("a", encoding="utf-8") as file:
        file.write("# as good as before?\n")
    code, _, err = agent("send")
    assert (code, err[:6]) == (2, "SA7093")
    assert agent("policy", "check")[2].startswith("SA7093 ")


def test_a_signature_that_no_trusted_key_made_is_refused(agent: Agent, home: Path) -> None:
    assert agent("policy", "sign")[0] == 0
    signature = home / "policy.yaml.sig"
    said = json.loads(signature.read_bytes())
    forged = mandate.Mandate.model_validate_json(base64.b64decode(said["payload"]))
    signature.write_bytes(mandate.sign(forged, OTHER))
    code, _, err = agent("send")
    assert (code, err.splitlines()[0]) == (
        2,
        f"SA7092 the signature {signature} does not hold: signed by none of the keys 01",
    )
    config(home, policy_keys={OTHER.key_index: OTHER.public_key})
    code, _, err = agent("policy", "sign")
    assert (code, err.splitlines()[0]) == (
        2,
        "SA7097 a policy that key 01 signed would not count; the keys that do are: 02",
    )
    assert agent("send")[0] == 0, "the config may name the keys that count"
    assert adopted(home)[0].public_key == OTHER.public_key


def test_of_another_enterprise_it_is_refused(agent: Agent, home: Path) -> None:
    assert agent("policy", "sign")[0] == 0
    known = yaml.safe_load((home / "config.yaml").read_text(encoding="utf-8"))
    begins = "91310000MA1FL0000"
    config(home, enterprise=known["enterprise"] | {"uscc": begins + credit_code_check(begins + "0")})
    code, _, err = agent("send")
    assert (code, err[:6]) == (2, "SA7093")


def test_a_policy_signed_with_a_key_that_was_revoked_is_refused(
    agent: Agent, home: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    own = tmp_path_factory.mktemp("own")
    keyfolder.create(own, SecretStr(PASSPHRASE), NOW)
    config(home, signing={"kind": "file", "folder": str(own)})
    assert agent("policy", "sign")[0] == 0
    keyfolder.revoke(own, "01", "stolen", datetime.now(UTC))
    code, _, err = agent("send")
    assert code == 2
    assert err.startswith("SA7092 ")


# --- older ----------------------------------------------------------------------------------------------------------


def test_an_older_policy_is_refused_though_its_signature_holds(agent: Agent, home: Path) -> None:
    policies.sign(home, PASSPHRASE)
    kept = {name: (home / name).read_bytes() for name in ("policy.yaml", "policy.yaml.sig")}
    assert agent("send")[0] == 0
    write(home, {"version": 2, **POLICY})
    policies.sign(home, PASSPHRASE)
    assert agent("send")[0] == 0
    for name, data in kept.items():
        (home / name).write_bytes(data)
    code, _, err = agent("send")
    assert (code, err.splitlines()[0]) == (
        2,
        "SA6030 the policy of version 1 is older than the one in force, version 2",
    )
    assert [fact.version for fact in adopted(home)] == [1, 2]


def test_another_policy_of_the_same_version_is_neither_signed_nor_used(agent: Agent, home: Path) -> None:
    policies.sign(home, PASSPHRASE)
    assert agent("send")[0] == 0
    write(home, {"version": 1, **POLICY, "lists": "proved"})
    code, _, err = agent("policy", "sign")
    assert (code, err.splitlines()[0]) == (2, "SA6031 another policy of version 1 is in force")
    write(home, {"version": 2, **POLICY, "lists": "proved"})
    assert agent("policy", "sign")[0] == 0
    assert agent("send")[0] == 0


def test_a_policy_without_a_version_cannot_be_signed(agent: Agent, home: Path) -> None:
    write(home, POLICY)
    code, _, err = agent("policy", "sign")
    assert (code, err[:6]) == (2, "SA7090")
    assert not (home / "policy.yaml.sig").exists()


def test_only_an_administrator_of_the_policy_in_force_signs_the_next_one(agent: Agent, home: Path) -> None:
    """Who is none cannot make themselves one by the file that they want signed."""
    write(home, {"version": 1, **POLICY, "people": {"somebody else": {"roles": ["administrator"]}}})
    policies.sign(home, PASSPHRASE)
    assert agent("send")[0] == 0
    write(home, {"version": 2, **POLICY, "people": {account(): {"roles": ["administrator"]}}})
    code, _, err = agent("policy", "sign")
    assert (code, err.splitlines()[0]) == (3, f"SA6020 {account()} is not administrator by the policy, but: -")


# --- in words -------------------------------------------------------------------------------------------------------


def test_what_a_robot_may_do_is_told_of_the_recipe_as_it_is_configured(agent: Agent, home: Path) -> None:
    """Without a signature: who is to sign it reads it before."""
    permit = {"purpose": "login", "path": "/login", "form": ["user", "password"]}
    requests = {"demo": {"addresses": ["http://erp.example:8080"], "permits": [permit]}}
    limits = {"pace": {"demo": {"tabs": 1}}, "destinations": {"all": ["customs.example"]}}
    write(home, {"version": 1, **POLICY, "requests": requests, **limits})
    config(home, erps={"demo": {"parameters": {"base": "http://erp.example:8080/"}, "pace": {"tabs": 4}}})
    code, out, err = agent("policy", "explain", "demo/order")
    assert code == 0, err
    lines = out.splitlines()
    assert lines[0] == "What it may read"
    assert "  - At most 1 page(s) of records load at a time." in lines
    assert "  - To nobody: the config sends it to http://127.0.0.1:9, which the policy does not name." in lines
    assert "  - Without a person leaves a document of at most: 1000 USD." in lines
    assert "Nothing yet" not in out
    config(home, erps={"demo": {"parameters": {"base": "http://other.example"}}})
    told = "  - Nothing yet: the recipe asks for what the policy does not allow: http://other.example:80."
    assert told in agent("policy", "explain", "demo/order")[1].splitlines()


def test_a_change_is_told_before_it_is_signed(agent: Agent, home: Path) -> None:
    code, _, err = agent("policy", "diff")
    assert (code, err.splitlines()[0]) == (2, "SA7180 no policy of version - was in force here")
    policies.sign(home, PASSPHRASE)
    assert agent("send")[0] == 0
    write(home, {"version": 2, **POLICY, "lists": "proved", "automatic": {"goodsReceipt": {"lines": 3}}})
    told = [
        "wider: goodsReceipt without a person: some leave",
        "narrower: purchaseOrder without a person: none leaves",
        "narrower: how complete lists must be: proved; before: plausible",
    ]
    assert agent("policy", "diff")[1].splitlines() == told
    assert agent("policy", "diff", "1")[1].splitlines() == told
    (home / "before.yaml").write_text(yaml.safe_dump({**POLICY, "lists": "proved"}), encoding="utf-8")
    assert agent("policy", "diff", str(home / "before.yaml"))[1].splitlines() == told[:2]
    policies.sign(home, PASSPHRASE)
    assert agent("send")[0] == 0
    assert agent("policy", "diff")[1].splitlines() == ["They allow the same."]
    assert agent("policy", "diff", "1")[1].splitlines() == told


def test_what_the_example_shows_as_comments_is_a_policy_too(home: Path) -> None:
    text = (Path(__file__).parents[1] / "policy.example.yaml").read_text(encoding="utf-8")
    shown = re.sub(r"^# ([a-z_]+:.*|  .*)$", r"\1", text, flags=re.MULTILINE)
    (home / "policy.yaml").write_text(shown, encoding="utf-8")
    known = App.load(home / "config.yaml").policy
    assert {name for name in type(known).model_fields if name in known.model_fields_set} == set(
        type(known).model_fields
    )
