"""Signs with a UKey through its vendor's library: the interface SKF of GM/T 0016-2012, by ctypes.

Every ULONG has 32 bits, on Linux too; numbers in blobs fill 64 bytes from the right; `SKF_ECCSignData` signs the 32
bytes that `sm2.digest` makes. On 32-bit Windows the functions are stdcall; on 64 bits there is one convention only.
"""

from __future__ import annotations

import ctypes
import sys
import threading
from ctypes import POINTER, Structure, byref, c_char_p, c_int32, c_ubyte, c_uint32, c_void_p
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from scraper_agent.errors import AgentError, NeedsPerson, UsageError
from scraper_agent.messages import N_
from scraper_agent.signing import keystate, pin, sm2

_OK = 0
_DEVICE_REMOVED = 0x0A000023
_PIN_INCORRECT = 0x0A000024
_PIN_LOCKED = 0x0A000025
_PIN_REFUSED = {0x0A000026, 0x0A000027}
"""SAR_PIN_INVALID and SAR_PIN_LEN_RANGE: no try was used up, but this PIN will never do."""
_NOT_LOGGED_IN = 0x0A00002D

_USER = 1
"""USER_TYPE; the administrator's PIN is none of ours."""

_LAST_TRY = 1
_NAMES_BYTES = 1 << 16
_NUMBER_BYTES = 32

_ULONG = c_uint32
_BYTES_64 = c_ubyte * 64


class _PublicKey(Structure):
    """ECCPUBLICKEYBLOB."""

    _pack_ = 1
    _fields_ = (("bits", _ULONG), ("x", _BYTES_64), ("y", _BYTES_64))


class _Signature(Structure):
    """ECCSIGNATUREBLOB."""

    _pack_ = 1
    _fields_ = (("r", _BYTES_64), ("s", _BYTES_64))


_FUNCTIONS: dict[str, tuple[Any, ...]] = {
    "SKF_EnumDev": (c_int32, c_char_p, POINTER(_ULONG)),
    "SKF_ConnectDev": (c_char_p, POINTER(c_void_p)),
    "SKF_DisConnectDev": (c_void_p,),
    "SKF_OpenApplication": (c_void_p, c_char_p, POINTER(c_void_p)),
    "SKF_GetPINInfo": (c_void_p, _ULONG, POINTER(_ULONG), POINTER(_ULONG), POINTER(c_int32)),
    "SKF_VerifyPIN": (c_void_p, _ULONG, c_char_p, POINTER(_ULONG)),
    "SKF_OpenContainer": (c_void_p, c_char_p, POINTER(c_void_p)),
    "SKF_ExportPublicKey": (c_void_p, c_int32, c_void_p, POINTER(_ULONG)),
    "SKF_ECCSignData": (c_void_p, c_char_p, _ULONG, POINTER(_Signature)),
}


