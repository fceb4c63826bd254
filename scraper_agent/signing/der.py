"""Strict DER (X.690) of the few types in a signature and a key file: one value has one spelling, others are refused."""

from __future__ import annotations

INTEGER = 0x02
BIT_STRING = 0x03
OCTET_STRING = 0x04
NULL = 0x05
OID = 0x06
SEQUENCE = 0x30
CONTEXT_0 = 0xA0
CONTEXT_1 = 0xA1

_SHORT = 0x80
"""Lengths below this take one byte."""


class Malformed(ValueError):
    """Not DER, or not the expected type."""


def encode(tag: int, *parts: bytes) -> bytes:
    content = b"".join(parts)
    size = len(content)
    if size < _SHORT:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, _SHORT | len(length)]) + length + content


def integer(value: int) -> bytes:
    """INTEGER of `value` >= 0, shortest form."""
    return encode(INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big"))


class Reader:
    """Takes one element after the other from `data`."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def next_tag(self) -> int | None:
        """None at the end."""
        return self._data[self._at] if self._at < len(self._data) else None

    def take(self, tag: int) -> bytes:
        """The content of the next element.

        Raises:
            Malformed: it has another tag, a length not in its shortest form, or too few bytes.
        """
        if self.next_tag != tag:
            raise Malformed(f"tag {self.next_tag} at byte {self._at}, expected {tag}")
        start, size = self._length(self._at + 1)
        end = start + size
        if end > len(self._data):
            raise Malformed(f"cut off at byte {len(self._data)}, expected {end}")
        self._at = end
        return self._data[start:end]

    def inside(self, tag: int) -> Reader:
        return Reader(self.take(tag))

    def integer(self) -> int:
        """A non-negative INTEGER.

        Raises:
            Malformed: as `take`, or negative, or with a needless leading zero byte.
        """
        content = self.take(INTEGER)
        if not content or content[0] >= _SHORT or (content[0] == 0 and len(content) > 1 and content[1] < _SHORT):
            raise Malformed("not a shortest non-negative INTEGER")
        return int.from_bytes(content, "big")

    def end(self) -> None:
        """Nothing may follow.

        Raises:
            Malformed: bytes are left over.
        """
        if self._at != len(self._data):
            raise Malformed(f"{len(self._data) - self._at} bytes too many")

    def _length(self, at: int) -> tuple[int, int]:
        """(where the content starts, its size)."""
        head = self._data[at : at + 1]
        if not head:
            raise Malformed("no length")
        if head[0] < _SHORT:
            return at + 1, head[0]
        octets = self._data[at + 1 : at + 1 + head[0] - _SHORT]
        size = int.from_bytes(octets, "big")
        # 0x80 alone is BER's indefinite length; a leading zero or a size that fits one byte is not the shortest form.
        if not octets or len(octets) != head[0] - _SHORT or octets[0] == 0 or size < _SHORT:
            raise Malformed("length not in shortest form")
        return at + 1 + len(octets), size
