"""The facts: immutable, and the only truth. A job is the tuple of its facts; the log is all facts in order.

A fact holds digests and small data. Bodies (pages, images, documents, envelopes) are blobs in the archive, so that
law or contract can delete a blob while the log stays whole.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Literal, NewType, TypeAlias, assert_never

Digest = NewType("Digest", str)
"""`sm3:` and 64 lower-case hex digits, of a blob in the archive."""

JobId = NewType("JobId", str)
"""`run/…` for a harvest, `doc/<format>/<64 hex>` for a document, `session/<erp>` for the accounts of an ERP, `keys` for
the installation's keys, `policy` for its policies, `recipe/<recipe id>` for the approvals of a recipe,
`erasure` for what was deleted, `control` for what people paused and stopped, `console` for who signed in to the
console, `export` for what was handed out, `anchor/<witness>` for what a witness has seen of the log, `anchor` for what
else is said of that."""


class Severity(StrEnum):
    ERROR = "error"  # blocks approval
    WARNING = "warning"  # shown to the approver


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One broken rule. `text` is an English template of the catalogue, filled with `values` when shown."""

    code: str
    severity: Severity
    field: str
    """`totalAmount`, or `lines[3].unitPrice` counted from 1."""
    text: str
    values: Mapping[str, str] = dataclasses.field(default_factory=dict)


# --- facts of a run -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted:
    """First fact of a run, and again each time a killed run is taken up."""

    recipe_id: str
    recipe_version: str
    recipe: Digest
    """The recipe file's own bytes."""
    policy: Digest
    parameters: Mapping[str, str]
    """Never a secret."""
    started_by: str
    """SM3 of the operating system's account name, 64 hex digits."""
    agent: str
    dry_run: bool
    edition: Digest | None = dataclasses.field(default=None, metadata={"none": "left out"})
    """What was approved of the recipe (see `RecipeProposed`); None where the policy asks for no approval."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One page as the browser showed it."""

    name: str
    url: str
    taken_at: datetime
    page: Digest
    """The frozen page (see `page.py`)."""
    image: Digest | None
    """JPEG of the whole page; None where the policy wants no images."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """Bytes that the ERP sent beside its pages: a file of a download, or what a page received."""

    name: str
    url: str
    taken_at: datetime
    media: str
    """What the recipe expects it to be: `xlsx csv`, `json`, `pdf`."""
    body: Digest
    size_bytes: int
    file_name: str
    """What the ERP calls it; no path."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A request of the page that the read-only guard did not let through."""

    method: str
    url: str
    reason: str


class Completeness(StrEnum):
    """Whether a list lacks a row: proved not to; nothing speaks for it; or something does."""

    PROVED = "proved"
    PLAUSIBLE = "plausible"
    UNPROVED = "unproved"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """A template of the catalogue and what fills it."""

    text: str
    values: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """Made by `completeness.certificate` alone."""

    state: Completeness
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ListRead:
    """A list was read to its end, or broke off. `declared` is the count the page states; None if it states none."""

    name: str
    declared: int | None
    harvested: int
    pages: int
    certificate: Certificate | None = None
    """None in logs from before there were certificates."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Something could not be read; the run went on. `page` is the faulty page's bytes, if there was one."""

    where: str
    page: Digest | None
    code: str
    text: str
    values: Mapping[str, str]
    hint: str = ""


