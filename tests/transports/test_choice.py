"""Which transport a configuration gives, and where its secrets come from."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import SecretStr, TypeAdapter

from scraper_agent import sending
from scraper_agent.credentials import SecretPlace
from scraper_agent.sending.exchange import Exchange

EXAMPLE = Path(__file__).parents[2] / "config.example.yaml"
CONFIG: TypeAdapter[sending.Config] = TypeAdapter(sending.Config)


def _commented() -> list[dict[str, Any]]:
    """The transports of the example that stand in comments."""
    text = EXAMPLE.read_text(encoding="utf-8")
    blocks = re.findall(r"^  # transport:.*\n((?:  #   .*\n)+)", text, re.MULTILINE)
    return [yaml.load(re.sub(r"(?m)^  # ", "", block), Loader=yaml.BaseLoader) for block in blocks]  # noqa: S506


@pytest.mark.parametrize("told", _commented(), ids=lambda told: str(told["kind"]))
def test_the_transports_in_the_comments_of_the_example_are_of_their_kind(told: dict[str, Any]):
    assert CONFIG.validate_python(told).kind == told["kind"]


def test_the_example_shows_every_kind():
    assert {told["kind"] for told in _commented()} == {"folder", "mq", "sftp", "ftps"}


@pytest.mark.parametrize(
    ("told", "name"),
    [
        ({"kind": "sftp", "password": {"env": "P"}, "fingerprints": ["SHA256:" + "A" * 43]}, "sftp.password"),
        ({"kind": "ftps", "password": {"env": "P"}}, "ftps.password"),
        ({"kind": "ftp", "password": {"env": "P"}, "allow_plain": True}, "ftp.password"),
        ({"kind": "ftps"}, "ftps.password"),
    ],
)
def test_a_password_is_asked_for_by_the_name_of_its_transport(told: dict[str, Any], name: str):
    asked = []

    def secrets(place: SecretPlace, name: str) -> SecretStr:
        asked.append((place, name))
        return SecretStr("correct-horse")

    config = CONFIG.validate_python({"host": "h", "user": "u", "folder": "f", "receipts": "r", **told})
    transport = sending.connect(config, secrets)
    assert isinstance(transport, Exchange)
    assert asked == [(SecretPlace.model_validate(told.get("password", {})), name)]
    assert "correct-horse" not in repr(transport)
    transport.close()
