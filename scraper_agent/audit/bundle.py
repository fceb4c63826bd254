"""What is handed to an auditor: chosen entries of the log with their proof, the bodies they name, and `verify.py`.

A folder, or the same as a ZIP file:

    manifest.json    the form, what was chosen, and every other file with its size, SM3 and SHA-256
    manifest.sig     the enterprise's signature over it: SM3 of its public key, a space, R‖S in base64
    checkpoint       the signed head of the log that everything is proven against
    witnessed        the newest head that witnesses have signed, if there is one; and
    witnessed.proof  that the log of `checkpoint` grew from it: hashes in base64, one a line
    entries.jsonl    the entries' bytes as they are in the log, one a line
    hashes           the roots that `merkle.multiple` gives for these entries, base64, one a line
    keys.json        public keys: the log's, witnesses', receivers', and the enterprise's with what is known of each
    keys/….pem       the same, for openssl
    blobs/…          bodies by SM3, 64 hex digits
    verify.py        checks all of it with Python's standard library alone
    openssl.sh       checks it again with openssl alone; SM3SUMS is what it compares with
    VERIFY.md        how to

The same entries, bodies, checkpoint and signature give the same bytes.
"""

from __future__ import annotations

import base64
import hashlib
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Protocol, Self

from scraper_agent import canonical, merkle
from scraper_agent.audit import note, openssl
from scraper_agent.errors import AgentError
from scraper_agent.merkle import RangeRoot
from scraper_agent.messages import N_
from scraper_agent.ports import Signer
from scraper_agent.values import Digest

FORMAT = "scraper-agent-bundle/1"
MANIFEST = "application/vnd.scraper-agent.bundle+v1"
"""The type under which the manifest is signed."""

_MADE = (1980, 1, 1, 0, 0, 0)
"""The time of every member of a ZIP file: the earliest there is."""
_PACKED = (b"\xff\xd8\xff", b"PK\x03\x04")
"""How bodies begin that deflating would not make smaller."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """Public keys, X‖Y in hex."""

    log: Mapping[str, str]
    """By `sk`: those that a checkpoint and the manifest may be signed with."""
    receivers: Mapping[str, str]
    witnesses: Mapping[str, str] = field(default_factory=dict)
    """By the name that stands in their lines."""
    enterprise: Sequence[Mapping[str, object]] = ()
    """Of each key of the enterprise `sk`, `public_key`, `fingerprint` and what is known of its validity."""

    def plain(self) -> dict[str, object]:
        return {
            "log": dict(self.log),
            "witnesses": dict(self.witnesses),
            "receivers": dict(self.receivers),
            "enterprise": [dict(each) for each in self.enterprise],
        }

    def named(self) -> dict[str, str]:
        """Every public key once, by its fingerprint."""
        own = [str(each["public_key"]) for each in self.enterprise]
        every = (*self.log.values(), *self.witnesses.values(), *self.receivers.values(), *own)
        return {openssl.fingerprint(key): key for key in every}

    def whose(self, key: str) -> str:
        """What it may sign, in the words of `keys.json`."""
        lists = {"log": self.log, "witnesses": self.witnesses, "receivers": self.receivers}
        told = [f"{part} {name}" for part, named in lists.items() for name, each in named.items() if each == key]
        return ", ".join(told) or ", ".join(f"enterprise {e['sk']}" for e in self.enterprise if e["public_key"] == key)


class Log(Protocol):
    """What of an archive a bundle is made from."""

    def subtree(self, start: int, stop: int) -> bytes:
        """Root of entries start..stop-1 as a tree of their own."""
        ...

    def get(self, digest: Digest) -> bytes: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What goes into a bundle."""

    entries: Sequence[tuple[int, bytes]]
    """By ascending index, below the checkpoint's size."""
    bodies: Mapping[Digest, str]
    """What each is: `document`, `page`, `receipt` …"""
    keys: Keys
    checkpoint: bytes
    witnessed: bytes | None = None
    """A note of the same log, not longer than the checkpoint's, with lines of witnesses."""
    about: Mapping[str, object] = field(default_factory=dict)
    """What the manifest says of the choice."""
    beside: Mapping[str, bytes] = field(default_factory=dict)
    """Files that prove nothing, such as reports."""


def write(out: Path, log: Log, contents: Contents, signer: Signer) -> tuple[Digest, ...]:
    """Make the folder, or a ZIP file where the name ends so; whole or not at all. Returns bodies that are no more.

    Raises:
        AgentError: a body has been changed; the log does not agree with its tree; or nothing can be written there.
    """
    part = out.with_name(out.name + ".part")
    try:
        with _open(part, packed=out.suffix == ".zip") as files:
            gone = _fill(files, log, contents, signer)
        part.rename(out)
    except OSError as error:
        raise AgentError(
            "SA5101", N_("the bundle cannot be written to {path}: {error}"), path=out, error=error.strerror
        ) from error
    return gone


