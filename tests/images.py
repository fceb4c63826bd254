"""The pictures of the README: `python -m tests.images [FOLDER OF A DEMO WITH ITS screen.ansi]`.

The demo runs in a pseudo-terminal of its own, once for each language; its last screen and its report are drawn by
the browser that the agent itself would use. Not part of the tests: it takes minutes, and a picture is looked at.
"""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import struct
import sys
import tempfile
import termios
import unicodedata
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright
from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from scraper_agent.capture import discovery

IMAGES = Path(__file__).parents[1] / "docs" / "images"
COLUMNS = 110
MOST_BYTES = 400_000
_SCALE = 1.5
_SCREEN = "screen.ansi"
_DEMOS = {"en": ("demo",), "zh": ("--lang", "zh", "demo"), "waybills": ("--lang", "zh", "demo", "--waybills")}
"""What is run for each; the report is drawn in both languages."""

_THEME = TerminalTheme(
    (24, 27, 33),
    (214, 218, 226),
    [
        *((70, 76, 88), (240, 113, 120), (140, 200, 110), (230, 190, 100)),
        *((110, 170, 250), (205, 140, 235), (90, 200, 210), (214, 218, 226)),
    ],
)
_PAGE = """\
<!DOCTYPE html><html><meta charset="utf-8"><style>
body {{ margin: 0; display: inline-block; background: #181b21; color: {foreground} }}
pre {{ margin: 18px 22px; font: 15px/1.165 "DejaVu Sans Mono", "WenQuanYi Micro Hei", monospace }}
i {{ display: inline-block; width: 2ch; font-style: normal }}
{stylesheet}
</style><body><pre>{code}</pre></body></html>
"""
_CONTROL = re.compile(r"\x1b\[(\??[\d;]*)([A-Za-z])")


def main(arguments: list[str]) -> None:
    IMAGES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as made, sync_playwright() as playwright:
        homes = {name: Path(arguments[0] if arguments else made) / name for name in _DEMOS}
        for name, home in homes.items():
            if not (home / _SCREEN).is_file():
                home.mkdir(parents=True, exist_ok=True)
                (home / _SCREEN).write_bytes(_recorded(home, _DEMOS[name]))
        browser = discovery.launch(playwright, None, headless=True, tell=print)
        for name, image in (("en", "demo"), ("waybills", "waybills")):
            _terminal(browser, _DEMOS[name], (homes[name] / _SCREEN).read_bytes().decode(), image)
        for language, name in (("en", "report"), ("zh", "report-zh")):
            _report(browser, homes[language] / "demo" / "report.html", name)
        browser.close()


# --- the terminal ---------------------------------------------------------------------------------------------------


def _recorded(home: Path, words: tuple[str, ...]) -> bytes:
    """All that the command writes into a terminal."""
    command = [sys.executable, "-m", "scraper_agent", *words]
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(home)
        os.execve(command[0], command, {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor"})  # noqa: S606
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 60, COLUMNS, 0, 0))
    out = io.BytesIO()
    try:
        while piece := os.read(terminal, 65536):
            out.write(piece)
    except OSError:  # how Linux says that the other end is closed
        pass
    _, status = os.waitpid(child, 0)
    if status:
        raise SystemExit(out.getvalue().decode())
    return out.getvalue()


def last_screen(said: str) -> str:
    """What is left standing after all cursor movements of rich's progress bars; colours stay as they are."""
    lines, row, at = [""], 0, 0
    while at < len(said):
        control = _CONTROL.match(said, at)
        if control is not None:
            at = control.end()
            match control[2]:
                case "A":
                    row = max(0, row - int(control[1] or 1))
                case "K":
                    lines[row] = ""
                case "m":
                    lines[row] += control[0]
                case _:
                    pass
            continue
        match said[at]:
            case "\n":
                row += 1
                lines += [""] * (row + 1 - len(lines))
            case "\r":
                pass
            case other:
                lines[row] += other
        at += 1
    return "\n".join(lines).rstrip()


