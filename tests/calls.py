"""The program called as its command, in this process."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest
from loguru import logger

from scraper_agent import cli

Call: TypeAlias = Callable[..., tuple[int, str, str]]
"""Takes what stands behind `--config FILE`; exit code, what was printed, and what was told beside it."""


def caller(config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    def call(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["scraper-agent", "--config", str(config), *map(str, arguments)])
        try:
            cli.main()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        finally:
            logger.remove()
        said = capsys.readouterr()
        return code, said.out, said.err

    return call
