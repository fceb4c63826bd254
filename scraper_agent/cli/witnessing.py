"""What witnesses know of the log: `log verify` asks them, `log code` is for paper; `witness` is one itself."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Annotated

import typer
from pydantic import SecretStr
from starlette.applications import Starlette

from scraper_agent import app as wiring
from scraper_agent import serving
from scraper_agent.app import App
from scraper_agent.archive import ratchet, sqlite
from scraper_agent.audit import anchor, mailed, note, proving, witness_web
from scraper_agent.audit.proving import Word
from scraper_agent.audit.witness import Witness
from scraper_agent.cli import show
from scraper_agent.errors import AgentError, UsageError
from scraper_agent.messages import N_, render
from scraper_agent.signing import keyfolder, sm2, sm2_file
from scraper_agent.values import KeyChanged


def prove(app: App, key: Path | None, mails: Sequence[Path] = ()) -> None:
    """Say what the witnesses' word, and MACs, prove of a log that is whole; nothing where it has neither.

    Raises:
        AgentError: a witness has seen another history, or a MAC is not there or is not that of its entry; or there
            are no mails.
    """
    if key is not None:
        _check_macs(app, ratchet.Handed.read(key))
    if app.config.witnessed or mails:
        _ask(app, mails)


def _check_macs(app: App, handed: ratchet.Handed) -> None:
    with closing(sqlite.connect(app.home / app.config.archive)) as db:
        found = ratchet.check(db, handed)
    if found.wrong is not None:
        raise AgentError(
            "SA7816",
            N_("contradicted: entry {index} has not the MAC that it was given when it was logged"),
            hint=N_("stop using this archive, keep a copy, and find out who changed it"),
            index=found.wrong,
        )
    told = render(
        N_("sealed: entries {first} to {last} have the MACs that they were given; how many there were is not said"),
        {"first": found.first, "last": found.first + found.count - 1},
    )
    show.console.print(told, markup=False, soft_wrap=True)


def enrol(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help=render(N_("The new file: give it to who verifies, and keep no copy.")))],
) -> None:
    app: App = context.obj.app()
    key = secrets.token_bytes(ratchet.KEY_BYTES)
    with app.archive() as archive, ExitStack() as failed:
        try:
            with file.open("xb") as handed:
                failed.callback(file.unlink)
                file.chmod(0o600)
                handed.write(archive.enrol(anchor.JOB, key, f"person:{wiring.account()}").dump())
                handed.flush()
                os.fsync(handed.fileno())
        except OSError as error:
            raise UsageError(
                "SA7817", N_("{path} cannot be made: {reason}"), path=file, reason=error.strerror or str(error)
            ) from error
        failed.pop_all()
    told = N_("From now on every fact has a MAC. Give {path} to who verifies the log, and keep no copy here.")
    show.console.print(show.visible(render(told, {"path": file})), markup=False, soft_wrap=True)


def _ask(app: App, mails: Sequence[Path]) -> None:
    with app.archive(read_only=True) as archive:
        own = {each.public_key for each in keyfolder.entries(app.key_folder)}
        own |= {fact.public_key for fact in archive.job(wiring.KEYS).facts if isinstance(fact, KeyChanged)}
        saved = [each for path in mails for each in mailed.saved(path, own, sm2.verify)]
        asked: list[anchor.Keeper] = [*app.witnesses(), *saved]
        found = proving.prove(archive, app.config.log_name, asked, app.witness_keys, sm2.verify)
        amber = app.unanchored(archive)
    for error in found.unasked:
        show.talk.print(show.visible(str(error)), markup=False, soft_wrap=True)
    for error in found.contradictions:
        show.console.print(show.visible(str(error)), markup=False, soft_wrap=True)
    if found.word is Word.CONTRADICTED:
        raise AgentError(
            "SA7810",
            N_("contradicted: {count} witness(es) have seen another history of this log"),
            hint=N_("stop using this archive, keep a copy, and find out who changed it"),
            count=len({str(error.values["name"]) for error in found.contradictions}),
        )
    if found.size:
        seen = {"size": found.size, "name": found.witness, "at": f"{found.at:%Y-%m-%d %H:%M:%S}Z" if found.at else "-"}
        told = render(N_("proven: the first {size} entries are as the witness {name} saw them ({at})"), seen)
        show.console.print(show.visible(told), markup=False, soft_wrap=True)
    if found.word is Word.NOT_PROVEN:
        told = render(N_("not proven: the last {tail} entries, which no witness has seen yet"), {"tail": found.tail})
        show.console.print(told, markup=False, soft_wrap=True)
    if amber:
        show.console.print(amber, style="yellow", markup=False, soft_wrap=True)


def code(
    context: typer.Context,
    check: Annotated[
        str | None, typer.Option("--check", metavar="CODE", help=render(N_("A code that was printed before.")))
    ] = None,
) -> None:
    app: App = context.obj.app()
    if check is not None:
        _check(app, check)
        return
    printed = next((each.name for each in app.config.witnesses if each.kind == "printed"), None)
    if printed is None:
        with app.archive(read_only=True) as archive:
            head = archive.head()
            made = note.Checkpoint(origin=app.config.log_name, size=head.size, root=head.root, at=wiring.now())
    else:
        with app.archive() as archive:
            anchoring = app.anchoring(archive)
            assert anchoring is not None, "there is a witness"  # noqa: S101 - for the type
            made = anchoring.printed(printed)
    show.console.print(proving.code(made), markup=False, soft_wrap=True)


def _check(app: App, text: str) -> None:
    try:
        size, root = proving.read_code(text)
    except ValueError as error:
        raise UsageError(
            "SA7812",
            N_("`{seen}` is not a code of `log code`: {reason}"),
            hint=N_("copy all of it, with the number that it begins with"),
            seen=text[:200],
            reason=render(str(error)),
        ) from None
    with app.archive(read_only=True) as archive:
        head = archive.head()
        same = size <= head.size and archive.head(size).root == root
    if not same:
        raise AgentError(
            "SA7811",
            N_("contradicted: this log of {entries} entries is not the one that had {size} when the code was printed"),
            hint=N_("stop using this archive, keep a copy, and find out who changed it"),
            entries=head.size,
            size=size,
        )
    told = render(N_("proven: the first {size} entries are as when the code was printed"), {"size": size})
    show.console.print(told, markup=False, soft_wrap=True)
    if head.size > size:
        told = render(N_("not proven: the last {tail} entries, which came after the code"), {"tail": head.size - size})
        show.console.print(told, markup=False, soft_wrap=True)


def witness(  # noqa: PLR0913, PLR0917 - as the command line has them
    folder: Annotated[
        Path, typer.Argument(help=render(N_("Where its key and its heads are; made if it is not there.")))
    ],
    name: Annotated[str, typer.Option(help=render(N_("Its name, as the agents' configs say it.")))],
    passphrase_file: Annotated[
        Path, typer.Option(help=render(N_("A file with the passphrase of its key, on its first line.")))
    ],
    log: Annotated[
        list[str],
        typer.Option(metavar="ORIGIN=KEY", help=render(N_("A log and a public key that signs it; may be repeated."))),
    ],
    host: Annotated[str, typer.Option(help=render(N_("The address to listen at.")))] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help=render(N_("0 takes a free one.")))] = 8095,
    certificate: Annotated[
        Path | None, typer.Option(help=render(N_("PEM of its certificate; needed beyond this machine.")))
    ] = None,
    certificate_key: Annotated[Path | None, typer.Option(help=render(N_("PEM of the certificate's key.")))] = None,
) -> None:
    logs: dict[str, list[str]] = {}
    for each in log:
        origin, _, key = each.rpartition("=")
        logs.setdefault(origin, []).append(_public_key(key, each))
    passphrase = SecretStr(_first_line(passphrase_file))
    keys = folder / "keys"
    if not keyfolder.entries(keys):
        keyfolder.create(keys, passphrase, wiring.now())
    signer = sm2_file.Sm2FileSigner(sm2_file.Config(kind="file", folder=keys), passphrase, wiring.now)
    it = Witness(folder / "heads.db", name, signer, lambda origin: logs.get(origin, []), sm2.verify, wiring.now)
    tls = (certificate, certificate_key) if certificate is not None and certificate_key is not None else None
    try:
        server = serving.Serving(Starlette(routes=witness_web.routes(lambda: it)), port, tls, host)
    except OSError as error:
        raise AgentError(
            "SA7813",
            N_("the witness cannot listen at {host}, port {port}: {reason}"),
            hint=N_("end the other program, or give another port"),
            host=host,
            port=port,
            reason=error.strerror or str(error),
        ) from error
    scheme = "http" if tls is None else "https"
    show.console.print(f"{scheme}://{host}:{server.port}", markup=False, soft_wrap=True)
    show.console.print(f'{name}: "{signer.public_key}"', markup=False, soft_wrap=True)
    show.until_interrupted()
    server.stop()


def _public_key(key: str, seen: str) -> str:
    try:
        return sm2.parse_public(key.lower())
    except ValueError:
        raise UsageError(
            "SA7814",
            N_("`{seen}` is no log with its key"),
            hint=N_("write ORIGIN=KEY, the key as `key export-public --form hex` prints it"),
            seen=seen[:200],
        ) from None


def _first_line(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig").partition("\n")[0].strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            "SA7815", N_("the passphrase in {path} cannot be read: {reason}"), path=path, reason=str(error)
        ) from error
