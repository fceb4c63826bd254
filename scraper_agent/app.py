"""Composition root: the only place that knows every implementation, the time and the environment."""

from __future__ import annotations

import getpass
import itertools
import os
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import yaml
from pydantic import BaseModel, SecretStr

import scraper_agent
from scraper_agent import (
    adoption,
    approval,
    canonical,
    desk,
    explaining,
    files,
    formats,
    incremental,
    leaving,
    mapping,
    orders,
    people,
    recipes_approved,
    sending,
    signing,
    vault,
    yamlfile,
)
from scraper_agent import control as controls
from scraper_agent import policy as policies
from scraper_agent.analysis import settings as analyses
from scraper_agent.archive.sqlite import SqliteArchive
from scraper_agent.audit.anchor import MOST_FACTS, Anchoring, Carrier, Party
from scraper_agent.authoring import load as recipes
from scraper_agent.capture import cutting, guard, kept
from scraper_agent.capture.browser import PlaywrightBrowser, Settings
from scraper_agent.capture.held import Hold
from scraper_agent.capture.pace import Pace
from scraper_agent.config import Config, Erp, ReceiverSettings
from scraper_agent.config import problems as receiver_problems
from scraper_agent.credentials import SecretPlace, Secrets
from scraper_agent.errors import AgentError, Lines, NeedsPerson, Problem, SourceErrors, UsageError
from scraper_agent.format import Format
from scraper_agent.formats import FORMATS
from scraper_agent.formats.tables import CodeList
from scraper_agent.importing import layout, reading, tasks
from scraper_agent.messages import N_, render
from scraper_agent.pipeline import Destination, Harvest, Intake, Pipeline, Plan, Receiver, Watch
from scraper_agent.ports import Signer, Transport, Verify
from scraper_agent.recipe import Parameter
from scraper_agent.recipes_approved import Approvals, Key
from scraper_agent.rules import Values
from scraper_agent.sending import witnesses
from scraper_agent.signing import keyfile, keyfolder, keystate, mandate
from scraper_agent.signing.check import Verifying
from scraper_agent.values import ControlFact, Job, JobId, KeyChanged, PolicyAdopted, RunEnded, State, Unanchored
from scraper_agent.waybill import task

KEYRING = "scraper_agent"
"""What the agent's own entries in the keyring are filed under."""

KEYS = JobId("keys")
"""The job of what was done with keys."""

Model = TypeVar("Model", bound=BaseModel)

Prompt = Callable[[str], str]
"""Asks a person for a secret, by its name. Without a person it raises NeedsPerson."""


def now() -> datetime:
    return datetime.now(UTC)


def account() -> str:
    """Name of the operating system's account; its number where the system knows no name, as in some containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def nobody(name: str) -> str:
    """The Prompt of a run that nobody attends."""
    raise NeedsPerson(
        "SA7001",
        N_("the secret `{name}` is needed, and nobody is here to be asked"),
        hint=N_("name an environment variable or a file for it in the config"),
        name=name,
    )


def builtin_recipes() -> Path:
    """The recipes that come with the package; in a checkout, those of the repository."""
    package = Path(scraper_agent.__file__).parent
    return package / "recipes" if (package / "recipes").is_dir() else package.parent / "recipes"


_ATTEND_S = 0.2
"""How often a process that writes the archive looks for what people want of it, at most."""


def _silent(_id: JobId, _fact: object) -> None:
    pass


def _nothing() -> None:
    pass


@dataclass(slots=True, kw_only=True)
class _Writing:
    """The archive that this process writes, and in which thread."""

    archive: SqliteArchive
    thread: int
    pipeline: Pipeline | None = None
    """The one at work, so that what it knows stays right."""
    in_force: tuple[bool, bool] | None = None
    """Pause and stop, as the log has them; None: not asked yet."""
    attended: float = -1.0
    attending: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """The signature over a policy, verified."""

    said: mandate.Mandate
    adopted: PolicyAdopted
    """The fact that puts the policy in force."""
    statement: bytes
    """The signature's file."""


