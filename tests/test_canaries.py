"""Nine secrets planted into whole runs of the agent, good ones and failed ones: none stands in anything that is left.

Searched are the log, its bodies unpacked, images, frozen pages, the report, the running log, what was printed,
temporary folders and the home, each for every form that `archive.canary.forms` knows.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote_plus

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from scraper_agent import app as wiring
from scraper_agent.archive import bodies, canary
from scraper_agent.archive.canary import Search
from scraper_agent.archive.sqlite import SqliteArchive
from scraper_agent.formats import FORMATS
from scraper_agent.sandbox.erp import Erp
from scraper_agent.sandbox.platform import Platform
from scraper_agent.signing import keyfolder
from scraper_agent.values import Fault, Snapshot, State
from tests import policies as signed_policies
from tests.mocks import eport
from tests.mocks.eport import Card, EportClient
from tests.test_cli import AK, POLICY, TOP, configuration
from tests.test_tokens import D, certificate

PLANTED = {
    "password": "c4nary&Erp<77>",
    "session": "c4nary-session-Zm9vYmFy_19",
    "cookie": "c4nary+cookie/77==",
    "PIN": "73918264",
    "passphrase": "c4nary pass phrase 密",
    "keyring": "c4nary|keyring|2f6b",
    "receiver": "c4nary%receiver@88",
    "hidden token": "c4nary.token.d41d8cd9",
    "one-time code": "c4nary-904417",
}
LOGIN_PERMIT = {"purpose": "login", "path": "/login", "form": ["user", "password", "code", "_token", "otp"]}


class Planted(Erp):
    """An ERP that has secrets in its cookies and pages, and takes a one-time code."""

    def login(self, user: str, password: str) -> str | None:
        session = super().login(user, password)
        if session is not None:
            self._sessions.add(PLANTED["session"])
            return PLANTED["session"]
        return None

    def login_page(self, *, refused: bool) -> str:
        more = '<label for="code">动态口令</label><input id="code" name="code">'
        more += '<label for="otp">安全码</label><input id="otp" name="otp" type="password">'
        return self._with(super().login_page(refused=refused)).replace("<button", f"{more}<button", 1)

    def page(self, path: str, query: Mapping[str, list[str]]) -> str | None:
        text = super().page(path, query)
        return None if text is None else self._with(text)

    def _with(self, text: str) -> str:
        token = PLANTED["hidden token"]
        head = f'<meta name="csrf-token" content="{token}">'
        head += f'<script>document.cookie = "remember={PLANTED["cookie"]}"</script>'
        hidden = f'<input type="hidden" name="_token" value="{token}">'
        body = f'<form action="/search" data-csrf-token="{token}">{hidden}</form></body>'
        return (
            text.replace("</head>", f"{head}</head>").replace("</body>", body).replace("</form>", f"{hidden}</form>", 1)
        )


@dataclass
class Site:
    """What is left of everything: `top` has the home, temporary files and whatever else was written."""

    top: Path
    said: list[str] = field(default_factory=list)

    @property
    def home(self) -> Path:
        return self.top / "home"

    def process(self, *arguments: str, call: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
        begin = ["-c", call] if call else ["-m", "scraper_agent"]
        done = subprocess.run(
            [sys.executable, *begin, "--lang", "en", "-c", str(self.home / "config.yaml"), *arguments],
            cwd=TOP,
            env={**os.environ, **self.environment, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=120,
            check=False,
        )
        self.said += [done.stdout, done.stderr]
        return done

    @property
    def environment(self) -> dict[str, str]:
        for name in ("temporary", "account"):
            (self.top / name).mkdir(exist_ok=True)
        return {
            "TMPDIR": str(self.top / "temporary"),
            "XDG_CACHE_HOME": str(self.top / "account"),
            "XDG_CONFIG_HOME": str(self.top / "account"),
            "PYTHON_KEYRING_BACKEND": "tests.mocks.keyring_env.Environment",
            "KEYRING_HOLDS": PLANTED["keyring"],
            "CANARY_ERP": PLANTED["password"],
            "CANARY_CODE": PLANTED["one-time code"],
            "CANARY_KEY": PLANTED["passphrase"],
            "CANARY_PIN": PLANTED["PIN"],
            "CANARY_MQ": PLANTED["receiver"],
        }

    def configure(self, **change: object) -> None:
        path = self.home / "config.yaml"
        path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text("utf-8")) | change, allow_unicode=True), "utf-8")


FEW = ('"${base}/orders"', '"${base}/orders?q=Great+Lakes"')
BROKEN = ("{label: 订单编号}", "{label: 没有这个}")
BUG = """import sys
from scraper_agent import cli, pipeline
def bug(self, *arguments):
    secrets = dict(__import__("os").environ)  # a local variable: what some programs print with a traceback
    raise RuntimeError("a defect")
