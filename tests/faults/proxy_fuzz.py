"""Malformed requests, each with a write behind it: `python -m tests.faults.proxy_fuzz [COUNT] [SEED]`.

A request that would be let through is mutated byte by byte, line by line; behind it stands `POST /write`, which a
proxy that reads the first one's end elsewhere than its ERP would let through. The ERP's side reads by the letter and
records: nothing but what is permitted may ever reach it, whole, and the proxy must answer to the end.
"""

from __future__ import annotations

import random
import select
import socket
import sys
import time
from collections import Counter
from dataclasses import dataclass, field

from scraper_agent.capture import guard
from scraper_agent.capture.proxy import Proxy
from scraper_agent.recipe import Permit
from tests.wire import Caller, Recorder, recording

TOLD_EVERY = 5_000
QUERY = Permit.model_validate({"purpose": "query", "path": "/rpc", "json": {"method": "read"}})
KIND = b"Content-Type: application/json\r\n"
BODY = b'{"method": "read"}'
LINES = (
    b"Transfer-Encoding: chunked", b"Transfer-Encoding : chunked", b"Transfer-Encoding:\x0bchunked",
    b"transfer-encoding:chunked", b"Transfer-Encoding: identity, chunked", b"Content-Length: 0", b"Content-Length: 5",
    b"Content-Length: +18", b"Content-Length: 18, 18", b"Content-Length: 0x12", b"Content-Length : 4",
    b" Content-Length: 4", b"Content-Length\x00: 4", b"Host: evil.example", b"host:", b"Expect: 100-continue",
    b"Upgrade: websocket", b"Connection: upgrade", b"Connection: host", b"Connection: content-length",
    b"TE: trailers", b"Trailer: Content-Length", b"X: \r\n y", b"X: a\nContent-Length: 1", b"X: a\rB: c",
    b"X-HTTP-Method-Override: DELETE", b"X-Original-URL: /write", b"Proxy-Connection: keep-alive", b"\x00: x", b":",
    b"x", b"Content-Encoding: gzip", b"Content-Type: text/html", b"Range: bytes=0-", b"X" * 3000 + b": y",
    b"X: \xc3\xa9\xe4\xb8\xad",
)  # fmt: skip
PIECES = (
    b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"\n\n", b"\x00", b" ", b"\t", b"0\r\n\r\n", b"5\r\nabcde\r\n0\r\n\r\n",
    b"POST", b"//", b"@", b"#", b"HTTP/1.0", b"HTTP/1.1", b"HTTP/2.0", b"HTTP/0.9", b"\xff", b"\x80", b"%0d%0a",
    b"/../", b"\\", b"CONNECT", b"?", b";", b"[::1]",
)  # fmt: skip


@dataclass
class Outcome:
    requests: int = 0
    seconds: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)
    reached: int = 0
    smuggled: list[tuple[list[bytes], bytes]] = field(default_factory=list)
    defects: list[Exception] = field(default_factory=list)
    """What the proxy did not expect."""


def mutated(rng: random.Random, data: bytes) -> bytes:
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        at = rng.randrange(len(data) + 1)
        match rng.randrange(8):
            case 0:
                data = data[:at] + rng.choice(PIECES) + data[at:]
            case 1:
                data = data[:at] + data[at + rng.randrange(1, 9) :]
            case 2:
                data = data[:at] + bytes([rng.randrange(256)]) + data[at + 1 :]
            case 3:
                data = data[:at] + rng.choice(PIECES) + data[at + rng.randrange(1, 5) :]
            case 4 | 5 | 6:
                lines = data.split(b"\r\n")
                lines.insert(rng.randrange(1, max(2, min(7, len(lines)))), rng.choice(LINES))
                data = b"\r\n".join(lines)
            case _:
                lines = data.split(b"\r\n")
                lines.insert(rng.randrange(len(lines)), rng.choice(lines))
                data = b"\r\n".join(lines)
    return data


