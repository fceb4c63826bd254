"""A bundle checked by openssl alone: public keys as PEM, signatures as DER, and the lines that check them.

What the script needs beside openssl is a POSIX shell with `cat`, `cmp`, `cut`, `head`, `tail` and `xargs`. It says no
more than that digests, tree and signatures hold; what that proves is for `verify.py`.
"""

from __future__ import annotations

import base64
import bisect
import json
import operator
import re
from collections.abc import Mapping, Sequence
from typing import Protocol

from scraper_agent import canonical
from scraper_agent.audit import note as notes

_DER = bytes.fromhex("3059301306072a8648ce3d020106082a811ccf5501822d034200")
"""SubjectPublicKeyInfo of a point of the SM2 curve, up to the point."""
_REQUEST = re.compile(rb'\{"ak":"([^"]{6})","ts":([0-9]{1,16}),"sk":"([0-9]{2})","sn":"([0-9A-Za-z+/=]{88})","ps":')

_HEAD = """\
#!/bin/sh
# Checks this bundle with openssl alone: every digest, the tree, and every signature of the one profile that is plain
# enough. Ends with 0 if all of them hold. It needs OpenSSL 3.0 or newer; tell it another one by OPENSSL=….
set -eu
cd "$(dirname "$0")"
OPENSSL=${OPENSSL:-openssl}
T=$(mktemp -d)
trap 'rm -rf "$T"' EXIT
bad=0
# A part of a file: FILE OFFSET LENGTH, the offset from 1.
part() { tail -c "+$2" "$1" | head -c "$3"; }
# The signature in $T/s of what is in $T/m: WHAT, and the fingerprints of the keys that it may be by.
signed() {
  what=$1; shift
  for key in "$@"; do
    if "$OPENSSL" pkeyutl -verify -rawin -digest sm3 -pkeyopt distid:1234567812345678 \\
      -pubin -inkey "keys/$key.pem" -sigfile "$T/s" -in "$T/m" >/dev/null 2>&1
    then echo "ok   $what, signed by $key"; return; fi
  done
  echo "BAD  $what, not signed by $*"; bad=1
}
sm3() { "$OPENSSL" dgst -sm3 -binary; }
# The tree, from the left: a leaf of entries.jsonl (OFFSET LENGTH), a root that is given (in octal), a node of the two.
n=0
leaf() { n=$((n + 1)); { printf '%b' '\\0000'; part entries.jsonl "$1" "$2"; } | sm3 > "$T/$n"; }
given() { n=$((n + 1)); printf '%b' "$1" > "$T/$n"; }
node() { m=$((n - 1)); { printf '%b' '\\0001'; cat "$T/$m" "$T/$n"; } | sm3 > "$T/node"; mv "$T/node" "$T/$m"; n=$m; }

if cut -d '*' -f 2 SM3SUMS | xargs "$OPENSSL" dgst -sm3 -r | cmp -s - SM3SUMS
then echo "ok   the SM3 of every file of SM3SUMS"; else echo "BAD  a file of SM3SUMS is another one"; bad=1; fi
# A body is named by its SM3.
if grep blobs/ SM3SUMS | sed 's/^\\([0-9a-f]*\\) .*blobs\\/\\1$//' | grep -q .
then echo "BAD  a body is not what its name says"; bad=1; else echo "ok   every body is what its name says"; fi
"""
_TAIL = """\
if test "$bad" = 0; then echo "all of it holds"; else echo "NOT ALL OF IT HOLDS"; exit 1; fi
"""


class Keys(Protocol):
    """By name, or by `sk`."""

    @property
    def log(self) -> Mapping[str, str]: ...
    @property
    def receivers(self) -> Mapping[str, str]: ...
    @property
    def witnesses(self) -> Mapping[str, str]: ...
    @property
    def enterprise(self) -> Sequence[Mapping[str, object]]: ...


def pem(public_key: str) -> bytes:
    """SubjectPublicKeyInfo of X‖Y in hex."""
    body = base64.b64encode(_DER + b"\x04" + bytes.fromhex(public_key)).decode()
    lines = [body[at : at + 64] for at in range(0, len(body), 64)]
    return "\n".join(("-----BEGIN PUBLIC KEY-----", *lines, "-----END PUBLIC KEY-----", "")).encode()


def fingerprint(public_key: str) -> str:
    """SM3 of the public key in DER, 64 hex digits."""
    return canonical.sm3(_DER + b"\x04" + bytes.fromhex(public_key)).hex()


def der(signature: bytes) -> bytes:
    """R‖S as openssl wants it: a SEQUENCE of two INTEGERs."""
    numbers = [signature[:32].lstrip(b"\0"), signature[32:].lstrip(b"\0")]
    signed = [b"\0" + each if each[:1] >= b"\x80" else each for each in numbers]
    parts = b"".join(b"\x02" + bytes([len(each)]) + each for each in signed)
    return b"\x30" + bytes([len(parts)]) + parts


