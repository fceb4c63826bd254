"""Signs with the card or UKey of China E-Port (电子口岸), through the client that its owner has installed on Windows.

The client listens on the loopback interface and answers JSON over WebSocket, one object per message:

    -> {"_method": "cus-sec_SpcSignDataAsPEM", "_id": 1, "args": {"inData": text, "passwd": PIN}}
    <- {"_method": …, "_id": 1, "_status": "00", "_args": {"Result": true, "Data": [signature, number], "Error": []}}

It may greet with a message `open` of its own. There is no published description: this follows what open programs send
and get. Assumed are: that `inData` is signed as UTF-8, and that words for PIN and lock in `Error` tell of them. A
signature is checked with the card's own certificate, so a wrong assumption releases nothing.
"""

from __future__ import annotations

import base64
import ipaddress
import itertools
import json
import re
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from cryptography import x509
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from scraper_agent.errors import AgentError, NeedsPerson, UsageError
from scraper_agent.messages import N_
from scraper_agent.signing import der, keyfile, keystate, pin, sm2
from scraper_agent.yamlfile import Wrong

CARD = "电子口岸 E-Port"
MOST_BYTES = 120 * 1024
"""The client takes larger texts only in parts, in a way of its own."""

_ANSWER_BYTES = 1 << 20
_OPEN_S = 5

_READER = re.compile(r"50070|读卡器")
_LOCKED = re.compile(r"锁")
_PIN = re.compile(r"密码|口令|PIN", re.IGNORECASE)


def _loopback(url: str) -> str:
    """The PIN goes there in plain: it must not leave this machine, whatever a name resolves to."""
    parts = urlsplit(url)
    try:
        fits = parts.scheme == "ws" and ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        fits = False
    if not fits:
        raise Wrong(
            N_("`{seen}` is not a WebSocket on this machine"),
            hint=N_("write a loopback address such as `ws://127.0.0.1:61232`"),
            seen=url,
        )
    return url