def fuzz(count: int, seed: int, *, at_most_s: float = 600.0) -> Outcome:
    """Each on a connection of its own; then what the ERP has seen is weighed."""
    rng, outcome, began = random.Random(seed), Outcome(), time.monotonic()
    with (
        recording() as erp,
        Proxy(origins=frozenset({f"http://127.0.0.1:{erp.port}"}), permits=lambda: (QUERY,)) as proxy,
    ):
        with Caller(proxy) as caller:
            allowed = caller.allowed
        here = b"127.0.0.1:%d" % erp.port
        host = b"Host: " + here + b"\r\n"
        base = b"http://" + here
        length = b"Content-Length: %d\r\n" % len(BODY)
        inner = b"GET /orders?page=2 HTTP/1.1\r\n" + host + b"Accept: */*\r\n\r\n"
        seeds = (
            b"GET " + base + b"/orders?page=2 HTTP/1.1\r\n" + host + allowed + b"Accept: */*\r\n\r\n",
            b"POST " + base + b"/rpc HTTP/1.1\r\n" + host + allowed + KIND + length + b"\r\n" + BODY,
            b"CONNECT " + here + b" HTTP/1.1\r\n" + host + allowed + b"\r\n" + inner,
        )  # fmt: skip
        write = b"POST " + base + b"/write HTTP/1.1\r\n" + host + allowed + b"Content-Length: 0\r\n\r\n"
        inside = b"POST /write HTTP/1.1\r\n" + host + b"Content-Length: 0\r\n\r\n"
        while outcome.requests < count and time.monotonic() - began < at_most_s:
            which = rng.randrange(len(seeds))
            request = mutated(rng, seeds[which]) + (inside if which == 2 else write)
            outcome.statuses[_sent(proxy.port, request)] += 1
            outcome.requests += 1
            if outcome.requests % TOLD_EVERY == 0:
                told = f"{outcome.requests} of {count}, smuggled: {len(outcome.smuggled)}"
                print(told, file=sys.stderr, flush=True)
            if len(erp.seen) > 1000:
                _weigh(erp, outcome)
        with Caller(proxy) as caller:  # it lives
            assert caller.ask(f"GET {base.decode()}/orders?page=2").status == 200
        _weigh(erp, outcome)
        outcome.defects = proxy.defects
    outcome.seconds = time.monotonic() - began
    return outcome


def _sent(port: int, request: bytes) -> int:
    """The first status that comes back; 0 for none. A request that is not ended is ended by us."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as line:
        try:
            line.sendall(request)
            ready, _, _ = select.select([line], [], [], 0.05)
            if not ready:
                return 0
            said = line.recv(4096)
        except OSError:
            return 0
    parts = said.split(b" ", 2)
    return int(parts[1]) if len(parts) > 1 and parts[1].isdigit() else 0


def _weigh(erp: Recorder, outcome: Outcome) -> None:
    """Take what has reached the ERP off its record, and keep what should not have."""
    seen, erp.seen = erp.seen, []
    outcome.reached += len(seen)
    for lines, body in seen:
        method, target, version = lines[0].decode("latin-1").split(" ")
        headers = {
            name.lower(): value.strip() for name, _, value in (ln.decode("latin-1").partition(":") for ln in lines[1:])
        }
        hosts = [ln for ln in lines[1:] if ln.lower().startswith(b"host:")]
        framed = "transfer-encoding" not in headers and "proxy-authorization" not in headers
        verdict = guard.judge(
            method, f"http://127.0.0.1:{erp.port}{target}", body, headers=headers, permits=(QUERY,),
            origins=frozenset({f"http://127.0.0.1:{erp.port}"}),
        )  # fmt: skip
        whole = version == "HTTP/1.1" and len(hosts) == 1 and headers["host"] == f"127.0.0.1:{erp.port}"
        if not (framed and whole and verdict == guard.Pass() and "/write" not in target):
            outcome.smuggled.append((lines, body))


def main() -> int:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 20261121
    outcome = fuzz(count, seed, at_most_s=3600)
    speed = outcome.requests / outcome.seconds
    print(f"seed {seed}: {outcome.requests} requests, {speed:.0f}/s, statuses {dict(outcome.statuses)}")
    print(f"{outcome.reached} reached the ERP, {len(outcome.smuggled)} that may not; defects: {outcome.defects}")
    for lines, body in outcome.smuggled[:20]:
        print(lines, body)
    return 1 if outcome.smuggled or outcome.defects else 0


if __name__ == "__main__":
    sys.exit(main())
