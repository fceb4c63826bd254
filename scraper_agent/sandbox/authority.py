"""What the province and the ministry have in common, simulated: sealed doors, questions, rulings, lists of keys."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import httpx

from scraper_agent import envelope
from scraper_agent.envelope import RequestInvalid
from scraper_agent.sandbox import sealed
from scraper_agent.sandbox.own_keys import OwnKeys
from scraper_agent.sandbox.platform import Platform, Ruling
from scraper_agent.sandbox.platform_web import Door
from scraper_agent.sandbox.sealed import NoAnswer
from scraper_agent.signing import directory, keyfolder, sealing
from scraper_agent.signing.directory import Directory, Listed
from scraper_agent.waybill import qr
from scraper_agent.waybill.profile import Code, Codes, Interface, Qr

_LIST_BYTES = 1 << 20
_CODES = ("qr", "text")
"""Members that hold the text of a QR code."""


def accepted(codes: Codes, data: Mapping[str, Any] | None) -> Ruling:
    return Ruling(code=codes.accepted.code, msg=codes.accepted.msg, accepted=True, data=data)


def refused(code: Code, reason: str) -> Ruling:
    return Ruling(code=code.code, msg=code.msg, accepted=False, reason=reason)


def question(document: bytes) -> dict[str, str]:
    """What a query asks for; empty if it is not an object of texts."""
    asked = json.loads(document)
    return asked if all(isinstance(value, str) for value in asked.values()) else {}


def sealed_door(
    interface: Interface,
    platform: Platform,
    unsealed: Code,
    take: Callable[[bytes, str, str], tuple[int, bytes]],
    *,
    slow: bool = False,
) -> Door:
    """What comes is sealed for this side, and the answer for who asks; a stranger is answered in the open."""

    def closed(receipt: bytes, request: bytes) -> bytes:
        try:
            read = envelope.read_request(request)
        except RequestInvalid:
            return receipt
        sender = platform.known(read.ak, read.sk)
        return receipt if sender is None else sealing.seal(receipt, sender.public_key)

    return Door(
        path=f"/{interface.path}",
        take=take,
        opened=lambda sent: sealed.opened(sent, platform.own_keys),
        closed=closed,
        unopened=lambda key: platform.unreadable(unsealed.code, unsealed.msg, key),
        slow=slow,
        found=False,
    )


def fetched(url: str, timeout_s: float) -> bytes:
    """What stands at `url`.

    Raises:
        NoAnswer: nothing, too much, or not within the time.
    """
    body = bytearray()
    try:
        with httpx.Client(trust_env=False, timeout=timeout_s) as client, client.stream("GET", url) as response:
            response.raise_for_status()
            for part in response.iter_raw():
                body += part
                if len(body) > _LIST_BYTES:
                    raise NoAnswer(f"{url}: > {_LIST_BYTES} bytes")
    except httpx.HTTPError as error:
        raise NoAnswer(f"{url}: {str(error) or type(error).__name__}") from None
    return bytes(body)


def masked(told: Any, profile: Qr) -> Any:
    """Plain data of JSON as it is shown: with certificate numbers masked, also those in the text of a QR code."""
    match told:
        case dict():
            return {name: _masked(name, value, profile) for name, value in told.items()}
        case list():
            return [masked(each, profile) for each in told]
        case _:
            return told


def _masked(name: str, value: Any, profile: Qr) -> Any:
    if not isinstance(value, str):
        return masked(value, profile)
    if name in (profile.driver[1], profile.escort[1]):
        return qr.mask(value, profile.masked)
    try:
        people = qr.parse(value, profile).summary if name in _CODES else None
    except qr.QrInvalid:
        return value
    for person in (people.driver, people.escort) if people else ():
        value = value.replace(person.certificate, qr.mask(person.certificate, profile.masked))
    return value


def listed(ak: str, keys: OwnKeys) -> tuple[Listed, ...]:
    return tuple(
        Listed(
            ak=ak,
            sk=key.sk,
            public_key=key.pair.public_key,
            fingerprint=keyfolder.fingerprint(key.pair.public_key),
            state=key.state.value,
            not_before=key.not_before,
            not_after=key.not_after,
            revoked=key.revoked,
        )
        for key in keys.keys
    )


def key_list(ak: str, keys: OwnKeys, now: datetime) -> bytes:
    return directory.sign(Directory(issuer=ak, issued=now, keys=listed(ak, keys)), keys.signers)
