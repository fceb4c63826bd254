"""Hostile XML, read with nothing left over: bytes to a tree in which every element has exactly the place it may have.

Refused before parsing: another encoding than UTF-8, and every `<!` and `<?` but the declaration, so that there is no
DTD, no entity, no comment, no CDATA and no processing instruction. Refused after it: elements, attributes, text and
namespace declarations in places where the caller expects none.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import TypeAlias

from lxml import etree

from scraper_agent.envelope.content import refuse

Element: TypeAlias = etree._Element  # noqa: SLF001 - lxml offers no public name for the type

DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>'

NAMESPACE = "http://www.w3.org/2000/09/xmldsig#"
SIGNATURE = f"{{{NAMESPACE}}}Signature"
"""Beside the root the only element that may declare namespaces: a prefix means one thing."""

ONE = (1, 1)
MAY = (0, 1)

_DECLARATION = re.compile(
    rb"""<\?xml\s+version=(["'])1\.0\1(?:\s+encoding=(["'])[Uu][Tt][Ff]-8\2)?(?:\s+standalone=(["'])(?:yes|no)\3)?\s*\?>\s*"""
)
_SHOWN = 80
_NAMESPACES = 8
"""Each element asks for those in scope, and a canonical form takes a time that grows with their square."""
_UNWRITABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def parsed(raw: bytes, most_bytes: int) -> Element:
    """The root.

    Raises:
        ValueError: longer than `most_bytes`, not UTF-8, not well-formed, or with markup that no message needs.
    """
    if len(raw) > most_bytes:
        refuse(f"it has more than {most_bytes} bytes")
    body = raw[found.end() :] if (found := _DECLARATION.match(raw)) else raw
    body.decode("utf-8")
    if b"<!" in body or b"<?" in body:
        refuse("a declaration of other than UTF-8, a DTD, comment, CDATA section or processing instruction")
    parser = etree.XMLParser(
        encoding="utf-8", resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, recover=False
    )
    try:
        root = etree.fromstring(body, parser)
    except etree.XMLSyntaxError as error:
        return refuse(f"not well-formed: {ascii(error.msg)[:_SHOWN]}")
    check_namespaces(root)
    return root


def check_namespaces(element: Element) -> None:
    """Raises ValueError if those in scope are more than a message needs, or a prefix is not the only one of its own."""
    in_scope = element.nsmap
    if len(in_scope) > _NAMESPACES or len({*in_scope.values(), ""}) != len(in_scope) + 1:
        refuse("too many namespaces, two prefixes for one, or one for none")


def parts(
    element: Element, allowed: Mapping[str, tuple[int, int]], attributes: Collection[str] = ()
) -> dict[str, list[Element]]:
    """The children by name, which have to be those of `allowed` (name, least and most of it) in its order.

    Raises:
        ValueError: another child, order, number or attribute, text between them, or a namespace declared.
    """
    _check_attributes(element, attributes)
    if any(text and text.strip(" \t\r\n") for text in (element.text, *(child.tail for child in element))):
        refuse(f"text beside the elements of {_name(element)}")
    rest = list(element)
    found: dict[str, list[Element]] = {}
    for name, (least, most) in allowed.items():
        taken = found[name] = []
        while rest and rest[0].tag == name and len(taken) < most:
            taken.append(rest.pop(0))
        if len(taken) < least:
            refuse(f"{_name(element)} lacks {name.rpartition('}')[2]} where it belongs")
    if rest:
        refuse(f"{_name(rest[0])} does not belong there in {_name(element)}")
    # Only now that they are few: a message may have a hundred thousand of either.
    for child in element:
        if child.tag != SIGNATURE and child.nsmap != element.nsmap:
            refuse(f"a namespace is declared at {_name(child)}")
    return found


def text(element: Element, pattern: str, attributes: Collection[str] = ()) -> str:
    """The text of an element that has nothing else, and matches `pattern` as a whole.

    Raises:
        ValueError: it has a child or attribute, or does not match.
    """
    _check_attributes(element, attributes)
    found = element.text or ""
    if len(element) or not re.fullmatch(pattern, found, re.DOTALL):
        refuse(f"{_name(element)} is {found[:_SHOWN]!a}")
    return found


def escaped(value: str) -> str:
    """`value` as text of an element in canonical form."""
    for plain, written in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("\r", "&#xD;")):
        value = value.replace(plain, written)
    return value


def writable(value: str) -> str:
    """`value` with what no XML can hold replaced: an answer has to be given even to who sent that."""
    return _UNWRITABLE.sub("\ufffd", value)


def _check_attributes(element: Element, attributes: Collection[str]) -> None:
    if set(element.attrib) != set(attributes):
        refuse(f"attributes of {_name(element)}: {', '.join(list(map(ascii, element.attrib))[:5])[:_SHOWN] or 'none'}")


def _name(element: Element) -> str:
    return ascii(etree.QName(element).localname)[1:-1][:_SHOWN]
