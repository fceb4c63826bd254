"""`sandbox erp | portals | platform | waybill | crossborder`: the servers to try against, alone, on loopback."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from datetime import date
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer
import yaml

from scraper_agent import app as wiring
from scraper_agent.app import App
from scraper_agent.cli import show
from scraper_agent.cli.commands import example
from scraper_agent.errors import AgentError, UsageError
from scraper_agent.formats import FORMATS
from scraper_agent.mapping import CHINA_TIME
from scraper_agent.messages import N_, render
from scraper_agent.sandbox import country, import_client
from scraper_agent.sandbox import crossborder as exchange
from scraper_agent.sandbox.erp import Erp
from scraper_agent.sandbox.platform import Platform, Sender
from scraper_agent.sandbox.portals import Case, Portals
from scraper_agent.sandbox.sealed import Peer
from scraper_agent.sending import folder, https
from scraper_agent.signing import keyfolder
from scraper_agent.waybill.profile import DEFAULT

commands = typer.Typer(
    rich_markup_mode=None,
    no_args_is_help=True,
    help=render(N_("An ERP and a customs platform to try everything against.")),
)

DATABASE = "platform.db"
AUTHORITIES = "waybill-sandbox"
"""The folder of the ministry and the provinces."""


@commands.command(
    help=render(
        N_("Serve the demo ERP on loopback until Ctrl-C; its password is `sandbox` unless a file says another.")
    ),
    epilog=example("sandbox erp --port 8080"),
)
def erp(
    port: Annotated[int, typer.Option(min=0, max=65535, help=render(N_("0 takes a free one.")))] = 8080,
    password_file: Annotated[Path | None, typer.Option(help=render(N_("A file that holds the password.")))] = None,
) -> None:
    password = _password(password_file) if password_file is not None else "sandbox"
    with _taking(port), Erp(password, port=port, today=today()) as server:
        show.console.print(server.url, markup=False)
        show.until_interrupted()


@commands.command(
    help=render(
        N_(
            "Serve two portals that share a browser's logins, Shanghai's and the national one, on loopback until "
            "Ctrl-C; accounts sh-query and gov-import, password as of the ERP."
        )
    ),
    epilog=example("sandbox portals --case national"),
)
def portals(
    port: Annotated[int, typer.Option(min=0, max=65535, help=render(N_("Shanghai's; 0 takes a free one.")))] = 8081,
    national_port: Annotated[
        int, typer.Option(min=0, max=65535, help=render(N_("The national one's; 0 takes a free one.")))
    ] = 8082,
    case: Annotated[
        Case, typer.Option(help=render(N_("Who is logged in when a browser comes, or what goes wrong.")))
    ] = Case.NOBODY,
    password_file: Annotated[Path | None, typer.Option(help=render(N_("A file that holds the password.")))] = None,
) -> None:
    password = _password(password_file) if password_file is not None else "sandbox"
    with _taking(port), Portals(password, case=case, port=port, national_port=national_port) as server:
        for name, portal in (("base", server.url("shanghai")), ("national", server.url("national"))):
            show.console.print(f"{name}: {portal}", markup=False)
        show.until_interrupted()


def today() -> date:
    """As the dispatchers of the demo ERP see it."""
    return wiring.now().astimezone(CHINA_TIME).date()


def _password(path: Path) -> str:
    try:
        password = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            "SA7112", N_("the password in {path} cannot be read: {reason}"), path=path, reason=str(error)
        ) from error
    if not password:
        raise UsageError("SA7113", N_("{path} holds no password"), path=path)
    return password


@contextmanager
def _taking(port: int) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _cannot_listen(port, error.strerror or str(error)) from error


def _cannot_listen(port: int, reason: str) -> AgentError:
    return AgentError(
        "SA7114",
        N_("cannot listen on port {port}: {reason}"),
        hint=N_("end the other program, or give another port"),
        port=port,
        reason=reason,
    )


@commands.command(
    help=render(N_("Serve the customs platform of the config on loopback until Ctrl-C; knows the config's keys.")),
    epilog=example("sandbox platform"),
)
def platform(context: typer.Context) -> None:
    app: App = context.obj.app()
    with ExitStack() as stack:
        for format, settings in app.config.all_receivers().items():
            transport = settings.transport
            port = (urlsplit(transport.url).port or 0) if isinstance(transport, https.Config) else 0
            with _taking(port):
                server = stack.enter_context(configured_platform(app, port, format))
            stack.enter_context(emptied(app, server, format))
            show.console.print(f"{format}: {server.url}" if format else server.url, markup=False)
            for sk, public_key in server.public_keys.items():
                show.console.print(f'{sk}: "{public_key}"', markup=False, soft_wrap=True)
        show.until_interrupted()


@commands.command(
    help=render(
        N_(
            "Serve the single window and customs for waybills of cross-border e-commerce on loopback until Ctrl-C; "
            "prints what to paste into the config."
        )
    ),
    epilog=example("sandbox crossborder --port 8090"),
)
def crossborder(
    context: typer.Context,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help=render(N_("The single window's; 0 takes a free one.")))
    ] = 8090,
    customs_port: Annotated[
        int, typer.Option(min=0, max=65535, help=render(N_("That of customs; 0 takes a free one.")))
    ] = 8091,
) -> None:
    app: App = context.obj.app()
    waybills = app.tables.formats[exchange.FORMAT.name]
    ports = (port, customs_port)
    server = exchange.Crossborder(
        wiring.now, _own_keys(app, waybills.name), format=waybills, folder=app.home, ports=ports
    )
    with _taking(port), server, server.window.transmitting():
        show.lines(_to_paste(app, server).splitlines())
        show.talk.print(f"{server.window.platform.home}  {server.customs.platform.home}", markup=False)
        show.until_interrupted()


def _to_paste(app: App, server: exchange.Crossborder) -> str:
    """The sections of the config by which the agent sends to the single window and verifies both."""
    window, customs = server.window.platform, server.customs.platform
    receiver = {
        "ak": app.config.receiver_of(exchange.FORMAT.name).ak,
        "transport": {"kind": "https", "url": window.url},
        "public_keys": window.public_keys,
    }
    exchanged = {"sender_code": "LOGISTICS01", "recipient_code": "SINGLEWINDOW", "customs_keys": customs.public_keys}
    sections = {"receivers": {exchange.FORMAT.name: receiver}, "crossborder": exchanged}
    return yaml.safe_dump(sections, sort_keys=False, width=1000)


@commands.command(
    help=render(
        N_(
            "Serve the ministry and three provinces for waybills of dangerous goods, each a process of its own, on "
            "loopback until Ctrl-C; they know the config's keys."
        )
    ),
    epilog=example("sandbox waybill"),
)
def waybill(
    context: typer.Context,
    folder: Annotated[
        Path | None, typer.Option(help=render(N_("Where they keep their data; without it, beside the config.")))
    ] = None,
    port: Annotated[
        int,
        typer.Option(
            min=0,
            max=65532,
            help=render(N_("The ministry's; the provinces take the three after it. 0 takes free ones.")),
        ),
    ] = 8030,
) -> None:
    app: App = context.obj.app()
    home = app.home / AUTHORITIES if folder is None else folder
    try:
        with country.running(home, port, _own_keys(app), wiring.now) as (ministry, provinces):
            _print_authorities(app.config.receiver.ak, ministry, provinces)
            show.until_interrupted()
    except country.PortTaken as error:
        raise _cannot_listen(error.port, error.reason) from error


def _print_authorities(ak: str, ministry: Peer, provinces: dict[str, Peer]) -> None:
    """Their addresses and keys; what a config says to send to the first province is YAML, the rest is its comments."""
    of = DEFAULT.interfaces.province
    first = next(iter(provinces.values()))
    for side in (ministry, *provinces.values()):
        zh, en = country.PROVINCES.get(side.ak, ("部级", "ministry"))
        lines = [f"# {side.ak} {zh} {en}: {side.url}"]
        lines += [
            f'#   {sk}: "{public_key}"  {keyfolder.fingerprint(public_key)}'
            for sk, public_key in side.public_keys.items()
        ]
        for line in lines:
            show.console.print(line, markup=False, soft_wrap=True)
    keys = ", ".join(f'"{sk}": "{public_key}"' for sk, public_key in first.public_keys.items())
    show.console.print("receivers:", markup=False)
    for interface in (of.waybill, of.status):
        for line in (
            f"  {interface.format}:",
            f'    ak: "{ak}"',
            f"    transport: {{kind: https, url: {first.url}{interface.path}}}",
            f"    public_keys: {{{keys}}}",
        ):
            show.console.print(line, markup=False, soft_wrap=True)


def configured_platform(app: App, port: int, format: str = "") -> Platform:
    """Knows the enterprise; keeps its data beside the config.

    `format`: it is the receiver of this one's documents, in place of `receiver`.
    """
    return Platform(
        wiring.now,
        _own_keys(app, format),
        FORMATS,
        database=app.home / (f"platform-{format}.db" if format else DATABASE),
        port=port,
        profile=app.config.receiver_of(format).profile,
    )


def _own_keys(app: App, format: str = "") -> dict[tuple[str, str], Sender]:
    """Of the enterprise, as the receiver of this format knows it; empty: as `receiver` does."""
    ak = app.config.receiver_of(format).ak
    return {
        (ak, k.sk): Sender(public_key=k.public_key, not_before=k.not_before, not_after=k.not_after, revoked=k.revoked)
        for k in keyfolder.entries(app.home / app.config.signing.folder)
    }


def emptied(app: App, server: Platform, format: str = "") -> AbstractContextManager[object]:
    """Hands over what is sent into a folder, if the config says so; makes what is missing of its layout.

    `format`: as of `configured_platform`.
    """
    match app.config.receiver_of(format).transport:
        case folder.Config(content="json", path=path, receipts=receipts):
            answers = app.home / (receipts or path / folder.RECEIPTS)
            for place in (app.home / path, answers):
                place.mkdir(parents=True, exist_ok=True)
            return import_client.json_reader(app.home / path, answers, server)
        case folder.Config(content="import_client", path=path):
            import_client.make_boxes(app.home / path)
            return import_client.import_client(app.home / path, server, wiring.now)
        case _:
            return nullcontext()


@contextmanager
def platform_apart(config: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """The platform of `config` in a process of its own, on a free port: its URL, and its public keys by `sk`."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=_serve, args=(config, theirs), daemon=True, name="platform")
    process.start()
    theirs.close()  # so that `recv` ends if the process does
    try:
        yield ours.recv()
    finally:
        ours.close()
        process.join()


def _serve(config: Path, pipe: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the agent, which then ends this
    with configured_platform(App.load(config), 0) as server:
        pipe.send((server.url, server.public_keys))
        with suppress(EOFError, ConnectionError):
            pipe.recv()
