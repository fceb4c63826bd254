"""`waybill send | list | status | qr | verify-qr`: dangerous goods on the road, as the enterprise sees them."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from scraper_agent import app as wiring
from scraper_agent.analysis import waybills as analysis
from scraper_agent.app import App
from scraper_agent.cases import Paper
from scraper_agent.cli import outbox, show
from scraper_agent.cli.commands import FEWEST_DIGITS, WithoutAnchor, example, the_one
from scraper_agent.console import words
from scraper_agent.errors import AgentError, BusinessError, NeedsPerson, UsageError
from scraper_agent.format import Document, encode
from scraper_agent.formats import FORMATS
from scraper_agent.importing import reading
from scraper_agent.mapping import local
from scraper_agent.messages import N_, render
from scraper_agent.pipeline import Pipeline
from scraper_agent.rules import text
from scraper_agent.signing import sm2
from scraper_agent.values import Job, JobId, State
from scraper_agent.waybill import answer, image, qr, status
from scraper_agent.waybill.profile import DEFAULT, FORMAT

STATUS = FORMATS["waybillStatus"]
BOTH = frozenset((FORMAT.name, STATUS.name))
_GONE = (State.BLOCKED, State.DECLINED, State.REJECTED, State.STOPPED)
_MOST_BYTES = 1 << 20
_PATIENCE_S = 20

commands = typer.Typer(
    rich_markup_mode=None,
    no_args_is_help=True,
    help=render(N_("Waybills of dangerous goods: send them, tell how they stand, show their QR codes.")),
)

_Name = Annotated[str, typer.Argument(help=render(N_("The waybill's number, or the first digits of its job.")))]


@commands.command(
    help=render(N_("Take waybills and changes of their status as far as they go: sign, send, ask for receipts.")),
    epilog=example("waybill send", "waybill send --wait 60"),
)
def send(context: typer.Context, wait: outbox.Wait = None) -> None:
    deliver(context.obj.app(), wait)


def deliver(app: App, wait: int | None = None) -> None:
    """Waybills and changes of their status, as far as they go; tells what came of it."""
    outbox.advance(app, wait, BOTH, _doubtful)


def _doubtful(pipeline: Pipeline, taken: list[Job]) -> list[AgentError]:
    """The QR codes that came and prove nothing."""
    found: list[AgentError] = []
    for job in taken:
        if job.id.split("/")[1] == FORMAT.name:
            try:
                pipeline.code(job)
            except AgentError as error:
                found.append(error)
    return found


# --- how they stand -------------------------------------------------------------------------------------------------


@commands.command(
    "list",
    help=render(N_("List the waybills: vehicle, departure, where each stands, and whether its QR code is there.")),
    epilog=example("waybill list", "waybill list --json"),
)
def list_(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help=render(N_("As JSON.")))] = False,
) -> None:
    app: App = context.obj.app()
    with app.archive(read_only=True) as archive:
        pipeline = app.pipeline(archive, lambda _job, _fact: None)
        listed = [_row(pipeline, paper) for paper in pipeline.analysis().waybills.papers()]
    if as_json:
        show.as_json(listed)
        return
    table = Table()
    heads = (N_("job"), N_("number"), N_("vehicle"), N_("departure"), N_("state"), N_("transport"), N_("QR code"))
    for head in heads:
        table.add_column(render(head), overflow="fold")
    late = render(N_("late"))
    for row in listed:
        departure = show.plain(row["departure"]) + (f" [yellow]{late}[/]" if row["late"] else "")
        table.add_row(
            show.short(row["job"]),
            show.plain(row["number"]),
            "\n".join(show.plain(plate) for plate in (row["plate"], row["trailer"]) if plate),
            departure,
            words.state_name(State(row["state"])),
            _status_name(row["transport"]),
            render(_CODES[row["qr"]]),
        )
    show.console.print(table)


_CODES = {"there": N_("there"), "none": N_("none"), "doubtful": N_("doubtful")}


def _row(pipeline: Pipeline, paper: Paper) -> dict[str, Any]:
    header, found = paper.document.header, pipeline.analysis()
    number, departure = text(header, "i1") or "", header.get("i41")
    changes = found.waybills.changes(number)
    uploaded = pipeline.accepted_at(paper.id) or local(pipeline.now())
    on_time = not isinstance(departure, date) or not analysis.late(departure, found.waybills.began(number), uploaded)
    return {
        "job": paper.id,
        "number": number or paper.key,
        "plate": text(header, "i46") or "",
        "trailer": text(header, "i47") or "",
        "departure": str(departure or ""),
        "late": not on_time,
        "state": found.book.states[paper.id].value,
        "transport": changes[-1][1] if changes else status.first(),
        "qr": _code_there(pipeline, paper.id),
    }


def _code_there(pipeline: Pipeline, id: JobId) -> str:
    """Signatures are not looked at anew: that takes its time, and `waybill qr` does it."""
    try:
        return "none" if pipeline.code(pipeline.archive.job(id), anew=False) is None else "there"
    except AgentError:
        return "doubtful"


def _status_name(name: str) -> str:
    known = DEFAULT.statuses.get(name)
    return show.plain(name) if known is None else f"{name} {known.zh}"


# --- what becomes of one --------------------------------------------------------------------------------------------


@commands.command(
    "status",
    help=render(N_("Tell that a transport has begun, is done, or that the waybill is void; it leaves as a document.")),
    epilog=example("waybill status 3f2a9c running", "waybill status 3f2a9c done --at 2026-07-02T16:30"),
)
def status_(
    context: typer.Context,
    name: _Name,
    wanted: Annotated[str, typer.Argument(metavar="STATUS", help=render(N_("running, done or void.")))],
    at: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M"],
            help=render(N_("When it happened, by the clock of China; default: now.")),
        ),
    ] = None,
    without_anchor: WithoutAnchor = "",
) -> None:
    change(context.obj.app(), name, wanted, at, without_anchor=without_anchor)
    show.talk.print(render(N_("It leaves with the next `waybill send`.")), markup=False)


def change(app: App, name: str, wanted: str, at: datetime | None = None, *, without_anchor: str = "") -> None:
    """Log that the waybill called `name` has become `wanted`, and tell it."""
    with app.archive() as archive:
        pipeline = app.pipeline(archive, lambda _job, _fact: None)
        paper = _find(pipeline, name)
        number = text(paper.document.header, "i1") or ""
        made = _change(pipeline, paper, number, wanted, at or local(wiring.now()))
        filled = _filled(app, made)
        _, harvest = app.take_in(archive, filled, lambda _job, _fact: None, without_anchor=without_anchor)
        (id,) = harvest.documents
        found = list(app.pipeline(archive, lambda _job, _fact: None).analysis().findings(id))
    show.console.print(f"{show.short(id)}  {show.plain(number)}  {_status_name(wanted)}", soft_wrap=True)
    for finding in found:
        show.console.print(show.finding(finding), soft_wrap=True)


def _change(pipeline: Pipeline, paper: Paper, number: str, wanted: str, at: datetime) -> Document:
    """The change as a document.

    Raises:
        BusinessError: the waybill came to nothing, cannot become this, or not at this time.
    """
    stands = pipeline.analysis().book.states[paper.id]
    if stands in _GONE:
        raise BusinessError(
            "SA7170",
            N_("the waybill {number} is {state}: no transport goes with it"),
            number=number or paper.key,
            state=words.state_name(stands),
        )
    changes = pipeline.analysis().waybills.changes(number)
    status.follow(changes[-1][1] if changes else status.first(), wanted)
    if at > local(wiring.now()):
        raise BusinessError(
            "SA7171", N_("{at} is still to come: a change of status is told when it has happened"), at=at
        )
    if changes and at < changes[-1][0]:
        raise BusinessError(
            "SA7172",
            N_("{at} is before {before}, when the waybill became {status}"),
            at=at,
            before=changes[-1][0],
            status=_status_name(changes[-1][1]),
        )
    return Document(format=STATUS.name, header={"i1": number, "status": wanted, "at": at})


def _filled(app: App, change: Document) -> wiring.Filled:
    """As if it had been read from a file: whoever told it is the person who starts this run."""
    body = encode(change, STATUS)
    return wiring.Filled(
        name=f"{change.header['i1']}-{change.header['status']}.json",
        media="json",
        body=body,
        contents=reading.read([body.decode()], app.tables.formats),
    )


def _find(pipeline: Pipeline, name: str) -> Paper:
    """A waybill by its number, or by the first digits of its job.

    Raises:
        UsageError: none or several are called so.
    """
    papers = {paper.id: paper for paper in pipeline.analysis().waybills.papers()}
    found = [id for id, paper in papers.items() if name in (id, paper.key)]
    if not found and len(name) >= FEWEST_DIGITS:
        found = [id for id in papers if id.rpartition("/")[2].startswith(name)]
    return papers[the_one(found, name)]


# --- QR codes -------------------------------------------------------------------------------------------------------


@commands.command(
    "qr",
    help=render(N_("Show the QR code that the province gave a waybill, after its signature was verified.")),
    epilog=example("waybill qr 3f2a9c", "waybill qr 3f2a9c --image code.png"),
)
def qr_(
    context: typer.Context,
    name: _Name,
    to: Annotated[
        Path | None,
        typer.Option("--image", help=render(N_("Write it as PNG into this file; none is replaced."))),
    ] = None,
) -> None:
    picture = show_code(context.obj.app(), name)
    if to is not None:
        _write(to, picture)
        show.console.print(str(to), markup=False, soft_wrap=True)


def show_code(app: App, name: str) -> bytes:
    """Show the QR code of the waybill called `name`; its image as PNG.

    Raises:
        BusinessError: it has none, or none that is genuine.
    """
    with app.archive(read_only=True) as archive:
        pipeline = app.pipeline(archive, lambda _job, _fact: None)
        paper = _find(pipeline, name)
        code = pipeline.code(archive.job(paper.id))
        stands = pipeline.analysis().book.states[paper.id]
    if code is None:
        raise BusinessError(
            "SA7173",
            N_("the waybill {number} has no QR code: it is {state}"),
            hint=N_("the province gives one when it accepts a waybill: `scraper-agent waybill send`"),
            number=paper.key,
            state=words.state_name(stands),
        )
    picture = _picture(code)
    show.console.print(_items(code.content))
    _draw(image.rows(code.data))
    show.console.print(_genuine(code.content), markup=False, soft_wrap=True)
    return picture


def _picture(code: answer.Code) -> bytes:
    """The province's image if it shows what its text says; one made of the text where that cannot be looked at.

    Raises:
        BusinessError: it shows something else.
    """
    if code.image is None:
        return image.png(code.data)
    if shutil.which(_READER) is None:
        told = N_("An image made of the text is taken: to compare the province's own with it takes `zbarimg`.")
        show.talk.print(render(told), markup=False, soft_wrap=True)
        return image.png(code.data)
    if _scanned(code.image) != code.data:
        raise BusinessError(
            "SA7174",
            N_("the province's image does not show the QR code that its text is"),
            hint=N_("do not use it on the road; report it to the province"),
        )
    return code.image


def _write(path: Path, data: bytes) -> None:
    try:
        with path.open("xb") as file:
            file.write(data)
    except OSError as error:
        raise UsageError(
            "SA7161",
            N_("{path} cannot be written: {reason}"),
            hint=N_("name a file that is not there"),
            path=path,
            reason=error.strerror,
        ) from error


def _draw(rows: list[str]) -> None:
    if show.console.is_terminal and show.console.width < len(rows[0]):
        told = N_("The terminal has {width} columns, and the QR code needs {needed}: widen it, or take --image.")
        values = {"width": show.console.width, "needed": len(rows[0])}
        show.talk.print(render(told, values), markup=False, soft_wrap=True)
        return
    for row in rows:
        # The colours are set where there are any: a phone does not read a code whose dark is the terminal's light.
        show.console.print(Text(row, style="#ffffff on #000000"), soft_wrap=True)


@commands.command(
    "verify-qr",
    help=render(N_("Say what a QR code holds, certificate numbers masked, and whether a province signed it.")),
    epilog=example("waybill verify-qr code.png"),
)
def verify_qr(
    context: typer.Context,
    given: Annotated[
        str,
        typer.Argument(
            metavar="TEXT-or-IMAGE",
            help=render(N_("Its text; or a file with its text or its bytes, or a PNG, which takes `zbarimg`.")),
        ),
    ],
    key: Annotated[
        list[str] | None,
        typer.Option(
            metavar="INDEX=HEX",
            help=render(N_("A province's public key, 128 hex digits, by its index; default: those of the config.")),
        ),
    ] = None,
) -> None:
    keys = dict(map(_key, key)) if key else _configured(context)
    content, standing = _seen(_contents(given), keys)
    show.console.print(_items(content))
    match standing:
        case qr.Standing.GENUINE:
            show.console.print(_genuine(content), markup=False, soft_wrap=True)
        case qr.Standing.FORGED:
            raise BusinessError(
                "SA7175",
                N_("the signature does not hold under key {index}: the QR code was changed, or another key signed it"),
                index=content.key_index,
            )
        case qr.Standing.UNKNOWN_KEY:
            raise NeedsPerson(
                "SA7176",
                N_("nothing is proved: no key {index} of a province is known"),
                hint=N_("ask the province for its public key, and give it by --key {index}=HEX"),
                index=content.key_index,
            )


def _seen(contents: list[bytes | str], keys: Mapping[str, str]) -> tuple[qr.Content, qr.Standing]:
    """Of what the code may be, the first that is genuine; else the first, and why it is none."""
    refused: AgentError | None = None
    seen: list[tuple[qr.Content, qr.Standing]] = []
    for each in contents:
        try:
            content = qr.parse(each)
        except qr.QrInvalid as error:
            refused = refused or error
            continue
        seen.append((content, qr.standing(content, keys, sm2.verify)))
    genuine = [each for each in seen if each[1] is qr.Standing.GENUINE]
    if not seen:
        assert refused is not None  # noqa: S101 - there is always something to read
        raise refused
    return (genuine or seen)[0]


def _contents(given: str) -> list[bytes | str]:
    """What the argument may be as the content of a code: a file's text may have been saved in UTF-8."""
    try:
        if not Path(given).is_file():
            return [given]
        with Path(given).open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except (OSError, ValueError):  # too long for a name, or with a character that no name has
        return [given]
    if data.startswith(answer.PNG):
        return [_scanned(data)]
    data = data.rstrip(b"\r\n")
    try:
        return [data, data.decode()]
    except UnicodeDecodeError:
        return [data]


