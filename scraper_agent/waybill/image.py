"""The QR symbol (GB/T 18284-2000) of a waybill's content, as an image and for a terminal."""

from __future__ import annotations

import io

import segno

from scraper_agent.errors import BusinessError
from scraper_agent.messages import N_
from scraper_agent.waybill.profile import DEFAULT, Qr
from scraper_agent.waybill.qr import CHARSET

_QUIET_ZONE = 4
"""Modules of white around the symbol, ISO/IEC 18004 § 9.1."""


def png(content: bytes, qr: Qr = DEFAULT.qr) -> bytes:
    """A PNG of the symbol, in byte mode. Readers that guess the charset show other text, but the same bytes.

    Raises:
        BusinessError: no symbol of this level of correction holds so many bytes.
    """
    image = io.BytesIO()
    _symbol(content, qr).save(image, kind="png", scale=qr.symbol.scale, border=_QUIET_ZONE)
    return image.getvalue()


def rows(content: bytes, qr: Qr = DEFAULT.qr) -> list[str]:
    """The symbol and its quiet zone in half blocks, two modules to a character, one above the other.

    The light modules are what is drawn: white on black, as terminals are, or with these colours set.

    Raises:
        BusinessError: as `png`.
    """
    light = [[not dark for dark in row] for row in _symbol(content, qr).matrix_iter(border=_QUIET_ZONE)]
    light += [[True] * len(light[0])] * (len(light) % 2)
    return [
        "".join(_HALVES[pair] for pair in zip(above, below, strict=True))
        for above, below in zip(light[::2], light[1::2], strict=True)
    ]


_HALVES = {(True, True): "█", (True, False): "▀", (False, True): "▄", (False, False): " "}


def _symbol(content: bytes, qr: Qr) -> segno.QRCode:
    style = qr.symbol
    try:
        return segno.make_qr(
            content,
            mode="byte",
            error=style.correction,
            encoding=CHARSET if style.eci else None,
            eci=style.eci,
            boost_error=False,
        )
    except segno.DataOverflowError:
        raise BusinessError(
            "SA1077",
            N_("{size} bytes are too many for a QR code with correction {correction}"),
            hint=N_("the waybill has too many goods; or take a lower `correction` in the profile"),
            size=len(content),
            correction=style.correction,
        ) from None
