"""The control connection of FTP, going wrong on demand."""

from __future__ import annotations

import re
import socket
import socketserver
import threading
from typing import Any, Self

OK = {
    "USER": "331 password\r\n",
    "PASS": "230 in\r\n",
    "PWD": '257 "/"\r\n',
    "CWD": "250 there\r\n",
    "TYPE": "200 fine\r\n",
    "SIZE": "550 no such file\r\n",
}


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


class _Loopback:
    def __init__(self) -> None:
        outer = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                try:
                    outer.serve(self)
                except OSError:
                    return  # the client hung up

        self._server = _Server(("127.0.0.1", 0), Handler)
        self.port = int(self._server.server_address[1])

    def serve(self, client: Any) -> None:
        raise NotImplementedError

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class Recorded(_Loopback):
    """Answers by the first word of a command; `502` to what it does not know, nothing to what is told to be empty."""

    def __init__(self) -> None:
        super().__init__()
        self.says: dict[str, str] = dict(OK)
        self.commands: list[str] = []

    def serve(self, client: Any) -> None:
        client.wfile.write(b"220 hello\r\n")
        for line in client.rfile:
            command = line.decode().strip()
            self.commands.append(command)
            client.wfile.write(self.says.get(command.split(" ")[0], "502 unknown\r\n").encode("latin-1"))


class Cut(_Loopback):
    """Between a client and the server at `port`; hangs up in place of the answer to a `command`, a pattern."""

    def __init__(self, port: int, command: str) -> None:
        super().__init__()
        self._port = port
        self.command = command

    def serve(self, client: Any) -> None:
        with socket.create_connection(("127.0.0.1", self._port)) as line, line.makefile("rb") as answers:
            client.wfile.write(answers.readline())
            for command in client.rfile:
                line.sendall(command)
                answer = answers.readline()
                if self.command and re.fullmatch(f"{self.command}.*", command.decode(), re.DOTALL):
                    client.connection.shutdown(socket.SHUT_RDWR)
                    return
                client.wfile.write(answer)
                if command.split(b" ")[0].strip() in (b"STOR", b"RETR", b"MLSD") and answer[:1] == b"1":
                    client.wfile.write(answers.readline())
