"""A session that a person logged in to, kept encrypted: cookies, localStorage, IndexedDB and sessionStorage.

The file is AES-256-GCM under a key that scrypt derives from a secret of the keyring, an environment variable or a file.
Its head says whose it is and is authenticated with it: for another ERP, account or address it does not open.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from playwright.sync_api import Page as Tab

from scraper_agent import accounts
from scraper_agent.capture import guard
from scraper_agent.errors import NeedsPerson
from scraper_agent.messages import N_
from scraper_agent.recipe import Recipe

_MAGIC = b"scraper_agent session 1\n"
_SALT_BYTES, _NONCE_BYTES = 16, 12
_COST = 1 << 15  # scrypt's N: 32 MiB and about 0.1 s
_LIMIT_BYTES = 64 << 20
_TAB = "() => { try { return [location.origin, {...sessionStorage}]; } catch (e) { return ['', {}]; } }"


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Whose session it is: of no other is it read."""

    erp: str
    account: str
    """Digest."""
    origins: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """`state` is Playwright's storage state; `tabs` are the items of sessionStorage by origin."""

    state: Mapping[str, Any]
    tabs: Mapping[str, Mapping[str, str]]


def owner(recipe: Recipe, parameters: Mapping[str, str]) -> Owner:
    origins = (guard.origin(parameters[name]) for name, p in recipe.parameters.items() if p.type == "url")
    return Owner(
        erp=accounts.erp_of(recipe), account=accounts.account(recipe, parameters), origins=tuple(sorted(origins))
    )


def write(path: Path, kept: Kept, owner: Owner, secret: str) -> None:
    """Keep it at `path`, readable by this account alone. A crash leaves the file before, or the new one.

    Raises:
        OSError: it cannot be written.
    """
    head = json.dumps(asdict(owner), ensure_ascii=False, sort_keys=True).encode()
    start = _MAGIC + head + b"\n"
    salt, nonce = os.urandom(_SALT_BYTES), os.urandom(_NONCE_BYTES)
    body = json.dumps({"state": kept.state, "tabs": kept.tabs}).encode()
    sealed = AESGCM(_key(secret, salt)).encrypt(nonce, body, start + salt)
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)  # or its mode would stay
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(start + salt + nonce + sealed)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def read(path: Path, owner: Owner, secret: Callable[[], str]) -> Kept | None:
    """What is kept at `path`; None if there is no such file. Nothing is ever removed here.

    Raises:
        NeedsPerson: it is another's, was changed, or the secret is another.
    """
    try:
        with path.open("rb") as file:
            found = file.read(_LIMIT_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _refused(path, owner, str(error.strerror)) from error
    head, sign, rest = found.removeprefix(_MAGIC).partition(b"\n")
    try:
        told = json.loads(head)
    except ValueError:
        told = None
    if not found.startswith(_MAGIC) or not sign or not isinstance(told, dict):
        raise _refused(path, owner, N_("it is no file of this program"))
    if told != json.loads(json.dumps(asdict(owner))):
        raise _refused(path, owner, N_("it belongs to another ERP, account or address"))
    salt, nonce, sealed = rest[:_SALT_BYTES], rest[_SALT_BYTES:][:_NONCE_BYTES], rest[_SALT_BYTES + _NONCE_BYTES :]
    try:
        start = found[: len(found) - len(rest)]
        body = json.loads(AESGCM(_key(secret(), salt)).decrypt(nonce, sealed, start + salt))
    except (InvalidTag, ValueError) as error:
        raise _refused(path, owner, N_("it was changed, or the secret that it was made with is another")) from error
    return Kept(state=body["state"], tabs=body["tabs"])


def _key(secret: str, salt: bytes) -> bytes:
    return Scrypt(salt=salt, length=32, n=_COST, r=8, p=1).derive(secret.encode())


def _refused(path: Path, owner: Owner, reason: str) -> NeedsPerson:
    return NeedsPerson(
        "SA2223",
        N_("the kept session {path} is not used: {reason}"),
        hint=N_("`scraper-agent session forget {erp}` removes it; then log in by `scraper-agent login`"),
        path=path,
        reason=reason,
        erp=owner.erp,
    )


def new_secret() -> str:
    return base64.b64encode(os.urandom(32)).decode()


def tabs(page: Tab) -> dict[str, dict[str, str]]:
    """What a tab has in sessionStorage, by origin."""
    found: dict[str, dict[str, str]] = {}
    for frame in page.frames:
        origin, items = frame.evaluate(_TAB)
        if items:
            found.setdefault(origin, items)
    return found


def restoring(tabs: Mapping[str, Mapping[str, str]]) -> str:
    """A script that gives a new tab the items of sessionStorage, once: what the page removes stays removed."""
    # In JSON `<` and the separators of lines need no care: the browser gets a script, no markup.
    return f"""(() => {{
  const items = ({json.dumps(tabs)})[location.origin];
  if (!items || window !== window.top || sessionStorage.getItem("scraper_agent")) return;
  sessionStorage.setItem("scraper_agent", "1");
  for (const [name, value] of Object.entries(items)) sessionStorage.setItem(name, value);
}})()"""