@dataclass(kw_only=True)
class App:
    """One configured agent. `known_secrets` are kept out of everything that is written."""

    config: Config
    home: Path
    """The folder of the config file."""
    policy: policies.Policy
    policy_source: bytes
    tables: formats.Tables = formats.PACKAGED
    analyses: analyses.Settings = analyses.DEFAULT
    prompt: Prompt = nobody
    tell: Callable[[str], None] = print
    notice: Callable[[ControlFact], None] = lambda _fact: None
    """Hears of a pause, a stop and their end, as they are logged."""
    known_secrets: set[str] = field(default_factory=set, repr=False)
    verify: Verify = field(default_factory=Verifying, repr=False)
    """One for all receipts and countersignatures: the same few keys sign each of them."""
    _answers: dict[str, str] = field(default_factory=dict, repr=False)
    """What a person was asked for, so that nobody is asked twice."""
    _in_force: bool = False
    """Whether this process has seen that the policy is signed and the newest."""
    _signer: tuple[signing.Config, Signer] | None = field(default=None, repr=False)
    _destinations: list[tuple[ReceiverSettings, Destination]] = field(default_factory=list, repr=False)
    """What was connected to."""
    _writing: _Writing | None = field(default=None, repr=False)
    _control: controls.Control | None = field(default=None, repr=False)
    _desk: desk.Desk | None = field(default=None, repr=False)
    _paces: dict[str, Pace] = field(default_factory=dict, repr=False)
    """By ERP: recipes that are run one after the other share its minute."""

    def policy_at(self, path: Path) -> policies.Policy:
        """Another policy file, read as the policy is.

        Raises:
            UsageError: it is missing or wrong.
        """
        return yamlfile.load(path, policies.Policy, partial(_policy_problems, self.tables.codes["currency"]))

    @classmethod
    def load(cls, path: Path, *, prompt: Prompt = nobody, tell: Callable[[str], None] = print) -> App:
        """Read the config and the files it names.

        Raises:
            UsageError: either is missing or wrong.
        """
        home = path.resolve().parent
        config = yamlfile.load(path, Config, partial(receiver_problems, home))
        own = (config.code_lists, config.tariff, config.districts, config.rates)
        tables = formats.with_tables(*(None if each is None else home / each for each in own))
        if config.crossborder is not None and config.crossborder.added_elements is not None:
            waybill = formats.extended(tables.formats[task.WAYBILL], home / config.crossborder.added_elements)
            tables = replace(tables, formats={**tables.formats, waybill.name: waybill})
        problems = partial(_policy_problems, tables.codes["currency"])
        source = yamlfile.read(home / config.policy)
        policy = yamlfile.fit(source, policies.Policy, problems)
        compared = analyses.DEFAULT if config.analysis is None else analyses.load(home / config.analysis)
        return cls(
            config=config,
            home=home,
            policy=policy,
            policy_source=source.raw,
            tables=tables,
            analyses=compared,
            prompt=prompt,
            tell=tell,
        )

    # --- the policy -------------------------------------------------------------------------------------------------

    @property
    def policy_signature(self) -> Path:
        """The file of the policy's signature, beside the policy."""
        path = self.home / self.config.policy
        return path.with_name(path.name + mandate.SUFFIX)

    @property
    def policy_keys(self) -> Mapping[str, str]:
        """The public keys that a policy may be signed with, by `sk`."""
        if self.config.policy_keys:
            return self.config.policy_keys
        known = keyfolder.entries(self.key_folder)
        return {each.sk: each.public_key for each in known if each.state(now()) is not keystate.KeyState.REVOKED}

    def sign_policy(self, reason: str) -> mandate.Mandate:
        """Sign the policy as it is now, in the name of who runs this; it is in force from its first use on.

        Raises:
            BusinessError: who runs this is no administrator by the policy in force.
            UsageError: the policy has no version, or one that was used; or no key signs now, or one that counts for
                nothing.
            NeedsPerson: the signer needs a passphrase or PIN that nobody gives.
        """
        version = self.policy.version
        if version is None:
            raise UsageError(
                "SA7090",
                N_("the policy {path} has no version"),
                hint=N_("write `version: {next}` into it, and raise it with each change"),
                path=self.home / self.config.policy,
                next=1,
            )
        people.require(self._people_in_force(), account(), people.Role.ADMINISTRATOR)
        said = mandate.Mandate(
            policy=canonical.digest(self.policy_source),
            version=version,
            issued=now(),
            enterprise=self.config.enterprise.uscc,
            by=f"person:{account()}",
            reason=reason,
        )
        adoption.admit(self.adopted(), said.version, said.policy)
        signer, keys = self.signer, self.policy_keys
        if keys.get(signer.key_index) != signer.public_key:
            raise UsageError(
                "SA7097",
                N_("a policy that key {sk} signed would not count; the keys that do are: {known}"),
                hint=N_(
                    "the config names under `policy_keys` those that count; the public key of {sk} is {public_key}"
                ),
                sk=signer.key_index,
                known=", ".join(sorted(keys)) or "-",
                public_key=signer.public_key,
            )
        statement = mandate.sign(said, signer)
        keyfile.write_over(self.policy_signature, statement)
        return said

    def adopted(self) -> PolicyAdopted | None:
        """The policy in force, as the archive knows it; None if there is none."""
        if not (self.home / self.config.archive).is_file():
            return None
        with self.archive(read_only=True) as archive:
            return adoption.newest(archive)

    def adopted_policy(self, version: int | None = None) -> policies.Policy | None:
        """What the policy in force says, or one that once was; None if there is none that this program can read.

        Raises:
            AgentError: its bytes are not in the archive as they were.
        """
        if not (self.home / self.config.archive).is_file():
            return None
        with self.archive(read_only=True) as archive:
            found = [each for each in adoption.history(archive) if version in (None, each.version)]
            if not found:
                return None
            text = archive.get(found[-1].policy).decode("utf-8-sig")
        try:
            return yamlfile.parse(text, self.home / self.config.policy, policies.Policy)
        except SourceErrors:
            return None

    def _people_in_force(self) -> people.People:
        known = self.adopted_policy()
        return (self.policy if known is None else known).people

    def signed_policy(self) -> Signed:
        """That the policy, as it was loaded, is signed.

        Raises:
            UsageError: it is not signed, or was altered since; or nobody is trusted who signed it.
        """
        path, keys = self.home / self.config.policy, self.policy_keys
        try:
            with self.policy_signature.open("rb") as file:
                statement = file.read(mandate.MOST_BYTES + 1)
        except OSError as error:
            raise UsageError(
                "SA7091",
                N_("the policy {path} is not signed: {reason}"),
                hint=N_("look at it, then `scraper-agent policy sign`: an administrator puts it in force"),
                path=path,
                reason=error.strerror,
            ) from error
        try:
            said, sk = mandate.read(statement, keys)
        except ValueError as error:
            raise UsageError(
                "SA7092",
                N_("the signature {path} does not hold: {reason}"),
                hint=N_("`scraper-agent policy check` tells which keys count; `policy sign` signs the policy anew"),
                path=self.policy_signature,
                reason=str(error).partition("\n")[0],
            ) from None
        digest = canonical.digest(self.policy_source)
        if (said.policy, said.version, said.enterprise) != (
            digest,
            self.policy.version,
            self.config.enterprise.uscc,
        ):
            raise UsageError(
                "SA7093",
                N_("the policy {path} is not the one that was signed on {when}"),
                hint=N_("`scraper-agent policy diff` shows what changed; raise `version`, then `policy sign`"),
                path=path,
                when=keystate.shown(said.issued),
            )
        adopted = PolicyAdopted(
            version=said.version,
            policy=digest,
            statement=canonical.digest(statement),
            key_index=sk,
            public_key=keys[sk],
            by=said.by,
            reason=said.reason,
        )
        return Signed(said=said, adopted=adopted, statement=statement)

    def put_in_force(self, archive: SqliteArchive) -> None:
        """Before anything is done under the policy: that it is signed, and no newer one was in force.

        Raises:
            UsageError: not so.
        """
        if not self._in_force:
            signed = self.signed_policy()
            adoption.adopt(archive, signed.adopted, self.policy_source, signed.statement)
            self._in_force = True

    # --- parts ------------------------------------------------------------------------------------------------------

    @contextmanager
    def archive(self, *, read_only: bool = False) -> Iterator[SqliteArchive]:
        path, cipher = self.home / self.config.archive, self.config.archive_cipher
        with SqliteArchive(path, now, read_only=read_only, cipher=cipher) as archive:
            if read_only:
                yield archive
                return
            with suppress(OSError):  # so that a file can be set there by hand
                controls.prepare(self.control.folder)
            self._writing = _Writing(archive=archive, thread=threading.get_ident())
            try:
                yield archive
            finally:
                self._writing = None

    @property
    def writes(self) -> bool:
        """Whether this very process has the archive open for writing now."""
        return self._writing is not None

    def pipeline(self, archive: SqliteArchive, watch: Watch) -> Pipeline:
        """The program on this archive. One that may write works under a policy that is in force, and no other.

        Raises:
            UsageError: as `put_in_force`.
        """
        if not archive.read_only:
            self.put_in_force(archive)
        enterprise = self.config.enterprise
        default = self.destination(self.config.receiver)
        made = Pipeline(
            archive=archive,
            now=now,
            formats=self.tables.formats,
            tables=self.tables,
            profile={key: value for key in recipes.PROFILE if (value := str(getattr(enterprise, key)))},
            policy=self.policy,
            signer=lambda: self.signer,
            transport=default.transport,
            receiver=default.receiver,
            carrier=default.carrier,
            anchoring=self.anchoring(archive),
            destinations={
                format: to
                for format in self.tables.formats
                if (to := self.destination(self.config.receiver_of(format))) is not default
            },
            strays=self._strays(),
            analyses=self.analyses,
            schedule=self.config.outbox,
            draw=secrets.SystemRandom().random,
            mark=lambda: secrets.token_hex(16),
            key_index=lambda: signing.chosen(_at(self.home, self.config.signing), now()).key,
            watch=watch,
            gate=self.gate,
        )
        if self._writing is not None and self._writing.archive is archive:
            self._writing.pipeline = made
        return made

    def anchoring(self, archive: SqliteArchive) -> Anchoring | None:
        """How this log is shown to its witnesses; None if it has none.

        Raises:
            UsageError: a file that the config names cannot be used.
        """
        if not self.config.witnessed:
            return None
        receivers = (each.witness for each in self.config.all_receivers().values())
        printed = (each for each in self.config.witnesses if each.kind == "printed")
        return Anchoring(
            log=archive,
            origin=self.config.log_name,
            signer=lambda: self.signer,
            verify=self.verify,
            now=now,
            parties=self.witnesses(),
            others=[each.name for each in (*receivers, *printed) if each is not None],
        )

    @property
    def witness_keys(self) -> dict[str, str]:
        """Public keys of the witnesses that sign, by name."""
        own = {each.name: each.public_key for each in self.config.witnesses if isinstance(each, witnesses.Https)}
        receivers = (each.witness for each in self.config.all_receivers().values())
        return own | {each.name: each.public_key for each in receivers if each is not None}

    def unanchored(self, archive: SqliteArchive) -> str:
        """What is to be said of facts that no witness has seen for long; empty where there is nothing to be said."""
        anchoring = self.anchoring(archive)
        since = None if anchoring is None else anchoring.unanchored_since()
        if since is None or now() - since < timedelta(hours=self.policy.anchor.warn_hours):
            return ""
        return render(
            N_("No witness has seen what was logged since {since}; after {hours} h nothing is read or taken in."),
            {"since": f"{mapping.local(since):%Y-%m-%d %H:%M}", "hours": self.policy.anchor.stop_hours},
        )

    def witnesses(self) -> list[Party]:
        """Those that can be asked by themselves."""
        secrets: Secrets = lambda place, name: SecretStr(self.secret(place, name))  # noqa: E731 - as `destination` has it
        found = [witnesses.connect(_at(self.home, each), secrets) for each in self.config.witnesses]
        for each in (receiver.witness for receiver in self.config.all_receivers().values()):
            if each is not None and each.url is not None:
                asked = witnesses.Https(
                    kind="https", name=each.name, url=each.url, public_key=each.public_key, ca_file=each.ca_file
                )
                found.append(witnesses.connect(_at(self.home, asked), secrets))
        return [each for each in found if each is not None]

    def _strays(self) -> dict[str, str]:
        """By format, where its documents would go, of those that the policy does not let go there."""
        found: dict[str, str] = {}
        for format in self.tables.formats if self.policy.destinations else ():
            known = policies.destinations(self.policy, format)
            to = sending.places(_at(self.home, self.config.receiver_of(format).transport))
            if known is not None and not to & frozenset().union(*(_named(self.home, each) for each in known)):
                found[format] = min(to, key=len)
        return found

    @property
    def signer(self) -> Signer:
        """That of the key which signs now; opened at its first signature.

        Raises:
            NeedsPerson: wrong passphrase, or nobody gives it.
            UsageError: no key signs now.
        """
        config = signing.chosen(_at(self.home, self.config.signing), now())
        if self._signer is None or self._signer[0] != config:  # the first, or the keys have switched since
            secret = SecretStr(self.secret(self.config.passphrase, "passphrase"))
            self._signer = config, signing.connect(config, secret, now)
        return self._signer[1]

    def close(self) -> None:
        """Let go of what was connected to. May be repeated."""
        while self._destinations:
            self._destinations.pop()[1].transport.close()

    @property
    def key_folder(self) -> Path:
        return self.home / self.config.signing.folder

    def journal(self, archive: SqliteArchive) -> keyfolder.Journal:
        """What becomes of keys, in the job `keys` of the log."""

        def record(steps: tuple[keyfolder.Step, ...], statement: bytes | None) -> None:
            with archive.together():
                digest = None if statement is None else archive.put(statement)
                for step in steps:
                    changed = KeyChanged(
                        action=step.action,
                        sk=step.entry.sk,
                        public_key=step.entry.public_key,
                        fingerprint=step.entry.fingerprint,
                        by=f"person:{account()}",
                        reason=step.reason,
                        statement=digest,
                    )
                    archive.append(KEYS, archive.length(KEYS), changed)

        known = archive.job(KEYS).facts
        return keyfolder.Journal(record=record, used=frozenset(f.sk for f in known if isinstance(f, KeyChanged)))

    @property
    def transport(self) -> Transport:
        """To `receiver`."""
        return self.destination(self.config.receiver).transport

    def destination(self, settings: ReceiverSettings) -> Destination:
        """The way to a receiver of the config; the same object for the same settings, until it is closed.

        Raises:
            NeedsPerson: a secret is not where it should be.
            UsageError: a file that the config names cannot be used.
        """
        for known, destination in self._destinations:
            if known == settings:
                return destination
        seen = settings.witness
        carrier = None if seen is None else Carrier(name=seen.name, public_key=seen.public_key)
        transport = sending.connect(
            _at(self.home, settings.transport),
            lambda place, name: SecretStr(self.secret(place, name)),
            profile=settings.profile,
            formats=self.tables.formats,
            carrier=carrier,
        )
        receiver = Receiver(
            ak=settings.ak, profile=settings.profile, public_keys=settings.public_keys, verify=self.verify
        )
        made = Destination(receiver=receiver, transport=transport, carrier=carrier)
        self._destinations.append((settings, made))
        return made

    def browser(self, erp: str) -> PlaywrightBrowser:
        settings = self.config.browser
        known = self.config.erps.get(erp, Erp())
        limits, most, evidence = known.pace, self.policy.pace.get(erp, policies.Pace()), self.policy.evidence.images
        per_minute = [each for each in (limits.pages_per_minute, most.pages_per_minute) if each is not None]
        return PlaywrightBrowser(
            settings=Settings(
                executable=settings.executable,
                headless=settings.headless,
                images=settings.images if evidence is None else evidence == "keep",
                tabs=min(filter(None, (limits.tabs, most.tabs))),
                ca_file=None if known.ca_file is None else self.home / known.ca_file,
                refuses=self.policy.requests.get(erp, policies.Requests()).refuses,
                patience_s=settings.patience_s,
                largest_answer=settings.answer_mb * 1024 * 1024,
            ),
            secret=lambda name: self._erp_secret(erp, name),
            tell=self.tell,
            hold=Hold(self.control, self.attend),
            robot=f"scraper-agent {scraper_agent.__version__} ({account()})",
            press=self._pressed,
            pace=self._paces.setdefault(erp, Pace(min(per_minute, default=None))),
            kept_session=lambda recipe, parameters: kept.read(
                self.session_file(erp), kept.owner(recipe, parameters), lambda: self._session_key(erp)
            ),
        )

    def old_logs(self) -> list[Path]:
        """Files that the program's own log was moved on to, and whose time by the policy is over."""
        log = self.home / self.config.log
        oldest = (now() - timedelta(days=self.policy.retention.logs_days)).timestamp()
        moved = sorted(log.parent.glob(f"{log.stem}.*{log.suffix}"))
        return [path for path in moved if path != log and path.stat().st_mtime < oldest]

    def cut_out(self, image: bytes, box: tuple[int, int, int, int]) -> bytes:
        """PNG of a part of a page's image.

        Raises:
            AgentError: no browser is there to cut it.
            ValueError: the image cannot be read, or has no such part.
        """
        return cutting.png(image, box, self.config.browser.executable, self.tell)

    def session_file(self, erp: str) -> Path:
        return self.home / self.config.sessions / f"{erp}.session"

    def _session_key(self, erp: str, *, make: bool = False) -> str:
        """What a kept session is encrypted with. Raises NeedsPerson if it is not where it should be."""
        place = self.config.erps.get(erp, Erp()).session_key
        if not place.asked:
            return self.secret(place, f"{erp}.session_key")
        name = f"session {erp} {canonical.sm3(str(self.home).encode()).hex()[:8]}"
        value = vault.get(KEYRING, name)
        if not value and make:
            value = kept.new_secret()
            vault.put(KEYRING, name, value)
        if not value:
            raise NeedsPerson(
                "SA7032",
                N_("the key of the kept session of {erp} is not in the keyring"),
                hint=N_(
                    "`scraper-agent session forget {erp}` removes the session; then log in by `scraper-agent login`"
                ),
                erp=erp,
            )
        self.known_secrets.add(value)
        return value

    def log_in(self, loaded: recipes.Loaded, parameters: Mapping[str, str], *, visible: bool = True) -> Path:
        """Have a person log in, and keep the session for the runs to come. Returns its file.

        Raises:
            NeedsPerson: nobody did; a stop is in force; or the recipe is not approved.
            AgentError: no browser, no ERP, no keyring, or the file cannot be written.
        """
        self.gate()
        signed = self.signed_policy().adopted
        adoption.admit(self.adopted(), signed.version, signed.policy)
        self._admit(loaded)
        self._allowed(loaded, parameters)
        erp = erp_of(loaded)
        key = self._session_key(erp, make=True)  # asked first: nobody should log in for nothing
        browser = self.browser(erp)
        settings = replace(browser.settings, visible_login=visible)
        state = replace(browser, settings=settings).attend(loaded.recipe, parameters)
        path = self.session_file(erp)
        try:
            kept.write(path, state, kept.owner(loaded.recipe, parameters), key)
        except OSError as error:
            raise AgentError(
                "SA7033", N_("{path} cannot be written: {reason}"), path=path, reason=error.strerror
            ) from error
        return path

    def secret(self, place: SecretPlace, name: str) -> str:
        """A secret from where the config says; from a person if it says nothing.

        Raises:
            NeedsPerson: the place is empty, or nobody is here to be asked.
        """
        if place.env is not None:
            value = os.environ.get(place.env, "")
        elif place.file is not None:
            value = _first_line(self.home / place.file)
        elif place.keyring is not None:
            value = vault.get(*place.keyring.split("/"))
        else:
            value = self._answers.get(name) or self.prompt(name)
            self._answers[name] = value
        if not value:
            raise NeedsPerson(
                "SA7002",
                N_("the secret `{name}` is empty or missing at {place}"),
                hint=N_("set it there; never write it into the config itself"),
                name=name,
                place=place.env or place.file or place.keyring or render(N_("the terminal")),
            )
        self.known_secrets.add(value)
        return value

    def _erp_secret(self, erp: str, name: str) -> str:
        known = self.config.erps[erp].secrets if erp in self.config.erps else {}
        return self.secret(known.get(name, SecretPlace()), f"{erp}.{name}")

    # --- what people want of it -------------------------------------------------------------------------------------

    @property
    def control(self) -> controls.Control:
        """Pause and stop."""
        if self._control is None:
            self._control = controls.Control(self.home / self.config.control, now)
        return self._control

    @property
    def desk(self) -> desk.Desk:
        """Where people say what is to be done, whether this process, another or none writes the archive."""
        if self._desk is None:
            self._desk = desk.Desk(self.control, self._tray, self.policy.people, now, self._serve)
        return self._desk

    @property
    def _tray(self) -> orders.Tray:
        return orders.Tray(self.home / self.config.control)

    def _serve(self) -> bool:
        try:
            with self.archive():
                self.attend(now=True)
        except AgentError as error:
            if error.code == "SA5002":  # another process writes to it
                return False
            raise
        return True

    def attend(self, *, now: bool = False) -> bool:
        """Log what people switched and carry out what they ordered; whether anything was.

        To be called at least twice a second by what runs long; it costs next to nothing. Only the thread that writes
        the archive does anything here. `now`: even if this has just been done.
        """
        here = self._writing
        if here is None or here.attending or here.thread != threading.get_ident():
            return False
        if not now and time.monotonic() - here.attended < _ATTEND_S:
            return False
        here.attending = True
        try:
            switched = self._log_switches(here)
            return self._carry_out(here) or switched
        finally:
            here.attending, here.attended = False, time.monotonic()

    def _log_switches(self, here: _Writing) -> bool:
        if here.in_force is None:
            here.in_force = controls.in_force(here.archive.job(controls.JOB))
        news = self.control.news(here.in_force)
        for fact in news:
            here.archive.append(controls.JOB, here.archive.length(controls.JOB), fact)
        if not news:
            return False
        here.in_force = controls.in_force(here.archive.job(controls.JOB))
        self.control.noted()
        for fact in news:
            self.notice(fact)
        return True

    def _carry_out(self, here: _Writing) -> bool:
        tray = self._tray
        if not tray.any():
            return False
        pipeline = here.pipeline or self.pipeline(here.archive, _silent)
        watch, pipeline.watch = pipeline.watch, _silent  # whoever watches the run has ordered nothing
        try:
            for taken in tray.take():
                tray.done(taken, desk.carry_out(pipeline, taken, self.policy.people))
        finally:
            pipeline.watch = watch
        return True

    def _pressed(self) -> None:
        """The button of the banner: whoever sits at the screen pauses what runs, or lets it go on."""
        do = "resume" if self.control.paused else "pause"
        with suppress(AgentError):  # who is no operator presses in vain, and the banner goes on saying what is done
            self.desk.do(do, (), account(), via="banner")

    def gate(self, land: Callable[[], object] = _nothing) -> None:
        """A control point of what runs: attends, and stays while a pause is in force; `land` is called before.

        Raises:
            PersonNeeded: a stop is in force.
        """
        self.control.refresh()  # what comes next may be a signature: not even a tenth of a second too late
        self.attend()
        if not (self.control.paused or self.control.stopped):
            return
        land()
        self.attend(now=True)
        while self.control.paused and not self.control.stopped:
            time.sleep(controls.LOOK_S)
            self.attend()
        self.attend(now=True)
        if self.control.stopped:
            raise self.control.stop_error()

    def rest(self, seconds: float) -> None:
        """Sleep, but for what people want meanwhile: what they ordered may make something due at once."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            attended = self.attend()
            self.gate()
            if attended:
                return
            time.sleep(min(left, _ATTEND_S))

    # --- recipes ----------------------------------------------------------------------------------------------------

    def recipe(self, name: str) -> recipes.Loaded:
        return load_recipe(name, self.home / self.config.recipes, self.tables.formats)

    def recipe_of(self, name: str) -> str:
        """A recipe's own name, or of an ERP its first recipe's: they log in alike."""
        if "/" in name or name.endswith((".yaml", ".yml")):
            return name
        folders = (self.home / self.config.recipes / name, builtin_recipes() / name)
        found = sorted(p.stem for folder in folders for p in folder.glob("*.yaml") if p.stem != "lookups")
        return f"{name}/{found[0]}" if found else name

    def parameters(self, loaded: recipes.Loaded, given: Mapping[str, str]) -> dict[str, str]:
        """Values of the recipe's parameters: given ones, then the config's, then its defaults.

        Raises:
            UsageError: one is unknown, missing, or not of its type.
        """
        known = loaded.recipe.parameters
        for name in given:
            if name not in known:
                raise UsageError(
                    "SA7003",
                    N_("the recipe {recipe} has no parameter `{seen}`; it has: {known}"),
                    recipe=loaded.recipe.recipe,
                    seen=name,
                    known=", ".join(known) or "-",
                )
        erp = self.config.erps.get(erp_of(loaded))
        configured = erp.parameters if erp is not None else {}
        values: dict[str, str] = {}
        for name, parameter in known.items():
            value = given.get(name, configured.get(name, parameter.default))
            if value is None or not _fits(parameter, value):
                raise UsageError(
                    "SA7004",
                    N_("the parameter `{name}` of {recipe} is `{seen}`; expected {type}"),
                    hint=N_("set it in the config under `erps: {erp}: parameters:`, or by --set {name}=VALUE"),
                    name=name,
                    recipe=loaded.recipe.recipe,
                    seen="-" if value is None else value,
                    type=parameter.type,
                    erp=erp_of(loaded),
                )
            values[name] = value.rstrip("/") if parameter.type == "url" else value
        return values

    def since(
        self,
        archive: SqliteArchive,
        loaded: recipes.Loaded,
        parameters: Mapping[str, str],
        since: str | None = None,
        *,
        full: bool = False,
    ) -> dict[str, str]:
        """The parameters with the day that this run begins at.

        `full`: as far back as the recipe or the config says. Else `since`; else where the last complete run ended.

        Raises:
            UsageError: `since` is no date, stands beside `full`, or the recipe always reads everything.
        """
        rule = loaded.recipe.since
        if since is not None and full:
            raise UsageError("SA7008", N_("`--since` and `--full` exclude each other"))
        if rule is None:
            if since is not None:
                raise UsageError(
                    "SA7009",
                    N_("the recipe {recipe} always reads everything: it has no `since`"),
                    hint=N_("leave `--since` out, or write `since` into the recipe"),
                    recipe=loaded.recipe.recipe,
                )
            return dict(parameters)
        if since is not None and not _fits(Parameter(type="date"), since):
            raise UsageError("SA7010", N_("`{seen}` is no date; expected YYYY-MM-DD"), seen=since)
        begin = since or parameters[rule.parameter]
        if since is None and not full:
            begin = incremental.start(archive, loaded.recipe, parameters)
        return {**parameters, rule.parameter: date.fromisoformat(begin).isoformat()}

    def _allowed(self, loaded: recipes.Loaded, parameters: Mapping[str, str]) -> None:
        """Whether the policy allows what the recipe may ask for: told before anything is opened."""
        erp = erp_of(loaded)
        self._format_allowed(loaded.format.name)
        addresses = [parameters[name] for name, p in loaded.recipe.parameters.items() if p.type == "url"]
        if lacking := self._lacking(loaded, addresses):
            known = self.policy.requests.get(erp, policies.Requests())
            needed = needs(loaded, [guard.origin(address) for address in addresses])
            raise UsageError(
                "SA7020",
                N_("the policy does not allow the recipe {recipe} to ask the ERP for: {seen}"),
                hint=N_("if the enterprise wants it read so, this belongs into {path}:\n{yaml}"),
                recipe=loaded.recipe.recipe,
                seen="; ".join(lacking),
                path=self.home / self.config.policy,
                yaml=Lines(section({erp: policies.together(known, needed)})),
            )

    def approvals(self, archive: SqliteArchive) -> Approvals:
        """Who approved which recipe. Whoever may approve is said by a policy that is in force, and by no other.

        Raises:
            UsageError: as `put_in_force`, where the archive can be written.
        """
        if not archive.read_only:
            self.put_in_force(archive)
        return Approvals(
            archive=archive, policy=self.policy, keys=self._approving_keys, signer=lambda: self.signer, now=now
        )

    def _approving_keys(self) -> dict[str, Key]:
        """The installation's own, revoked ones too."""
        known = {
            entry.sk: Key(
                public_key=entry.public_key,
                until=min((end for end in (entry.revoked, entry.not_after) if end is not None), default=None),
            )
            for entry in keyfolder.entries(self.key_folder)
        }
        if self.config.signing.kind != "file":  # a token's key stands in no list
            known[self.signer.key_index] = Key(public_key=self.signer.public_key)
        return known

    def _admit(self, loaded: recipes.Loaded) -> None:
        """That a recipe may be used. A run that is under way and holds the archive is in the way of no login.

        Raises:
            NeedsPerson: it is not approved.
        """
        if self.policy.recipes.approved_by == "nobody":
            return
        if (self.home / self.config.archive).is_file():
            with self.archive(read_only=True) as archive:
                known = self.approvals(archive).standing(loaded.edition)
                if known is not None and known.state is recipes_approved.State.APPROVED:
                    return
        with self.archive() as archive:
            self.approvals(archive).require(loaded.edition, account())

    def _lacking(self, loaded: recipes.Loaded, addresses: Iterable[str]) -> tuple[str, ...]:
        """What of a recipe's requests to these addresses the policy does not name."""
        erp = erp_of(loaded)
        needed = needs(loaded, [guard.origin(address) for address in addresses])
        known = self.policy.requests.get(erp, policies.Requests())
        known = known.model_copy(update={"addresses": tuple(guard.origin(a) for a in known.addresses)})
        return policies.lacking(self.policy.model_copy(update={"requests": {erp: known}}), erp, needed)

    def _format_allowed(self, format: str) -> None:
        if not policies.reads(self.policy, format):
            raise UsageError(
                "SA7095",
                N_("the policy does not allow documents of the format {format} to be read"),
                hint=N_("it allows: {known}; that is said under `documents` in {path}"),
                format=format,
                known=", ".join(self.policy.documents or ()) or "-",
                path=self.home / self.config.policy,
            )

    def _days_allowed(self, loaded: recipes.Loaded, parameters: Mapping[str, str]) -> None:
        """Whether every day that the run is asked for is one that the policy allows documents of."""
        today = mapping.local(now()).date()
        for window in policies.windows(self.policy, erp_of(loaded), loaded.format.name):
            for name, parameter in loaded.recipe.parameters.items():
                if parameter.type != "date":
                    continue
                missed = window.misses(date.fromisoformat(parameters[name]), today)
                if missed is not None:
                    raise UsageError(
                        "SA7096",
                        N_("the policy does not allow the recipe {recipe} to be run with `{name}`: {reason}"),
                        hint=N_("give another day by --set {name}=YYYY-MM-DD, or, where it begins, by --since"),
                        recipe=loaded.recipe.recipe,
                        name=name,
                        reason=render(missed.text, missed.values),
                    )

    def robot(self, loaded: recipes.Loaded) -> explaining.Robot:
        """What a recipe is configured for, as the policy leaves it."""
        erp = erp_of(loaded)
        format, settings = loaded.format.name, self.browser(erp).settings
        to = sending.places(_at(self.home, self.config.receiver_of(format).transport))
        known = {**self.config.erps.get(erp, Erp()).parameters}
        given = ((name, known.get(name, p.default)) for name, p in loaded.recipe.parameters.items() if p.type == "url")
        addresses = [address for _, address in given if address is not None and recipes.is_address(address)]
        return explaining.Robot(
            recipe=loaded.recipe,
            format=loaded.format,
            lacking=self._lacking(loaded, addresses),
            tabs=settings.tabs,
            pages_per_minute=self.browser(erp).pace.most,
            images=settings.images,
            to=max(to, key=len),
            stray=format in self._strays(),
        )

    # --- doing ------------------------------------------------------------------------------------------------------

    def harvest(
        self,
        archive: SqliteArchive,
        loaded: recipes.Loaded,
        parameters: Mapping[str, str],
        watch: Watch,
        *,
        dry_run: bool = False,
        most_documents: int | None = None,
        without_anchor: str = "",
    ) -> tuple[JobId, Harvest]:
        """Read the ERP once; a run that was killed goes on under its own number.

        `without_anchor`: why it may go on although no witness has seen the log for too long.

        Raises:
            UsageError: the policy does not allow what the recipe asks of the ERP.
            PersonNeeded: a stop is in force.
            NeedsPerson: the recipe is not approved.
        """
        self.put_in_force(archive)
        self._allowed(loaded, parameters)
        self._days_allowed(loaded, parameters)
        edition = self.approvals(archive).require(loaded.edition, account())
        self.gate()
        plan = Plan(
            recipe=loaded.recipe,
            recipe_source=loaded.source,
            lookups=loaded.lookups,
            parameters=parameters,
            policy_source=self.policy_source,
            started_by=canonical.sm3(account().encode()).hex(),
            agent=f"scraper_agent {scraper_agent.__version__}",
            dry_run=dry_run,
            most_documents=most_documents,
            edition=edition,
            unanchored=_unanchored(without_anchor),
        )
        id = _run_id(archive, loaded.recipe.recipe)
        return id, self.pipeline(archive, watch).harvest(id, plan, self.browser(erp_of(loaded)))

    def take_in(
        self, archive: SqliteArchive, file: Filled, watch: Watch, *, without_anchor: str = ""
    ) -> tuple[JobId, Harvest]:
        """Make a job of every document of a file that people filled in: of all of them or of none.

        `without_anchor`: as `harvest` has it.

        Raises:
            PersonNeeded: a stop is in force, or no witness has seen the log for too long.
            UsageError: the policy does not allow documents of this format.
        """
        self.gate()
        self._format_allowed(file.contents.format.name)
        intake = Intake(
            file_name=file.name,
            media=file.media,
            body=file.body,
            format=file.contents.format,
            rows=file.contents.rows,
            readings=lambda digest: file.contents.readings(file.name, digest),
            policy_source=self.policy_source,
            started_by=canonical.sm3(account().encode()).hex(),
            agent=f"scraper_agent {scraper_agent.__version__}",
            unanchored=_unanchored(without_anchor),
        )
        id = JobId(f"run/{now():%Y%m%dT%H%M%S%f}-{intake.recipe.replace('/', '-')}")
        return id, self.pipeline(archive, watch).take_in(id, intake)

    def waybills(self, archive: SqliteArchive, filled: Filled, carrier: task.Carrier) -> Filled:
        """The carrier's waybills of a file of transport tasks, to be taken in in their place."""
        format, enterprise = self.tables.formats[task.WAYBILL], self.config.enterprise
        pipeline = self.pipeline(archive, lambda _job, _fact: None)

        def make(values: Values) -> task.Made:
            known = archive.documents(format=format.name, key=task.number_of(values, carrier))
            return task.waybill(
                values,
                carrier,
                name=enterprise.name,
                code=enterprise.uscc,
                at=now().astimezone(mapping.CHINA_TIME).replace(tzinfo=None),
                known=pipeline.document(archive.job(known[-1])).header if known else None,
            )

        return replace(filled, contents=tasks.waybills(filled.contents, format, make))

    def advance(self, pipeline: Pipeline, documents: Iterable[JobId], *, dry_run: bool = False) -> list[AgentError]:
        """Take each job as far as it goes; what stops one job does not stop the next. Returns what stopped any.

        Raises:
            NeedsPerson: a passphrase is needed, or a stop is in force; what had left has been landed.
        """
        pipeline.gate(_nothing)
        stopped: list[AgentError] = []
        under_way: Callable[[], Job] | None = None

        def land(then: Callable[[], Job] | None = None) -> bool:
            """What is under way, if anything is; then `then` is."""
            nonlocal under_way
            before, under_way = under_way, then
            if before is not None:
                before()
            return before is not None

        # One is under way while the next is checked and signed: signing takes about as long as an answer.
        with ThreadPoolExecutor(1) as worker:
            try:
                ready = documents if dry_run or pipeline.anchoring is None else _anchored(pipeline, documents, land)
                for id in _and_freed(pipeline, ready, land):
                    try:
                        if dry_run:
                            pipeline.gate(land)
                            pipeline.check(id)
                            continue
                        if pipeline.breaker(
                            id
                        ).failures:  # then one after the other, so that failures are counted right
                            land()
                        land(pipeline.depart(id, post=lambda send: worker.submit(send).result, land=land))
                    except NeedsPerson:
                        raise
                    except AgentError as error:
                        stopped.append(error)
            finally:
                land()  # what has left is waited for, whatever ended the rest
        return [*stopped, *(error for _, error in pipeline.doubts)]

    def deliver(
        self,
        pipeline: Pipeline,
        archive: SqliteArchive,
        *,
        until: datetime,
        sleep: Callable[[float], None],
        wanted: Callable[[JobId], bool] = lambda _id: True,
    ) -> list[AgentError]:
        """Send what is due and ask for receipts; then again what comes due, until nothing waits or it is `until`.

        `wanted`: whether a document is to be sent now.

        Returns what stopped any in the last round.

        Raises:
            NeedsPerson: a passphrase is needed, or a stop is in force.
        """
        while True:
            pipeline.gate(_nothing)
            pipeline.doubts.clear()
            pipeline.keep_anchored()
            held = pipeline.held_formats()
            stopped = App.advance(self, pipeline, filter(wanted, _due(pipeline, archive)))
            # What was passed over meanwhile may leave at once.
            wake = pipeline.now() if held - pipeline.held_formats() else _wake(pipeline, archive)
            waiting = any(wanted(id) for each in OPEN for id in archive.in_state(each))
            if wake is None or wake > until or not waiting:
                return stopped
            sleep(max((wake - pipeline.now()).total_seconds(), 0.01))

    def overdue(self, pipeline: Pipeline, archive: SqliteArchive) -> list[AgentError]:
        """What left and is not settled by itself: told as often as it is looked for."""
        told: list[AgentError] = []
        hours = pipeline.schedule.overdue_h
        if late := archive.older(State.DELIVERED, pipeline.now() - timedelta(hours=hours)):
            told.append(
                AgentError(
                    "SA7062",
                    N_("{count} document(s) were handed over more than {hours} h ago and have no receipt"),
                    hint=N_("ask the receiving side; `scraper-agent jobs --state delivered` lists them"),
                    count=late,
                    hours=hours,
                )
            )
        unknown = sum(pipeline.destination(id).transport.repeat == "never" for id in archive.in_state(State.UNKNOWN))
        if unknown:
            told.append(
                NeedsPerson(
                    "SA7063",
                    N_("{count} document(s) may have arrived, and only a person can find out"),
                    hint=N_(
                        "ask the receiving side; `scraper-agent job retry NAME --absent` sends one again that it does "
                        "not have"
                    ),
                    count=unknown,
                )
            )
        return told


