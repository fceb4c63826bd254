"""Profiles as data: what a receiving side and we agree on before anything is sent, one YAML file each in `profiles/`.

A file says in which form the envelope is, what may be set and with which default, what its codes mean, and what stands
in no source and is therefore assumed, with the setting that changes it. `receiver.profile` of the config names a
profile and sets what is to be otherwise.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from functools import cache, lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from scraper_agent import yamlfile
from scraper_agent.messages import N_
from scraper_agent.yamlfile import Wrong

HERE = Path(__file__).parent / "profiles"

Name = Literal["ak-ts-sk-ps/1", "ceb-xmldsig/1", "dxp/1"]

FormName = Literal["members", "ceb", "dxp"]

_STRICT = ConfigDict(extra="forbid", frozen=True)
_URI = r"^[a-z][a-z0-9+.-]*:[!#-%'-;=?-~]{1,200}$"
"""Absolute, and without what XML writes otherwise."""
_PEM = re.compile(r"-----(?:BEGIN|END) CERTIFICATE-----|\s")


class Setting(BaseModel):
    """Something a profile leaves open."""

    model_config = _STRICT

    default: str | tuple[str, ...] | None = None
    """None: there is none, it has to be set."""
    text: str


class Meaning(BaseModel):
    """What one code says, in short."""

    model_config = _STRICT

    zh: str
    en: str
    stands_for: tuple[str, ...] = ()
    """Our own codes of 4 digits that are written as this one."""

    def __str__(self) -> str:
        return f"{self.zh} {self.en}"


class Assumption(BaseModel):
    """Something no source says."""

    model_config = _STRICT

    text: str
    setting: str = ""
    """What changes it; empty if only another profile does."""


class Spec(BaseModel):
    """One file of `profiles/`."""

    model_config = _STRICT

    name: str
    version: str
    form: FormName
    """The module that writes and reads it."""
    source: str
    settings: dict[str, Setting]
    codes: dict[str, Meaning] = {}
    otherwise: str = ""
    """The code written for a refusal that none of `codes` stands for; empty: the code as it is."""
    assumptions: tuple[Assumption, ...]

    def written(self, code: str) -> str:
        """What a receipt of this profile writes for `code`, 4 digits."""
        found = (theirs for theirs, meaning in self.codes.items() if code in meaning.stands_for)
        return next(found, self.otherwise or code)

    def explained(self, code: str, reason: str) -> str:
        """`reason`, begun by the code and what it means, as far as the profile's table tells."""
        told = f"{code} {self.codes[code]}" if code in self.codes else code
        return f"{told}: {reason}" if reason else told


@cache
def spec(name: Name) -> Spec:
    return yamlfile.load(HERE / f"{name.replace('/', '-')}.yaml", Spec)


@lru_cache(maxsize=16)
def certificate(encoded: str) -> x509.Certificate:
    """The X.509 certificate in base64 of its DER.

    Raises:
        ValueError: it is none.
    """
    try:
        return x509.load_der_x509_certificate(base64.b64decode(encoded, validate=True))
    except x509.InvalidVersion as error:
        raise ValueError(str(error)) from None


def _certificate(text: str) -> str:
    encoded = _PEM.sub("", text)
    try:
        return encoded and base64.b64encode(certificate(encoded).public_bytes(Encoding.DER)).decode()
    except ValueError:
        raise Wrong(
            N_("this is no X.509 certificate: `{seen}`"),
            hint=N_("copy the text of its PEM file, or the base64 of its DER"),
            seen=text[:40],
        ) from None


def _permutation(*names: str) -> AfterValidator:
    def check(given: tuple[str, ...]) -> tuple[str, ...]:
        if sorted(given) != sorted(names):
            raise Wrong(N_("each of {names} has to be named once"), names=", ".join(names))
        return given

    return AfterValidator(check)


