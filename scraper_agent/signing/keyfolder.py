"""The folder of an installation's keys: `keys.json`, and one encrypted file per key.

The index (`sk`, 01 to 99) tells the receiving side which public key to verify with, so an index names one key for ever.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TypeAlias, assert_never

from pydantic import SecretStr, TypeAdapter, ValidationError

from scraper_agent import canonical
from scraper_agent.errors import UsageError
from scraper_agent.messages import N_
from scraper_agent.signing import keyfile, keystate, rotation
from scraper_agent.signing.keystate import KeyEntry, KeyState

LIST = "keys.json"
_LAST_INDEX = 99
_ALWAYS = datetime(1970, 1, 1, tzinfo=UTC)
"""What a key without a moment to sign from is compared as."""
_FILE = re.compile(r"sm2-(\d\d)\.pem")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing that is done with a key."""

    action: Literal["made", "imported", "activated", "retired", "revoked"]
    entry: KeyEntry
    """As it will be."""
    reason: str = ""


def unrecorded(_steps: tuple[Step, ...], _statement: bytes | None) -> None:
    """Of a folder without a log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Journal:
    """The log, as far as changes of keys need one."""

    record: Callable[[tuple[Step, ...], bytes | None], None] = unrecorded
    """Takes the steps of a change, and a rotation's statement, into the log; durable when it returns.

    It is called when all files are written and before `keys.json` says so. A crash between leaves a fact of a key that
    never signed, or of one that signs on though the log says it is at its end: both can be seen, and the command may be
    repeated. The other order could leave a key that signs and that the log does not know.
    """
    used: frozenset[str] = frozenset()
    """Indices that the log knows, though the folder may have lost all traces of them."""


NO_JOURNAL = Journal()

Start: TypeAlias = datetime | Literal["now", "planned"]
"""When a new key begins to sign; `planned`: not before a rotation names it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch:
    """One key gives way to another."""

    ak: str
    """Whose keys they are; stands in the statement."""
    old: str | None = None
    """None: the key that signs now."""
    new: str | None = None
    """None: one that is made for it."""
    at: datetime | None = None
    """None: at once."""


_ENTRIES = TypeAdapter(list[KeyEntry])


def entries(folder: Path) -> tuple[KeyEntry, ...]:
    """All keys of `folder`, by index; none if it has no `keys.json`.

    Raises:
        UsageError: `keys.json` cannot be read, or contradicts itself.
    """
    path = folder / LIST
    try:
        found = _ENTRIES.validate_json(path.read_bytes())
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise _damaged(path, error.strerror or type(error).__name__) from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise _damaged(path, f"{where}: {first['msg']}" if where else first["msg"]) from None
    for entry in found:
        if entry.fingerprint != fingerprint(entry.public_key):
            raise _damaged(path, f"{entry.sk}: fingerprint {entry.fingerprint}")
    for name in ("sk", "public_key"):
        if len({getattr(entry, name) for entry in found}) != len(found):
            raise _damaged(path, name)
    return tuple(sorted(found, key=lambda entry: entry.sk))


def current(folder: Path, now: datetime) -> KeyEntry:
    """The key that signs at `now`: of the active ones, that which was given the latest moment to sign from.

    Raises:
        UsageError: there is none, or several that no moment tells apart.
    """
    known = entries(folder)
    able = [entry for entry in known if entry.state(now) is KeyState.ACTIVE]
    latest = max((entry.not_before or _ALWAYS for entry in able), default=None)
    able = [entry for entry in able if (entry.not_before or _ALWAYS) == latest]
    if not able:
        raise UsageError(
            "SA3026",
            N_("no key in {folder} signs now; its keys are: {known}"),
            hint=N_("`scraper-agent key new` makes one; the receiving side must know it before anything is sent"),
            folder=folder,
            known=", ".join(f"{entry.sk} {entry.state(now)}" for entry in known) or "-",
        )
    if len(able) > 1:
        raise UsageError(
            "SA3027",
            N_("several keys in {folder} may sign now: {known}"),
            hint=N_(
                "name one in the config, `signing: key:`; `scraper-agent key rotate --to` lets it give way to another"
            ),
            folder=folder,
            known=", ".join(entry.sk for entry in able),
        )
    return able[0]


