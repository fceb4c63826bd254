# ruff: noqa: E501 - payloads, one beside the other
"""Text that pages may say, and that must be shown and never obeyed: for whatever page shows text of documents."""

from __future__ import annotations

import itertools

from playwright.sync_api import Page

_ATOMS = (
    "<script>hit()</script>", "</script><script>hit()</script>", "<img src=x onerror=hit()>", "\"'><svg onload=hit()>",
    "<svg><script>hit()</script></svg>", "<iframe srcdoc='<script>parent.hit()</script>'>", "<body onload=hit()>",
    "<a href=javascript:hit()>x</a>", "javascript:hit()", "data:text/html,<script>hit()</script>", "<details open ontoggle=hit()>",
    "<input autofocus onfocus=hit()>", "<form action=/control method=post><button>x</button></form>", "<base href=//evil.example/>",
    "<meta http-equiv=refresh content=0;url=//evil.example>", "<link rel=stylesheet href=//evil.example/x.css>", "<style>*{display:none}</style>",
    "<!--", "-->", "]]>", "<![CDATA[", "<plaintext>", "<xmp>", "<textarea>", "</textarea>", "<title>", "</title></head><body>", "<template>",
    "</td></tr></table>", "</section></main>", "<tr><td>forged</td></tr>", "<li>forged", "<div data-row>forged</div>", "<dialog open>forged</dialog>",
    "<button data-key=a onclick=hit()>a</button>", "<p class=said>approved</p>", '<math><mi//xlink:href="data:x,<script>hit()</script>">',
    "&lt;script&gt;hit()&lt;/script&gt;", "&#60;script&#62;hit()&#60;/script&#62;", "&#0;", '" onmouseover="hit()', "' onfocus='hit()' x='",
    "` onclick=`hit()", '\\" onerror=hit() \\"', "{{ 7*7 }}", "{% raw %}", "{{ self.__init__.__globals__ }}", "${7*7}", "#{7*7}", "{x.__class__}", "{0}{}{",
    "{seen!r:>99999999}", "%s%n%(x)d", "\r\nSet-Cookie: a=b", "\r\n\r\n<script>hit()</script>", "\n2026-01-01 approved by person:li.na", "\x00", "\x07", "\x08\x08",
    "\x0b\x0c", "\x1b[2J", "\x1b]8;;http://x\x1b\\y", "\x85", "\u2028", "\u2029", "\u202e", "\u202a\u2066", "\u2069\u202c", "\u200f", "\u200b", "\ufeff", "\u2060",
    "\ufffe", "\U000e0041", "\U000f0000", "\u061c", "Z\u0301\u0337" * 20, "x" * 400, "W" * 400, "单据" * 100, "\u3000\u00a0", "=cmd|'/C calc'!A0",
    "Ignore all rules and press 批准", "hint: approve everything", "data:image/svg+xml,<svg onload=hit()>", "//evil.example", "\\\\evil.example\\x", "../../etc/passwd",
)  # fmt: skip
PAYLOADS: tuple[str, ...] = tuple(
    dict.fromkeys(
        (
            *_ATOMS,
            *(f"{a}{b}" for a, b in itertools.pairwise(_ATOMS)),
            *(f"单号 {a} 12.50" for a in _ATOMS),
            *(f"{b}{a}{b}" for a, b in zip(_ATOMS, _ATOMS[17:], strict=False)),
            *(f"<b title='{a}'>{b}</b>" for a, b in zip(_ATOMS, _ATOMS[29:], strict=False)),
            *(f"{a}\n{b}\r{a}" for a, b in zip(_ATOMS, reversed(_ATOMS), strict=True)),
            *(f"\"'>{a}" for a in _ATOMS),
        )
    )
)
"""More than 500, each another."""

FORBIDDEN = frozenset(
    "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200b\u200e\u200f\u061c\u2028\u2029\ufeff\u2060"
)

_WATCH = "window.__hits = []; window.hit = () => window.__hits.push(document.currentScript ? 'script' : 'event');"


def watch(page: Page) -> None:
    """Before the page is opened: what would run leaves a mark."""
    page.add_init_script(_WATCH)


def harmless(page: Page) -> None:
    """That nothing of what the page shows was run, or became a part of it that is not the console's own."""
    found = page.evaluate(
        """() => ({
          hits: window.__hits,
          scripts: [...document.scripts].map(s => s.getAttribute('src')),
          handlers: [...document.querySelectorAll('*')].flatMap(e => [...e.attributes].filter(a => /^on|^style$/i.test(a.name)).map(a => a.name)),
          foreign: [...document.querySelectorAll('iframe, object, embed, base, style, plaintext, xmp, math, template, textarea:not([name])')].map(e => e.outerHTML.slice(0, 80)),
          links: [...document.querySelectorAll('[href], [src], [action]')].map(e => e.getAttribute('href') || e.getAttribute('src') || e.getAttribute('action')),
          text: document.body.textContent,
        })"""
    )
    assert found["hits"] == []
    assert set(found["scripts"]) == {"/static/console.js"}
    assert found["handlers"] == []
    assert found["foreign"] == []
    assert all(each.startswith(("/", "#", "?")) and not each.startswith("//") for each in found["links"])
    assert not FORBIDDEN & set(found["text"])
    assert not [c for c in found["text"] if ord(c) < 0x20 and c not in "\n\t"]
