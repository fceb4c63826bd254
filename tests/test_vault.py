"""Secrets in the system's keyring, by a store registered as any other one; and what is said where there is none.

What Windows, macOS and the Secret Service keep can only be tried on a desktop: here a store in memory keeps the
contract of `keyring.backend.KeyringBackend`, and the library's own `fail` stands for a machine without one.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import keyring
import pytest
import yaml
from keyring.backend import KeyringBackend
from keyring.backends import fail
from keyring.errors import PasswordDeleteError
from pydantic import SecretStr

from scraper_agent import app as wiring
from scraper_agent import vault
from scraper_agent.app import App
from scraper_agent.capture import kept
from scraper_agent.credentials import SecretPlace
from scraper_agent.errors import NeedsPerson, UsageError
from scraper_agent.sandbox.erp import Erp
from scraper_agent.signing import keyfolder
from tests.test_cli import PASSPHRASE, call, configuration, write


class Memory(KeyringBackend):
    priority = 1

    def __init__(self) -> None:
        super().__init__()
        self.entries: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.entries.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.entries[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        if self.entries.pop((service, username), None) is None:
            raise PasswordDeleteError


@pytest.fixture
def store() -> Iterator[Memory]:
    before = keyring.get_keyring()
    keyring.set_keyring(made := Memory())
    yield made
    keyring.set_keyring(before)


@pytest.fixture
def no_store() -> Iterator[None]:
    before = keyring.get_keyring()
    keyring.set_keyring(fail.Keyring())
    yield
    keyring.set_keyring(before)


def app(folder: Path, base: str = "http://127.0.0.1:9", **erp: object) -> App:
    config = configuration(base)
    config["erps"]["demo"] |= erp
    return App.load(write(folder, config))


def test_a_secret_is_read_from_the_keyring_and_kept_out_of_all_that_is_written(tmp_path: Path, store: Memory) -> None:
    agent, place = app(tmp_path), SecretPlace(keyring="erp/demo password")
    with pytest.raises(NeedsPerson, match=r"SA7002 .*erp/demo password"):
        agent.secret(place, "password")
    vault.put("erp", "demo password", "c4nary")
    assert agent.secret(place, "password") == "c4nary"
    assert "c4nary" in agent.known_secrets


def test_a_machine_without_a_keyring_says_what_to_use_instead(tmp_path: Path, no_store: None) -> None:
    with pytest.raises(UsageError, match=r"SA7031 .*erp/demo(?s:.*)`env`(?s:.*)`file`"):
        app(tmp_path).secret(SecretPlace(keyring="erp/demo"), "password")
    with pytest.raises(UsageError, match="SA7031"):
        vault.put("erp", "demo", "x")


def test_secret_set_keeps_what_is_typed_where_the_config_says(
    tmp_path: Path, store: Memory, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = configuration("http://127.0.0.1:9")
    path = write(tmp_path, config)
    assert "SA7142" in call(capsys, "--lang", "en", "-c", path, "secret", "set", "demo", "password").err
    config["erps"]["demo"]["secrets"] = {"password": {"keyring": "agent/demo.password"}}
    path.write_text(yaml.safe_dump(config, allow_unicode=True), encoding="utf-8")
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("getpass.getpass", lambda _: "c4nary")
    said = call(capsys, "--lang", "en", "-c", path, "secret", "set", "demo", "password")
    assert (said.code, store.entries) == (0, {("agent", "demo.password"): "c4nary"})
    assert "c4nary" not in said.out + said.err


def test_without_a_keyring_or_a_configured_key_nobody_is_asked_to_log_in(tmp_path: Path, no_store: None) -> None:
    agent = app(tmp_path)
    recipe = agent.recipe("demo/order")
    with pytest.raises(UsageError, match="SA7091"):
        agent.log_in(recipe, agent.parameters(recipe, {}))
    keyfolder.create(tmp_path / "keys", SecretStr(PASSPHRASE), wiring.now())
    agent = app(tmp_path)
    with pytest.raises(UsageError, match="SA7031"):
        agent.log_in(agent.recipe("demo/order"), agent.parameters(agent.recipe("demo/order"), {}))


PERSON = """<script>onload = () => {{ const f = document.forms[0]; f.user.value = "operator";
f.password.value = "{}"; setTimeout(() => f.requestSubmit(), 50); }}</script></body>"""


def test_a_person_logs_in_once_and_runs_need_no_password(
    tmp_path: Path, store: Memory, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The password is nowhere: the runs get in by the session alone, until somebody forgets it."""
    page = Erp.login_page
    with Erp("c4nary-Pass") as erp:
        config = configuration(erp.url)
        config["erps"]["demo"]["secrets"] = {}
        keyfolder.create(tmp_path / "keys", SecretStr(PASSPHRASE), wiring.now())
        path = write(tmp_path, config)
        agent = App.load(path)
        loaded = agent.recipe(agent.recipe_of("demo"))
        with monkeypatch.context() as sits:
            person = PERSON.format("c4nary-Pass")
            sits.setattr(Erp, "login_page", lambda *a, **k: page(*a, **k).replace("</body>", person))
            kept_at = agent.log_in(loaded, agent.parameters(loaded, {}), visible=False)
        assert "demo: a session is kept, from " in call(capsys, "--lang", "en", "-c", path, "session", "list").out
        run = ("--lang", "en", "-c", path, "run", "demo/order", "--max-documents", "1", "--dry-run")
        said = call(capsys, *run)
        assert said.code == 0, said.err
        erp._sessions.clear()
        said = call(capsys, *run)
        assert said.code == 5
        assert "SA2221 the kept session has expired, and no login can be made unattended" in said.err
        whole = kept_at.read_bytes()
        kept_at.write_bytes(whole[:-1])
        assert "SA2223" in call(capsys, *run).err
        store.entries.clear()
        assert "SA7032" in call(capsys, *run).err
        assert kept_at.is_file()
        assert call(capsys, "--lang", "en", "-c", path, "session", "forget", "demo").code == 0
        assert not kept_at.exists()
        assert "SA7141" in call(capsys, "--lang", "en", "-c", path, "session", "forget", "demo").err
    for written in (p for p in tmp_path.rglob("*") if p.is_file()):
        assert b"c4nary" not in written.read_bytes(), written


def test_a_key_that_the_config_names_is_used(tmp_path: Path, no_store: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SESSION_KEY", "a long secret")
    agent = app(tmp_path, session_key={"env": "SESSION_KEY"})
    assert agent._session_key("demo") == "a long secret"
    assert len(kept.new_secret()) == 44
