"""Bundles altered in every way: `python -m tests.faults.mutations [COUNT] [SEED]`.

Who alters one:

    chance      one file is other than it was
    outsider    and the manifest goes along with it, under the signature that it had
    stranger    and is signed anew, by a key of their own that keys.json names in place of the log's
    insider     and is signed anew by the enterprise's own key: all that is left is what the log and others have signed

What they alter: bits, spans, lines, fields of JSON, whole files (swapped, dropped, doubled, emptied, put in place of
each other), keys; and of an insider the log itself, made anew with its tree and its checkpoint.

A mutation is accepted if the verifier says *proven* and what it says it proves is not, word for word, what it said of
the bundle as it was made; of an insider less the line about the manifest, as that is theirs to make. None may be.
"""

from __future__ import annotations

import base64
import json
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import pytest

from scraper_agent import canonical, exporting
from scraper_agent.audit import note, verify
from scraper_agent.values import JobId
from tests import bundles
from tests.authorities import SIGNER, Signer

LEVELS = ("chance", "outsider", "stranger", "insider")
_SHARES = (2, 2, 2, 6)
_OWN = ("manifest.json", "manifest.sig")
_ON_DISK = 50
"""Every so many is also written to the folder and checked there, which has to say the same."""
Files = dict[str, bytes]


@dataclass
class Outcome:
    found: int = 0
    """Contradicted, or not proven."""
    harmless: int = 0
    """Proven, and the very same."""
    by_level: Counter[str] = field(default_factory=Counter)
    by_state: Counter[str] = field(default_factory=Counter)
    accepted: list[str] = field(default_factory=list)


class _InMemory(verify.Bundle):
    """The files as they would be in the folder. What of them is read, and how it is checked, is the program's own."""

    def __init__(self, files: Files) -> None:
        self._files = files
        super().__init__(Path())

    def there(self) -> set[str]:
        return set(self._files)

    def unlisted(self, name: str) -> bytes:
        if name not in self._files:
            raise verify.Contradicted(f"{name} is missing", f"缺少 {name}")
        return self._files[name]


