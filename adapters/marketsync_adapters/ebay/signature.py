"""Signatures: those that eBay asks of EU and UK sellers' money calls, and those that it puts on notifications."""

import binascii
import json
import re
from base64 import b64decode, b64encode
from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import load_der_private_key, load_der_public_key

from marketsync.adapter.errors import AuthRefused


def signed(key: str, jwe: str, method: str, authority: str, path: str, body: bytes, now: datetime) -> dict[str, str]:
    """The headers that sign one request: ``key`` a base64 PKCS 8 Ed25519 key, ``path`` without query.

    Raises ValueError where the key is none.
    """
    private = signing_key(key)
    fields: dict[str, str] = {}
    if body:
        fields["content-digest"] = f"sha-256=:{b64encode(sha256(body).digest()).decode()}:"
    fields["x-ebay-signature-key"] = jwe
    covered = {**fields, "@method": method, "@path": path, "@authority": authority}
    names = " ".join(f'"{name}"' for name in covered)
    parameters = f"({names});created={int(now.timestamp())}"
    lines = [f'"{name}": {value}' for name, value in covered.items()]
    base = "\n".join([*lines, f'"@signature-params": {parameters}'])
    return {
        **fields,
        "signature-input": f"sig1={parameters}",
        "signature": f"sig1=:{b64encode(private.sign(base.encode())).decode()}:",
    }


def signing_key(key: str) -> Ed25519PrivateKey:
    """The private key in a text. Raises ValueError where there is none, or one of another kind."""
    private = load_der_private_key(_der(key), None)
    if isinstance(private, Ed25519PrivateKey):
        return private
    raise ValueError("it is no Ed25519 key: create the key with signingKeyCipher ED25519")


def check_notification(header: str, body: bytes, keys: Mapping[str, str]) -> None:
    """Check X-EBAY-SIGNATURE of a notification. Raises ``AuthRefused`` where nothing proves that eBay sent it."""
    try:
        told = json.loads(b64decode(header, validate=True))
        kid, signature = str(told["kid"]), b64decode(told["signature"], validate=True)
        digest = str(told.get("digest", "SHA1"))
    except (ValueError, KeyError, TypeError, AttributeError, binascii.Error):
        raise AuthRefused("the notification has no readable signature", code="bad_signature") from None
    if kid not in keys:
        message = "the notification is signed with a key that notification_keys does not have: fetch it (README)"
        raise AuthRefused(message, code="unknown_key")
    public = load_der_public_key(_der(keys[kid]))
    if not isinstance(public, EllipticCurvePublicKey):
        raise AuthRefused("the key in notification_keys is no EC key", code="bad_key")
    algorithm = SHA256() if digest.upper().replace("-", "") == "SHA256" else SHA1()  # noqa: S303 - what eBay signs with
    try:
        public.verify(signature, body, ECDSA(algorithm))
    except InvalidSignature:
        raise AuthRefused("the notification's signature is wrong", code="bad_signature") from None


def _der(key: str) -> bytes:
    """The bytes of a key given as PEM (eBay's has no line breaks) or as plain base64."""
    return b64decode(re.sub(r"-----[A-Z ]+-----|\s", "", key), validate=True)
