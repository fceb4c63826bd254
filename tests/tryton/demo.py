"""`make demo-tryton`: the whole program on a real Tryton, as a person sees it."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

from scraper_agent import messages
from scraper_agent.cli import demo
from tests.tryton.server import OPERATOR, PASSWORD, TrytonServer

LIMIT = Decimal(6_000_000)
RECIPES = ("tryton/order", "tryton/invoice", "tryton/receipt")


def trial(folder: Path, server: TrytonServer) -> demo.Trial:
    return demo.Trial(
        folder=folder,
        recipes=RECIPES,
        parameters={"base": server.url, "user": OPERATOR},
        password=PASSWORD,
        limit=LIMIT,
    )


def main() -> None:
    messages.use("en")
    print("Installing and seeding Tryton; some minutes the first time …", flush=True)
    with TrytonServer() as server:
        trial(Path("demo-tryton"), server).perform()


if __name__ == "__main__":
    main()
