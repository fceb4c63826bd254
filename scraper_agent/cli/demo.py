"""`demo`: the whole program against an embedded ERP and an embedded customs platform, in a folder of its own."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from pydantic import SecretStr

from scraper_agent import app as wiring
from scraper_agent import policy as policies
from scraper_agent.app import App
from scraper_agent.archive.sqlite import SqliteArchive
from scraper_agent.authoring.load import Loaded
from scraper_agent.cli import console as consoles
from scraper_agent.cli import report as reporting
from scraper_agent.cli import show
from scraper_agent.cli.commands import Session, example, log_to, progress
from scraper_agent.cli.commands import report as tell_stopped
from scraper_agent.cli.sandbox import platform_apart, today
from scraper_agent.errors import AgentError, UsageError
from scraper_agent.formats import FORMATS
from scraper_agent.messages import N_, render
from scraper_agent.sandbox.erp import LIMIT, USER, Erp
from scraper_agent.sandbox.platform import WITNESS
from scraper_agent.signing import keyfolder
from scraper_agent.values import State, state

commands = typer.Typer()

RECIPES = ("demo/order", "demo/invoice", "demo/receipt")
MARKER = ".scraper-agent-demo"
"""A folder with this file in it was made by an earlier demo and may be emptied."""

AK = "310001"
"""The enterprise's, at whoever receives."""

_CURRENCIES = ("CNY", "USD", "EUR", "JPY", "KRW", "GBP", "HKD", "SGD", "CHF", "MYR", "TWD")


@commands.command(
    help=render(N_("Try everything: an ERP and a customs platform on this machine, read, checked, signed, sent.")),
    epilog=example("demo", "demo --console", "demo --waybills"),
)
def demo(
    folder: Annotated[
        Path, typer.Option(help=render(N_("Where it works; emptied if an earlier demo made it.")))
    ] = Path("demo"),
    waybills: Annotated[
        bool,
        typer.Option(
            "--waybills",
            help=render(N_("The exchange of dangerous goods waybills with province and ministry instead.")),
        ),
    ] = False,
    console: Annotated[
        bool,
        typer.Option(
            "--console",
            help=render(N_("Then open the console, and keep ERP and platform up until Ctrl-C: decide, and run again.")),
        ),
    ] = False,
) -> None:
    if waybills and console:
        raise UsageError("SA7309", N_("`--console` shows the documents of the demo; it goes without `--waybills`"))
    from scraper_agent.cli import exchange  # noqa: PLC0415 - it is made of this, and needs what nothing else does

    with Erp(secrets.token_urlsafe(18), today=today()) as erp:
        recipes = (exchange.RECIPE,) if waybills else RECIPES
        trial = Trial(folder=folder, recipes=recipes, parameters={"base": erp.url, "user": USER}, password=erp.password)
        if waybills:
            exchange.perform(trial)
        else:
            trial.perform(then=_console if console else None)
        if erp.writes:
            raise AgentError("SA7303", N_("{count} write(s) reached the ERP"), count=len(erp.writes))


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """The whole program on one ERP, with the embedded customs platform, in a folder of its own."""

    folder: Path
    recipes: tuple[str, ...]
    parameters: Mapping[str, str]
    password: str
    limit: Decimal = LIMIT
    """Orders and invoices above it are held, in whatever currency."""

    def perform(self, then: Callable[[App, Path], None] | None = None) -> None:
        """Read, check, sign, send, verify, report, and tell what to do next. `then`: while all is still up.

        Raises:
            AgentError: the ERP cannot be read, or the log does not verify.
        """
        self.prepare()
        with _platform(self) as app:
            _run(app, self)
            if then is not None:
                then(app, self.folder / "config.yaml")

    def prepare(self) -> None:
        """Empty the folder; make config, policy, secrets and key.

        Raises:
            UsageError: the folder is not a demo's.
        """
        _empty(self.folder)
        _write_secret(self.folder / "erp-password", self.password)
        passphrase = secrets.token_urlsafe(18)
        _write_secret(self.folder / "passphrase", passphrase)
        self.configure()
        keyfolder.create(self.folder / "keys", SecretStr(passphrase), wiring.now())

    def configure(
        self,
        *,
        url: str = "http://127.0.0.1:9/receive",
        public_keys: Mapping[str, str] | None = None,
        receivers: Mapping[str, Any] | None = None,
    ) -> None:
        """Who receives, on which port with which key, is known once it runs."""
        amounts = ("purchaseOrder", "foreignInvoice")
        limits = {format: {"amounts": {currency: str(self.limit) for currency in _CURRENCIES}} for format in amounts}
        erp = self.recipes[0].split("/")[0]
        requests = policies.Requests()
        for name in self.recipes:  # a person looks at what `recipe permits` prints; a demo trusts its own recipes
            loaded = wiring.load_recipe(name, self.folder)
            requests = policies.together(requests, wiring.needs(loaded, [self.parameters["base"]]))
        policy = {
            "version": 1,
            **yaml.safe_load(wiring.section({erp: requests})),
            "recipes": {"approved_by": "one"},
            "automatic": {
                **limits,
                **{format: {"lines": "500"} for format in ("goodsReceipt", "dangerousGoodsWaybill", "waybillStatus")},
            },
        }
        config = {
            "enterprise": {
                "name": "上海启明精工有限公司",
                "uscc": "91350100M000100Y43",
                "customs_code": "3122230001",
                "customs_master": "2200",
            },
            "erps": {
                erp: {
                    "parameters": dict(self.parameters),
                    "secrets": {"password": {"file": "erp-password"}},
                }
            },
            "browser": {"patience_s": 60},  # a demo is also tried on machines that are busy
            "signing": {"kind": "file", "folder": "keys", "key": "01"},
            "passphrase": {"file": "passphrase"},
            "receiver": {
                "ak": AK,
                "transport": {"kind": "https", "url": url},
                "public_keys": dict(public_keys or {}),
                **_witness(url, public_keys or {}),
            },
            "receivers": dict(receivers or {}),
        }
        for name, data in (("config.yaml", config), ("policy.yaml", policy)):
            text = yaml.safe_dump(data, allow_unicode=True, sort_keys=False)
            (self.folder / name).write_text(text, encoding="utf-8")


