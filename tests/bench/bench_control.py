"""How long after the file `pause` was set the last request reaches the ERP, or fact the log, stage by stage."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

from scraper_agent.capture.browser import PlaywrightBrowser, Settings
from scraper_agent.capture.held import Hold
from scraper_agent.control import Control
from scraper_agent.recipe import Recipe
from tests.gauntlet import held

PAUSE_S = 3.0
STAGES = {
    "login page": ("GET /login", 1.2),
    "login": ("POST /login", 1.2),
    "list": ("GET /orders", 0.0),
    "page of the list": ("GET /orders?page=2", 0.0),
    "record loads": ("GET /orders/3", 1.2),
    "record settles": ("GET /data/2", 1.2),
    "record waited for": ("GET /more/4", 0.0),
}


def measure() -> dict[str, float]:
    """Seconds by stage, and `control_s`: the longest."""
    found = {stage: _stage(at, slow_s) for stage, (at, slow_s) in STAGES.items()}
    return {**found, "control_s": max(found.values())}


def _stage(at: str, slow_s: float) -> float:
    moments: list[float] = []
    with tempfile.TemporaryDirectory() as folder, held.served() as erp:
        control = Path(folder) / "control"
        control.mkdir()
        erp.at, erp.slow_s, erp.then = at, slow_s, _paused(control / "pause", moments)
        browser = PlaywrightBrowser(
            settings=Settings(),
            secret=lambda _name: held.PASSWORD,
            hold=Hold(Control(control, lambda: datetime.now(UTC))),
        )
        list(browser.harvest(Recipe.model_validate(held.recipe_data("link")), {"base": erp.base, "user": "operator"}))
        paused, resumed = moments
        return max((at for at, _ in erp.asked if paused < at < resumed), default=paused) - paused


def _paused(file: Path, moments: list[float]) -> Callable[[], None]:
    def resume() -> None:
        moments.append(monotonic())
        file.unlink()

    def pause() -> None:
        file.touch()
        moments.append(monotonic())
        threading.Timer(PAUSE_S, resume).start()

    return pause


if __name__ == "__main__":
    print(measure())
