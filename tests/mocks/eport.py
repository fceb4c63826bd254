"""A mock of the E-Port client: it keeps to what open programs report of the real one. No real one was at hand.

It refuses what a real one refuses: unknown methods, missing arguments, a wrong PIN (and counts it, and locks), texts
above 120 KB in one message, and everything while the reader has no card. It signs with GmSSL; gmssl checks.
"""

from __future__ import annotations

import base64
import json
import threading
import time
from dataclasses import dataclass, field
from typing import Any, Self

import gmssl_pyx
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from scraper_agent.signing import sm2

PIN = "88888888"


@dataclass
class Card:
    d: int
    certificate: str
    """Base64 of the DER, as the client gives it: without the lines of PEM."""
    tries_left: int = 6
    answers: str = "base64"
    """How signatures are written: base64, der, hex; or `other`, of another text; or `text`, no signature at all."""
    reader: bool = True
    greets: bool = True
    silent: bool = False
    """Takes the request and never answers."""
    broken: str | None = None
    """What is answered instead."""
    pins: list[str] = field(default_factory=list)
    """Every PIN that was tried."""


class EportClient:
    """Serves in a thread within `with`."""

    def __init__(self, card: Card) -> None:
        self.card = card
        self._server = serve(self._serve, "127.0.0.1", 0)
        self.url = f"ws://127.0.0.1:{self._server.socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.card.silent = False
        self._server.shutdown()
        self._thread.join()

    def _serve(self, connection: ServerConnection) -> None:
        if self.card.greets:
            connection.send(json.dumps({"_method": "open", "_id": 0, "_status": "00", "_args": {"Result": True}}))
        try:
            for message in connection:
                while self.card.silent:
                    time.sleep(0.01)
                answer = json.dumps(self._answer(message), ensure_ascii=False)
                connection.send(answer if self.card.broken is None else self.card.broken)
        except ConnectionClosed:
            return

    def _answer(self, message: str | bytes) -> dict[str, Any]:
        assert isinstance(message, str), "text frames alone"
        assert len(message) < 130 * 1024, "larger texts go in parts"
        asked = json.loads(message)
        assert set(asked) == {"_method", "_id", "args"}
        answer = {"_method": asked["_method"], "_id": asked["_id"], "_status": "00"}
        try:
            found = self._call(asked["_method"], asked["args"])
            return answer | {"_args": {"Result": True, "Data": found, "Error": []}}
        except _Error as error:
            return answer | {"_args": {"Result": False, "Data": [], "Error": list(error.args)}}

    def _call(self, method: str, args: dict[str, str]) -> list[str]:
        card = self.card
        if method not in ("cus-sec_SpcGetSignCertAsPEM", "cus-sec_SpcSignDataAsPEM"):
            raise _Error("没有此方法", "Err:Base60404")
        if not card.reader:
            raise _Error("[读卡器底层库]复位读卡器失败:错误码=50070", "Err:Custom50070")
        if method == "cus-sec_SpcGetSignCertAsPEM":
            return [card.certificate]
        if set(args) != {"inData", "passwd"}:
            raise _Error("参数错误", "Err:Base60400")
        card.pins.append(args["passwd"])
        if card.tries_left == 0:
            raise _Error("卡已被锁死", "Err:Custom50021")
        if args["passwd"] != PIN:
            card.tries_left -= 1
            raise _Error("校验密码失败", "Err:Custom50020")
        card.tries_left = 6
        return [self._signature(args["inData"]), "01691fe9"]

    def _signature(self, text: str) -> str:
        d, public = self.card.d.to_bytes(32, "big"), bytes.fromhex(sm2.derive_public(self.card.d))
        signed = text + " " if self.card.answers == "other" else text
        encoded = gmssl_pyx.sm2_sign(d, public, signed.encode())
        raw = sm2.signature_from_der(encoded)
        match self.card.answers:
            case "der":
                return base64.b64encode(encoded).decode()
            case "hex":
                return raw.hex().upper()
            case "text":
                return "签名成功"
            case _:
                return base64.b64encode(raw).decode()


class _Error(Exception):
    """(the sentence, the code), as in `Error`."""