SessionState: TypeAlias = Literal[
    "logged_in", "logged_out", "unknown", "right_account", "other_account", "operable", "inoperable", "lost"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionChecked:
    """A session was looked at before the ERP was used: one elsewhere, or the ERP's own."""

    name: str
    """Of one elsewhere as the recipe says; of the ERP's own `login`, `account`, `ready` or `session`."""
    state: SessionState
    action: Literal["go_on", "log_out", "check_again", "stop"]
    """What was done about it."""
    result: Literal["done", "failed"]
    """Of the action."""
    said: Reason | None
    """Why the state is what it is, or the action failed, where that is not plain."""
    page: Digest | None
    """The page it was seen on; None if there was none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """A complete run has read everything up to a day: the next one may begin there (see `incremental.py`)."""

    field: str
    newest: str
    """YYYY-MM-DD."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnded:
    """`complete`: every list reached its declared count and no page was refused."""

    complete: bool
    documents: int
    faults: int


class Outcome(StrEnum):
    """Why a run waits for a person: what became of its login or session."""

    WRONG_PASSWORD = "wrong_password"  # noqa: S105 - a word, no password
    PASSWORD_EXPIRED = "password_expired"  # noqa: S105
    LOCKED_OUT = "locked_out"
    SECOND_FACTOR = "second_factor"
    CAPTCHA = "captcha"
    KICKED_OUT = "kicked_out"  # the account was logged in elsewhere
    EXPIRED = "expired"  # the session ended, and a new login did not help or cannot be made unattended
    OTHER_SESSION = "other_session"  # somebody else is, or may be, logged in where it must not be
    NO_SECRET = "no_secret"  # noqa: S105 - nobody gave it
    HALTED = "halted"  # a person stopped the robot
    HOURS = "hours"  # the policy's hours for the ERP are over; it goes on within the next ones
    UNANCHORED = "unanchored"  # no witness has seen the log for longer than the policy allows

    @property
    def stops_account(self) -> bool:
        """Whether any further login may do harm, so that the account rests until a person clears it."""
        return self in (Outcome.WRONG_PASSWORD, Outcome.LOCKED_OUT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Relogin:
    """The session ended in mid-run, the agent logged in once more, and `where` was begun anew.

    Records that had been read are not opened again. Of the lists logged before, the last `void_lists` count no more.
    """

    where: str
    url: str
    number: int
    """Which new login of this run it is, from 1."""
    void_lists: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Anew:
    """A pause fell into `where`, which was begun anew after it, as what the page shows may lack what was held back.

    Records that had been read are not opened again. Of the lists logged before, the last `void_lists` count no more.
    """

    where: str
    void_lists: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Parked:
    """The run waits for a person. Last fact of a run until it is taken up again, under the same number."""

    outcome: Outcome
    where: str
    page: Digest | None
    code: str
    text: str
    values: Mapping[str, str]
    parked_at: datetime
    done: Digest | None
    """The records that were read and their documents; None where nothing was."""
    hint: str = ""


# --- facts of an ERP's accounts -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountStopped:
    """No run logs in with this account until a person clears it."""

    account: str
    """Digests of the recipe's parameters of type account; empty if it has none."""
    outcome: Outcome
    run: JobId


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleared:
    """A person says that what stopped the ERP's accounts is put right."""

    by: str
    """`person:` and the account name."""


# --- facts of an installation's keys --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyChanged:
    """What was done with a key of the key folder."""

    action: Literal["made", "imported", "activated", "retired", "revoked"]
    sk: str
    public_key: str
    """X‖Y, 128 lower-case hex digits."""
    fingerprint: str
    by: str
    """`person:` and the account name."""
    reason: str = ""
    statement: Digest | None = None
    """Of a rotation: the statement signed by the old and the new key."""


# --- facts of control -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Paused:
    """Nothing is opened, signed or sent until `Resumed`; what runs waits."""

    by: str
    """`person:` and the name; `file`, or `file:` and its owner, where the file was made by hand."""
    via: str
    """`cli`, `console`, `banner`; `file` where it was made by hand."""
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Halted:
    """What runs ends, and nothing begins until `Resumed`."""

    by: str
    via: str
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed:
    """Neither a pause nor a stop is in force any more."""

    by: str
    via: str
    reason: str = ""


# --- facts of the console -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedIn:
    by: str
    """`person:` and the name, as of every fact here."""
    how: Literal["link", "token"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedOut:
    by: str
    why: Literal["asked", "idle", "longest", "revoked"]
    """A person asked; nobody was there; the session was as old as one may be; its token was revoked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignInRefused:
    """Wrong tokens came; from whom is not known. `count`: so many in a row so far."""

    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Denied:
    """A person wanted what the policy gives them no role for."""

    by: str
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenChanged:
    by: str
    action: Literal["made", "revoked"]
    name: str
    """Whose tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOrdered:
    """A person began a run, or sending, from the console."""

    by: str
    command: str


# --- facts of a recipe's approval -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeProposed:
    """Somebody wants this edition of a recipe to be used; whoever says so counts as its author."""

    recipe_id: str
    version: str
    digest: Digest
    """Of the list of its files (see `authoring/edition.py`), which is kept as they are."""
    files: Mapping[str, Digest]
    """Every file that decides what is read and asked, by name."""
    by: str
    """`person:` and the account name."""
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeDecided:
    """Whether an edition may be used. Of several decisions on one, the last counts."""

    digest: Digest
    granted: bool
    by: str
    reason: str
    statement: Digest | None = None
    """The approval under the installation's signature (see `recipes_approved.py`); None if it is declined."""


# --- facts of the policy --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyAdopted:
    """From here on the policy of this version is in force: it was signed, and this is its first use."""

    version: int
    policy: Digest
    """The policy file's own bytes."""
    statement: Digest
    """The signature's file (see `signing/policy_statement.py`)."""
    key_index: str
    """`sk` of the key that signed it."""
    public_key: str
    by: str
    """`person:` and the name of who signed it, as the signature says."""
    reason: str = ""


# --- facts of what is kept no more ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Erased:
    """Bodies that are not in the archive any more: the same commit deleted them. A later fact may name one anew."""

    what: Literal["documents", "waybills", "images", "fields"]
    """Why it could go: the time of such documents, or of images, is over; or a person had fields erased."""
    bodies: tuple[Digest, ...]
    by: str
    """`person:` and the account name."""
    reason: str
    basis: str
    """The law that allows it."""
    policy: Digest
    """The policy file's own bytes."""
    of: JobId | None = dataclasses.field(default=None, metadata={"none": "left out"})
    """The document whose fields were erased."""
    fields: tuple[str, ...] | None = dataclasses.field(default=None, metadata={"none": "left out"})


# --- facts of what was handed out -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """Documents were handed out as a bundle (see `exporting.py`). Logged before anything is written."""

    by: str
    """`person:` and the account name."""
    documents: Digest
    """Of the list of their jobs, canonical JSON."""
    count: int
    asked: Mapping[str, str]
    """What they were chosen by: `document`, `format`, `since`, `until`; and `images`: `no` where they were left out."""
    reason: str


# --- facts of the log itself ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchored:
    """A witness has the log's head of `size` entries."""

    witness: str
    size: int
    note: Digest
    """The checkpoint, signed by the log and, by a witness that signs, by it (see `audit/note.py`)."""
    at: datetime
    """When, as the witness says; as this machine says where it does not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unanchored:
    """A person lets a run begin, or a file be taken in, although no witness has seen the log for too long."""

    by: str
    """`person:` and the account name."""
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolled:
    """From this entry on each has a MAC (see `archive/ratchet.py`); who checks them was given the first key."""

    commitment: str
    """SM3 of the first key, 64 hex digits."""
    by: str


# --- facts of a document --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """First fact of every document job."""

    run: JobId
    format: str
    key: str
    """The business key, such as the order number; `?` and the source record if the page shows none."""
    record: str
    """`sourceRecordKey`: the record in the ERP."""
    document: Digest
    """The standard's own bytes; what is checked, shown, approved, signed and sent."""
    provenance: Digest
    """Where on which page each value was read (see `mapping.Provenance`)."""
    page: Digest
    unread: tuple[Finding, ...] = ()
    """Places whose text was no value of their field."""
    replaces: JobId | None = None
    """The version that the receiver has, which this one changes or withdraws; None if it has none."""
    withdrawn_by: str = ""
    """`person:` and the account name of who withdraws `replaces`; empty for what was read."""
    reason: str = ""
    """Why it is withdrawn."""
    fields_root: str | None = dataclasses.field(default=None, metadata={"none": "left out"})
    """Of the commitments to its fields, 64 hex digits (see `commitments`); None in logs from before there were any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    document: Digest
    findings: tuple[Finding, ...]
    tables: tuple[str, ...] = ()
    """The code lists and tables that it was judged by: name, version, day and digest; `none` if there was none."""

    @property
    def blocked(self) -> bool:
        return any(f.severity is Severity.ERROR for f in self.findings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    document: Digest
    granted: bool
    by: str
    """`policy`, or `person:` and the account name."""
    reason: str
    batch: Digest | None = dataclasses.field(default=None, metadata={"none": "left out"})
    """Of what was approved in one decision with others; None if it was decided by itself (see `approval.Batch`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    document: Digest
    envelope: Digest
    key_index: str
    """`sk`, 01 to 99."""
    profile: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """Logged before the envelope leaves, so that a crash cannot hide a send."""

    envelope: Digest
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """Attempt `number` was handed over for certain; the receiver answers later."""

    envelope: Digest
    number: int
    receipt: Digest | None = dataclasses.field(default=None, metadata={"none": "left out"})
    """The receiver's signed word, verified, that it has it and that its final answer is to come; None if it was the
    transport that said so.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """Attempt `number` gave no receipt, and sending again is right because of `reason`."""

    envelope: Digest
    number: int
    reason: str
    not_before: datetime | None = None
    """None: at once."""
    cause: Literal["away", "refused", "absent", "unknown"] | None = None
    """What is known of that attempt. The destination could not be reached, or took nothing; it did not take this
    envelope; it says that it does not have it; nothing tells, and sending again is harmless. None: a person wants it,
    or the log is from before there were causes.
    """
    by: str = ""
    """`person:` and the account name, where a person wants it sent again at once."""
    answer: Digest | None = None
    """The receiver's signed answer, where it asks for a new signature."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """Attempt `number` was the last one, because of `reason`; a person may have it sent again."""

    envelope: Digest
    number: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """The receiver's signed answer, verified. `receipt` is its bytes as they came."""

    envelope: Digest
    receipt: Digest
    accepted: bool
    remote_id: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """The job stopped; `stage` names the step that did not happen."""

    stage: Literal["sign", "send"]
    message: str


# --- facts of what people decide about a document -------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Endorsed:
    """The first of two people who must approve; the second one's word is the Approval."""

    document: Digest
    by: str
    """`person:` and the account name."""
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A person keeps back a document that has not left. Nothing follows but its release, or its end."""

    document: Digest
    by: str
    """`person:` and the account name."""
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """It is kept back no more, and is checked and approved anew: an approval from before the hold is void."""

    document: Digest
    by: str
    """`person:` and the account name."""
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Excluded:
    """A person left fields out of a document that has never left; it is checked and approved anew."""

    document: Digest
    """The new bytes, in force from here on."""
    before: Digest
    fields: tuple[str, ...]
    """`remark`, `lines.goodsName` of every line, `lines[3].goodsName` of one."""
    by: str
    """`person:` and the account name."""
    reason: str
    mark: str
    """Drawn by chance. What the receiver sees of the job's number is made with it: else that number, a digest over what
    was read, would tell whoever tries all values which one was left out.
    """
    kept_back: bool
    """It was on hold, and stays so."""


RunFact: TypeAlias = (
    RunStarted
    | Snapshot
    | Fetched
    | Refused
    | ListRead
    | Fault
    | SessionChecked
    | Relogin
    | Anew
    | Reached
    | Parked
    | RunEnded
)
AccountFact: TypeAlias = AccountStopped | Cleared
DecisionFact: TypeAlias = Endorsed | Held | Released | Excluded
DocumentFact: TypeAlias = (
    Draft | Verdict | Approval | Envelope | Attempt | Delivered | Retry | DeadLetter | Receipt | Failure | DecisionFact
)
ControlFact: TypeAlias = Paused | Halted | Resumed
ConsoleFact: TypeAlias = SignedIn | SignedOut | SignInRefused | Denied | TokenChanged | RunOrdered
RecipeFact: TypeAlias = RecipeProposed | RecipeDecided
AnchorFact: TypeAlias = Anchored | Unanchored | Enrolled
Fact: TypeAlias = (
    RunFact
    | AccountFact
    | KeyChanged
    | PolicyAdopted
    | Erased
    | RecipeFact
    | ControlFact
    | ConsoleFact
    | Exported
    | AnchorFact
    | DocumentFact
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of the log. `index` and `position` start at 0."""

    index: int
    at: datetime
    job: JobId
    position: int
    """Which fact of its job this is."""
    fact: Fact


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    id: JobId
    facts: tuple[Fact, ...] = ()

    @property
    def last(self) -> Fact | None:
        return self.facts[-1] if self.facts else None


class State(StrEnum):
    """Where a document stands: one word for lists, counts and colours."""

    READ = "read"
    BLOCKED = "blocked"
    HELD = "held"
    ON_HOLD = "on_hold"  # a person keeps it back
    APPROVED = "approved"
    DECLINED = "declined"
    SIGNED = "signed"
    UNKNOWN = "unknown"  # an attempt whose answer nobody has seen
    DELIVERED = "delivered"  # handed over; the receipt is to come
    WAITING = "waiting"
    DEAD = "dead"  # given up after too many attempts; a person may have it sent again
    RECEIPTED = "receipted"
    REJECTED = "rejected"
    STOPPED = "stopped"


def in_force(job: Job) -> Digest:
    """The bytes that a document job is about now: those that were read, less what people left out.

    Raises:
        ValueError: the job is not a document.
    """
    for fact in reversed(job.facts):
        if isinstance(fact, Draft | Excluded):
            return fact.document
    raise ValueError(f"{job.id} is not a document")


def state(job: Job) -> State:  # noqa: C901, PLR0912 - one line for each kind of fact
    """The state of a document job, by its last fact alone.

    Raises:
        ValueError: the job is a run, or has no facts.
    """
    match job.last:
        case Draft():
            return State.READ
        case Verdict() as verdict:
            return State.BLOCKED if verdict.blocked else State.HELD
        case Endorsed():
            return State.HELD
        case Held() | Excluded(kept_back=True):
            return State.ON_HOLD
        case Released() | Excluded():
            return State.READ
        case Approval(granted=granted):
            return State.APPROVED if granted else State.DECLINED
        case Envelope():
            return State.SIGNED
        case Attempt():
            return State.UNKNOWN
        case Delivered():
            return State.DELIVERED
        case Retry():
            return State.WAITING
        case DeadLetter():
            return State.DEAD
        case Receipt(accepted=accepted):
            return State.RECEIPTED if accepted else State.REJECTED
        case Failure():
            return State.STOPPED
        case (
            None
            | RunStarted()
            | Snapshot()
            | Fetched()
            | Refused()
            | ListRead()
            | Fault()
            | (SessionChecked() | Relogin() | Anew())
            | Reached()
            | (Parked() | RunEnded() | AccountStopped() | Cleared() | KeyChanged())
            | (RecipeProposed() | RecipeDecided())
            | (Paused() | Halted() | Resumed())
            | (SignedIn() | SignedOut() | SignInRefused() | Denied() | TokenChanged() | RunOrdered())
            | (PolicyAdopted() | Erased() | Exported())
            | (Anchored() | Unanchored() | Enrolled())
        ):
            raise ValueError(f"{job.id} is not a document")
        case unknown:
            assert_never(unknown)