pipeline.Pipeline.harvest = bug
cli.main()
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Everything that happened to one agent."""
    site = Site(tmp_path_factory.mktemp("canaries"))
    _set_up(site)
    entry = keyfolder.create(site.home / "keys", SecretStr(PLANTED["passphrase"]), wiring.now())
    card = certificate(tmp_path_factory.mktemp("card"), D)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(eport, "PIN", PLANTED["PIN"])
        with (
            Planted(PLANTED["password"]) as erp,
            Platform(wiring.now, {(AK, "01"): entry.public_key}, FORMATS) as platform,
            EportClient(Card(d=D, certificate=card)) as client,
        ):
            _write(site, erp, platform)
            run = site.process("run", "demo/broken", "demo/few")
            assert run.returncode == 3, run.stderr  # a page is refused, and an order is blocked
            _send_otherwise(site, client)
            failed = site.process("run", "demo/few", CANARY_ERP=PLANTED["password"] + "!")
            assert failed.returncode == 5, failed.stderr
            bug = site.process("run", "demo/few", call=BUG)
            assert "a defect" in bug.stderr
            assert site.process("report", "--runs", "5", "--out", str(site.home / "report.html")).returncode == 0
        yield site


def _set_up(site: Site) -> None:
    recipes = site.home / "recipes" / "demo"
    recipes.mkdir(parents=True)
    shutil.copy(TOP / "recipes/demo/lookups.yaml", recipes)
    recipe = (TOP / "recipes/demo/order.yaml").read_text(encoding="utf-8")
    recipe = recipe.replace("form: [user, password]", "form: [user, password, code, _token, otp]")
    code = '    - {do: fill, into: {label: 动态口令}, text: "${secret:code}"}\n'
    code += '    - {do: fill, into: {label: 安全码}, text: "${secret:otp}"}\n'
    recipe = recipe.replace(
        "    - {do: click, on: {role: button, name: 登录}}\n",
        f"{code}    - {{do: click, on: {{role: button, name: 登录}}}}\n",
    )
    few = recipe.replace(*FEW)
    (recipes / "few.yaml").write_text(few, encoding="utf-8")
    (recipes / "broken.yaml").write_text(few.replace(*BROKEN), encoding="utf-8")


def _write(site: Site, erp: Erp, platform: Platform) -> None:
    config = configuration(erp.url)
    config["erps"]["demo"]["secrets"] |= {"code": {"env": "CANARY_CODE"}, "otp": {"keyring": "erp/otp"}}
    config["receiver"] |= {
        "transport": {"kind": "https", "url": platform.url},
        "public_keys": platform.public_keys,
    }
    (site.home / "config.yaml").write_text(yaml.safe_dump(config, allow_unicode=True), encoding="utf-8")
    requests = {"demo": {"addresses": [erp.url], "permits": [LOGIN_PERMIT]}}
    (site.home / "policy.yaml").write_text(yaml.safe_dump(POLICY | {"requests": requests}), encoding="utf-8")
    signed_policies.sign(site.home, PLANTED["passphrase"])


def _send_otherwise(site: Site, client: EportClient) -> None:
    """Signed by a card, for a broker that nobody can reach."""
    before = yaml.safe_load((site.home / "config.yaml").read_text("utf-8"))
    broker = {"kind": "mq", "url": "amqp://127.0.0.1:9/", "user": "agent", "password": {"env": "CANARY_MQ"},
              "exchange": "", "routing_key": "in", "receipts": "out", "allow_plain": True}  # fmt: skip
    site.configure(
        receiver=before["receiver"] | {"transport": broker},
        signing={"kind": "eport", "folder": "keys", "key": "07", "url": client.url},
        passphrase={"env": "CANARY_PIN"},
    )
    with SqliteArchive(site.home / "archive.db", wiring.now, read_only=True) as archive:
        (held,) = archive.in_state(State.HELD)
    approved = site.process("approve", held.rpartition("/")[2][:12])
    assert approved.returncode == 0, approved.stderr
    sent = site.process("send")
    assert client.card.pins == [PLANTED["PIN"]], sent.stderr
    site.configure(signing=before["signing"], passphrase=before["passphrase"])


def found(site: Site) -> set[tuple[str, str]]:
    search = Search(PLANTED)
    hits = [*search.folder(site.top)]
    with SqliteArchive(site.home / "archive.db", wiring.now, read_only=True) as archive:
        hits += search.archive(archive)
    for text in site.said:
        hits += search.data("what was printed", text.encode())
    assert search.files > 10
    assert search.bodies > 10
    return {(hit.secret, hit.where) for hit in hits}


def test_none_of_nine_secrets_is_anywhere(site: Site) -> None:
    assert found(site) == set()
    with SqliteArchive(site.home / "archive.db", wiring.now, read_only=True) as archive:
        facts = [entry.fact for entry in archive.entries()]
        pages = [archive.get(fact.page) for fact in facts if isinstance(fact, Snapshot)]
    assert any(isinstance(fact, Fault) for fact in facts), "a page failed"
    assert any(b"_token" in page for page in pages), "the pages that held the token were kept"
    assert (site.home / "agent.log").stat().st_size > 0


@pytest.mark.parametrize("secret", PLANTED)
def test_each_is_found_where_it_is(site: Site, secret: str, tmp_path: Path) -> None:
    """Whoever looks for something must be seen to find it."""
    value = PLANTED[secret]
    with SqliteArchive(tmp_path / "archive.db", wiring.now) as archive:
        archive.put(b"<p>" + b"x" * 9000 + base64.b64encode(b"user:" + value.encode() + b"\n"))
    (tmp_path / "leak.txt").write_text(f"a={quote_plus(value)}", encoding="utf-8")
    with zipfile.ZipFile(tmp_path / "trace.zip", "w", zipfile.ZIP_DEFLATED) as trace:
        trace.writestr("trace.json", json.dumps({"value": value}))
    salted = bodies.shown((tmp_path / "trace.zip").read_bytes(), bytes(32))  # as in a bundle
    (tmp_path / "body").write_bytes(salted)
    search = Search(PLANTED)
    hits = {(hit.secret, hit.where) for hit in search.folder(tmp_path)}
    assert {(secret, str(tmp_path / name)) for name in ("leak.txt", "trace.zip", "body")} <= hits
    with SqliteArchive(tmp_path / "archive.db", wiring.now, read_only=True) as archive:
        assert [hit.secret for hit in search.archive(archive)] == [secret]


@given(
    secret=st.text(st.characters(codec="utf-8"), min_size=8, max_size=30),
    before=st.binary(max_size=5),
    after=st.binary(max_size=5),
)
def test_a_secret_within_other_text_is_found_in_base64(secret: str, before: bytes, after: bytes) -> None:
    written = base64.b64encode(before + secret.encode() + after)
    assert any(form in written for form in canary.forms(secret))


def test_the_command_says_where_and_never_what(site: Site, tmp_path: Path) -> None:
    leak = site.home / "notes.txt"
    clean = site.process("log", "canary")
    assert (clean.returncode, clean.stderr) == (0, "")
    assert "5 secrets were looked for in " in clean.stdout
    assert "erps.demo.secrets.otp" in clean.stdout
    leak.write_text(f"pw {PLANTED['password']}", encoding="utf-8")
    try:
        said = site.process("log", "canary")
    finally:
        leak.unlink()
    assert said.returncode == 4
    assert f"{leak} holds the secret `erps.demo.secrets.password` (plain)" in said.stdout
    assert "SA7860 " in said.stderr
    assert PLANTED["password"] not in said.stdout + said.stderr