_READER = "zbarimg"


def _scanned(png: bytes) -> bytes:
    """The bytes of the one QR code on an image; read in a process of its own, since the image may be anybody's.

    Raises:
        AgentError: there is no reader on this machine, or it sees no code, or several.
    """
    if shutil.which(_READER) is None:
        raise AgentError(
            "SA7177",
            N_("reading an image takes `zbarimg`, which is not installed"),
            hint=N_("install zbar (Debian: zbar-tools), or give the text of the code"),
        )
    # `--raw` ends each code with nothing under `-Sbinary`: two codes would be read as one, so only one may be there.
    command = [_READER, "--quiet", "--nodbus", "--raw", "-Sdisable", "-Sqrcode.enable", "-Sbinary", "-"]
    try:
        done = subprocess.run(command, input=png, capture_output=True, timeout=_PATIENCE_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        done = None
    if done is None or done.returncode or not done.stdout:
        raise BusinessError(
            "SA7178",
            N_("no QR code is seen on the image"),
            hint=N_("take it again, sharper and straight; or give the text of the code"),
        )
    return done.stdout


def _key(given: str) -> tuple[str, str]:
    index, sign, key = given.partition("=")
    try:
        key = sm2.parse_public(key)
    except ValueError:
        sign = ""
    if not sign or len(index) != 2 or not index.isdecimal():  # noqa: PLR2004 - of an index
        raise UsageError(
            "SA7179", N_("`{seen}` is not INDEX=HEX: two digits, and 128 hex digits of a point of SM2"), seen=given[:40]
        )
    return index, key


def _configured(context: typer.Context) -> Mapping[str, str]:
    """The keys of whoever takes the waybills."""
    return context.obj.app().config.receiver_of(FORMAT.name).public_keys if context.obj.config.exists() else {}


def _genuine(content: qr.Content) -> str:
    return render(N_("genuine: signed with key {index} of the province"), {"index": content.key_index})


def _items(content: qr.Content) -> Table:
    table = Table(show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in _told(qr.masked(content.summary), content.key_index):
        table.add_row(name, show.plain(value))
    return table


def _told(summary: qr.Summary, key_index: str) -> Iterator[tuple[str, str]]:
    yield qr.NAMES[1], key_index
    yield qr.NAMES[2], summary.waybill
    vehicle = summary.vehicle
    yield qr.NAMES[3], ", ".join(each for each in (vehicle.plate, vehicle.colour, vehicle.trailer) if each)
    yield qr.NAMES[4], "; ".join(f"{each.name}, {each.certificate}" for each in (summary.driver, summary.escort))
    yield qr.NAMES[5], f"{summary.weight:.3f} t"
    yield (
        qr.NAMES[6],
        "\n".join(
            " ".join(part for part in (f"UN{each.un_number}", each.packing_group, each.quantity + each.unit) if part)
            for each in summary.goods
        ),
    )
