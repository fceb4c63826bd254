"""A mailbox as a witness: each checkpoint goes there as a mail, over TLS."""

from __future__ import annotations

import base64
import smtplib
import socket
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from scraper_agent.audit import asking, mailed
from scraper_agent.audit.asking import Answer
from scraper_agent.credentials import SecretPlace
from scraper_agent.errors import AgentError, NeedsPerson
from scraper_agent.messages import N_
from scraper_agent.sending import tls
from scraper_agent.yamlfile import Wrong

Address = Annotated[str, Field(pattern=r"^[!#-'*+\-/-9=?A-Z^-~.]{1,64}@[0-9A-Za-z.-]{1,255}$")]

_TIMEOUT_S = 10
_LOCAL = "[127.0.0.1]"
"""What this side calls itself: its name is nobody's business, and asking for it may take long."""
_MOST_REASON = 200


class Config(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["mail"]
    name: Annotated[str, Field(pattern=r"^[!-*,-.0-9A-Za-z:-@_]{1,100}$")]
    to: Address = Field(description="A mailbox that nobody can change who runs the robot.")
    sender: Address
    host: Annotated[str, Field(pattern=r"^[0-9A-Za-z.:-]{1,255}$")] = Field(description="The server that takes mail.")
    port: int = Field(587, ge=1, le=65535)
    security: Literal["starttls", "tls"] = Field("starttls", description="`tls`: encrypted from the start, port 465.")
    user: str | None = Field(None, description="Default: nobody logs in there.")
    password: SecretPlace | None = None
    ca_file: Path | None = Field(None, description="PEM of the authorities to trust; default: the machine's.")

    @model_validator(mode="after")
    def _both(self) -> Config:
        if (self.user is None) != (self.password is None):
            raise Wrong(N_("give both `user` and `password`, or neither"))
        return self


if TYPE_CHECKING:
    _Smtp = smtplib.SMTP
else:
    _Smtp = object


class _Bounded(_Smtp):
    """One reply as a whole has so much time; a socket's limit begins anew with each byte."""

    def getreply(self) -> tuple[int, bytes]:
        end = threading.Timer(_TIMEOUT_S, self._hang_up)
        end.daemon = True
        end.start()
        try:
            return super().getreply()
        finally:
            end.cancel()

    def _hang_up(self) -> None:
        with suppress(OSError):
            # Not by the TLS object, which the other thread is reading from.
            socket.socket.shutdown(self.sock, socket.SHUT_RDWR)  # type: ignore[arg-type]


class _Starttls(_Bounded, smtplib.SMTP):
    pass


class _Tls(_Bounded, smtplib.SMTP_SSL):
    pass


class MailWitness:
    """Keeps what it is shown, and answers nothing: what it proves is seen by who reads the mailbox.

    A mail whose fate is not known is sent again; a second one does no harm.
    """

    public_key = None

    def __init__(self, config: Config, password: Callable[[], SecretStr] | None) -> None:
        """`password`: asked for when a mail is sent, and not before."""
        self.name = config.name
        self._config, self._password = config, password
        self._trust = tls.trust(config.ca_file)

    def add(self, old: int, proof: Sequence[bytes], checkpoint: bytes) -> Answer:  # noqa: ARG002 - it knows no log
        data = mailed.message(checkpoint, self._config.sender, self._config.to)
        secret = "" if self._password is None else self._password().get_secret_value()
        try:
            self._send(data, secret)
        except NeedsPerson:
            raise
        except smtplib.SMTPAuthenticationError as error:
            raise self._away(f"{error.smtp_code}, as {self._config.user}") from None  # its words may quote what it got
        except smtplib.SMTPRecipientsRefused as error:
            raise self._away(_words(*next(iter(error.recipients.values())), secret, self._config.user)) from None
        except smtplib.SMTPResponseException as error:
            raise self._away(_words(error.smtp_code, error.smtp_error, secret, self._config.user)) from None
        except (OSError, ValueError) as error:  # also smtplib's own, and those of TLS
            raise self._away(_without(str(error) or type(error).__name__, secret, self._config.user)) from None
        return Answer(asking.TAKEN, b"")

    def _send(self, data: bytes, secret: str) -> None:
        config = self._config
        with closing(self._connected()) as smtp:
            if config.security == "starttls":
                smtp.starttls(context=self._trust)  # raises where the server has none: nothing goes in the clear
            if config.user is not None:
                smtp.login(config.user, secret)
            smtp.sendmail(config.sender, [config.to], data)
            with suppress(smtplib.SMTPException, OSError):
                smtp.quit()  # the mail is taken, whatever comes of this

    def _connected(self) -> smtplib.SMTP:
        config = self._config
        if config.security == "tls":
            return _Tls(config.host, config.port, _LOCAL, timeout=_TIMEOUT_S, context=self._trust)
        return _Starttls(config.host, config.port, _LOCAL, timeout=_TIMEOUT_S)

    def kept(self, origin: str) -> Iterable[bytes]:  # noqa: ARG002 - as `Party` has it
        """Nothing: the mailbox is not read here. `mailed.saved` takes what was saved from it."""
        return []

    def _away(self, reason: str) -> AgentError:
        return AgentError(
            "SA4132",
            N_("nothing says that the mail to the witness {name} was taken by {host}, port {port}: {reason}"),
            hint=N_("it is mailed again later; documents wait until some witness has the log"),
            name=self.name,
            host=self._config.host,
            port=self._config.port,
            reason=reason,
        )


def _words(code: int, said: bytes | str, secret: str, user: str | None) -> str:
    text = said.decode(errors="replace") if isinstance(said, bytes) else said
    return _without(f"{code} {text}", secret, user)


def _without(text: str, secret: str, user: str | None) -> str:
    """Without the password, in any form in which it went over the line."""
    if secret:
        forms = (secret, f"\0{user}\0{secret}")
        for form in (*(base64.b64encode(each.encode()).decode() for each in forms), secret):
            text = text.replace(form, "***")
    return " ".join(text.split())[:_MOST_REASON]
