"""What is handed to an auditor: chosen entries of the log with their proof, the bodies they name, and `verify.py`.

A folder:

    bundle.json     the form, and the public keys that it is said to be of: nothing in it is evidence
    checkpoint      the signed head that everything is proven against, with its witnesses' lines
    entries         one entry a line: its index, a space, its bytes as they are in the log
    hashes          the roots that `merkle.multiple` gives for these entries, base64, one a line
    blobs/…         bodies by SM3, 64 hex digits
    verify.py       checks all of it with Python's standard library alone
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Protocol

from scraper_agent import canonical, merkle
from scraper_agent.audit import note
from scraper_agent.values import Digest

FORMAT = "scraper-agent-bundle/1"


class Log(Protocol):
    """What of an archive a bundle is made from."""

    def raw(self, index: int) -> bytes:
        """The bytes of an entry, as they are hashed."""
        ...

    def subtree(self, start: int, stop: int) -> bytes:
        """Root of entries start..stop-1 as a tree of their own."""
        ...

    def get(self, digest: Digest) -> bytes: ...


def write(
    folder: Path,
    log: Log,
    indexes: Sequence[int],
    blobs: Iterable[Digest],
    checkpoint: bytes,
    keys: Mapping[str, Mapping[str, str]],
) -> None:
    """Make the folder. `indexes`: ascending, below the checkpoint's size.

    `keys`: `log`, `witnesses`, `receivers`, each public keys by name.

    Raises:
        AgentError: a body has been changed.
        OSError: the folder is there already, or cannot be written.
    """
    size = note.read(checkpoint).checkpoint.size
    proof = merkle.multiple(indexes, size, log.subtree)
    (folder / "blobs").mkdir(parents=True)
    (folder / "bundle.json").write_bytes(canonical.dumps({"format": FORMAT, **keys}))
    (folder / "checkpoint").write_bytes(checkpoint)
    with (folder / "entries").open("wb") as file:
        file.writelines(b"%d %s\n" % (index, log.raw(index)) for index in indexes)
    (folder / "hashes").write_bytes(b"".join(base64.b64encode(part) + b"\n" for part in proof))
    for digest in blobs:
        (folder / "blobs" / digest.removeprefix("sm3:")).write_bytes(log.get(digest))
    (folder / "verify.py").write_text(_program(), encoding="utf-8", newline="\n")


def _program() -> str:
    return resources.files("scraper_agent.audit").joinpath("verify.py").read_text(encoding="utf-8")