def _fill(files: _Files, log: Log, contents: Contents, signer: Signer) -> tuple[Digest, ...]:
    head = note.read(contents.checkpoint).checkpoint
    proof = _proof(log.subtree, contents.entries, head)
    files.add("checkpoint", contents.checkpoint)
    if contents.witnessed is not None:
        old = note.read(contents.witnessed).checkpoint.size
        grown = merkle.consistency(old, head.size, log.subtree) if old else []
        files.add("witnessed", contents.witnessed)
        files.add("witnessed.proof", _lines(grown))
    files.add("entries.jsonl", b"".join(data + b"\n" for _, data in contents.entries))
    files.add("hashes", _lines(proof))
    files.add("keys.json", canonical.dumps(contents.keys.plain()))
    for fingerprint, key in sorted(contents.keys.named().items()):
        files.add(f"keys/{fingerprint}.pem", openssl.pem(key))
    checks = openssl.Checks(contents.keys.named())
    checks.note("checkpoint", contents.checkpoint, contents.keys)
    if contents.witnessed is not None:
        checks.note("witnessed", contents.witnessed, contents.keys)
    gone = []
    for digest, holds in sorted(contents.bodies.items()):
        try:
            body = log.get(digest)
        except AgentError as error:
            if error.code != "SA5009":
                raise
            gone.append(digest)
            continue
        name = f"blobs/{digest.removeprefix('sm3:')}"
        files.add(name, body, holds)
        checks.body(name, holds, body, contents.keys)
    checks.tree([(index, len(data)) for index, data in contents.entries], head, proof)
    files.add("verify.py", _beside("verify.py"))
    files.add("VERIFY.md", _beside("VERIFY.md"))
    for name, data in contents.beside.items():
        files.add(name, data)
    files.add("SM3SUMS", b"".join(b"%s *%s\n" % (each["sm3"].encode(), each["name"].encode()) for each in files.made))
    files.add("openssl.sh", checks.script())
    about = {**contents.about, "format": FORMAT, "origin": head.origin, "gone": gone}
    manifest = canonical.dumps({**about, "files": sorted(files.made, key=lambda each: each["name"])})
    signature = base64.b64encode(signer.sign(canonical.pae(manifest, MANIFEST)))
    files.add("manifest.json", manifest)
    files.add("manifest.sig", b"%s %s\n" % (openssl.fingerprint(signer.public_key).encode(), signature))
    return tuple(gone)


def _proof(subtree: RangeRoot, entries: Sequence[tuple[int, bytes]], head: note.Checkpoint) -> list[bytes]:
    proof = merkle.multiple([index for index, _ in entries], head.size, subtree)
    leaves = [(index, merkle.leaf(data)) for index, data in entries]
    if merkle.root_of(leaves, head.size, proof) != head.root:
        raise AgentError(
            "SA5100",
            N_("the log does not agree with its tree; nothing was exported"),
            hint=N_("Check the whole archive with `scraper-agent log verify` and restore it from a copy."),
        )
    return proof


def _lines(hashes: Sequence[bytes]) -> bytes:
    return b"".join(base64.b64encode(each) + b"\n" for each in hashes)


def _beside(name: str) -> bytes:
    return resources.files("scraper_agent.audit").joinpath(name).read_text(encoding="utf-8").encode()


class _Files:
    """Where the files go. `made`: name, size, SM3 and SHA-256 of each."""

    def __init__(self, root: Path, packed: zipfile.ZipFile | None) -> None:
        self.made: list[dict[str, str]] = []
        self._root = root
        self._zip = packed

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._zip is not None:
            self._zip.close()

    def add(self, name: str, data: bytes, holds: str = "") -> None:
        told = {
            "name": name,
            "size": str(len(data)),
            "sm3": canonical.sm3(data).hex(),
            "sha256": hashlib.sha256(data).hexdigest(),
        }
        self.made.append({**told, "holds": holds} if holds else told)
        if self._zip is None:
            with (self._root / name).open("wb") as file:
                file.write(data)
            return
        member = zipfile.ZipInfo(name, _MADE)
        member.external_attr = 0o100644 << 16
        member.compress_type = zipfile.ZIP_STORED if data.startswith(_PACKED) else zipfile.ZIP_DEFLATED
        self._zip.writestr(member, data)


def _open(part: Path, *, packed: bool) -> _Files:
    """Raises OSError: what an earlier export left there cannot be written over."""
    if packed:
        return _Files(part, zipfile.ZipFile(part, "w"))
    for folder in ("keys", "blobs"):
        (part / folder).mkdir(parents=True)
    return _Files(part, None)
