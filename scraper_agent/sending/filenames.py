"""A text that others wrote as part of a file name: the same on Windows, Linux, macOS and their shares."""

from __future__ import annotations

import unicodedata

_FORBIDDEN = frozenset('<>:"/\\|?*[]')
"""By Windows; the brackets by Excel, which opens no workbook of such a name."""
_INVISIBLE = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))
"""Controls, marks that turn the direction of writing and so hide an extension, halves of characters, unknown ones."""
_MARKS = frozenset(("Mn", "Mc", "Me"))


def safe(text: str, most: int) -> str:
    """`text` without what a file name may not have or hide, at most `most` bytes of UTF-8; `-` if nothing stays.

    Two texts may give the same: a name needs something else that tells them apart. A name that Windows keeps for a
    device, such as CON, is not changed: it is none with something before it.
    """
    kept = "".join(
        "_" if char in _FORBIDDEN or char.isspace() else char
        for char in unicodedata.normalize("NFC", text)
        if char.isspace() or unicodedata.category(char) not in _INVISIBLE
    )
    short, size = "", 0
    for at, char in enumerate(kept):
        size += len(char.encode())
        if size > most:
            # A mark that does not fit belongs to the letter before it, which would be another without it.
            short = short if unicodedata.category(char) not in _MARKS else _without_last(kept[:at])
            break
        short += char
    return short.strip("._ ") or "-"


def _without_last(text: str) -> str:
    """Without the last letter and its marks."""
    while text and unicodedata.category(text[-1]) in _MARKS:
        text = text[:-1]
    return text[:-1]
