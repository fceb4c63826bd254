"""`demo --waybills`: the whole exchange, as a newcomer sees it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from scraper_agent.cli import build, show


@pytest.fixture(scope="module")
def exchanged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of the demo, and what it printed."""
    folder = tmp_path_factory.mktemp("exchange") / "demo"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(show.console, "width", 120)
        done = CliRunner().invoke(build(), ["demo", "--waybills", "--folder", str(folder)])
    assert done.exit_code == 0, done.output
    return folder, done.output


def invoked(*words: str) -> str:
    done = CliRunner().invoke(build(), list(words))
    assert done.exit_code == 0, done.output
    return done.output


def test_it_shows_a_qr_code_and_its_proof_and_a_week_that_is_reconciled(exchanged: tuple[Path, str]) -> None:
    _, told = exchanged
    assert "genuine: signed with key 01 of the province" in told
    assert sum(line.count("█") > 10 for line in told.splitlines()) > 20
    assert "done 已完成" in told
    weeks = re.findall(r"│ \S+ (\w+) +│ \d{4}-W\d\d │ (\d+) +│ (\d+) +│ 0 +│ 0 +│ yes", told)
    assert weeks == [("Shanghai", "3", "3"), ("Jiangsu", "0", "0"), ("Zhejiang", "0", "0")]


def test_the_commands_it_names_go_on_from_there(exchanged: tuple[Path, str], tmp_path: Path) -> None:
    folder, told = exchanged
    config = str(folder / "config.yaml")
    (number,) = re.findall(r"waybill qr (\w+) --image", told)
    image = tmp_path / "code.png"
    invoked("-c", config, "waybill", "qr", number, "--image", str(image))
    seen = invoked("-c", config, "waybill", "verify-qr", str(image))
    assert number in seen
    assert "genuine" in seen
    assert number in invoked("-c", config, "waybill", "list")
    assert "CHK-01" in invoked("-c", config, "jobs", "--state", "blocked")


def test_no_certificate_number_was_shown_whole(exchanged: tuple[Path, str]) -> None:
    _, told = exchanged
    assert re.findall(r"\d{6}\*{6}\d+X?", told)
    assert not re.findall(r"\d{16,17}X\b", told)
