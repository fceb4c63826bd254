"""The pictures of the README: `python -m tests.images [FOLDER OF A DEMO WITH ITS screen.ansi]`.

The demo runs in a pseudo-terminal of its own, once for each language; its last screen, its report and the console over
its folder are drawn by the browser that the agent itself would use. Not part of the tests: it takes minutes, and a
picture is looked at.
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

from scraper_agent import app as wiring
from scraper_agent import console as consoles
from scraper_agent.app import App
from scraper_agent.capture import discovery
from scraper_agent.console.rows import path
from scraper_agent.values import Draft, State, state

IMAGES = Path(__file__).parents[1] / "docs" / "images"
COLUMNS = 110
MOST_BYTES = 250_000
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
        _console(browser, homes["zh"] / "demo" / "config.yaml")
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


# --- the console ----------------------------------------------------------------------------------------------------


_PERSON = "li.na"
_NARROW = 400
_HELD = "purchaseOrder"
"""Of this format a document is shown that waits for approval."""


def _console(browser: Browser, config: Path) -> None:
    app = App.load(config, tell=print)
    with consoles.serve(app, config=config, port=0, clock=wiring.now) as served:
        held = served.url + _held(app)

        page = _signed_in(browser, served, "zh", _WIDTH)
        page.goto(f"{served.url}/cases")
        page.locator("table").wait_for()  # until they are read, a document's page is without its case
        _pointed(page, held)
        _keep(page.screenshot(), "console")
        page.context.close()

        page = _signed_in(browser, served, "en", _WIDTH)
        box = page.locator("section[aria-labelledby=counts]").bounding_box()
        if box is None:
            raise SystemExit("the overview has no counts")
        height = box["y"] + box["height"] + 10
        _keep(page.screenshot(full_page=True, clip={"x": 0, "y": 0, "width": _WIDTH, "height": height}), "console-en")
        page.context.close()

        page = _signed_in(browser, served, "zh", _NARROW)
        _pointed(page, held)
        page.evaluate(
            """() => {
                const [seen, judge] = [".seen", ".judge"].map(each => document.querySelector(each));
                const top = judge.getBoundingClientRect().top - seen.getBoundingClientRect().height - 14;
                window.scrollBy({top, behavior: "instant"});
            }"""
        )
        page.wait_for_timeout(300)
        _keep(page.screenshot(), "console-narrow")
        page.context.close()


def _held(app: App) -> str:
    with app.archive(read_only=True) as archive:
        for id in archive.documents():
            job = archive.job(id)
            draft = job.facts[0]
            if isinstance(draft, Draft) and draft.format == _HELD and state(job) is State.HELD:
                return path(id)
    raise SystemExit(f"the demo left no {_HELD} that waits for approval")


def _signed_in(browser: Browser, served: consoles.Console, language: str, width: int) -> Page:
    page = browser.new_page(viewport={"width": width, "height": 900}, device_scale_factor=_SCALE)
    page.goto(served.link(_PERSON, wiring.now()).replace("#", f"?lang={language}#"))
    page.wait_for_url(f"{served.url}/")
    return page


def _pointed(page: Page, address: str) -> None:
    """The document, with its total pointed at: the box it was read from is shown."""
    page.goto(address, wait_until="networkidle")
    page.locator("dl.read-fields > div", has_text="订单总价").locator("a.value").click()
    page.mouse.move(1, 1)
    page.wait_for_timeout(300)


# --- the files ------------------------------------------------------------------------------------------------------


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
    few = image.quantize(colours, Image.Quantize.MAXCOVERAGE, kmeans=3, dither=Image.Dither.NONE)
    few.save(out, "PNG", optimize=True)
    return out.getvalue()


if __name__ == "__main__":
    main(sys.argv[1:])
