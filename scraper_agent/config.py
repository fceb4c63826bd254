"""What config.yaml may say. Paths in it are relative to its own folder."""

from __future__ import annotations

import difflib
import posixpath
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal, assert_never

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from scraper_agent import envelope, gcm, sending, signing, yamlfile
from scraper_agent import outbox as outboxes
from scraper_agent.credentials import SecretPlace
from scraper_agent.errors import Problem
from scraper_agent.formats import FORMATS
from scraper_agent.messages import N_
from scraper_agent.rules.identity import USCC_LENGTH, credit_code_check
from scraper_agent.sending import folder, ftp, https, mq, sftp
from scraper_agent.sending import witnesses as seeing
from scraper_agent.signing import keystate, sm2
from scraper_agent.waybill import task
from scraper_agent.yamlfile import Wrong


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _public_key(text: str) -> str:
    try:
        return sm2.parse_public(text.lower())
    except ValueError:
        raise Wrong(
            N_("`{seen}` is not an SM2 public key"),
            hint=N_("128 hex digits, a point of the curve: copy it as the receiving side gave it out"),
            seen=text[:40],
        ) from None


PublicKey = Annotated[str, AfterValidator(_public_key)]


class Enterprise(Strict):
    """The enterprise's profile: what no page of an ERP shows."""

    name: Annotated[str, Field(min_length=1, max_length=100)]
    uscc: str = Field(description="统一社会信用代码, 18 characters.")
    customs_code: str = Field("", pattern=r"^([0-9A-Z]{10})?$", description="海关注册编码, 10 characters.")
    customs_master: str = Field("", pattern=r"^([0-9]{4})?$", description="主管海关, 4 digits.")
    special_zone: Literal["0", "1"] = Field("0", description="1: in a special customs supervision zone.")

    @model_validator(mode="after")
    def _check_character(self) -> Enterprise:
        try:
            right = len(self.uscc) == USCC_LENGTH and credit_code_check(self.uscc) == self.uscc[-1]
        except ValueError:
            right = False
        if not right:
            raise Wrong(
                N_("`{seen}` is not a unified social credit code: its check character is wrong"),
                hint=N_("copy the 18 characters from the business licence"),
                seen=self.uscc,
            )
        return self


class BrowserSettings(Strict):
    executable: Path | None = Field(None, description="Default: Edge, Chrome, Chromium, Playwright's own, as found.")
    headless: bool = True
    images: bool = Field(default=True, description="Keep an image of every page that is read.")
    patience_s: int = Field(
        20, ge=1, description="How long a page may take for one step, beside what the recipe gives it."
    )
    answer_mb: int = Field(64, ge=1, description="Largest answer of an ERP; one that is larger breaks off.")


class PaceSettings(Strict):
    """How much of the ERP the agent takes for itself, while people work with it."""

    tabs: int = Field(3, ge=1, le=8, description="Pages of records that load at a time.")
    pages_per_minute: int | None = Field(
        None, ge=1, description="Most pages asked for in any minute; default: no limit."
    )


class Erp(Strict):
    """One ERP: parameters of its recipes, where its secrets are, and how fast it may be read."""

    parameters: dict[str, str] = {}
    secrets: dict[str, SecretPlace] = {}
    session_key: SecretPlace = Field(
        SecretPlace(), description="What a kept session is encrypted with; default: made and kept in the keyring."
    )
    pace: PaceSettings = PaceSettings()
    ca_file: Path | None = Field(None, description="PEM of its own authority; default: those of the operating system.")


class ReceiverAsWitness(Strict):
    """A receiver that cosigns the checkpoints that requests to it carry."""

    name: seeing.Name
    public_key: PublicKey = Field(description="SM2: what its lines in checkpoints are verified with.")
    url: str | None = Field(
        None, description="Where it is also asked as a witness alone: `<url>/add-checkpoint`; default: nowhere."
    )
    ca_file: Path | None = Field(None, description="PEM of the authorities to trust at `url`; default: the machine's.")


class ReceiverSettings(Strict):
    """The platform that documents are sent to."""

    ak: envelope.SystemId
    transport: sending.Config
    public_keys: dict[keystate.KeyIndex, PublicKey] = Field(
        description="The platform's SM2 public keys by `sk`, as agreed with it on another way than the network."
    )
    profile: envelope.Profile = envelope.DEFAULT
    witness: ReceiverAsWitness | None = Field(
        None, description="It takes a checkpoint of the log with each request and cosigns it; over https alone."
    )

    @model_validator(mode="after")
    def _can_carry(self) -> ReceiverSettings:
        if self.witness is not None and not isinstance(self.transport, https.Config):
            raise Wrong(
                N_("a receiver that is a witness is sent to over https, not by {kind}"),
                hint=N_("name a witness of your own under `witnesses`"),
                kind=self.transport.kind,
            )
        return self


class CrossBorder(task.Carrier):
    """The exchange of waybills of cross-border e-commerce, GB/T 40292-2021."""

    customs_keys: dict[keystate.KeyIndex, PublicKey] = Field(
        {}, description="Customs' SM2 public keys by `sk`: its receipt comes inside the platform's."
    )
    carriers: dict[envelope.SystemId, dict[keystate.KeyIndex, PublicKey]] = Field(
        {}, description="Of a shipper: its carriers' keys, by `ak` and `sk`, whose reports are read."
    )
    added_elements: Path | None = Field(
        None, description="Elements of other national or industry standards that waybills have too (clause 7)."
    )