class Profile(BaseModel):
    """A profile with its settings. Those that its file does not have cannot be set and mean nothing."""

    model_config = _STRICT

    name: Name = "ak-ts-sk-ps/1"

    ts: Literal["seconds", "milliseconds"] = "seconds"
    """Unit of the UNIX time stamp."""
    sn: Literal["base64", "hex", "hex-upper"] = "base64"
    """How the 64 bytes R‖S are written: 88 characters, or 128."""
    signed: Annotated[tuple[Literal["ak", "ts", "sk", "ps"], ...], _permutation("ak", "ts", "sk", "ps")] = ()
    """What of a request is signed, in this order."""
    signed_receipt: Annotated[
        tuple[Literal["code", "msg", "ts", "sk", "rs"], ...], _permutation("code", "msg", "ts", "sk", "rs")
    ] = ()
    """What of a receipt is signed, in this order."""

    sign_anew: tuple[Annotated[str, Field(pattern=r"^[0-9]{4}$")], ...] = ()
    """Codes of refusals that are no last word: the request came too late, and is signed and sent again."""
    interim: tuple[Annotated[str, Field(pattern=r"^[0-9]{4}$")], ...] = ()
    """Codes of receipts that are no last word: the request was taken, and the final receipt is to come."""

    namespace: str = Field("", pattern=_URI)
    """Of the message's own elements."""
    signature_uri: str = Field("", pattern=_URI)
    """The SignatureMethod that is written."""
    signature_uris: tuple[str, ...] = ()
    """Others that are read."""
    digest_uri: str = Field("", pattern=_URI)
    """The DigestMethod that is written; it is SM3 by whatever name."""
    digest_uris: tuple[str, ...] = ()
    """Others that are read."""
    certificate: Annotated[str, AfterValidator(_certificate)] = ""
    """Of the signing key: base64 of its DER, or its PEM file's text; empty: none is attached."""
    serial: Literal["hex", "hex-upper", "decimal"] = "hex"
    """How KeyName writes the serial number of a certificate."""
    most_kb: int = Field(4096, ge=1, le=9216)
    """Size of the largest message; libxml2 takes no text of 10 MB."""

    sender_id: str = Field("", pattern=r"^[!-~]{0,16}$")
    """DXP user id of the enterprise."""
    receiver_ids: tuple[Annotated[str, Field(pattern=r"^[!-~]{1,16}$")], ...] = Field((), max_length=5)
    """DXP user ids of the receiving side."""
    msg_type: str = Field("", pattern=r"^[!-~]{0,30}$")
    """MsgType; empty: the name of the document's format."""
    ic_card: str = Field("", pattern=r"^[!-~]{0,13}$")
    """IcCard; empty: left out."""
    zone: str = Field("+08:00", pattern=r"^[+-](0[0-9]|1[0-4]):[0-5][0-9]$")
    """Of the times, which DXP writes without one."""

    @model_validator(mode="before")
    @classmethod
    def _with_defaults(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        fields = cls.model_fields
        name = given.get("name", fields["name"].default)
        if name not in Name.__args__:  # type: ignore[attr-defined] # told when the field is read
            return given
        settings = spec(name).settings
        for key in given:
            if key != "name" and key in fields and key not in settings:
                raise Wrong(
                    N_("profile {name} has no setting `{setting}`"),
                    hint=N_("its settings: {known}"),
                    name=name,
                    setting=key,
                    known=", ".join(settings),
                )
        return {key: told.default for key, told in settings.items() if told.default is not None} | dict(given)

    @model_validator(mode="after")
    def _check_given(self) -> Profile:
        for key, told in self.spec.settings.items():
            if told.default is None and not getattr(self, key):
                raise Wrong(
                    N_("profile {name} needs the setting `{setting}`"),
                    hint=N_("the receiving side gives it out; docs/wire.md tells where it stands"),
                    name=self.name,
                    setting=key,
                )
        return self

    @property
    def spec(self) -> Spec:
        return spec(self.name)


DEFAULT = Profile()
