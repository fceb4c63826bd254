"""OpenSSH's sshd with its own sftp-server; the account is the one the tests run under, by key."""

from __future__ import annotations

import getpass
import os
from pathlib import Path
from typing import Self

import asyncssh

from tests.transports.servers import Daemon, free_port, program


class Sshd:
    """`sftp`: options of sftp-server. `before`: what a shell does first."""

    def __init__(self, home: Path, *, sftp: str = "", before: str = "") -> None:
        self.home = home
        self.port = free_port()
        self.user = getpass.getuser()
        self.requests, self.receipts = home / "requests", home / "receipts"
        for folder in (self.requests, self.receipts):
            folder.mkdir(parents=True, exist_ok=True)
        self.key_file, self.known_hosts = home / "id_user", home / "known_hosts"
        self._user_key = asyncssh.generate_private_key("ssh-ed25519")
        self._user_key.write_private_key(self.key_file)
        self._user_key.write_public_key(home / "authorized_keys")
        self.new_host_key()
        self.trust_host_key()
        server = home / "sftp-server"
        path = program("sftp-server", "/usr/libexec", "/usr/libexec/openssh")
        server.write_text(f"#!/bin/sh\n{before}\nexec {path} {sftp}\n")
        server.chmod(0o755)
        configuration = home / "sshd_config"
        configuration.write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {home}/host_key\nPidFile none\nUsePAM no\n"
            f"AuthorizedKeysFile {home}/authorized_keys\nStrictModes no\nPermitRootLogin yes\nMaxStartups 100\n"
            f"PasswordAuthentication yes\nLogLevel ERROR\n"
            f"Subsystem sftp {server}\n"
        )
        self._daemon = Daemon([program("sshd"), "-D", "-e", "-f", str(configuration)], self.port, home / "sshd.log")
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd's own, which a service would make

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        self._daemon.start()

    def stop(self) -> None:
        self._daemon.stop()

    def new_host_key(self) -> None:
        """Holds from the next start on."""
        self._host_key = asyncssh.generate_private_key("ssh-ed25519")
        self._host_key.write_private_key(self.home / "host_key")
        (self.home / "host_key").chmod(0o600)

    def trust_host_key(self) -> None:
        public = self._host_key.export_public_key().decode().strip()
        self.known_hosts.write_text(f"[127.0.0.1]:{self.port} {public}\n")

    @property
    def fingerprint(self) -> str:
        return str(self._host_key.get_fingerprint("sha256"))
