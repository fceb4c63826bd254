"""`log verify`, `log code`, `log enrol` and `witness`, as a person meets them."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from pydantic import SecretStr

from scraper_agent import app as wiring
from scraper_agent import canonical, merkle
from scraper_agent.app import App
from scraper_agent.archive import reached
from scraper_agent.archive.sqlite import SqliteArchive
from scraper_agent.audit import mailed
from scraper_agent.ports import Clock
from scraper_agent.signing import keyfolder
from scraper_agent.values import Anchored, JobId, RunEnded
from tests.test_cli import AK, PASSPHRASE, TOP, Agent, call, configuration, write

RUN = JobId("run/1")


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    keyfolder.create(folder, SecretStr(PASSPHRASE), wiring.now())
    return folder


@pytest.fixture
def folder(tmp_path: Path, keys: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An agent with a log of five facts, a share and a printer for witnesses."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("LC_ALL", "en_US.UTF-8")
    monkeypatch.setenv("CANARY_KEY", PASSPHRASE)
    (tmp_path / "share").mkdir()
    signing = {"kind": "file", "folder": str(keys), "key": "01"}
    kinds = [{"kind": "folder", "name": "share", "path": "share"}, {"kind": "printed", "name": "paper"}]
    write(tmp_path, configuration("http://127.0.0.1:9", signing=signing, witnesses=kinds))
    (tmp_path / "policy.yaml").write_text("version: 1\n", encoding="utf-8")
    grow(tmp_path, 5)
    return tmp_path


@pytest.fixture
def at(capsys: pytest.CaptureFixture[str], folder: Path) -> Agent:
    return lambda *arguments: call(capsys, "-c", folder / "config.yaml", *arguments)


def grow(folder: Path, facts: int, now: Clock = wiring.now) -> None:
    with SqliteArchive(folder / "archive.db", now) as archive:
        for _ in range(facts):
            number = archive.length(RUN)
            archive.append(RUN, number, RunEnded(complete=True, documents=number, faults=0))


def anchor(folder: Path) -> None:
    app = App.load(folder / "config.yaml")
    with app.archive() as archive:
        anchoring = app.anchoring(archive)
        assert anchoring is not None
        assert anchoring.anchor() == []


def rewrite(folder: Path) -> None:
    """One number changed, and all hashes made anew."""
    frontier = merkle.Frontier()
    with closing(sqlite3.connect(folder / "archive.db")) as db:
        for index, data in db.execute("SELECT idx, entry FROM log ORDER BY idx").fetchall():
            entry = bytes(data).replace(b'"documents":2,', b'"documents":3,')
            frontier = frontier.append(merkle.leaf(entry))
            db.execute("UPDATE log SET entry = ?, subtree = ? WHERE idx = ?", (entry, frontier.peaks[-1], index))
        db.execute("UPDATE tree SET size = ?, frontier = ?", (frontier.size, frontier.dump()))
        db.commit()
    reached.path_of(folder / "archive.db").unlink()


# --- log verify -----------------------------------------------------------------------------------------------------


def test_it_says_how_much_is_proven_and_how_long_the_rest_is(at: Agent, folder: Path) -> None:
    said = at("log", "verify")
    assert said.code == 0
    assert "not proven: the last 5 entries, which no witness has seen yet" in said.out
    anchor(folder)
    said = at("log", "verify")
    assert said.code == 0
    assert "proven: the first 5 entries are as the witness share saw them" in said.out
    assert "not proven" not in said.out
    grow(folder, 2)
    said = at("log", "verify")
    assert "proven: the first 5 entries" in said.out
    assert "not proven: the last 3 entries" in said.out


def test_it_says_for_how_long_nobody_has_seen_the_rest(at: Agent, folder: Path) -> None:
    anchor(folder)
    grow(folder, 1, lambda: wiring.now() - timedelta(hours=3, minutes=59))
    assert "No witness has seen" not in at("log", "verify").out
    anchor(folder)
    grow(folder, 1, lambda: wiring.now() - timedelta(hours=4))
    assert "No witness has seen what was logged since" in at("log", "verify").out


def test_it_says_that_a_witness_has_seen_another_history(at: Agent, folder: Path) -> None:
    anchor(folder)
    rewrite(folder)
    said = at("log", "verify")
    assert said.code == 4
    assert "The log is whole." in said.out, "as far as this machine knows"
    assert "SA5061 the witness share has seen another history of this log" in said.out
    assert "SA7810 contradicted: 1 witness(es)" in said.err


def test_it_says_that_a_witness_cannot_be_asked(at: Agent, folder: Path) -> None:
    (folder / "share").rmdir()
    said = at("log", "verify")
    assert said.code == 0
    assert "SA4131 the witness share cannot be reached" in said.err
    assert "not proven: the last 5 entries" in said.out


def test_without_witnesses_it_says_what_it_said(at: Agent, folder: Path) -> None:
    config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    del config["witnesses"]
    write(folder, config)
    said = at("log", "verify")
    assert said.out.endswith("The log is whole.\n")


# --- saved mails ----------------------------------------------------------------------------------------------------


def save_mail(folder: Path, name: str = "one.eml") -> Path:
    """As somebody saved it from the mailbox that the newest checkpoint was mailed to."""
    app = App.load(folder / "config.yaml")
    with app.archive() as archive:
        anchoring = app.anchoring(archive)
        assert anchoring is not None
        checkpoint = anchoring.checkpoint(archive.head().size)
    path = folder / name
    path.write_bytes(mailed.message(checkpoint, "robot@example.com", "audit@example.com"))
    return path


def test_a_saved_mail_proves_what_there_was_when_it_was_sent(at: Agent, folder: Path) -> None:
    mail = save_mail(folder)
    grow(folder, 2)
    said = at("log", "verify", "--mail", mail)
    assert said.code == 0
    assert "proven: the first 5 entries are as the witness one.eml saw them (-)" in said.out
    assert "not proven: the last 2 entries" in said.out


def test_a_saved_mail_tells_another_history_without_any_witness_being_asked(at: Agent, folder: Path) -> None:
    (folder / "mails").mkdir()
    save_mail(folder).rename(folder / "mails" / "one.eml")
    rewrite(folder)
    config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    del config["witnesses"]
    write(folder, config)
    assert at("log", "verify").code == 0
    said = at("log", "verify", "--mail", folder / "mails")
    assert said.code == 4
    assert "SA5061 the witness one.eml has seen another history of this log" in said.out


def test_a_mail_with_a_shorter_log_than_it_saw_tells_how_much_is_gone(at: Agent, folder: Path) -> None:
    shutil.copytree(folder, folder.with_name("old"))
    grow(folder, 3)
    mail = save_mail(folder)
    said = at("-c", folder.with_name("old") / "config.yaml", "log", "verify", "--mail", mail)
    assert said.code == 4
    assert "SA5060 the witness one.eml has seen 8 entries of this log, which has 5" in said.out


def test_a_mail_that_the_logs_key_did_not_sign_proves_nothing_and_is_told(at: Agent, folder: Path) -> None:
    mail = save_mail(folder)
    mail.write_bytes(mail.read_bytes().replace(b"at 20", b"at 19"))
    said = at("log", "verify", "--mail", mail)
    assert said.code == 0
    assert f"SA5092 the mail {mail} proves nothing: it has no checkpoint" in said.err
    assert "not proven: the last 5 entries" in said.out
    assert at("log", "verify", "--mail", folder / "none").err.startswith("SA5093 ")


# --- log code -------------------------------------------------------------------------------------------------------


def test_a_code_on_paper_proves_what_there_was(at: Agent, folder: Path) -> None:
    said = at("log", "code")
    assert said.code == 0
    code = said.out.strip()
    assert re.fullmatch(r"5(-[A-Z2-7]{4}){14}", code)
    with SqliteArchive(folder / "archive.db", wiring.now, read_only=True) as archive:
        last = archive.last(JobId("anchor/paper"))
        assert isinstance(last, Anchored)
        assert last.size == 5
    assert at("log", "code").out.strip() == code, "nothing else was logged"
    said = at("log", "code", "--check", code.lower())
    assert (said.code, said.out.splitlines()) == (
        0,
        [
            "proven: the first 5 entries are as when the code was printed",
            "not proven: the last 1 entries, which came after the code",
        ],
    )
    rewrite(folder)
    said = at("log", "code", "--check", code)
    assert said.code == 4
    assert "SA7811 contradicted: this log of 6 entries is not the one that had 5" in said.err


def test_a_slip_in_a_code_is_no_contradiction(at: Agent) -> None:
    code = at("log", "code").out.strip()
    said = at("log", "code", "--check", code[:-1] + ("A" if code[-1] != "A" else "B"))
    assert (said.code, said.err.partition(" ")[0]) == (2, "SA7812")


# --- log enrol ------------------------------------------------------------------------------------------------------


def test_macs_are_checked_with_the_file_that_was_handed_over(at: Agent, folder: Path) -> None:
    handed = folder / "handed.key"
    assert at("log", "enrol", handed).code == 0
    if os.name != "nt":
        assert handed.stat().st_mode & 0o777 == 0o600
    grow(folder, 4)
    said = at("log", "verify", "--key", handed)
    assert said.code == 0
    assert "sealed: entries 5 to 9 have the MACs" in said.out
    with closing(sqlite3.connect(folder / "archive.db")) as db:
        db.execute("DELETE FROM macs WHERE idx = 7")
        db.commit()
    said = at("log", "verify", "--key", handed)
    assert said.code == 4
    assert "SA7816 contradicted: entry 7" in said.err
    again = at("log", "enrol", folder / "other.key")
    assert (again.code, again.err.partition(" ")[0]) == (4, "SA5072")
    assert not (folder / "other.key").exists()
    wrong = at("log", "verify", "--key", folder / "config.yaml")
    assert (wrong.code, wrong.err.partition(" ")[0]) == (2, "SA5071")


# --- witness --------------------------------------------------------------------------------------------------------


@contextmanager
def witnessing(folder: Path, *logs: str) -> Iterator[tuple[str, str]]:
    """`scraper-agent witness` in a process of its own: its address and its public key."""
    words: list[str | Path] = [
        sys.executable,
        "-m",
        "scraper_agent",
        "witness",
        folder / "witness",
        "--name",
        "w1",
        "--port",
        "0",
    ]
    words += ["--passphrase-file", folder / "passphrase"]
    for log in logs:
        words += ["--log", log]
    with subprocess.Popen(words, cwd=TOP, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        try:
            url = process.stdout.readline().decode().strip()
            key = process.stdout.readline().decode().split('"')[1]
            yield url, key
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(20)


def test_a_witness_of_another_process_sees_the_log_and_remembers_it(at: Agent, folder: Path, keys: Path) -> None:
    (folder / "passphrase").write_text("pass phrase of the witness\n", encoding="utf-8")
    (entry,) = keyfolder.entries(keys)
    log = f"91350100M000100Y43/{AK}={entry.public_key}"
    config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    with witnessing(folder, log) as (url, key):
        write(folder, config | {"witnesses": [{"kind": "https", "name": "w1", "url": url, "public_key": key}]})
        anchor(folder)
        said = at("log", "verify")
        assert "proven: the first 5 entries are as the witness w1 saw them" in said.out
    rewrite(folder)
    with witnessing(folder, log) as (url, again):
        assert again == key
        write(folder, config | {"witnesses": [{"kind": "https", "name": "w1", "url": url, "public_key": key}]})
        assert "SA7810" in at("log", "verify").err


def test_a_log_without_a_key_is_told_of(at: Agent, folder: Path) -> None:
    (folder / "passphrase").write_text("pass phrase of the witness\n", encoding="utf-8")
    words = ("witness", folder / "witness", "--name", "w1", "--passphrase-file", folder / "passphrase")
    said = at(*words, "--log", "x=12")
    assert (said.code, said.err.partition(" ")[0]) == (2, "SA7814")
    missing = at(*words[:-1], folder / "none", "--log", f"x={canonical.sm3(b'').hex()}")
    assert missing.code == 2
