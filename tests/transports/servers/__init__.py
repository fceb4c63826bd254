"""Real servers of the operating system, as child processes on loopback, each with its own configuration."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

START_S = 20.0


def program(name: str, *places: str) -> str:
    """Its path; servers are often outside of the PATH of a user."""
    found = shutil.which(name, path=os.pathsep.join(("/usr/sbin", "/usr/lib/openssh", *places, os.environ["PATH"])))
    assert found, f"{name} is missing: `make system` installs it"
    return found


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


class Daemon:
    """One server process with the processes it makes for its connections."""

    def __init__(self, command: list[str], port: int, log: Path) -> None:
        self._command = command
        self._port = port
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when it greets."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        end = time.monotonic() + START_S
        while not self._greets():
            told = self._log.read_text(errors="replace")
            assert self._process.poll() is None, f"{self._command[0]} ended: {told}"
            assert time.monotonic() < end, f"{self._command[0]} does not greet: {told}"
            time.sleep(0.02)

    def stop(self) -> None:
        """All of it goes at once, connections too."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGSTOP)  # so that it makes no more while they are counted
        for pid in (*_descendants(self._process.pid), self._process.pid):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self._process.wait()
        self._process = None

    def _greets(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self._port), timeout=5) as line:
                return bool(line.recv(1))
        except OSError:
            return False


def _descendants(pid: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found, todo = [], [pid]
    while todo:
        more = children.get(todo.pop(), [])
        found += more
        todo += more
    return found