OPEN = (State.SIGNED, State.UNKNOWN, State.DELIVERED, State.WAITING)
"""Of documents that are to leave, or whose receipt is to come."""


def _and_freed(pipeline: Pipeline, documents: Iterable[JobId], land: Callable[[], bool]) -> Iterator[JobId]:
    """These, then those that waited for one of them. `land` ends what is under way, and says whether anything was."""
    yield from documents
    while pipeline.freed or land():
        if pipeline.freed:
            yield pipeline.freed.popleft()


def _anchored(pipeline: Pipeline, documents: Iterable[JobId], land: Callable[[], bool]) -> Iterator[JobId]:
    """These, many at a time, once all of them are signed: the first to leave has all of them shown to a witness."""
    left = iter(documents)
    while batch := list(itertools.islice(left, MOST_FACTS)):
        land()
        for id in batch:
            with suppress(AgentError):  # it is met again where it departs
                pipeline.advance(id, send=False)
        pipeline.keep_anchored()
        yield from batch


def _due(pipeline: Pipeline, archive: SqliteArchive) -> Iterator[JobId]:
    """What is to be sent or asked for, as long as its receiver is there."""
    pipeline.look_again()
    for id in archive.due(pipeline.now(), pipeline.held_formats):
        if pipeline.breaker(id).rests(pipeline.now()):
            if all(each.rests(pipeline.now()) for each in pipeline.breakers()):
                return
        elif not pipeline.still_waits(id):
            yield id


