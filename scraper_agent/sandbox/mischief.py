"""What a customs platform may do wrong, on demand: the words for it, and the bytes of answers that no server gives."""

from __future__ import annotations

import asyncio
import functools
import gzip
from collections.abc import AsyncIterator
from enum import StrEnum


class Fault(StrEnum):
    """Done to a request that sends a document. Those from `WRONG_RECEIPT` on, but for redirects, come after storing."""

    LATENCY = "latency"
    RESET_BEFORE = "reset_before_commit"
    REDIRECT_HERE = "redirect_same_host"
    REDIRECT_AWAY = "redirect_other_host"
    REDIRECT_LOOP = "redirect_loop"
    RESET_AFTER = "reset_after_commit"
    DUPLICATE = "duplicate"  # the network delivers it twice; the answer is a good one
    WRONG_RECEIPT = "wrong_receipt"  # well signed, of a document that nobody sent
    REPLAYED_RECEIPT = "replayed_receipt"  # well signed, of the oldest other document
    UNKNOWN_KEY = "unknown_key"  # right in all but the key it is signed with
    ERROR_AFTER = "error_after_commit"
    ENDLESS_BODY = "endless_body"
    BYTE_A_SECOND = "byte_a_second"
    GZIP_BOMB = "gzip_bomb"
    INTERIM_FLOOD = "interim_flood"  # status 103 for ever
    BAD_CHUNKS = "bad_chunks"
    HUGE_HEADERS = "huge_headers"
    LENGTH_SHORT = "length_short"  # less than there is
    LENGTH_LONG = "length_long"
    CUT_OFF = "cut_off"  # in the middle of the body, over TLS without its farewell
    NO_HTTP = "no_http"  # a receipt without a head, as HTTP/0.9 had it


REDIRECTS = {
    Fault.REDIRECT_HERE: "/elsewhere",
    Fault.REDIRECT_AWAY: "https://customs.example/receive",
    Fault.REDIRECT_LOOP: "/receive",
}

_BOMB_BYTES = 16 * 1024 * 1024
"""Packed, it is shorter than a receipt may be."""
_BLOCK = b" " * 65_536


def head(length: int | None, *lines: str, status: str = "200 OK") -> bytes:
    told = [] if length is None else [f"Content-Length: {length}"]
    return "\r\n".join(
        [f"HTTP/1.1 {status}", "Content-Type: application/json", *told, *lines, "Connection: close", "", ""]
    ).encode()


async def pieces(fault: Fault, receipt: bytes) -> AsyncIterator[bytes]:
    """What is written in place of an answer, piece by piece; some never end. Then the connection is closed."""
    match fault:
        case Fault.ENDLESS_BODY:
            yield head(None)
            while True:
                yield _BLOCK
        case Fault.BYTE_A_SECOND:
            yield head(len(receipt))
            for byte in receipt:
                yield bytes([byte])
                await asyncio.sleep(1)
        case Fault.INTERIM_FLOOD:
            while True:
                yield b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
                await asyncio.sleep(0.01)
        case _:
            yield _at_once(fault, receipt)


def _at_once(fault: Fault, receipt: bytes) -> bytes:
    length = len(receipt)
    match fault:
        case Fault.GZIP_BOMB:
            return head(len(_bomb()), "Content-Encoding: gzip") + _bomb()
        case Fault.BAD_CHUNKS:
            return head(None, "Transfer-Encoding: chunked") + b"zz\r\n" + receipt
        case Fault.HUGE_HEADERS:
            return head(length, *(f"X-{number}: {'x' * 1000}" for number in range(1000))) + receipt
        case Fault.LENGTH_SHORT:
            return head(length - 10) + receipt
        case Fault.LENGTH_LONG:
            return head(length + 10) + receipt
        case Fault.CUT_OFF:
            return head(length) + receipt[: length // 2]
        case Fault.NO_HTTP:
            return receipt
        case _:
            raise ValueError(fault)


@functools.cache
def _bomb() -> bytes:
    return gzip.compress(bytes(_BOMB_BYTES))
