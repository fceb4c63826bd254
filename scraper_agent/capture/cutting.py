"""A part of a page's image, as a PNG: cut by a browser, which reads JPEG anyway and is asked for nothing else."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Error, sync_playwright

from scraper_agent.capture import discovery

_PAGE = (
    "<body style='margin:0;overflow:hidden'><img style='position:absolute;left:{left}px;top:{top}px' src='{source}'>"
)
_LOADED = "async () => { const image = document.images[0]; await image.decode(); return [image.width, image.height] }"


def png(
    jpeg: bytes, box: tuple[int, int, int, int], executable: Path | None, tell: Callable[[str], None] = lambda _: None
) -> bytes:
    """The pixels of `box` (x, y, width, height), as far as it lies on the image.

    Raises:
        AgentError: there is no browser.
        ValueError: the bytes are no image, or the box lies beside it.
    """
    x, y = max(box[0], 0), max(box[1], 0)
    source = f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"
    with sync_playwright() as playwright:
        browser = discovery.launch(playwright, executable, headless=True, tell=tell)
        try:
            page = browser.new_page(device_scale_factor=1, offline=True)
            page.set_content(_PAGE.format(left=-x, top=-y, source=source))
            width, height = page.evaluate(_LOADED)
            width, height = min(box[0] + box[2], width) - x, min(box[1] + box[3], height) - y
            if width < 1 or height < 1:
                raise ValueError(f"{box} is not on the image")
            page.set_viewport_size({"width": width, "height": height})
            return page.screenshot(type="png")
        except Error as error:
            raise ValueError(error.message.strip().splitlines()[0][:200]) from error
        finally:
            browser.close()
