"""A store of secrets for a process of its own: `PYTHON_KEYRING_BACKEND=tests.mocks.keyring_env.Environment`."""

from __future__ import annotations

import os

from keyring.backend import KeyringBackend


class Environment(KeyringBackend):
    """Holds one secret, of whatever name, which `KEYRING_HOLDS` has."""

    priority = 1

    def get_password(self, service: str, username: str) -> str | None:
        return os.environ.get("KEYRING_HOLDS")

    def set_password(self, service: str, username: str, password: str) -> None:
        raise NotImplementedError

    def delete_password(self, service: str, username: str) -> None:
        raise NotImplementedError