class Config(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["eport"]
    folder: Path
    """Where the PINs tried in vain are counted."""
    key: keystate.KeyIndex
    """The index under which the receiving side knows the card's public key."""
    url: Annotated[str, AfterValidator(_loopback)] = "ws://127.0.0.1:61232"
    timeout_s: int = Field(30, ge=1)
    """For one answer; the client may ask its user something."""


class _Refused(Exception):
    """What the client says in `Error`."""


class _NotReached(AgentError):
    """Nothing was sent."""


class _NoReader(NeedsPerson):
    """The client has no card to ask, and so no PIN was tried."""


class EportSigner:
    """One signature at a time, each with the PIN, which stays in memory. Thread-safe."""

    def __init__(self, config: Config, given: SecretStr) -> None:
        """Reads the certificate; the PIN is not tried yet.

        Raises:
            NeedsPerson: no card or no reader.
            UsageError: the card has no SM2 certificate.
            AgentError: the client does not answer, or refuses.
        """
        self._config = config
        self._pin = given
        self._pin_is_wrong = False
        self._ids = itertools.count(1)
        self._lock = threading.Lock()
        self._tries = pin.PinTries(config.folder / f"pin-{config.key}.tries", CARD)
        method = "cus-sec_SpcGetSignCertAsPEM"
        try:
            self._public_key = certified(self._ask(method, {}))
        except _Refused as error:
            raise _not_done(method, str(error)) from None

    def __repr__(self) -> str:
        return f"EportSigner(key_index={self._config.key!r})"

    @property
    def key_index(self) -> str:
        return self._config.key

    @property
    def public_key(self) -> str:
        return self._public_key

    def sign(self, message: bytes) -> bytes:
        """R‖S, 64 bytes, checked with the card's certificate.

        Raises:
            NeedsPerson: no card or no reader; the PIN is wrong, or was too often; the card is locked.
            UsageError: `message` cannot be handed to the client.
            AgentError: the client does not answer, refuses, or signs something else.
        """
        text = _text(message)
        with self._lock:
            if self._pin_is_wrong:
                raise pin.wrong(CARD)
            said = self._signed(text)
        for signature in _readings(said):
            if sm2.verify(self._public_key, message, signature):
                return signature
        raise AgentError(
            "SA3047",
            N_("what {token} signed does not hold under its own certificate"),
            hint=N_("set the client to SM2 with SM3; if it is, report this: its way to sign is not the one known here"),
            token=CARD,
        )

    def _signed(self, text: str) -> str:
        """Data[0] of the answer. The PIN's try is counted before it is sent."""
        method = "cus-sec_SpcSignDataAsPEM"
        self._tries.begin()
        try:
            said = self._ask(method, {"inData": text, "passwd": self._pin.get_secret_value()})
        except _Refused as error:
            reason = str(error)
            if _LOCKED.search(reason):
                raise pin.locked(CARD) from None
            if _PIN.search(reason):
                self._pin_is_wrong = True
                raise pin.wrong(CARD) from None
            # It may have been the PIN all the same: the try stays counted.
            raise _not_done(method, reason) from None
        except (_NotReached, _NoReader):
            self._tries.unused()
            raise
        self._tries.right()
        return said

    def _ask(self, method: str, args: Mapping[str, str]) -> str:
        """Data[0] of the answer.

        Raises:
            _Refused: the client's own words.
            _NotReached, _NoReader: no PIN was tried.
            AgentError: no answer, or none that can be read.
        """
        url = self._config.url
        id = next(self._ids)
        asked = json.dumps({"_method": method, "_id": id, "args": args}, ensure_ascii=False)
        until = time.monotonic() + self._config.timeout_s
        try:
            connection = connect(url, open_timeout=_OPEN_S, close_timeout=1, proxy=None, max_size=_ANSWER_BYTES)
        except (OSError, WebSocketException) as error:
            raise _NotReached(
                "SA3044",
                N_("the E-Port client does not answer at {url}: {reason}"),
                hint=N_("start the client, and its service if it has one; its address can be set as `url`"),
                url=url,
                reason=str(error) or type(error).__name__,
            ) from error
        with connection:
            try:
                connection.send(asked)
                while True:
                    answer = _answer(connection.recv(max(0.0, until - time.monotonic())), id)
                    if answer is not None:
                        return answer
            except (OSError, WebSocketException, ValueError) as error:  # OSError: the time-out, too
                raise _not_done(method, str(error) or type(error).__name__) from error


def certified(text: str) -> str:
    """The public key, X‖Y, of an X.509 certificate: PEM, or the Base64 inside.

    Raises:
        UsageError: no certificate, or not one of an SM2 key.
    """
    body = re.sub(r"-----[A-Z ]+-----|\s", "", text)
    try:
        # Parsed by `cryptography`, which knows no SM2 but hands the signed part over; the key is its seventh field.
        signed = x509.load_der_x509_certificate(base64.b64decode(body, validate=True)).tbs_certificate_bytes
        fields = der.Reader(signed).inside(der.SEQUENCE)
        fields.take(der.CONTEXT_0)
        fields.take(der.INTEGER)
        for _ in ("signature", "issuer", "validity", "subject"):
            fields.take(der.SEQUENCE)
        key = base64.b64encode(der.encode(der.SEQUENCE, fields.take(der.SEQUENCE))).decode()
        return keyfile.public_from_pem(f"-----BEGIN PUBLIC KEY-----\n{key}\n-----END PUBLIC KEY-----\n")
    except ValueError as error:
        raise UsageError(
            "SA3046",
            N_("{token} has no certificate of an SM2 key: {reason}"),
            hint=N_("older cards sign with RSA, which cannot be used here; have the card changed for one with SM2"),
            token=CARD,
            reason=str(error),
        ) from error


def _text(message: bytes) -> str:
    try:
        text = message.decode()
        reason = f"{len(message)} bytes, at most {MOST_BYTES}" if len(message) > MOST_BYTES else ""
    except UnicodeDecodeError as error:
        text, reason = "", str(error)
    if reason:
        raise UsageError(
            "SA3048",
            N_("{token} cannot sign this: {reason}"),
            hint=N_("its client takes UTF-8 text alone, and no long one; sign such documents with a key file"),
            token=CARD,
            reason=reason,
        )
    return text


def _answer(received: str | bytes, id: int) -> str | None:
    """Data[0] of the answer to call `id`; None if the message is another.

    Raises:
        ValueError: not of the form.
        _Refused, _NoReader: as said in it.
    """
    told: Any = json.loads(received)
    if not isinstance(told, dict):
        raise ValueError("the answer is no object")  # noqa: TRY004 - of the form, not of a type of ours
    if str(told.get("_id")) != str(id):
        return None
    args = told.get("_args")
    if told.get("_status") == "00" and isinstance(args, dict):
        found = args.get("Data")
        if args.get("Result") is True and isinstance(found, list) and found and isinstance(found[0], str):
            return found[0]
        reasons = args.get("Error")
        reason = " ".join(map(str, reasons)) if isinstance(reasons, list) else str(reasons)
    else:
        reason = f"_status {told.get('_status')!r}"
    if _READER.search(reason):
        raise _NoReader(
            "SA3045",
            N_("the reader of {token} does not work: {reason}"),
            hint=N_("put the card in, or pull the UKey and plug it in again; then start the client anew"),
            token=CARD,
            reason=reason,
        )
    raise _Refused(reason)


def _readings(said: str) -> Iterator[bytes]:
    """R‖S as `said` may mean it: Base64 or hex digits of R‖S, or of its DER."""
    for decode in (_base64, bytes.fromhex):
        try:
            decoded = decode(said)
            yield decoded if len(decoded) == sm2.SIGNATURE_BYTES else sm2.signature_from_der(decoded)
        except ValueError:
            continue


def _base64(text: str) -> bytes:
    return base64.b64decode("".join(text.split()), validate=True)


def _not_done(method: str, reason: str) -> AgentError:
    return AgentError(
        "SA3049",
        N_("the E-Port client did not do {method}: {reason}"),
        hint=N_("try the same with the client itself; the reason is in its own words"),
        method=method,
        reason=reason,
    )