class Config(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["skf"]
    folder: Path
    """Where the PINs tried in vain are counted."""
    key: keystate.KeyIndex
    """The index under which the receiving side knows the token's public key."""
    library: Path
    """The vendor's DLL or shared object, built for the same number of bits as Python."""
    device: str | None = None
    """Its name; default: the only one that is plugged in."""
    application: str = Field(min_length=1)
    container: str = Field(min_length=1)


class SkfSigner:
    """Logged in from construction on; one signature at a time. Thread-safe."""

    def __init__(self, config: Config, given: SecretStr) -> None:
        """Looks for the token and tries the PIN.

        Raises:
            NeedsPerson: no token, or the wrong one; the PIN is wrong, or was too often; the token is locked.
            UsageError: the library cannot be used, or the container has no SM2 key.
            AgentError: the token refuses something else.
        """
        self._config = config
        self._pin = given
        self._lock = threading.Lock()
        self._library = _loaded(config.library)
        device = self._device_name()
        self._token = f"{device}/{config.application}"
        self._tries = pin.PinTries(config.folder / f"pin-{config.key}.tries", self._token)
        self._device = self._handle("SKF_ConnectDev", device.encode())
        try:
            self._application = self._handle("SKF_OpenApplication", self._device, config.application.encode())
            self._log_in()
            self._container = self._handle("SKF_OpenContainer", self._application, config.container.encode())
            self._public_key = self._exported()
        except AgentError:
            self._library.SKF_DisConnectDev(self._device)
            raise

    def __repr__(self) -> str:
        return f"SkfSigner(key_index={self._config.key!r}, token={self._token!r})"

    @property
    def key_index(self) -> str:
        return self._config.key

    @property
    def public_key(self) -> str:
        return self._public_key

    def sign(self, message: bytes) -> bytes:
        """R‖S, 64 bytes, checked with the token's public key.

        Raises:
            NeedsPerson: the token was pulled out; it wants the PIN again, which is wrong by now or was too often.
            AgentError: the token refuses, or signs something else.
        """
        e = sm2.digest(self._public_key, message)
        blob = _Signature()
        with self._lock:
            said = self._library.SKF_ECCSignData(self._container, e, len(e), byref(blob))
            if said == _NOT_LOGGED_IN:  # tokens forget a login after a while
                self._log_in()
                said = self._library.SKF_ECCSignData(self._container, e, len(e), byref(blob))
        self._expect("SKF_ECCSignData", said)
        # Whatever stands before the last 32 bytes: a number that does not fit is no signature, and is found so here.
        signature = bytes(blob.r)[-_NUMBER_BYTES:] + bytes(blob.s)[-_NUMBER_BYTES:]
        if not sm2.holds(self._public_key, e, signature):
            raise AgentError(
                "SA3055",
                N_("what token {token} signed does not hold under its own public key"),
                hint=N_("update the vendor's library; if it stays so, the token is damaged"),
                token=self._token,
            )
        return signature

    def _log_in(self) -> None:
        most, left, by_default = _ULONG(), _ULONG(), c_int32()
        info = (_USER, byref(most), byref(left), byref(by_default))
        self._expect("SKF_GetPINInfo", self._library.SKF_GetPINInfo(self._application, *info))
        if left.value == 0:
            raise pin.locked(self._token)
        if left.value <= _LAST_TRY:
            raise NeedsPerson(
                "SA3054",
                N_("token {token} allows one more PIN before it locks itself; that one is left to a person"),
                hint=N_("sign in once with the token's own program; the right PIN restores all tries"),
                token=self._token,
            )
        self._tries.begin()
        said = self._library.SKF_VerifyPIN(self._application, _USER, self._pin.get_secret_value().encode(), byref(left))
        if said in _PIN_REFUSED:
            self._tries.unused()
        if said in {_PIN_INCORRECT, *_PIN_REFUSED}:
            raise pin.wrong(self._token)
        if said == _PIN_LOCKED:
            raise pin.locked(self._token)
        self._expect("SKF_VerifyPIN", said)
        self._tries.right()

    def _device_name(self) -> str:
        """Of the token to be used."""
        size = _ULONG()
        self._expect("SKF_EnumDev", self._library.SKF_EnumDev(1, None, byref(size)))
        names = ctypes.create_string_buffer(min(size.value, _NAMES_BYTES) + 1)
        size = _ULONG(len(names))
        self._expect("SKF_EnumDev", self._library.SKF_EnumDev(1, names, byref(size)))
        present = [name.decode("utf-8", "replace") for name in names.raw.split(b"\0") if name]
        wanted = self._config.device
        if wanted in present or (wanted is None and len(present) == 1):
            return wanted or present[0]
        raise NeedsPerson(
            "SA3052",
            N_("token {wanted} is not there; plugged in are: {present}"),
            hint=N_("plug in the token that signs, and no other; or name it as `device` in the configuration"),
            wanted=wanted or "*",
            present=", ".join(present) or "-",
        )

    def _exported(self) -> str:
        """The public key to sign under, X‖Y."""
        blob = _PublicKey()
        size = _ULONG(ctypes.sizeof(blob))
        self._expect(
            "SKF_ExportPublicKey",
            self._library.SKF_ExportPublicKey(self._container, 1, byref(blob), byref(size)),
        )
        try:
            if blob.bits != _NUMBER_BYTES * 8 or any(bytes(blob.x)[:-_NUMBER_BYTES] + bytes(blob.y)[:-_NUMBER_BYTES]):
                raise ValueError(f"{blob.bits} bits")
            return sm2.parse_public(bytes(blob.x)[-_NUMBER_BYTES:] + bytes(blob.y)[-_NUMBER_BYTES:])
        except ValueError as error:
            raise UsageError(
                "SA3056",
                N_("container {container} of token {token} has no SM2 key to sign with: {reason}"),
                hint=N_("name another `container` in the configuration"),
                container=self._config.container,
                token=self._token,
                reason=str(error),
            ) from error

    def _handle(self, function: str, *given: object) -> c_void_p:
        handle = c_void_p()
        self._expect(function, getattr(self._library, function)(*given, byref(handle)))
        return handle

    def _expect(self, function: str, said: int) -> None:
        if said == _DEVICE_REMOVED:
            raise NeedsPerson(
                "SA3057",
                N_("the token was pulled out"),
                hint=N_("plug it in and start again"),
            )
        if said != _OK:
            raise AgentError(
                "SA3053",
                N_("{function} of {library} failed with {code}"),
                hint=N_("GM/T 0016 lists the codes; check `application` and `container` in the configuration"),
                function=function,
                library=self._config.library,
                code=f"0x{said:08X}",
            )


def _loaded(path: Path) -> ctypes.CDLL:
    try:
        if sys.platform == "win32":
            library: ctypes.CDLL = ctypes.WinDLL(str(path))
        else:
            library = ctypes.CDLL(str(path))
        for name, arguments in _FUNCTIONS.items():
            function = getattr(library, name)
            function.argtypes = arguments
            function.restype = _ULONG
    except (OSError, AttributeError) as error:
        raise UsageError(
            "SA3051",
            N_("{path} cannot be used as a library of GM/T 0016: {reason}"),
            hint=N_("give the path of the library that came with the token, for as many bits as this program has"),
            path=path,
            reason=str(error),
        ) from error
    return library
