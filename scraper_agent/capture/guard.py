"""Which requests of a page may leave: the one judge of both layers that keep the robot read-only.

Deny by default. GET and HEAD to the ERP's own origins pass unless their path is one that writes; anything else passes
only if the recipe permits it, body and all. Pure: it is given what the browser or the proxy says of a request.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote, unquote_plus, urlsplit

from scraper_agent.messages import N_
from scraper_agent.recipe import Permit

_SECRET_KEYS = re.compile(r"token|session|passw|pwd|secret|sid|auth|ticket|key", re.IGNORECASE)
# Each begins only where a key can: tried at every letter, one long word would take a time of its length squared.
_KEY_VALUE = re.compile(r"(?<![^&;=?#/])([^&;=?#/]+)=([^&;]*)")
_PATH_VALUE = re.compile(r"(?<![^;=/])([^;=/]+)=([^;/]*)")
_STRANGE = re.compile(r"[\\\s\x00-\x20\x7f]")
"""What no browser leaves in an address, and what two readers of it could understand in two ways."""
_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}

_OVERRIDES = frozenset({"x-http-method-override", "x-http-method", "x-method-override", "x-original-method"})
"""Headers by which some servers take a request for one of another method."""
_REROUTES = frozenset({"x-original-url", "x-rewrite-url", "x-forwarded-prefix"})
"""Headers by which some servers take a request for one of another path."""
_WRITES = r"(?i:delete|remove|destroy|erase|save|insert|approve|unapprove|reject|unaudit|unpost)"
_SERVER_PAGE = r"(?i:\.(?:do|action|jspx?|php|aspx?|ashx|asmx|html?))?"
_WRITING_PATHS = re.compile(
    # The last part of the path, alone or with more words in the style of code: /delete, /deleteById.do, /save_order
    rf"[^?]*/(?:{_WRITES}(?:[A-Z_-]\w*)?{_SERVER_PAGE}/?(?:\?.*)?)"
    rf"|[^?]*[/.]\w+!{_WRITES}\w*{_SERVER_PAGE}(?:\?.*)?"
    rf"|[^?]*\?(?:.*&)?(?i:action|method|cmd|command|op|oper|operation|do|act|_method)={_WRITES}(?:[A-Z_-]\w*)?(?:&.*)?",
    re.DOTALL,
)
"""Paths that write however they are asked: no page that only shows something is called so."""
_FORM_TYPE = "application/x-www-form-urlencoded"
_JSON_TYPE = re.compile(r"application/(?:[\w.+-]+\+)?json|text/plain|")


@dataclass(frozen=True, slots=True)
class Pass:
    """The request may leave."""


@dataclass(frozen=True, slots=True)
class Stub:
    """Answer `body` in the server's place; the request is logged as refused."""

    body: str
    reason: str


@dataclass(frozen=True, slots=True)
class Refusal:
    reason: str


def origin(url: str) -> str:
    """`scheme://host:port`, the port always named.

    Raises:
        ValueError: the address does not parse, or could be read in two ways.
    """
    if _STRANGE.search(url):
        raise ValueError("an address with a backslash, a space or a control character")
    parts = urlsplit(url)
    port = parts.port if parts.port is not None else _PORTS.get(parts.scheme, 0)
    return f"{parts.scheme}://{_host(parts.hostname)}:{port}"


