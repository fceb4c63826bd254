"""An enveloped XML signature with SM2 and SM3 (W3C XMLDSIG; URIs of the CEB specification, 202205 edition).

One signature, a child of the root; one reference, to the whole message (`URI=""`); one transform, enveloped-signature;
C14N 1.0 without comments. So whatever is read beside the signature is what was signed, and there is no other place.

Messages are written in canonical form by hand; lxml's C14N is only for what came from outside.
"""

from __future__ import annotations

import base64
import copy
import re
from dataclasses import dataclass
from typing import Any

from lxml import etree

from scraper_agent import canonical
from scraper_agent.envelope import content, markup
from scraper_agent.envelope.content import RequestInvalid, refuse
from scraper_agent.envelope.markup import MAY, NAMESPACE, ONE, SIGNATURE, Element
from scraper_agent.envelope.profile import Profile, certificate
from scraper_agent.messages import N_
from scraper_agent.ports import Signer

_C14N = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"
_ENVELOPED = f"{NAMESPACE}enveloped-signature"
_BASE64 = r"[0-9A-Za-z+/= \t\r\n]*"
_SM3_BYTES = 32
_SPACE = re.compile(r"[ \t\r\n]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """A signature whose form is right."""

    message: bytes
    """Canonical form of SignedInfo: what is signed."""
    signature: bytes
    digest: bytes
    """Of the message without the signature, as SignedInfo says."""
    seen: bytes
    """Of the message without the signature, as it is."""

    @property
    def covers(self) -> bool:
        """Whether what is signed is the message it came with."""
        return self.seen == self.digest

    def check_covered(self) -> None:
        """Raises RequestInvalid unless `covers`."""
        if not self.covers:
            raise RequestInvalid(
                "SA4040",
                N_("the request's content has digest sm3:{seen}; its signature covers sm3:{expected}"),
                hint=N_("it was changed on the way, or its sender took the digest of another canonical form"),
                seen=self.seen.hex(),
                expected=self.digest.hex(),
            )


def fields(
    root: Element, namespace: str, name: str, names: tuple[str, ...], attributes: tuple[str, ...]
) -> dict[str, Element]:
    """The children of a signed message's root by name: `names`, each once and in order, and then its `Signature`.

    Raises:
        ValueError: another root, or other children.
    """
    if root.tag != f"{{{namespace}}}{name}":
        refuse(f"the root is not {name} of {namespace}")
    tags = {each: f"{{{namespace}}}{each}" for each in names} | {"Signature": SIGNATURE}
    found = markup.parts(root, dict.fromkeys(tags.values(), ONE), attributes)
    return {each: found[tag][0] for each, tag in tags.items()}


def sealed(root: str, prefix: str, namespace: str, inner: str, signer: Signer, profile: Profile) -> bytes:
    """The message whose root `root` (with its attributes) holds `inner`, both in canonical form, and its signature.

    `prefix` has to come after `ds`: namespaces stand in the order of their prefixes.

    Raises:
        RequestInvalid: it is larger than the profile allows, or the certificate is not of the signer's key.
    """
    name, _, attributes = root.partition(" ")
    own = f'xmlns:{prefix}="{namespace}"'
    start, end = f"<{prefix}:{name} {own} {attributes}>", f"</{prefix}:{name}>"
    digest = base64.b64encode(canonical.sm3(f"{start}{inner}{end}".encode())).decode()
    info = (
        f'<ds:CanonicalizationMethod Algorithm="{_C14N}"></ds:CanonicalizationMethod>'
        f'<ds:SignatureMethod Algorithm="{profile.signature_uri}"></ds:SignatureMethod>'
        '<ds:Reference URI="">'
        f'<ds:Transforms><ds:Transform Algorithm="{_ENVELOPED}"></ds:Transform></ds:Transforms>'
        f'<ds:DigestMethod Algorithm="{profile.digest_uri}"></ds:DigestMethod>'
        f"<ds:DigestValue>{digest}</ds:DigestValue></ds:Reference></ds:SignedInfo>"
    )
    message = f'<ds:SignedInfo xmlns:ds="{NAMESPACE}" {own}>{info}'.encode()
    key_info = _key_info(signer, profile)
    signature = base64.b64encode(content.check_signature(signer.sign(message))).decode()
    raw = (
        f'{markup.DECLARATION}{start}{inner}<ds:Signature xmlns:ds="{NAMESPACE}"><ds:SignedInfo>{info}'
        f"<ds:SignatureValue>{signature}</ds:SignatureValue><ds:KeyInfo>{key_info}</ds:KeyInfo></ds:Signature>{end}"
    ).encode()
    if len(raw) > profile.most_kb * 1024:
        raise RequestInvalid(
            "SA4041",
            N_("the message has {seen} bytes; profile {profile} takes {most}"),
            hint=N_("split the document, or agree with the receiving side on more and set `most_kb`"),
            seen=len(raw),
            profile=profile.name,
            most=profile.most_kb * 1024,
        )
    return raw


def read(root: Element, signature: Element, key_index: str, profile: Profile) -> Signed:
    """The signature of `root`, of which it has to be a child. `key_index`: what the message says of its key.

    Raises:
        ValueError: anything but the one form.
    """
    markup.check_namespaces(signature)
    kids = markup.parts(signature, _names("SignedInfo", "SignatureValue", "KeyInfo"))
    (info,), (value,), (key_info,) = kids.values()
    digest = _read_info(info, profile)
    _check_key_info(key_info, key_index)
    return Signed(
        message=_canonical(info),
        signature=content.check_signature(unbase64(value)),
        digest=digest,
        seen=canonical.sm3(_without(root, signature)),
    )


def _read_info(info: Element, profile: Profile) -> bytes:
    kids = markup.parts(info, _names("CanonicalizationMethod", "SignatureMethod", "Reference"))
    (c14n,), (method,), (reference,) = kids.values()
    _check_algorithm(c14n, (_C14N,))
    _check_algorithm(method, (profile.signature_uri, *profile.signature_uris))
    kids = markup.parts(reference, _names("Transforms", "DigestMethod", "DigestValue"), ["URI"])
    (transforms,), (digest_method,), (digest,) = kids.values()
    if reference.get("URI") != "":
        refuse("the signature refers to a part of the message")
    ((transform,),) = markup.parts(transforms, _names("Transform")).values()
    _check_algorithm(transform, (_ENVELOPED,))
    _check_algorithm(digest_method, (profile.digest_uri, *profile.digest_uris))
    value = unbase64(digest)
    if len(value) != _SM3_BYTES:
        refuse(f"DigestValue of {len(value)} bytes")
    return value


def _check_algorithm(element: Element, known: tuple[str, ...]) -> None:
    markup.text(element, "", ["Algorithm"])
    if element.get("Algorithm") not in known:
        refuse(f"algorithm {(element.get('Algorithm') or '')[:80]!a}")


def _key_info(signer: Signer, profile: Profile) -> str:
    if not profile.certificate:
        return f"<ds:KeyName>{signer.key_index}</ds:KeyName>"
    # cryptography knows no SM2 keys, but the key's point stands in the certificate as it is.
    if bytes.fromhex(f"04{signer.public_key}") not in certificate(profile.certificate).tbs_certificate_bytes:
        raise RequestInvalid(
            "SA4042",
            N_("the certificate {serial} is not of the signing key {sk}"),
            hint=N_("set `certificate` of `receiver.profile` to the certificate of the key that signs"),
            serial=_serial(profile.certificate, profile),
            sk=signer.key_index,
        )
    return (
        f"<ds:KeyName>{_serial(profile.certificate, profile)}</ds:KeyName>"
        f"<ds:X509Data><ds:X509Certificate>{profile.certificate}</ds:X509Certificate></ds:X509Data>"
    )


def _check_key_info(key_info: Element, key_index: str) -> None:
    """KeyInfo is not signed, so nothing is taken from it: the message names its key, and that key is known."""
    names = {**_names("KeyName"), f"{{{NAMESPACE}}}X509Data": MAY}
    (key_name,), data = markup.parts(key_info, names).values()
    for each in data:
        ((attached,),) = markup.parts(each, _names("X509Certificate")).values()
        unbase64(attached)
    markup.text(key_name, r"[0-9A-Za-z]{1,128}" if data else key_index)


def _serial(encoded: str, profile: Profile) -> str:
    number = certificate(encoded).serial_number
    if profile.serial == "decimal":
        return str(number)
    digits = f"{number:x}"
    digits = "0" * (len(digits) % 2) + digits
    return digits.upper() if profile.serial == "hex-upper" else digits


def unbase64(element: Element) -> bytes:
    """The bytes of an element's text in base64, which may have white space in it and no other second spelling."""
    found = _SPACE.sub("", markup.text(element, _BASE64))
    value = base64.b64decode(found, validate=True)
    if base64.b64encode(value).decode() != found:
        refuse("base64 in a second spelling")
    return value


def _names(*names: str) -> dict[str, tuple[int, int]]:
    return {f"{{{NAMESPACE}}}{name}": ONE for name in names}


def _without(root: Element, signature: Element) -> bytes:
    """C14N of `root` as enveloped-signature leaves it: white space around the signature stays."""
    rest = copy.deepcopy(root)
    there = rest[root.index(signature)]
    before = there.getprevious()
    if before is None:
        rest.text = (rest.text or "") + (there.tail or "")
    else:
        before.tail = (before.tail or "") + (there.tail or "")
    there.tail = None
    rest.remove(there)
    return _c14n(rest)


def _canonical(element: Element) -> bytes:
    """C14N of `element`, which has no attributes, as the apex of a subset: with the namespaces in scope (2.3)."""
    in_scope: Any = element.nsmap  # the stubs forget the default namespace
    apex = etree.Element(element.tag, nsmap=in_scope)
    apex.text = element.text
    apex.extend(copy.deepcopy(child) for child in element)
    return _c14n(apex)


def _c14n(element: Element) -> bytes:
    try:
        return etree.tostring(element, method="c14n", with_comments=False)
    except etree.LxmlError as error:  # such as a relative namespace
        return refuse(str(error))