def usable(folder: Path, sk: str, now: datetime) -> KeyEntry:
    """Key `sk`, if it signs at `now`.

    Raises:
        UsageError: there is none, or it does not sign: planned, at its end, retired or revoked.
    """
    entry = find(folder, sk)
    match entry.state(now):
        case KeyState.ACTIVE:
            return entry
        case KeyState.PLANNED:
            raise keystate.planned(folder, entry)
        case KeyState.RETIRED | KeyState.REVOKED:
            raise keystate.ended(folder, entry)
        case unknown:
            assert_never(unknown)


def chosen(folder: Path, sk: str | None, now: datetime) -> KeyEntry:
    """The key that a config names, or else the current one. Raises UsageError as `usable` and `current` do."""
    return current(folder, now) if sk is None else usable(folder, sk, now)


def create(
    folder: Path, passphrase: SecretStr, now: datetime, journal: Journal = NO_JOURNAL, *, start: Start = "now"
) -> KeyEntry:
    """Make a key under the next index, which is never one used before. Durable when this returns.

    Raises:
        UsageError: the passphrase is too short, index 99 is used, or another process is changing the folder.
        AgentError: the folder cannot be written.
    """
    with _locked(folder):
        key = keyfile.generate()
        step = _first("made", _next_index(folder, entries(folder), journal), key, now, start)
        return _add(folder, step, key, passphrase, journal)


def adopt(
    folder: Path,
    key: keyfile.PrivateKey,
    passphrase: SecretStr,
    now: datetime,
    journal: Journal = NO_JOURNAL,
    *,
    sk: str | None = None,
    start: Start = "now",
) -> KeyEntry:
    """Take in a key that was made elsewhere, as index `sk` or the next one; else as `create`.

    Raises:
        UsageError: as `create`; or the index is used; or the key is here already.
        AgentError: the folder cannot be written.
    """
    with _locked(folder):
        known = entries(folder)
        for entry in known:
            if entry.public_key == key.public_key:
                raise UsageError(
                    "SA3030",
                    N_("this key is in {folder} already, as {sk}"),
                    hint=N_("one key under two indices would be revoked under one of them only"),
                    folder=folder,
                    sk=entry.sk,
                )
        if sk is None:
            sk = _next_index(folder, known, journal)
        elif int(sk) in _used(folder, known, journal):
            raise UsageError(
                "SA3029",
                N_("the key index {sk} has been used in {folder}"),
                hint=N_("leave `--sk` out to take the next one: an index names one key for ever"),
                sk=sk,
                folder=folder,
            )
        return _add(folder, _first("imported", sk, key, now, start), key, passphrase, journal)


def rotate(
    folder: Path, passphrase: SecretStr, now: datetime, switch: Switch, journal: Journal = NO_JOURNAL
) -> tuple[KeyEntry, KeyEntry, Path]:
    """Let one key give way to another; both key files have the same passphrase.

    Returns the old and the new key as they are then, and the file of the statement that both have signed.

    Raises:
        NeedsPerson: wrong passphrase.
        UsageError: as `create`; or the old key does not sign, or gives way already; or the new one is at its end.
        AgentError: the folder cannot be written.
    """
    with _locked(folder):
        known = entries(folder)
        leaving = chosen(folder, switch.old, now)
        _refuse_second(folder, known, leaving, now)
        before = keyfile.read(folder / leaving.file, passphrase)
        check_pair(folder, leaving, before)
        at = switch.at or now.replace(microsecond=0)
        steps: list[Step] = []
        if switch.new is None:
            after = keyfile.generate()
            steps.append(_first("made", _next_index(folder, known, journal), after, now, at))
            coming = steps[0].entry
            keyfile.write(folder / coming.file, after, passphrase)
        else:
            coming = _coming(folder, switch.new, leaving, now)
            after = keyfile.read(folder / coming.file, passphrase)
            check_pair(folder, coming, after)
        said = rotation.Rotation(
            ak=switch.ak,
            old=rotation.Party(sk=leaving.sk, public_key=leaving.public_key),
            new=rotation.Party(sk=coming.sk, public_key=coming.public_key),
            issued=now,
            not_before=at,
        )
        statement = rotation.sign(said, before, after)
        path = statement_of(folder, leaving.sk, coming.sk)
        keyfile.write_over(path, statement)  # what may stand there is of a command that was killed, and never held
        later = at > now
        coming = coming.model_copy(update={"status": "planned" if later else "active", "not_before": at})
        leaving = leaving.model_copy(update={"status": "active" if later else "retired", "not_after": at})
        steps.append(Step(action="activated", entry=coming, reason=f"not_before={_utc(at)}"))
        steps.append(Step(action="retired", entry=leaving, reason=f"not_after={_utc(at)}"))
        journal.record(tuple(steps), statement)
        kept = [entry for entry in known if entry.sk not in (leaving.sk, coming.sk)]
        _save(folder, (*kept, leaving, coming))  # one rename: at no moment do both sign, or neither
        return leaving, coming, path