def _wake(pipeline: Pipeline, archive: SqliteArchive) -> datetime | None:
    """When there is something to do again, later than now; None if nothing waits."""
    if not archive.any_in(*OPEN):
        return None
    now = pipeline.now()
    breakers = pipeline.breakers()
    times = [each.until for each in breakers if each.holds(now)]
    if len(times) < len(breakers):
        held = pipeline.held_formats()
        asked = archive.any_in(State.UNKNOWN, State.DELIVERED, but_of=held)
        asks = now + timedelta(seconds=pipeline.schedule.ask_every_s) if asked else None
        times += [archive.next_due(now, held), asks]
    return min((each for each in times if each is not None), default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """A file that people filled in, read whole."""

    name: str
    media: str
    body: bytes
    contents: reading.Contents


def open_filled(
    path: Path, format: str | None, known_formats: Mapping[str, Format] = FORMATS, *, complete: bool = False
) -> Filled:
    """The documents in a file. `format`: its key, where the file does not say it.

    `complete`: those in JSON may have the fields that the agent fills.

    Raises:
        UsageError: the file cannot be read, or is of no kind that is taken in.
        PageError: its bytes are refused.
        Misfits: something in it is not certain.
    """
    media = next((each for each in MEDIA if path.suffix.lower() == f".{each}"), None)
    if media is None:
        raise UsageError(
            "SA7060",
            N_("{path} is none of {known}"),
            hint=N_("save it as .xlsx; `scraper-agent format template KEY` writes a file to fill in"),
            path=path,
            known=", ".join(f".{each}" for each in MEDIA),
        )
    try:
        with path.open("rb") as file:
            body = file.read(files.MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(
            "SA7061",
            N_("{path} cannot be read: {reason}"),
            hint=N_("check the name; close the file in Excel"),
            path=path,
            reason=error.strerror,
        ) from error
    contents = reading.read(files.tables(body, media, layout.SKIPPED), known_formats, format, complete=complete)
    return Filled(name=path.name, media=media, body=body, contents=contents)


MEDIA: tuple[files.Media, ...] = ("xlsx", "csv", "json")
"""Kinds of files that documents are taken in from, by what their names end in."""


def load_recipe(name: str, folder: Path, known_formats: Mapping[str, Format] = FORMATS) -> recipes.Loaded:
    """A recipe by its file, or by its name in `folder` or among those that come with the package.

    Raises:
        UsageError: there is none; or it is wrong.
    """
    path = Path(name)
    roots = (folder, builtin_recipes())
    if path.suffix in (".yaml", ".yml"):
        return recipes.load(path, known_formats, roots)
    for place in roots:
        if (place / f"{name}.yaml").is_file():
            return recipes.load(place / f"{name}.yaml", known_formats, roots)
    known = sorted(
        str(p.relative_to(place).with_suffix("")) for place in (builtin_recipes(),) for p in place.glob("*/*.yaml")
    )
    raise UsageError(
        "SA7005",
        N_("there is no recipe `{seen}` in {folder}"),
        hint=N_("give a file, or one of: {known}"),
        seen=name,
        folder=folder,
        known=", ".join(k for k in known if not k.endswith("lookups")),
    )


def needs(loaded: recipes.Loaded, addresses: Iterable[str]) -> policies.Requests:
    """What a policy has to allow for a recipe to read an ERP at these addresses."""
    return policies.Requests(addresses=tuple(addresses), permits=loaded.recipe.permits)


def section(requests: Mapping[str, policies.Requests]) -> str:
    """What of the policy file is about these ERPs, as YAML."""
    data = {erp: r.model_dump(mode="json", by_alias=True, exclude_defaults=True) for erp, r in requests.items()}
    return yaml.safe_dump({"requests": data}, allow_unicode=True, sort_keys=False, width=1000).rstrip()


def _policy_problems(currencies: CodeList, policy: policies.Policy, at: yamlfile.Positions) -> Iterator[Problem]:
    """Names that no document has: their limits would never be found, and nobody would know why all of it waits."""
    yield from _request_problems(policy, at)
    yield from _scope_problems(policy, at)
    for code in policy.severities:
        if code not in analyses.DEFAULT.codes:
            yield Problem(
                at=at.key(("severities", code)),
                code="SA7040",
                text=N_("there is no check between documents `{seen}`; there are {known}"),
                values={"seen": code, "known": ", ".join(analyses.DEFAULT.codes)},
            )
    named: tuple[tuple[str, Iterable[str]], ...] = (
        ("automatic", policy.automatic),
        ("approval", policy.approval),
        ("fields", policy.fields),
    )
    for part, names in named:
        for format in names:
            if format not in FORMATS:
                yield Problem(
                    at=at.key((part, format)),
                    code="SA7006",
                    text=N_("there is no format `{seen}`; there are {known}"),
                    values={"seen": format, "known": ", ".join(FORMATS)},
                )
    yield from approval.problems(policy, at)
    yield from leaving.problems(policy.fields, FORMATS, at)
    for format, limit in policy.automatic.items():
        for currency in limit.amounts:
            if currency not in currencies.codes:
                yield Problem(
                    at=at.key(("automatic", format, "amounts", currency)),
                    code="SA7007",
                    text=N_("`{seen}` is no currency of the code list"),
                    hint=N_("three capital letters, such as CNY"),
                    values={"seen": currency},
                )


def _scope_problems(policy: policies.Policy, at: yamlfile.Positions) -> Iterator[Problem]:
    """ERPs and formats that there are none of: what was to be limited would not be."""
    formats: list[tuple[yamlfile.Loc, str]] = [(("documents", n), f) for n, f in enumerate(policy.documents or ())]
    for section in ("documents_per_day", "destinations"):
        formats += [((section, name), name) for name in getattr(policy, section) if name != policies.ALL]
    formats += [(("windows", name), name) for name in policy.windows if name not in policy.requests]
    for loc, seen in formats:
        if seen not in FORMATS:
            yield Problem(
                at=at.key(loc),
                code="SA7006",
                text=N_("there is no format `{seen}`; there are {known}"),
                values={"seen": seen, "known": ", ".join(FORMATS)},
            )
    for section in ("hours", "pace"):
        for erp in getattr(policy, section):
            if erp not in policy.requests:
                yield Problem(
                    at=at.key((section, erp)),
                    code="SA7094",
                    text=N_("there is no ERP `{seen}` under `requests`; there are {known}"),
                    values={"seen": erp, "known": ", ".join(policy.requests) or "-"},
                )


def _named(home: Path, place: str) -> frozenset[str]:
    """What a destination of the policy may mean: a host, an address, or a folder."""
    return frozenset({place.rstrip("/").lower(), str((home / place).resolve())})


def _request_problems(policy: policies.Policy, at: yamlfile.Positions) -> Iterator[Problem]:
    """Addresses that none is, and patterns that do not parse: nothing would ever be like them."""
    for erp, requests in policy.requests.items():
        for number, address in enumerate(requests.addresses):
            if not _fits(Parameter(type="url"), address) or urlsplit(address).path not in ("", "/"):
                yield Problem(
                    at=at.of(("requests", erp, "addresses", number)),
                    code="SA7021",
                    text=N_("`{seen}` is no address; expected http or https, host, and port if it is not the usual"),
                    values={"seen": address},
                )
        patterns: list[tuple[yamlfile.Loc, str]] = [(("refuses", n), p) for n, p in enumerate(requests.refuses)]
        for number, permit in enumerate(requests.permits):
            patterns.append((("permits", number, "path"), permit.path))
            patterns += [(("permits", number, "json", key), p) for key, p in permit.json_.items()]
        for place, pattern in patterns:
            try:
                re.compile(pattern)
            except re.error as error:
                yield Problem(
                    at=at.of(("requests", erp, *place)),
                    code="SA7022",
                    text=N_("`{seen}` is not a regular expression: {why}"),
                    values={"seen": pattern, "why": str(error)},
                )


def _at(home: Path, config: Model) -> Model:
    """The same, its paths from `home` on."""
    return config.model_copy(update={name: home / value for name, value in config if isinstance(value, Path)})


def _first_line(path: Path) -> str:
    """Empty if there is none. Editors of Windows begin a file with a byte order mark, which is no part of a secret."""
    try:
        return path.read_text(encoding="utf-8-sig").partition("\n")[0].strip()
    except (OSError, UnicodeDecodeError):
        return ""


def erp_of(loaded: recipes.Loaded) -> str:
    return loaded.recipe.recipe.split("/")[0]


def _unanchored(reason: str) -> Unanchored | None:
    return Unanchored(by=f"person:{account()}", reason=reason) if reason else None


def _run_id(archive: SqliteArchive, recipe_id: str) -> JobId:
    runs = archive.runs(recipe_id=recipe_id)
    if runs and not isinstance(archive.last(runs[-1]), RunEnded):
        return runs[-1]
    return JobId(f"run/{now():%Y%m%dT%H%M%S%f}-{recipe_id.replace('/', '-')}")


def _fits(parameter: Parameter, value: str) -> bool:
    try:
        match parameter.type:
            case "integer":
                int(value)
            case "date":
                return re.fullmatch(r"\d{4}-\d\d-\d\d", value, re.ASCII) is not None and bool(date.fromisoformat(value))
            case "url":
                return recipes.is_address(value)
            case "text" | "account":
                return bool(value)
    except ValueError:
        return False
    return True
