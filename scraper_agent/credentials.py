"""Where a secret is: never its value."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from scraper_agent.messages import N_
from scraper_agent.yamlfile import Wrong


class SecretPlace(BaseModel):
    """Where a secret is: never its value. Nothing given: asked for at the terminal."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    env: str | None = Field(None, description="Name of an environment variable.")
    file: Path | None = Field(None, description="A file that holds it on its first line.")
    keyring: Annotated[str, Field(pattern=r"^[^/]+/[^/]+$")] | None = Field(
        None, description="`service/name` in the operating system's keyring; needs a desktop session."
    )

    @model_validator(mode="after")
    def _one_place(self) -> SecretPlace:
        given = [place for place in ("env", "file", "keyring") if getattr(self, place) is not None]
        if len(given) > 1:
            raise Wrong(N_("give only one of {seen}"), seen=", ".join(given))
        return self

    @property
    def asked(self) -> bool:
        """Whether a person is asked."""
        return self.env is None and self.file is None and self.keyring is None


Secrets: TypeAlias = Callable[[SecretPlace, str], SecretStr]
"""The secret at a place, given the name that a person is asked for it by. Raises NeedsPerson if it is not there."""