def _witness(url: str, public_keys: Mapping[str, str]) -> dict[str, Any]:
    """The platform sees the log as well, and signs what it has seen with its newest key."""
    if not public_keys:
        return {}
    newest = public_keys[max(public_keys)]
    return {"witness": {"name": WITNESS, "public_key": newest, "url": url.removesuffix("/receive")}}


def approve(app: App, archive: SqliteArchive, loaded: Loaded) -> None:
    """A person looks at what `recipe diff` shows; a demo approves its own recipes, in that person's name."""
    approvals, who, why = app.approvals(archive), wiring.account(), render(N_("the demo's own recipe"))
    approvals.propose(loaded.edition, who, why)
    approvals.approve(loaded.recipe.recipe, loaded.edition.digest, who, why)


def _console(app: App, config: Path) -> None:
    consoles.until_interrupted(app, config, consoles.PORT)


def _run(app: App, trial: Trial) -> None:
    folder = trial.folder
    with app.archive() as archive, progress() as bar:
        session = Session(app=app, archive=archive, bar=bar)
        for name in trial.recipes:
            loaded = app.recipe(name)
            approve(app, archive, loaded)
            session.harvest(loaded, app.parameters(loaded, {}))
        stopped = session.advance()
        if (anchoring := app.anchoring(archive)) is not None:
            anchoring.anchor()  # so that the platform has seen all of it
        task = bar.add_task(render(N_("verifying the log, writing the report")), total=1)
        found = reporting.write(app, archive, session.runs, list(session.documents), folder / "report.html")
        bar.advance(task)
    show.console.print(show.closing(session.tallies, FORMATS))
    tell_stopped(stopped)
    if not found.whole:
        raise AgentError("SA7105", N_("the log does not verify: {count} problem(s)"), count=len(found.problems))
    _tell(app, folder, found.entries, trial.recipes[0])


def _tell(app: App, folder: Path, entries: int, recipe: str) -> None:
    told = (
        (
            N_("No request but permitted ones reached the ERP. The log of {entries} facts is whole."),
            {"entries": entries},
        ),
        (N_("Report, opens in any browser: {path}"), {"path": folder / "report.html"}),
    )
    for text, values in told:
        show.console.print(render(text, values), markup=False, soft_wrap=True)
    name = show.short(_first_held(app))
    config = f"scraper-agent -c {folder / 'config.yaml'}"
    go_on(
        (f"{config} console", N_("all of it in a browser: what waits, what it was read from, what happened")),
        (f"{config} jobs --state blocked", N_("what was stopped, and why")),
        (f"{config} jobs --state held", N_("what waits for a person")),
        (f"{config} job {name} --origins", N_("one document, and where each value was read")),
        (f"{config} approve {name} --reason checked", N_("let it leave")),
        (f"{config} sandbox platform", N_("start the platform again, in a second terminal; then:")),
        (f"{config} send", N_("sign and send what is approved")),
        (f"{config} log verify", N_("recompute the whole log")),
        (f"{config} recipe list", N_("which recipes may be used, and who approved them")),
        (f"scraper-agent recipe explain {recipe}", N_("what the robot does on the ERP's pages")),
    )


def go_on(*commands: tuple[str, str]) -> None:
    """Tell what to try next: each a command, and what it is for."""
    show.console.print(render(N_("Go on with:")), markup=False)
    for line, why in commands:
        show.console.print(f"  {line}\n      [dim]{render(why)}[/]", soft_wrap=True)


def _first_held(app: App) -> str:
    with app.archive(read_only=True) as archive:
        return next(id for id in archive.documents() if state(archive.job(id)) is State.HELD)


def _empty(folder: Path) -> None:
    if folder.exists() and any(folder.iterdir()):
        if not (folder / MARKER).is_file():
            raise UsageError(
                "SA7301",
                N_("{path} is not empty and was not made by a demo"),
                hint=N_("give another folder by --folder"),
                path=folder,
            )
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARKER).touch()


def _write_secret(path: Path, secret: str) -> None:
    path.touch(mode=0o600)
    path.write_text(secret, encoding="utf-8")


@contextmanager
def _platform(trial: Trial) -> Iterator[App]:
    """The agent with the platform it sends to: who listens on which port with which key is known once it runs."""
    config = trial.folder / "config.yaml"
    with platform_apart(config) as (url, public_keys):
        trial.configure(url=url, public_keys=public_keys)
        app = App.load(config, tell=lambda step: show.talk.print(step, markup=False))
        log_to(app)
        app.sign_policy("demo")
        with closing(app):
            yield app