def statement_of(folder: Path, old: str, new: str) -> Path:
    """Where the statement is that key `old` gives way to key `new`."""
    return folder / f"rotation-{old}-{new}.json"


def revoke(folder: Path, sk: str, reason: str, now: datetime, journal: Journal = NO_JOURNAL) -> KeyEntry:
    """Let key `sk` sign no more, from now on, because it is not to be trusted.

    A key that was to give way to it goes on.

    Raises:
        UsageError: there is no such key, it is revoked already, or another process is changing the folder.
        AgentError: the folder cannot be written.
    """
    with _locked(folder):
        entry = find(folder, sk)
        if entry.state(now) is KeyState.REVOKED:
            raise keystate.ended(folder, entry)
        known = entries(folder)
        revoked = entry.model_copy(update={"status": "revoked", "revoked": now, "reason": reason})
        changed = {sk: revoked}
        steps = [Step(action="revoked", entry=revoked, reason=reason)]
        for each in known:
            if _successor_of(each, known, now) == entry:
                changed[each.sk] = each.model_copy(update={"not_after": None})
                steps.append(Step(action="activated", entry=changed[each.sk], reason="not_after=-"))
        journal.record(tuple(steps), None)
        _save(folder, tuple(changed.get(each.sk, each) for each in known))
        return revoked


def check_pair(folder: Path, entry: KeyEntry, key: keyfile.PrivateKey) -> None:
    """Raises UsageError if the file of `entry` holds another key than the list says."""
    if key.public_key != entry.public_key:
        raise UsageError(
            "SA3014",
            N_("{path} holds public key {seen}; expected {expected}, which the list of keys names"),
            hint=N_("put the right file back from its backup"),
            path=folder / entry.file,
            seen=fingerprint(key.public_key),
            expected=entry.fingerprint,
        )


def find(folder: Path, sk: str) -> KeyEntry:
    """Raises UsageError if `folder` has no key `sk`."""
    known = entries(folder)
    for entry in known:
        if entry.sk == sk:
            return entry
    raise UsageError(
        "SA3009",
        N_("no key {sk} in {folder}; it has {known}"),
        hint=N_("`scraper-agent key new` makes a key, `key list` shows those there are"),
        sk=sk,
        folder=folder,
        known=", ".join(entry.sk for entry in known) or "-",
    )


def fingerprint(public_key: str) -> str:
    return canonical.sm3(keyfile.public_der(public_key)).hex()


def _first(action: Literal["made", "imported"], sk: str, key: keyfile.PrivateKey, now: datetime, start: Start) -> Step:
    """The step that brings a key into the folder."""
    entry = KeyEntry(
        sk=sk,
        public_key=key.public_key,
        fingerprint=fingerprint(key.public_key),
        file=f"sm2-{sk}.pem",
        created=now,
        status="active" if start == "now" else "planned",
        not_before=start if isinstance(start, datetime) else None,
    )
    return Step(action=action, entry=entry)


