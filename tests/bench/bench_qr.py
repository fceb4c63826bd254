"""The text of a QR code, made of a waybill and verified, against signing and verifying the same bytes alone.

Both sign with gmssl and verify with it, as a province and whoever reads the code do.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

from scraper_agent.signing import keyfile, sm2
from scraper_agent.waybill import qr
from tests.waybills import waybill

COUNT = 20
ROUNDS = 7


class _Key:
    key_index = "01"

    def __init__(self) -> None:
        self.pair = keyfile.generate()
        self.public_key = self.pair.public_key

    def sign(self, message: bytes) -> bytes:
        return sm2.sign(self.pair.d, self.public_key, message)


def measure(rounds: int = ROUNDS) -> dict[str, float]:
    """Seconds for each code, and their ratio; medians of `rounds` alternating measurements."""
    key, document = _Key(), waybill()
    keys = {key.key_index: key.public_key}
    text = qr.build(qr.summary(document), key)
    signed = text.rpartition(b"#")[0]

    def whole() -> None:
        content = qr.parse(qr.build(qr.summary(document), key))
        assert qr.standing(content, keys, sm2.verify) is qr.Standing.GENUINE

    def alone() -> None:
        assert sm2.verify(key.public_key, signed, key.sign(signed))

    pairs = [(_timed(whole), _timed(alone)) for _ in range(rounds)]
    return {
        "code_s": statistics.median(one for one, _ in pairs),
        "signature_s": statistics.median(other for _, other in pairs),
        "ratio": statistics.median(one / other for one, other in pairs),
    }


def _timed(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    for _ in range(COUNT):
        work()
    return (time.perf_counter() - began) / COUNT


if __name__ == "__main__":
    for name, number in measure().items():
        print(f"{name:>20} {number:10.4f}")
