"""Whether a page can be used by who does not see it, or has no mouse: axe-core, in the page itself."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Page

from tests import npm

HERE = Path(__file__).resolve().parent
CACHE = HERE.parents[1] / ".cache" / "console"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
WIDTHS = (1280, 400)


def script() -> str:
    return (npm.installed(HERE, CACHE) / "axe-core" / "axe.min.js").read_text(encoding="utf-8")


def axe(page: Page, widths: tuple[int, ...] = WIDTHS) -> None:
    """That the page breaks no rule of WCAG 2 at levels A and AA, and is as wide as its window, at each width."""
    page.evaluate(script())  # through the debugger: the page's own policy lets no foreign script in
    for width in widths:
        page.set_viewport_size({"width": width, "height": 900})
        found = page.evaluate("rules => axe.run(document, {runOnly: rules})", RULES)
        told = [
            f"{page.url} at {width}: {each['id']} {each['help']}: {[node['html'][:200] for node in each['nodes'][:3]]}"
            for each in found["violations"]
        ]
        assert not told
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width, f"{page.url} is {wide} wide in a window of {width}"


def main() -> None:
    print(npm.installed(HERE, CACHE))


if __name__ == "__main__":
    main()
