"""`key new | list | show | export-public | rotate | revoke | import`: the keys that sign, and what becomes of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from pydantic import SecretStr
from rich.table import Table

from scraper_agent import app as wiring
from scraper_agent.app import App
from scraper_agent.cli import show
from scraper_agent.cli.commands import example
from scraper_agent.credentials import SecretPlace
from scraper_agent.errors import NeedsPerson, UsageError
from scraper_agent.messages import N_, render
from scraper_agent.signing import keyfile, keyfolder, keystate, rotation
from scraper_agent.signing.keystate import KeyEntry, KeyState
from scraper_agent.values import KeyChanged

commands = typer.Typer(rich_markup_mode=None, no_args_is_help=True, help=render(N_("SM2 keys in encrypted files.")))

_COLOURS = {KeyState.PLANNED: "cyan", KeyState.ACTIVE: "green", KeyState.RETIRED: "default", KeyState.REVOKED: "red"}
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d)?(?:Z|[+-]\d\d:\d\d)?)?", re.ASCII)

_Index = Annotated[str, typer.Argument(metavar="SK", help=render(N_("The key's index, 01 to 99.")))]
_Planned = Annotated[bool, typer.Option("--planned", help=render(N_("Signs only once `key rotate --to` names it.")))]
_From = Annotated[
    str | None,
    typer.Option(
        "--from", metavar="DATE", help=render(N_("Signs from then on: YYYY-MM-DD or YYYY-MM-DDTHH:MM, local time."))
    ),
]


class Form(StrEnum):
    PEM = "pem"
    HEX = "hex"


@commands.command(
    "new",
    help=render(N_("Make an SM2 key; prints its index, fingerprint and public key.")),
    epilog=example("key new", "key new --planned"),
)
def new(context: typer.Context, planned: _Planned = False, from_: _From = None) -> None:
    app: App = context.obj.app()
    start = _start(planned, from_)
    passphrase = _new_passphrase(app)
    with _journal(app) as journal:
        _print_key(keyfolder.create(app.key_folder, passphrase, wiring.now(), journal, start=start))
    _tell_current(app)


@commands.command(
    "list", help=render(N_("List the keys, their states and dates; nothing secret.")), epilog=example("key list")
)
def list_(context: typer.Context) -> None:
    app: App = context.obj.app()
    now = wiring.now()
    entries = keyfolder.entries(app.key_folder)
    table = Table()
    for head in (N_("index"), N_("state"), N_("signs from"), N_("signs until"), N_("made")):
        table.add_column(render(head), no_wrap=True)
    table.add_column(render(N_("fingerprint (SM3)")), overflow="fold")
    for entry in entries:
        state = entry.state(now)
        table.add_row(
            entry.sk,
            f"[{_COLOURS[state]}]{_state_name(state)}[/]",
            _day(entry.not_before),
            _day(entry.revoked or entry.not_after),
            _day(entry.created),
            entry.fingerprint,
        )
    show.console.print(table)
    _tell_interrupted(app, entries)


@commands.command(
    "show", help=render(N_("Show all there is of one key; nothing secret.")), epilog=example("key show 01")
)
def show_(context: typer.Context, sk: _Index) -> None:
    app: App = context.obj.app()
    entry = keyfolder.find(app.key_folder, sk)
    told = [
        (N_("index"), entry.sk),
        (N_("state"), _state_name(entry.state(wiring.now()))),
        (N_("made"), keystate.shown(entry.created)),
        (N_("signs from"), _when(entry.not_before)),
        (N_("signs until"), _when(entry.not_after)),
        (N_("revoked"), _when(entry.revoked)),
        (N_("reason"), entry.reason),
        (N_("file"), str(app.key_folder / entry.file)),
        (N_("fingerprint (SM3)"), entry.fingerprint),
        (N_("public key"), entry.public_key),
    ]
    show.lines([f"{render(name)}: {value}" for name, value in told if value])
    for path, said in _rotations(app.key_folder, sk):
        values = {"old": said.old.sk, "new": said.new.sk, "when": keystate.shown(said.not_before), "path": path}
        show.lines([render(N_("{old} gives way to {new} on {when}, signed by both: {path}"), values)])


@commands.command(
    "export-public",
    help=render(N_("Write the public key, for the receiving side: PEM that openssl reads, or 128 hex digits.")),
    epilog=example("key export-public 01", "key export-public 01 --form hex"),
)
def export_public(
    context: typer.Context,
    sk: _Index,
    out: Annotated[Path | None, typer.Option(help=render(N_("The file to write; default: stdout.")))] = None,
    form: Annotated[Form, typer.Option(help=render(N_("PEM, or the 128 hex digits X‖Y.")))] = Form.PEM,
) -> None:
    app: App = context.obj.app()
    public_key = keyfolder.find(app.key_folder, sk).public_key
    text = keyfile.public_pem(public_key) if form is Form.PEM else f"{public_key}\n"
    if out is None:
        typer.echo(text, nl=False)
        return
    try:
        with out.open("x", encoding="ascii", newline="\n") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError(
            "SA7101", N_("{path} exists and is not overwritten"), hint=N_("choose another name"), path=out
        ) from None
    except OSError as error:
        raise UsageError(
            "SA7107",
            N_("{path} cannot be written: {reason}"),
            hint=N_("choose another folder"),
            path=out,
            reason=error.strerror,
        ) from error
    show.lines([str(out)])


@commands.command(
    "rotate",
    help=render(N_("Let the key that signs give way to a new one; both sign a statement of it.")),
    epilog=example("key rotate", "key rotate --from 2099-01-01", "key rotate --to 02"),
)
def rotate(
    context: typer.Context,
    from_: _From = None,
    to: Annotated[
        str | None, typer.Option("--to", metavar="SK", help=render(N_("A planned key, in place of a new one.")))
    ] = None,
) -> None:
    app: App = context.obj.app()
    at = None if from_ is None else _moment(from_)
    passphrase = SecretStr(app.secret(app.config.passphrase, "passphrase"))
    switch = keyfolder.Switch(ak=app.config.receiver.ak, old=app.config.signing.key, new=to, at=at)
    with _journal(app) as journal:
        old, new, path = keyfolder.rotate(app.key_folder, passphrase, wiring.now(), switch, journal)
    for entry in (old, new):
        _print_key(entry)
    show.lines([str(path)])
    if app.config.signing.key is not None:
        told = N_("The config names key {sk} under `signing: key:`; take the line out, or name {new} there in time.")
        show.talk.print(render(told, {"sk": old.sk, "new": new.sk}), markup=False, soft_wrap=True)


@commands.command(
    "revoke",
    help=render(N_("Let a key sign no more, because it is not to be trusted; cannot be undone.")),
    epilog=example('key revoke 01 --reason "the notebook was stolen"'),
)
def revoke(
    context: typer.Context,
    sk: _Index,
    reason: Annotated[str, typer.Option(help=render(N_("Why; goes into the log.")))],
) -> None:
    app: App = context.obj.app()
    if not reason.strip():
        raise UsageError("SA7152", N_("a key is not revoked without a reason"))
    with _journal(app) as journal:
        _print_key(keyfolder.revoke(app.key_folder, sk, reason, wiring.now(), journal))
    _tell_current(app)


@commands.command(
    "import",
    help=render(N_("Take in a key of openssl or GmSSL, an encrypted PKCS#8 file; it is encrypted anew as ours are.")),
    epilog=example("key import sm2.pem", "key import sm2.pem --sk 07"),
)
def import_(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help=render(N_("The key file; it stays as it is.")))],
    sk: Annotated[
        str | None, typer.Option("--sk", help=render(N_("Its index, if the receiving side knows it under one.")))
    ] = None,
    planned: _Planned = False,
    from_: _From = None,
) -> None:
    app: App = context.obj.app()
    start = _start(planned, from_)
    if sk is not None and not re.fullmatch(keystate.INDEX, sk):
        raise UsageError("SA7153", N_("`{seen}` is no key index; expected 01 to 99"), seen=sk)
    theirs = app.secret(SecretPlace(), render(N_("passphrase of {file}"), {"file": file}))
    key = keyfile.read_foreign(file, SecretStr(theirs))
    passphrase = _new_passphrase(app)
    with _journal(app) as journal:
        _print_key(keyfolder.adopt(app.key_folder, key, passphrase, wiring.now(), journal, sk=sk, start=start))
    _tell_current(app)


# --- what they share ------------------------------------------------------------------------------------------------


@contextmanager
def _journal(app: App) -> Iterator[keyfolder.Journal]:
    with app.archive() as archive:
        yield app.journal(archive)


def _new_passphrase(app: App) -> SecretStr:
    place = app.config.passphrase
    passphrase = app.secret(place, "passphrase")
    if place.asked and app.secret(place, render(N_("passphrase again"))) != passphrase:
        raise NeedsPerson("SA7106", N_("the two passphrases differ"), hint=N_("try again"))
    return SecretStr(passphrase)


def _start(planned: bool, from_: str | None) -> keyfolder.Start:
    if from_ is not None:
        return _moment(from_)
    return "planned" if planned else "now"


def _moment(text: str) -> datetime:
    """A day is its first second, here."""
    try:
        if not _MOMENT.fullmatch(text):
            raise ValueError
        when = datetime.fromisoformat(text)
        when = when.astimezone() if when.tzinfo is None else when
    except (ValueError, OverflowError):
        raise UsageError(
            "SA7150", N_("`{seen}` is no date; expected YYYY-MM-DD or YYYY-MM-DDTHH:MM"), seen=text
        ) from None
    if when <= wiring.now():
        raise UsageError(
            "SA7151",
            N_("{when} is past: no key signs from then on"),
            hint=N_("leave `--from` out if it is to be at once"),
            when=keystate.shown(when),
        )
    return when


def _print_key(entry: KeyEntry) -> None:
    state = entry.state(wiring.now())
    show.lines([f"{entry.sk} {state} {entry.created:%Y-%m-%d} SM3 {entry.fingerprint}", f"   {entry.public_key}"])


def _tell_current(app: App) -> None:
    """Which key signs now, or why none does."""
    try:
        signs = keyfolder.chosen(app.key_folder, app.config.signing.key, wiring.now())
    except UsageError as error:
        show.talk.print(show.visible(str(error)), markup=False, soft_wrap=True)
        return
    show.talk.print(render(N_("Key {sk} signs now."), {"sk": signs.sk}), markup=False)


def _tell_interrupted(app: App, entries: tuple[KeyEntry, ...]) -> None:
    """A change is logged before it takes effect: one that was killed between is to be repeated."""
    if not (app.home / app.config.archive).is_file():
        return
    with app.archive(read_only=True) as archive:
        last = {f.sk: f.action for f in archive.job(wiring.KEYS).facts if isinstance(f, KeyChanged)}
    for entry in entries:
        ended = entry.status in ("retired", "revoked") or entry.not_after is not None
        if last.get(entry.sk) in ("retired", "revoked") and not ended:
            text = N_("The log says that key {sk} is at its end, the list does not: a command was cut off, repeat it.")
            show.talk.print(render(text, {"sk": entry.sk}), markup=False, soft_wrap=True)


def _state_name(of: KeyState) -> str:
    names = {
        KeyState.PLANNED: N_("planned"),
        KeyState.ACTIVE: N_("active"),
        KeyState.RETIRED: N_("retired"),
        KeyState.REVOKED: N_("revoked"),
    }
    return render(names[of])


def _rotations(folder: Path, sk: str) -> Iterator[tuple[Path, rotation.Rotation]]:
    """The statements that name `sk` and hold; one of a command that was killed never did."""
    for entry in keyfolder.entries(folder):
        for new, path in (
            (entry, keyfolder.statement_of(folder, sk, entry.sk)),
            (keyfolder.find(folder, sk), keyfolder.statement_of(folder, entry.sk, sk)),
        ):
            if path.exists() and (said := rotation.read(path)).not_before == new.not_before:
                yield path, said


def _when(of: datetime | None) -> str:
    return "" if of is None else keystate.shown(of)


def _day(of: datetime | None) -> str:
    """To the minute, in the time of this machine."""
    return "" if of is None else f"{of.astimezone():%Y-%m-%d %H:%M}"
