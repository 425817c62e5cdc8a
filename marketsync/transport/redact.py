"""Evidence: what a channel said, without secrets and personal data."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from pydantic import BaseModel, SecretStr

LONGEST: Final = 2_000
CUT: Final = "[cut]"
_READ: Final = 4 * LONGEST  # of a long text only the beginning can become evidence
_SHORTEST: Final = 4  # a shorter one stands in half of all words

_KEY: Final = r"[\w.-]{0,40}(?:token|secret|passw(?:or)?d|passphrase|signature|api[-_]?key|authorization|cookie)[\w-]*"
_PERSON: Final = (
    r"(?:[\w-]{0,40}(?:phone|mobile|e-?mail)[\w-]*|(?:first|last|full|buyer|recipient|customer|contact)[-_]?name"
    r"|surname|street[\w-]*|address[-_]?(?:line)?[-_]?\d|post(?:al)?[-_]?code|zip)"
)
_PATTERNS: Final = (
    # Authorization: Bearer abc, as a header: everything to the end of the line
    (re.compile(r"(?i)((?:proxy-)?authorization\s*[:=]\s*)[^\r\n'\",}]+"), rf"\1{CUT}"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w~+/.=-]{6,}"), rf"\1 {CUT}"),
    # "access_token": "abc", client_secret=abc&, X-Signature: abc; a quoted value to its closing quote
    (re.compile(rf'(?i)\b({_KEY}|{_PERSON})(\\?["\']?\s*[:=]\s*)(\\?["\'])[^"\'\\]*'), rf"\1\2\3{CUT}"),
    (re.compile(rf"(?i)\b({_KEY}|{_PERSON})(\\?[\"']?\s*[:=]\s*)(?![\"'\\\[{{])[^\s&,;}}]+"), rf"\1\2{CUT}"),
    # <Phone>...</Phone>
    (re.compile(rf"(?i)<({_KEY}|{_PERSON})>[^<]*"), rf"<\1>{CUT}"),
    (re.compile(r"(?i)[\w.!#$%&*+/=?^`{|}~-]{1,64}(?:@|%40)[\w-]+(?:\.[\w-]+)+"), CUT),
    # +49 151 2345678; and 0151 2345678 or 015112345678: 13 digits and more are a GTIN or an order number
    (re.compile(r"(?<![\w+])\+\d(?:[\s().\-/]{0,2}\d){6,14}(?!\d)"), CUT),
    (re.compile(r"(?<![\w.-])0[1-9]\d{1,4}[ /-]{1,3}\d(?:[ -]?\d){4,9}(?![\w-])"), CUT),
    (re.compile(r"(?<![\w.-])0[1-9]\d{8,10}(?![\w-])"), CUT),
)


def redact(text: str | bytes, secrets: Iterable[str] = ()) -> str:
    """At most 2,000 characters of a text, without these secrets, without what looks like one, and without buyers.

    Bytes are read as UTF-8. Secrets of fewer than 4 characters are passed over.
    """
    if isinstance(text, bytes):
        text = text[: 4 * _READ].decode("utf-8", "replace")
    text = text[:_READ]
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= _SHORTEST:
            text = text.replace(secret, CUT)
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def secrets_of(value: Any) -> list[str]:
    """Every SecretStr inside a credentials model."""
    if isinstance(value, SecretStr):
        return [value.get_secret_value()]
    if isinstance(value, BaseModel):
        value = dict(value)
    if isinstance(value, Mapping):
        value = list(value.values())
    return [secret for entry in value for secret in secrets_of(entry)] if isinstance(value, list | tuple) else []
