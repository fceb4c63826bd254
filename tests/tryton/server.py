"""A real Tryton 8.0 with its web client, seeded, on a loopback port of this machine.

Three layers, each built once into the cache folder and named by a digest of what it is made of: Tryton's virtual
environment, the web client with its libraries, and the seeded database. A changed seed or requirement therefore builds
a new layer beside the old one, and a warm cache costs only the comparison. A running server works on a private copy of
the database, so several may run from one cache, and `reset` is a copy and a restart.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Self

HERE = Path(__file__).resolve().parent
CACHE = HERE.parent.parent / ".cache" / "tryton"
DATABASE = "tryton"
OPERATOR = "operator"
PASSWORD = "robot-pass-123"  # noqa: S105 - of a throw-away database on the loopback
ADMIN_PASSWORD = "admin-pass-123"  # noqa: S105
MODULES = ("purchase", "account_invoice_stock", "stock_supply", "account_product", "incoterm")
PASSWORD_VARIABLE = "TRYTON_OPERATOR_PASSWORD"  # noqa: S105 - a name, not a password
START_TIMEOUT_S = 60
STOP_TIMEOUT_S = 10

# The cache's cleaning leaves SQLite's one connection committing each statement by itself, so that the next transaction
# which Tryton rolls back and repeats finds its own traces. A single process needs no cleaning.
CONFIGURATION = """\
[database]
uri = sqlite://
path = {databases}
[web]
listen = 127.0.0.1:{port}
root = {web}
[session]
authentications = password
timeout = 86400
max_age = 864000
[attachment]
filestore = false
[cache]
clean_timeout = 8640000
"""


class TrytonError(Exception):
    """Tryton could not be installed, seeded or started; the message holds the end of what the failing program said."""


def digest(*parts: bytes) -> str:
    """Twelve hexadecimal digits; the parts are delimited, so moving a byte between them changes it."""
    total = hashlib.sha256()
    for part in parts:
        total.update(hashlib.sha256(part).digest())
    return total.hexdigest()[:12]


def contents(*names: str) -> list[bytes]:
    return [(HERE / name).read_bytes() for name in names]


def run(command: Sequence[str | Path], *, folder: Path, variables: dict[str, str] | None = None) -> str:
    """Returns stdout. Raises: TrytonError when the program ends with anything but zero."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=folder,
        env={**os.environ, **(variables or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = (done.stdout + done.stderr)[-3000:]
        raise TrytonError(f"`{Path(str(command[0])).name}` ended with {done.returncode}:\n{said}")
    return done.stdout


@contextlib.contextmanager
def locked(cache: Path) -> Iterator[None]:
    """One builder at a time; a second process waits and then finds the work done."""
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def layer(cache: Path, name: str, build: Callable[[Path], None]) -> Path:
    """The folder `name` of the cache, built if it is not there whole: a build that died leaves no `complete` mark."""
    folder = cache / name
    complete = folder / "complete"
    if complete.exists():
        return folder
    with locked(cache):
        if not complete.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            build(folder)
            complete.touch()
    return folder


def build_environment(folder: Path) -> None:
    run([sys.executable, "-m", "venv", folder], folder=folder.parent)
    install_command = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"]
    run([folder / "bin" / "python", *install_command, "-r", HERE / "requirements.txt"], folder=folder)


def build_web(folder: Path) -> None:
    """The client's package brings its scripts already built, but asks for its build tools: only its libraries are
    installed, from our own lock file."""
    npm = shutil.which("npm")
    if npm is None:
        raise TrytonError("npm is missing: Tryton's web client comes from npm.\nhint: apt-get install nodejs npm")
    for name in ("package.json", "package-lock.json"):
        shutil.copy(HERE / "web" / name, folder / name)
    wanted = json.loads((folder / "package.json").read_text())["config"]
    answer = run([npm, "pack", "--silent", "--json", wanted["client"]], folder=folder)
    archive = folder / json.loads(answer)[0]["filename"]
    found = "sha512-" + base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if found != wanted["integrity"]:
        raise TrytonError(f"{wanted['client']} is {found}, expected {wanted['integrity']}")
    with tarfile.open(archive) as opened:
        opened.extractall(folder, filter="data")
    archive.unlink()
    root = folder / "package"
    for name in ("package.json", "package-lock.json"):
        (folder / name).replace(root / name)
    options = ["--omit=dev", "--legacy-peer-deps", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
    run([npm, "ci", *options], folder=root)
    # index.html asks for both, and the server answers 405 for a file that is not there.
    (root / "custom.js").touch()
    (root / "custom.css").touch()


def environment(cache: Path) -> Path:
    version = f"{sys.version_info.major}.{sys.version_info.minor}".encode()
    return layer(cache, "python-" + digest(version, *contents("requirements.txt")), build_environment)


def web(cache: Path) -> Path:
    """The folder that the server shows under `/`."""
    return layer(cache, "web-" + digest(*contents("web/package.json", "web/package-lock.json")), build_web) / "package"


def install(cache: Path = CACHE) -> tuple[Path, Path]:
    """Returns Tryton's virtual environment and its web root; may be repeated."""
    return environment(cache), web(cache)


def configure(folder: Path, web_root: Path, port: int) -> Path:
    """Writes trytond.conf; `folder/db` must hold exactly one *.sqlite, or the login page asks which one."""
    configuration = folder / "trytond.conf"
    text = CONFIGURATION.format(databases=folder / "db", web=web_root, port=port)
    configuration.write_text(text, encoding="utf-8")
    return configuration


def snapshot(cache: Path = CACHE, password: str = PASSWORD) -> Path:
    """The seeded database, as one file that nobody writes to; `password` is the operator's."""
    python_folder, web_root = install(cache)

    def build(folder: Path) -> None:
        (folder / "db").mkdir()
        (folder / "db" / f"{DATABASE}.sqlite").touch()
        configuration = configure(folder, web_root, port=0)
        python, scripts = python_folder / "bin" / "python", python_folder / "bin"
        admin: list[str | Path] = [python, scripts / "trytond-admin", "-c", configuration, "-d", DATABASE]
        with tempfile.NamedTemporaryFile("w", encoding="utf-8") as password_file:
            password_file.write(ADMIN_PASSWORD)
            password_file.flush()
            variables = {"TRYTONPASSFILE": password_file.name}
            run([*admin, "--all", "--email", "admin@example.com"], folder=folder, variables=variables)
        run([*admin, "-u", *MODULES, "--activate-dependencies"], folder=folder)
        seed: list[str | Path] = [python, "-P", HERE / "seed.py", "--config", configuration]
        seed += ["--password-variable", PASSWORD_VARIABLE]
        # Tryton walks over sets: with hashes that change from run to run, ids would too.
        run(seed, folder=folder, variables={PASSWORD_VARIABLE: password, "PYTHONHASHSEED": "0"})
        (folder / "db" / f"{DATABASE}.sqlite").replace(folder / "snapshot.sqlite")

    # Only what decides the content: this file's changes need no new database unless MODULES changes.
    parts = contents("requirements.txt", "seed.py")
    key = digest(*parts, " ".join(MODULES).encode(), password.encode())
    return layer(cache, "data-" + key, build) / "snapshot.sqlite"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class TrytonServer:
    """One server process over its own copy of the seeded database; a context manager that starts and stops it."""

    def __init__(self, cache: Path = CACHE, password: str = PASSWORD) -> None:
        self.cache = cache
        self.password = password
        self.port = 0
        self._folder: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """With the slash at its end; hash routes are appended to it."""
        return f"http://127.0.0.1:{self.port}/"

    def start(self, port: int = 0) -> None:
        """Returns when the server answers; port 0 chooses a free one. Raises: TrytonError."""
        if self._process is not None:
            raise TrytonError(f"already running on port {self.port}")
        python_folder, web_root = install(self.cache)
        seeded = snapshot(self.cache, self.password)
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="tryton-"))
            (self._folder / "db").mkdir()
            shutil.copyfile(seeded, self._folder / "db" / f"{DATABASE}.sqlite")
        self.port = port or free_port()
        configuration = configure(self._folder, web_root, self.port)
        command = [python_folder / "bin" / "python", python_folder / "bin" / "trytond", "-c", configuration]
        with (self._folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(word) for word in (*command, "-d", DATABASE)],
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Ends this server's own process and forgets its data; may be repeated."""
        self._end_process()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def reset(self) -> None:
        """Puts the seeded data back and serves it on the same port. Every session is gone with the old data."""
        if self._process is None or self._folder is None:
            raise TrytonError("not running")
        self._end_process()
        # Files that SQLite leaves beside the database belong to the old data.
        for path in (self._folder / "db").iterdir():
            path.unlink()
        shutil.copyfile(snapshot(self.cache, self.password), self._folder / "db" / f"{DATABASE}.sqlite")
        self.start(self.port)

    def log(self) -> str:
        """What the server has said since `start`."""
        return "" if self._folder is None else (self._folder / "server.log").read_text(errors="replace")

    def __enter__(self) -> Self:
        if self._process is None:
            self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _end_process(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _wait_until_ready(self) -> None:
        process = self._process
        assert process is not None
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.05)
                raise TrytonError(f"the server ended with {process.returncode}:\n{self.log()[-3000:]}")
            if self._answers():
                return
        raise TrytonError(f"no answer on port {self.port} for {START_TIMEOUT_S} s:\n{self.log()[-3000:]}")

    def _answers(self) -> bool:
        """Asks what only a loaded database can answer: before that the page is served, but no login succeeds."""
        body = json.dumps({"id": 0, "method": "common.authentication.services", "params": []}).encode()
        request = urllib.request.Request(f"{self.url}rpc/", body, {"Content-Type": "application/json"})  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310
                return "result" in json.load(answer)
        except (urllib.error.URLError, OSError, ValueError):
            return False


def serve(server: TrytonServer, port: int) -> None:
    """Runs until SIGTERM or SIGINT."""
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    server.start(port)
    with server:
        print(f"{server.url}  login: {OPERATOR} {server.password}", flush=True)
        ended.wait()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.tryton.server", description="A seeded Tryton for tests.")
    parser.add_argument("--cache", type=Path, default=CACHE)
    parser.add_argument("--password", default=os.environ.get(PASSWORD_VARIABLE, PASSWORD), help="of the operator")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("install", help="Tryton and its web client into the cache")
    commands.add_parser("seed", help="install, and the seeded database")
    serving = commands.add_parser("serve", help="seed, and serve until stopped")
    serving.add_argument("--port", type=int, default=0)
    arguments = parser.parse_args()
    cache = arguments.cache.resolve()
    try:
        if arguments.command == "install":
            install(cache)
        elif arguments.command == "seed":
            print(snapshot(cache, arguments.password))
        else:
            serve(TrytonServer(cache, arguments.password), arguments.port)
    except TrytonError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