def shown(url: str) -> str:
    """`url` as it may be logged: no user, and no value of a key that sounds like a secret. Never raises."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return url.partition("//")[0]
    place = parts.netloc.rpartition("@")[2]
    query, fragment = (_KEY_VALUE.sub(_without_secret, part) for part in (parts.query, parts.fragment))
    rest = (f"?{query}" if query else "") + (f"#{fragment}" if fragment else "")
    path = _PATH_VALUE.sub(_without_secret, parts.path)
    return f"{parts.scheme}:{'//' if place else ''}{place}{path}{rest}"


def judge(
    method: str,
    url: str,
    body: bytes | None,
    *,
    headers: Mapping[str, str],
    permits: Iterable[Permit],
    origins: frozenset[str],
    refuses: Iterable[str] = (),
) -> Pass | Stub | Refusal:
    """Whether a request may leave. Never raises.

    `headers` have names in lower case; `origins` are those of the recipe's own addresses; `refuses` are patterns of
    paths with their queries that win over everything.
    """
    try:
        if origin(url) not in origins:
            return Refusal(N_("not the ERP's own address"))
    except ValueError as error:
        return Refusal(str(error))
    if not headers.keys().isdisjoint(_OVERRIDES | _REROUTES):
        return Refusal(N_("a header gives the request another meaning than its method and path"))
    parts = urlsplit(url)
    # A query can change what a path does, so a permit for a path alone is none for a path with a query.
    place = f"{parts.path}?{parts.query}" if parts.query else parts.path
    if any(_WRITING_PATHS.fullmatch(p) for p in _readings(place)):
        return Refusal(N_("a path that writes"))
    if any(re.fullmatch(pattern, p, re.IGNORECASE) for pattern in refuses for p in _readings(place)):
        return Refusal(N_("a path that is never asked for"))
    if method in ("GET", "HEAD"):
        # No browser sends one, and what a server makes of it nobody has judged.
        return Refusal(N_("a query with a body")) if body else Pass()
    here = [p for p in permits if p.method == method and re.fullmatch(p.path, place)]
    for permit in here:
        values = _matches(permit, body or b"", headers)
        if values is None:
            continue
        if permit.purpose == "stub":
            answer = (permit.answer or "null").replace("$id", json.dumps(values.get("id")))
            return Stub(answer, N_("answered in the ERP's place"))
        return Pass()
    return Refusal(N_("the recipe permits this path, but not this body") if here else N_("not permitted by the recipe"))


def _readings(place: str) -> Iterable[str]:
    """A path with its query as it stands, and as servers may understand it: decoded, `//`, `/;x` and `..` resolved."""
    yield place
    path, mark, query = place.partition("?")
    plain = unquote(path)
    parts: list[str] = []
    for part in (p.partition(";")[0] for p in plain.replace("\\", "/").split("/")):
        if part == "..":
            parts = parts[:-1]
        elif part not in ("", "."):
            parts.append(part)
    yield f"{plain}{mark}{unquote_plus(query)}"
    yield f"/{'/'.join(parts)}{mark}{unquote_plus(query)}"


def _matches(permit: Permit, body: bytes, headers: Mapping[str, str]) -> dict[str, Any] | None:
    """The body's keys if it is what the permit says, else None."""
    if body and not _is_read_alike(permit, headers):
        return None
    try:
        if permit.form:
            found = _unique(parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=True))
            return found if found.keys() <= set(permit.form) else None
        if not permit.json_:
            return {} if not body else None
        data = json.loads(body.decode(), object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        return None
    if not isinstance(data, dict):
        return None
    fits = all(isinstance(data.get(k), str) and re.fullmatch(p, data[k]) for k, p in permit.json_.items())
    return data if fits else None


def _is_read_alike(permit: Permit, headers: Mapping[str, str]) -> bool:
    """Whether the server takes the body for what it is taken for here: the same kind, in UTF-8, not compressed."""
    kind, *options = headers.get("content-type", "").lower().split(";")
    charsets = [value.strip(" \"'") for name, _, value in (o.partition("=") for o in options) if "charset" in name]
    if headers.get("content-encoding") or any(charset not in ("utf-8", "utf8", "us-ascii") for charset in charsets):
        return False
    return kind.strip() == _FORM_TYPE if permit.form else _JSON_TYPE.fullmatch(kind.strip()) is not None


def _host(name: str | None) -> str:
    return f"[{name}]" if name and ":" in name else name or ""


def _without_secret(pair: re.Match[str]) -> str:
    return f"{pair[1]}=***" if _SECRET_KEYS.search(unquote(pair[1])) else pair[0]


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose keys differ: with a key given twice, the server might read the other one."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found