def _add(folder: Path, step: Step, key: keyfile.PrivateKey, passphrase: SecretStr, journal: Journal) -> KeyEntry:
    entry, steps = step.entry, [step]
    if entry.not_before is not None:
        steps.append(Step(action="activated", entry=entry, reason=f"not_before={_utc(entry.not_before)}"))
    elif entry.status == "active":
        steps.append(Step(action="activated", entry=entry))
    # The file first: if we die before the list names it, its name still keeps the index from being used again.
    keyfile.write(folder / entry.file, key, passphrase)
    journal.record(tuple(steps), None)
    _save(folder, (*entries(folder), entry))
    return entry


def _successor_of(leaving: KeyEntry, known: tuple[KeyEntry, ...], now: datetime) -> KeyEntry | None:
    """The planned key that `leaving` gives way to."""
    for entry in known:
        if leaving.not_after and entry.not_before == leaving.not_after and entry.state(now) is KeyState.PLANNED:
            return entry
    return None


def _refuse_second(folder: Path, known: tuple[KeyEntry, ...], leaving: KeyEntry, now: datetime) -> None:
    """Raises UsageError if `leaving` gives way to another key already."""
    planned = _successor_of(leaving, known, now)
    if planned is not None and planned.not_before is not None:
        raise UsageError(
            "SA3028",
            N_("key {sk} in {folder} gives way to {next} on {when} already"),
            hint=N_("`scraper-agent key revoke {next}` takes that back"),
            sk=leaving.sk,
            folder=folder,
            next=planned.sk,
            when=keystate.shown(planned.not_before),
        )


def _coming(folder: Path, sk: str, leaving: KeyEntry, now: datetime) -> KeyEntry:
    entry = find(folder, sk)
    if entry.state(now) in (KeyState.RETIRED, KeyState.REVOKED):
        raise keystate.ended(folder, entry)
    if sk == leaving.sk:
        raise UsageError(
            "SA3032",
            N_("key {sk} cannot give way to itself"),
            hint=N_("`scraper-agent key rotate` without `--to` makes a new key"),
            sk=sk,
        )
    return entry


def _utc(when: datetime) -> str:
    return when.astimezone(UTC).isoformat(timespec="seconds")


def _used(folder: Path, known: tuple[KeyEntry, ...], journal: Journal) -> set[int]:
    files = (_FILE.fullmatch(path.name) for path in folder.iterdir())
    return (
        {int(entry.sk) for entry in known} | {int(match[1]) for match in files if match} | set(map(int, journal.used))
    )


def _next_index(folder: Path, known: tuple[KeyEntry, ...], journal: Journal) -> str:
    highest = max(_used(folder, known, journal), default=0)
    if highest >= _LAST_INDEX:
        raise UsageError(
            "SA3010",
            N_("all key indices up to {last} are used in {folder}"),
            hint=N_("agree on a new system identifier (`ak`) with the receiving side and start a new key folder"),
            last=_LAST_INDEX,
            folder=folder,
        )
    return f"{highest + 1:02}"


def _save(folder: Path, all_entries: tuple[KeyEntry, ...]) -> None:
    listed = sorted(all_entries, key=lambda entry: entry.sk)
    text = json.dumps([each.model_dump(mode="json", exclude_defaults=True) for each in listed], indent=2)
    keyfile.write_over(folder / LIST, text.encode() + b"\n")


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One process at a time: two that read the same list would give out the same index."""
    lock = folder / f"{LIST}.lock"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock.touch(exist_ok=False)
    except FileExistsError as error:
        raise UsageError(
            "SA3011",
            N_("another process is changing the keys: {path} exists"),
            hint=N_("wait for it; if none is running, one was killed: delete the file"),
            path=lock,
        ) from error
    except OSError as error:
        raise keyfile.cannot_write(lock, error) from error
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)


def _damaged(path: Path, reason: str) -> UsageError:
    return UsageError(
        "SA3008",
        N_("the list of keys {path} is damaged: {reason}"),
        hint=N_("restore it from its backup; do not number keys anew, the receiving side knows them by index"),
        path=path,
        reason=reason,
    )