@contextmanager
def _once() -> Iterator[None]:
    """What is computed of the same bytes is computed once: digests, and whether a key's signature holds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verify, "digests", lru_cache(1000)(verify.digests))
        patch.setattr(verify.PublicKey, "verifies", lru_cache(10_000)(verify.PublicKey.verifies))
        patch.setattr(bundles, "listed", lru_cache(1000)(bundles.listed))
        yield


def run(site: bundles.Site, home: Path, count: int, seed: int, documents: Sequence[JobId] = ()) -> Outcome:
    """`count` mutations of a bundle of these documents, else the first two, made in `home`."""
    folder = home / "bundle"
    site.export(folder, exporting.Asked(documents=documents or site.documents[:2]))
    trust = bundles.fingerprints(folder)
    whole = {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }
    before = said(folder, trust)
    assert before[0] == "proven"
    insider, outcome = bundles.enterprise(site), Outcome()
    with _once():
        for number in range(count):
            draw = random.Random(f"{seed}/{number}")
            (level,) = draw.choices(LEVELS, _SHARES)
            files = altered(whole, level, draw, insider)
            result = verify.checked(partial(_InMemory, files), trust)
            if number % _ON_DISK == 0:
                put(folder, whole, files)
                assert verify.check(folder, trust) == result
                put(folder, files, whole)
            outcome.by_level[level] += 1
            outcome.by_state[result.state] += 1
            if result.state != verify.PROVEN:
                outcome.found += 1
            elif _proven(list(verify.told(result, "en", all=True)), level) == _proven(before, level):
                outcome.harmless += 1
            else:
                changed = [name for name in whole.keys() | files.keys() if whole.get(name) != files.get(name)]
                outcome.accepted.append(f"{seed}/{number} {level}: {sorted(changed)}")
    return outcome


def said(folder: Path, trust: list[str]) -> list[str]:
    return list(verify.told(verify.check(folder, trust), "en", all=True))


def _proven(lines: list[str], level: str) -> list[str]:
    return [line for line in lines if level != "insider" or "the manifest, SM3 " not in line]


def put(folder: Path, were: Files, are: Files) -> None:
    """Makes the folder, which has the one, have the other."""
    for name in were.keys() - are.keys():
        (folder / name).unlink()
    for name, data in are.items():
        if were.get(name) != data:
            (folder / name).write_bytes(data)


def altered(whole: Files, level: str, draw: random.Random, insider: Signer) -> Files:
    """Other than it was, in one or two places."""
    files = dict(whole)
    while {name: data for name, data in files.items() if name not in _OWN} == {
        name: data for name, data in whole.items() if name not in _OWN
    }:
        for _ in range(draw.choice((1, 1, 2))):
            if level == "insider" and draw.randrange(8) == 0:
                _made_anew(files, draw, insider)
            else:
                draw.choice((_bytes, _bytes, _lines, _fields, _fields, _files, _keys))(files, draw)
    if level == "chance":
        return files
    if level == "stranger":
        _own_keys(files)
    about = json.loads(whole["manifest.json"])
    holds = {each["name"]: each.get("holds", "") for each in about["files"]}
    about["files"] = [
        bundles.listed(name, data, holds.get(name, "")) for name, data in sorted(files.items()) if name not in _OWN
    ]
    files["manifest.json"] = manifest = canonical.dumps_plain(about)
    if level != "outsider":
        files["manifest.sig"] = bundles.signature(manifest, insider if level == "insider" else SIGNER)
    return files


def _evidence(files: Files, draw: random.Random) -> str:
    """The name of one file: those that are looked into more often than the many that are only hashed."""
    named = [name for name in files if "/" not in name and name not in _OWN and not name.startswith("report")]
    blobs = [name for name in files if name.startswith("blobs/")]
    return draw.choice(draw.choice((named, blobs, sorted(files))) or sorted(files))


def _bytes(files: Files, draw: random.Random) -> None:
    name = _evidence(files, draw)
    data = bytearray(files[name])
    at = draw.randrange(len(data) + 1)
    match draw.randrange(5):
        case 0 if at < len(data):
            data[at] ^= 1 << draw.randrange(8)
        case 1:
            del data[at : at + draw.randrange(1, 40)]
        case 2:
            data[at:at] = draw.randbytes(draw.randrange(1, 9))
        case 3:
            data[at:at] = data[at : at + draw.randrange(1, 200)]
        case _:
            del data[at:]
    files[name] = bytes(data)


def _lines(files: Files, draw: random.Random) -> None:
    name = draw.choice(("entries.jsonl", "hashes", "checkpoint", "witnessed", "witnessed.proof"))
    lines = files.get(name, b"").splitlines(keepends=True)
    if not lines:
        return
    one, other = draw.randrange(len(lines)), draw.randrange(len(lines))
    match draw.randrange(4):
        case 0:
            lines[one], lines[other] = lines[other], lines[one]
        case 1:
            del lines[one]
        case 2:
            lines.insert(other, lines[one])
        case _:
            lines[one] = lines[other]
    files[name] = b"".join(lines)


def _fields(files: Files, draw: random.Random) -> None:
    """A value of one entry, of a body that is JSON, or of keys.json: written as it has to be."""
    name = draw.choice(("entries.jsonl", "entries.jsonl", "keys.json", _evidence(files, draw)))
    if name == "entries.jsonl":
        lines = files.get(name, b"").splitlines()
        if lines:
            at = draw.randrange(len(lines))
            lines[at] = _field(lines[at], draw)
            files[name] = b"".join(line + b"\n" for line in lines)
    elif name in files:
        files[name] = _field(files[name], draw)


def _field(data: bytes, draw: random.Random) -> bytes:
    try:
        value = json.loads(data)
    except ValueError:
        return data
    places = list(_places(value))
    if not places:
        return data
    holder, at = draw.choice(places)
    held, (other, there) = holder[at], draw.choice(places)
    match draw.randrange(4):
        case 0:
            del holder[at]
        case 1:
            holder[at] = json.loads(json.dumps(other[there]))
        case 2 if isinstance(holder, dict):
            holder[f"{at}{draw.choice('abx')}"] = held
        case _:
            holder[at] = _other(held, draw)
    return canonical.dumps_plain(value)


def _places(value: Any) -> Any:
    """Where any value within stands: what holds it, and by what name or number."""
    names = list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
    for name in names:
        yield value, name
        yield from _places(value[name])


def _other(held: Any, draw: random.Random) -> Any:
    match held:
        case bool():
            return not held
        case int():
            return held + draw.choice((-1, 1, 1 << 40))
        case str() if held:
            at = draw.randrange(len(held))
            return held[:at] + draw.choice("0123456789abcdefX") + held[at + 1 :]
        case _:
            return draw.choice(("", 0, None, [], {}))


def _files(files: Files, draw: random.Random) -> None:
    one, other = _evidence(files, draw), _evidence(files, draw)
    match draw.randrange(5):
        case 0:
            files[one], files[other] = files[other], files[one]
        case 1:
            del files[one]
        case 2:
            files[one] = files[other]
        case 3:
            files[f"{one}.copy"] = files[one]
        case _:
            files[one] = b""


def _keys(files: Files, draw: random.Random) -> None:
    """Whose key is whose."""
    try:
        keys = json.loads(files["keys.json"])
        part = draw.choice(("log", "witnesses", "receivers"))
        named = keys[part]
        name = draw.choice(sorted(named))
        match draw.randrange(4):
            case 0:
                named[name] = SIGNER.public_key
            case 1:
                del named[name]
            case 2:
                other = keys[draw.choice(("log", "witnesses", "receivers"))]
                named[name] = other[draw.choice(sorted(other))]
            case _:
                keys["enterprise"][0]["public_key"] = SIGNER.public_key
    except (KeyError, IndexError, ValueError, TypeError, AttributeError):
        return
    files["keys.json"] = canonical.dumps_plain(keys)


def _own_keys(files: Files) -> None:
    """A stranger's key is the log's, and has signed the checkpoint."""
    try:
        checkpoint = note.read(files["checkpoint"]).checkpoint
        keys = json.loads(files["keys.json"])
        keys["log"] = {"01": SIGNER.public_key}
    except (KeyError, ValueError, TypeError):
        return
    files["checkpoint"] = note.sign(checkpoint, SIGNER)
    files["keys.json"] = canonical.dumps_plain(keys)


def _made_anew(files: Files, draw: random.Random, insider: Signer) -> None:
    """Another entry in the log, whose tree and checkpoint are made to fit; with or without what a witness has seen."""
    try:
        lines = files["entries.jsonl"].splitlines()
        at = draw.randrange(len(lines))
        lines[at] = _field(lines[at], draw)
        leaves = [(json.loads(line)["index"], verify.leaf(line)) for line in lines]
        checkpoint = note.read(files["checkpoint"]).checkpoint
        hashes = [base64.b64decode(line) for line in files["hashes"].splitlines()]
        root = verify.root_of(checkpoint.size, leaves, iter(hashes))
    except (KeyError, ValueError, TypeError, IndexError):
        return
    made = note.Checkpoint(origin=checkpoint.origin, size=checkpoint.size, root=root, at=checkpoint.at)
    files["entries.jsonl"] = b"".join(line + b"\n" for line in lines)
    files["checkpoint"] = note.sign(made, insider)
    if draw.randrange(2):
        files.pop("witnessed", None)
        files.pop("witnessed.proof", None)


def main() -> int:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 20261122
    home = Path(tempfile.mkdtemp())
    began = time.monotonic()
    try:
        with bundles.site(home / "site") as site:
            outcome = run(site, home, count, seed)
    finally:
        shutil.rmtree(home)
    seconds = time.monotonic() - began
    print(f"seed {seed}: {count} mutations in {seconds:.0f} s, {dict(outcome.by_level)}, {dict(outcome.by_state)}")
    print(
        f"{outcome.found} found, {outcome.harmless} harmless, {len(outcome.accepted)} accepted that change its meaning"
    )
    for line in outcome.accepted[:20]:
        print(line)
    return 1 if outcome.accepted else 0


if __name__ == "__main__":
    sys.exit(main())