class Config(Strict):
    enterprise: Enterprise
    archive: Path = Path("archive.db")
    archive_cipher: gcm.Name = Field(
        "aes-256-gcm",
        description="What each new body in the archive is encrypted with, under a key of its own.",
    )
    recipes: Path = Path("recipes")
    policy: Path = Path("policy.yaml")
    policy_keys: dict[keystate.KeyIndex, PublicKey] = Field(
        {},
        description="SM2 public keys by `sk` that a policy may be signed with; default: those of the key folder that "
        "are not revoked.",
    )
    analysis: Path | None = Field(
        None,
        description="What the comparison of documents does otherwise than by default: tolerances, factors, ledgers.",
    )
    log: Path = Path("agent.log")
    code_lists: Path | None = Field(
        None, description="Folder of code lists, YAML or CSV, in place of the packaged ones of the same name."
    )
    tariff: Path | None = Field(None, description="Commodity codes and their legal units, YAML or CSV.")
    districts: Path | None = Field(None, description="The codes of 国内地区, YAML or CSV.")
    rates: Path | None = Field(None, description="Exchange rates, YAML or CSV.")
    sessions: Path = Field(Path("sessions"), description="Folder of kept sessions, encrypted.")
    control: Path = Field(
        Path("control"),
        description="Folder of the files `pause` and `stop`, and of what people order a running process.",
    )
    browser: BrowserSettings = BrowserSettings()
    erps: dict[str, Erp] = Field({}, description="By the first part of a recipe's name: `demo` for `demo/order`.")
    signing: signing.Config
    passphrase: SecretPlace = SecretPlace()
    receiver: ReceiverSettings
    receivers: dict[str, ReceiverSettings] = Field(
        {}, description="By format: where its documents go in place of `receiver`. Settings that are the same are one."
    )
    outbox: outboxes.Settings = outboxes.DEFAULT
    crossborder: CrossBorder | None = None
    origin: str = Field(
        "",
        pattern=r"^([!-*,-~]{1,200})?$",
        description="Name of this log for its witnesses, another for each agent; default: `<uscc>/<ak of receiver>`.",
    )
    witnesses: tuple[seeing.Config, ...] = Field(
        (), description="Who is shown checkpoints of the log, beside receivers that are witnesses."
    )

    @property
    def log_name(self) -> str:
        return self.origin or f"{self.enterprise.uscc}/{self.receiver.ak}"

    @property
    def witnessed(self) -> bool:
        """Whether anybody is to see the log."""
        return bool(self.witnesses) or any(each.witness for each in self.all_receivers().values())

    def receiver_of(self, format: str) -> ReceiverSettings:
        """Who takes documents of this format: if it is not named, who takes what they follow, or else `receiver`."""
        followed = outboxes.FOLLOWS.get(format, format)
        return self.receivers.get(format) or self.receivers.get(followed) or self.receiver

    def all_receivers(self) -> dict[str, ReceiverSettings]:
        """Each once: by the first format that names it, empty for `receiver`."""
        found = {"": self.receiver}
        for format, settings in self.receivers.items():
            if settings not in found.values():
                found[format] = settings
        return found


def problems(home: Path, config: Config, at: yamlfile.Positions) -> Iterator[Problem]:
    """Receivers of no format, and those that would take each other's answers. `home`: the folder of the config."""
    for format in config.receivers:
        if format not in FORMATS:
            near = difflib.get_close_matches(format, FORMATS, n=1)
            yield Problem(
                at=at.key(("receivers", format)),
                code="SA4200",
                text=N_("there is no format `{seen}` whose documents could have a receiver of their own"),
                hint=N_("did you mean `{near}`?") if near else N_("there are: {known}"),
                values={"seen": format, "near": "".join(near), "known": ", ".join(FORMATS)},
            )
    owners: dict[tuple[str, str], str] = {}
    for format, settings in config.all_receivers().items():
        for place in sorted(_places(home, settings.transport)):
            owner = owners.setdefault(place, format)
            if owner != format:
                yield Problem(
                    at=at.of(("receivers", format, "transport")),
                    code="SA4201",
                    text=N_("{place} is also used by the transport of `{other}`"),
                    hint=N_("give each its own; receivers that are meant to be one have the same settings throughout"),
                    values={"place": place[1], "other": f"receivers: {owner}" if owner else "receiver"},
                )


def _places(home: Path, transport: sending.Config) -> frozenset[tuple[str, str]]:
    """What no two receivers may share, as they would take each other's requests or answers: where it is, and its name.

    No network is asked, so that two names of one server are not seen through.
    """

    def here(path: Path) -> tuple[str, str]:
        return "", str((home / path).resolve())

    match transport:
        case https.Config():
            return frozenset()
        case mq.Config(url=url, receipts=queue, inbox=inbox):
            return frozenset({here(inbox), (url.rstrip("/").lower(), queue)})
        case folder.Config(path=path, receipts=receipts):
            own = {"json": path / folder.RECEIPTS, "import_client": path / folder.INBOX, "excel": path}[
                transport.content
            ]
            return frozenset({here(path), here(receipts or own)})
        case sftp.Config() | ftp.Config():
            server = f"{transport.host.lower()}:{transport.port}"
            login = f"{transport.user}@{server}"  # where a path begins that does not begin with `/`
            paths = (posixpath.normpath(each) for each in (transport.folder, transport.receipts))
            return frozenset((server if path.startswith("/") else login, path) for path in paths)
        case unknown:
            assert_never(unknown)
