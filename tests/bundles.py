"""A folder of the agent with documents that a real platform has taken, and a bundle of some of them that is proven."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml
from pydantic import SecretStr

from scraper_agent import canonical, exporting
from scraper_agent.app import App
from scraper_agent.archive.sqlite import SqliteArchive
from scraper_agent.audit import bundle, note
from scraper_agent.cli import export as command
from scraper_agent.envelope.profile import DEFAULT, Profile
from scraper_agent.formats import FORMATS
from scraper_agent.sandbox.platform import Platform
from scraper_agent.signing import keyfile, keyfolder
from scraper_agent.values import JobId, KeyChanged
from tests import world
from tests.authorities import OTHER, Signer
from tests.console import archive as small

WITNESS = "witness.example"


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """The folder: eleven documents were read, nine of them taken by the platform; one is blocked, one held."""

    app: App
    documents: tuple[JobId, ...]

    @property
    def archive(self) -> Path:
        return self.app.home / self.app.config.archive

    def by(self, *, seen: bool = True) -> exporting.By:
        """As the command has it. `seen`: a witness has signed the log as it is now."""
        with SqliteArchive(self.archive, lambda: small.NOW, read_only=True) as archive:
            by = replace(command.by(self.app, archive), now=lambda: small.NOW)
        return replace(by, seen=self.seen(by)) if seen else by

    def seen(self, by: exporting.By) -> exporting.Seen:
        with SqliteArchive(self.archive, lambda: small.NOW, read_only=True) as archive:
            head = archive.head()
        checkpoint = note.Checkpoint(origin=by.origin, size=head.size, root=head.root, at=small.NOW)
        signed = note.sign(checkpoint, by.signer)
        seen = signed + note.cosign(note.text(checkpoint), WITNESS, OTHER, small.NOW)
        return exporting.Seen(note=seen, witnesses={WITNESS: OTHER.public_key})

    def export(self, out: Path, asked: exporting.Asked, *, seen: bool = True) -> exporting.Made:
        by = self.by(seen=seen)
        with SqliteArchive(self.archive, lambda: small.NOW, read_only=True) as archive:
            return exporting.export(out, archive, asked, by, command.reports(self.app, archive, asked))


@contextmanager
def site(home: Path, profile: Profile = DEFAULT) -> Iterator[Site]:
    """`profile`: of requests and receipts."""
    small.folder(home)
    (entry,) = keyfolder.entries(home / "keys")
    keys = {(world.AK, "01"): entry.public_key}
    with Platform(lambda: small.NOW, keys, FORMATS, window=timedelta(days=1), profile=profile) as platform:
        config = yaml.safe_load((home / "config.yaml").read_text(encoding="utf-8"))
        config["receiver"]["transport"]["url"] = platform.url
        config["receiver"] |= {
            "public_keys": platform.public_keys,
            "profile": json.loads(profile.model_dump_json(include={"name", *profile.model_fields_set})),
        }
        (home / "config.yaml").write_text(yaml.safe_dump(config, allow_unicode=True), encoding="utf-8")
        app = App.load(home / "config.yaml", tell=lambda _: None)
        clock = small._ticking(small.NOW - timedelta(days=1))
        with SqliteArchive(home / app.config.archive, lambda: next(clock)) as archive:
            made = KeyChanged(
                action="made", sk="01", public_key=entry.public_key, fingerprint=entry.fingerprint, by="person:x"
            )
            archive.append(JobId("keys"), 0, made)
        documents = small._read(app, small.OLDER, clock, range(101, 104))
        clock = small._ticking(small.NOW - timedelta(minutes=30))
        documents += small._read(app, small.RUN, clock, range(1, 9), dear=(7,), wrong=(8,))
        with SqliteArchive(home / app.config.archive, lambda: next(clock)) as archive:
            pipeline = app.pipeline(archive, lambda _job, _fact: None)
            pipeline.now = lambda: small.NOW
            for id in documents:
                pipeline.advance(id)
        app.close()
    yield Site(app=app, documents=tuple(documents))


def fingerprints(folder: Path) -> list[str]:
    """Of all keys that it says it is of: what a person would ask for elsewhere."""
    about: dict[str, Any] = json.loads((folder / "keys.json").read_bytes())
    named = [key for part in ("log", "witnesses", "receivers") for key in about[part].values()]
    return [keyfolder.fingerprint(key) for key in named]


def trusting(fingerprints: Iterable[str]) -> list[str]:
    return [word for each in fingerprints for word in ("--trust", each)]


def enterprise(site: Site) -> Signer:
    """The enterprise's key, in the hands of somebody within."""
    passphrase = (site.app.home / "passphrase").read_text(encoding="utf-8")
    return Signer("01", keyfile.read(site.app.home / "keys" / "sm2-01.pem", SecretStr(passphrase)).d)


def resigned(folder: Path, signer: Signer) -> None:
    """Makes a manifest of the files as they are now, as the exporter would, and signs it."""
    about = json.loads((folder / "manifest.json").read_bytes())
    holds = {each["name"]: each["holds"] for each in about["files"] if "holds" in each}
    found = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    about["files"] = [
        listed(name, (folder / name).read_bytes(), holds.get(name, ""))
        for name in found
        if name not in ("manifest.json", "manifest.sig")
    ]
    manifest = canonical.dumps_plain(about)
    (folder / "manifest.json").write_bytes(manifest)
    (folder / "manifest.sig").write_bytes(signature(manifest, signer))


def listed(name: str, data: bytes, holds: str = "") -> dict[str, str]:
    """A file as a manifest has it."""
    told = {
        "name": name,
        "size": str(len(data)),
        "sm3": canonical.sm3(data).hex(),
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    return {**told, "holds": holds} if holds else told


def signature(manifest: bytes, signer: Signer) -> bytes:
    """`manifest.sig`."""
    made = base64.b64encode(signer.sign(canonical.pae(manifest, bundle.MANIFEST)))
    return b"%s %s\n" % (keyfolder.fingerprint(signer.public_key).encode(), made)