def _terminal(browser: Browser, words: tuple[str, ...], said: str, image: str) -> None:
    prompt = Text.from_markup(f"[bold green]$[/] [bold]scraper-agent {' '.join(words)}[/]\n")
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(prompt, Text.from_ansi(last_screen(said)), sep="", soft_wrap=True)
    page = browser.new_page(device_scale_factor=_SCALE)
    page.set_content(_in_columns(console.export_html(theme=_THEME, code_format=_PAGE)))
    _keep(page.locator("body").screenshot(), image)
    page.close()


def _in_columns(markup: str) -> str:
    """A Chinese character takes two columns of a terminal, but less than two in these fonts."""
    return "".join(f"<i>{c}</i>" if unicodedata.east_asian_width(c) in "WF" else c for c in markup)


# --- the report -----------------------------------------------------------------------------------------------------


_WIDTH = 1280
_TOP = 532
"""Pixels of the report's top: the figures, and the first documents that need a person."""
_SHEET = 590
_FAULT = "totalAmount"


def _report(browser: Browser, report: Path, name: str) -> None:
    page = browser.new_page(viewport={"width": _WIDTH, "height": 1000}, device_scale_factor=_SCALE)
    page.goto(report.resolve().as_uri())
    top = page.screenshot(clip={"x": 0, "y": 0, "width": _WIDTH, "height": _TOP})
    _keep(_one_above_the_other(top, _opened(page)), name)
    page.close()


def _opened(page: Page) -> bytes:
    """A document whose lines do not add up to its total, with the total pointed at on the ERP's page."""
    fault = page.locator(".card", has=page.locator("code.id", has_text=_FAULT)).first
    fault.locator("h4 a").click()
    sheet = page.locator("details.document[open]")
    sheet.locator("dl.fields > div", has=page.locator("code.id", has_text=re.compile(f"^{_FAULT}$"))).locator(
        ".value"
    ).click()
    sheet.evaluate("e => e.scrollIntoView({block: 'start'})")
    page.mouse.move(1, 1)
    page.wait_for_timeout(500)
    box = sheet.bounding_box()
    if box is None:
        raise SystemExit("the document did not open")
    return page.screenshot(clip={"x": 0, "y": max(0, box["y"]), "width": _WIDTH, "height": _SHEET})


def _one_above_the_other(*pieces: bytes) -> bytes:
    """With a torn edge between them: the report is longer than that."""
    images = [Image.open(io.BytesIO(piece)).convert("RGB") for piece in pieces]
    gap = round(14 * _SCALE)
    height = sum(i.height for i in images) + gap * (len(images) - 1)
    whole = Image.new("RGB", (images[0].width, height), (255, 255, 255))
    at = 0
    for image in images:
        whole.paste(image, (0, at))
        at += image.height + gap
    out = io.BytesIO()
    whole.save(out, "PNG")
    return out.getvalue()


def _keep(png: bytes, name: str) -> None:
    """With as many colours as fit."""
    image = Image.open(io.BytesIO(png)).convert("RGB")
    made = {colours: _quantised(image, colours) for colours in (256, 128, 64, 32)}
    fitting = [colours for colours, small in made.items() if len(small) < MOST_BYTES]
    if not fitting:
        raise SystemExit(f"{name}.png has {len(made[32])} bytes, at most {MOST_BYTES} are wanted")
    path = IMAGES / f"{name}.png"
    path.write_bytes(made[fitting[0]])
    print(f"{path}: {image.width} x {image.height}, {len(made[fitting[0]])} bytes, {fitting[0]} colours")


def _quantised(image: Image.Image, colours: int) -> bytes:
    out = io.BytesIO()
    image.quantize(colours, dither=Image.Dither.NONE).save(out, "PNG", optimize=True)
    return out.getvalue()


if __name__ == "__main__":
    main(sys.argv[1:])