def octal(data: bytes) -> str:
    """As `printf %b` of any shell reads it."""
    return "".join(f"\\0{byte:03o}" for byte in data)


class Checks:
    """The lines of one bundle's script. `named`: every public key by its fingerprint."""

    def __init__(self, named: Mapping[str, str]) -> None:
        self._named = {key: fingerprint for fingerprint, key in named.items()}
        self._lines: list[str] = []
        self._left: list[str] = []

    def note(self, name: str, data: bytes, keys: Keys) -> None:
        """The log's signature of a checkpoint, and those of witnesses."""
        read = notes.read(data)
        for each in read.lines:
            by_log = {key for key in keys.log.values() if notes.key_id(each.name, key, notes.CHECKPOINT) == each.key_id}
            witness = keys.witnesses.get(each.name)
            if each.name == read.checkpoint.origin and len(by_log) == 1:
                (key,) = by_log
                before, signature, type = b"", each.signature, notes.CHECKPOINT
            elif witness is not None and notes.key_id(each.name, witness, notes.COSIGNATURE) == each.key_id:
                key, type = witness, notes.COSIGNATURE
                moment, signature = int.from_bytes(each.signature[:8], "big"), each.signature[8:]
                before = b"cosignature/v1\ntime %d\n" % moment
            else:
                continue
            length = len(before) + len(read.text)
            before = b"DSSEv1 %d %s %d " % (len(type), type.encode(), length) + before
            made = f"{{ {_literal(before)}; part {name} 1 {len(read.text)}; }}"
            self._signature(name, [key], made, signature)

    def body(self, name: str, holds: str, body: bytes, keys: Keys) -> None:
        """Its signature, if it is an envelope or a receipt of the profile `ak-ts-sk-ps/1`."""
        try:
            if holds == "envelope":
                self._envelope(name, body, keys)
            elif holds == "receipt":
                self._receipt(name, body, keys)
        except (ValueError, KeyError, TypeError, AttributeError):
            self._left.append(name)

    def _envelope(self, name: str, body: bytes, keys: Keys) -> None:
        found = _REQUEST.match(body)
        if found is None:
            raise ValueError("no request of the profile")
        sk = found[3].decode()
        spans = [found.span(1), found.span(2), found.span(3), (found.end(), len(body) - 1)]
        made = "{ " + " ".join(f"part {name} {start + 1} {end - start};" for start, end in spans) + " }"
        able = [str(each["public_key"]) for each in keys.enterprise if each["sk"] == sk]
        self._signature(name, able, made, base64.b64decode(found[4]))

    def _receipt(self, name: str, body: bytes, keys: Keys) -> None:
        said = json.loads(body)
        before = "".join((said["code"], said["msg"], str(said["ts"]), said["sk"])).encode()
        result = canonical.dumps_plain(said["rs"])
        at = body.find(result)
        if at < 0:
            raise ValueError("spelled otherwise than it is signed")
        made = f"{{ {_literal(before)}; part {name} {at + 1} {len(result)}; }}"
        signature = base64.b64decode(said["sn"])
        able = [key for named, key in keys.receivers.items() if named.endswith(said["sk"])]
        self._signature(name, able, made, signature)

    def tree(self, entries: Sequence[tuple[int, int]], head: notes.Checkpoint, proof: Sequence[bytes]) -> None:
        """`entries`: index and length of each."""
        left = iter(proof)
        starts, at = [], 1
        for _, length in entries:
            starts.append(at)
            at += length + 1

        def walk(start: int, stop: int, low: int, high: int) -> None:
            if low == high:
                self._lines.append(f"given '{octal(next(left))}'")
            elif stop - start == 1:
                self._lines.append(f"leaf {starts[low]} {entries[low][1]}")
            else:
                middle = start + (1 << ((stop - start - 1).bit_length() - 1))
                cut = bisect.bisect_left(entries, middle, low, high, key=operator.itemgetter(0))
                walk(start, middle, low, cut)
                walk(middle, stop, cut, high)
                self._lines.append("node")

        if head.size:
            walk(0, head.size, 0, len(entries))
            self._lines.append(
                'if test "$("$OPENSSL" base64 -A < "$T/1")" = "$(sed -n 3p checkpoint)"\n'
                'then echo "ok   the entries are in the tree of the checkpoint"\n'
                'else echo "BAD  the entries are not in the tree of the checkpoint"; bad=1; fi'
            )

    def script(self) -> bytes:
        told = [f'echo "not checked here: {name}"' for name in self._left]
        return "\n".join((_HEAD, *self._lines, *told, _TAIL)).encode()

    def _signature(self, what: str, able: Sequence[str], made: str, signature: bytes) -> None:
        """`able`: the public keys that it may be of."""
        if not able:
            raise ValueError("no key")
        self._lines.append(f"printf '%b' '{octal(der(signature))}' > \"$T/s\"; {made} > \"$T/m\"")
        self._lines.append(" ".join(("signed", what, *sorted({self._named[key] for key in able}))))


def _literal(data: bytes) -> str:
    return f"printf '%b' '{octal(data)}'"
