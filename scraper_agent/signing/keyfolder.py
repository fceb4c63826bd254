"""The folder of an installation's keys: `keys.json`, and one encrypted file per key.

The index (`sk`, 01 to 99) tells the receiving side which public key to verify with, so an index names one key for ever.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    TypeAdapter,
    ValidationError,
)

from scraper_agent import canonical
from scraper_agent.errors import UsageError
from scraper_agent.messages import N_
from scraper_agent.signing import keyfile, sm2

LIST = "keys.json"
KeyIndex = Annotated[str, Field(pattern=r"^(0[1-9]|[1-9][0-9])$")]
"""`sk`, 01 to 99."""

_LAST_INDEX = 99
_FILE = re.compile(r"sm2-(\d\d)\.pem")


class KeyEntry(BaseModel):
    """One line of `keys.json`. Nothing in it is secret."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sk: KeyIndex
    public_key: Annotated[str, AfterValidator(sm2.parse_public)]
    fingerprint: str
    """SM3 of the public key's SubjectPublicKeyInfo in DER, 64 hex digits: `openssl pkey -pubin -outform DER | openssl
    sm3`."""
    file: Annotated[str, Field(pattern=r"^sm2-\d\d\.pem$")]
    created: AwareDatetime
    status: Literal["active", "retired"]
    """A retired key signs no more; its public key is kept to verify what it signed."""


_ENTRIES = TypeAdapter(list[KeyEntry])


def entries(folder: Path) -> tuple[KeyEntry, ...]:
    """All keys of `folder`, by index; none if it has no `keys.json`.

    Raises:
        UsageError: `keys.json` cannot be read, or contradicts itself.
    """
    path = folder / LIST
    try:
        found = _ENTRIES.validate_json(path.read_bytes())
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise _damaged(path, error.strerror or type(error).__name__) from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise _damaged(path, f"{where}: {first['msg']}" if where else first["msg"]) from None
    for entry in found:
        if entry.fingerprint != fingerprint(entry.public_key):
            raise _damaged(path, f"{entry.sk}: fingerprint {entry.fingerprint}")
    if len({entry.sk for entry in found}) != len(found):
        raise _damaged(path, "sk")
    return tuple(sorted(found, key=lambda entry: entry.sk))


def create(folder: Path, passphrase: SecretStr, now: datetime) -> KeyEntry:
    """Make a key under the next index, which is never one used before. Durable when this returns.

    Raises:
        UsageError: the passphrase is too short, index 99 is used, or another process is changing the folder.
        AgentError: the folder cannot be written.
    """
    with _locked(folder):
        known = entries(folder)
        sk = _next_index(folder, known)
        key = keyfile.generate()
        entry = KeyEntry(
            sk=sk,
            public_key=key.public_key,
            fingerprint=fingerprint(key.public_key),
            file=f"sm2-{sk}.pem",
            created=now,
            status="active",
        )
        # The file first: if we die before the list names it, its name still keeps the index from being used again.
        keyfile.write(folder / entry.file, key, passphrase)
        _save(folder, (*known, entry))
        return entry


def retire(folder: Path, sk: str) -> KeyEntry:
    """Let key `sk` sign no more. May be repeated.

    Raises:
        UsageError: there is no such key, or another process is changing the folder.
        AgentError: the folder cannot be written.
    """
    with _locked(folder):
        retired = find(folder, sk).model_copy(update={"status": "retired"})
        _save(folder, tuple(retired if entry.sk == sk else entry for entry in entries(folder)))
        return retired


def find(folder: Path, sk: str) -> KeyEntry:
    """Raises UsageError if `folder` has no key `sk`."""
    known = entries(folder)
    for entry in known:
        if entry.sk == sk:
            return entry
    raise UsageError(
        "SA3009",
        N_("no key {sk} in {folder}; it has {known}"),
        hint=N_("`scraper-agent key new` makes a key, `key list` shows those there are"),
        sk=sk,
        folder=folder,
        known=", ".join(entry.sk for entry in known) or "-",
    )


def fingerprint(public_key: str) -> str:
    return canonical.sm3(keyfile.public_der(public_key)).hex()


def _next_index(folder: Path, known: tuple[KeyEntry, ...]) -> str:
    files = (_FILE.fullmatch(path.name) for path in folder.iterdir())
    used = {int(entry.sk) for entry in known} | {int(match[1]) for match in files if match}
    highest = max(used, default=0)
    if highest >= _LAST_INDEX:
        raise UsageError(
            "SA3010",
            N_("all key indices up to {last} are used in {folder}"),
            hint=N_("agree on a new system identifier (`ak`) with the receiving side and start a new key folder"),
            last=_LAST_INDEX,
            folder=folder,
        )
    return f"{highest + 1:02}"


def _save(folder: Path, all_entries: tuple[KeyEntry, ...]) -> None:
    text = json.dumps([entry.model_dump(mode="json") for entry in all_entries], indent=2, ensure_ascii=False)
    path = folder / LIST
    part = keyfile.part_of(path, text.encode() + b"\n")
    try:
        part.replace(path)  # a crash leaves the old list or the new one
        keyfile.sync_folder(folder)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise keyfile.cannot_write(path, error) from error


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One process at a time: two that read the same list would give out the same index."""
    lock = folder / f"{LIST}.lock"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock.touch(exist_ok=False)
    except FileExistsError as error:
        raise UsageError(
            "SA3011",
            N_("another process is changing the keys: {path} exists"),
            hint=N_("wait for it; if none is running, one was killed: delete the file"),
            path=lock,
        ) from error
    except OSError as error:
        raise keyfile.cannot_write(lock, error) from error
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)


def _damaged(path: Path, reason: str) -> UsageError:
    return UsageError(
        "SA3008",
        N_("the list of keys {path} is damaged: {reason}"),
        hint=N_("restore it from its backup; do not number keys anew, the receiving side knows them by index"),
        path=path,
        reason=reason,
    )
