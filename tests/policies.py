"""Signs the policy of a configured folder, as `policy sign` does: what tests do that write one and then run or send."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from pathlib import Path

import yaml
from pydantic import SecretStr

from scraper_agent import canonical
from scraper_agent.signing import keyfolder, mandate, sm2_file

_SIGNERS: dict[str, sm2_file.Sm2FileSigner] = {}
"""By public key: a key file takes its time to be opened."""


def sign(home: Path, passphrase: str, *, sk: str | None = None) -> None:
    """Give `policy.yaml` in `home` its signature; and a version, which is raised with each change of the file.

    `sk`: with another key than the one that signs documents.
    """
    config = yaml.safe_load((home / "config.yaml").read_text(encoding="utf-8"))
    policy, statement = home / "policy.yaml", home / "policy.yaml.sig"
    text = policy.read_text(encoding="utf-8")
    before = json.loads(base64.b64decode(json.loads(statement.read_bytes())["payload"])) if statement.exists() else {}
    if before.get("policy") != canonical.digest(text.encode()):
        data = yaml.safe_load(text) or {}
        if data.get("version", 0) <= before.get("version", 0):
            data["version"] = before.get("version", 0) + 1
            policy.write_text(yaml.safe_dump(data, allow_unicode=True, sort_keys=False), encoding="utf-8")
    said = mandate.Mandate(
        policy=canonical.digest(policy.read_bytes()),
        version=yaml.safe_load(policy.read_bytes())["version"],
        issued=datetime.now(UTC),
        enterprise=config["enterprise"]["uscc"],
        by="person:tests",
        reason="tests",
    )
    signing = config["signing"]
    statement.write_bytes(mandate.sign(said, _signer(home / signing["folder"], sk or signing.get("key"), passphrase)))


def _signer(folder: Path, key: str | None, passphrase: str) -> sm2_file.Sm2FileSigner:
    entry = keyfolder.chosen(folder, key, datetime.now(UTC))
    if entry.public_key not in _SIGNERS:
        config = sm2_file.Config(kind="file", folder=folder, key=entry.sk)
        _SIGNERS[entry.public_key] = sm2_file.Sm2FileSigner(config, SecretStr(passphrase), lambda: datetime.now(UTC))
    return _SIGNERS[entry.public_key]
