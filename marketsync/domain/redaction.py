"""How secrets and personal data look in a text, and the text without them: the one place that knows, for the log and
for evidence of channels.
"""

import json
import re
from typing import Final
from urllib.parse import quote, quote_plus

REDACTED: Final = "[redacted]"
SHORTEST: Final = 4  # a shorter text stands in half of all words; such a "secret" keeps nothing safe

_KEY: Final = (
    r"(?:[\w.-]{0,40}(?:token|secret|passw(?:or)?d|passphrase|signature|cookie)|(?:[\w-]{0,10}-)?api[-_]?key"
    r"|client[-_]?key|private[-_]?key)[\w-]{0,40}"
)
_PERSON: Final = (
    r"(?:[\w-]{0,40}(?:phone|mobile|e-?mail)[\w-]{0,40}"
    r"|(?:first|last|full|buyer|recipient|customer|contact)[-_]?name"
    r"|surname|street[\w-]{0,40}|address[-_]?(?:line)?[-_]?\d|post(?:al)?[-_]?code|zip)"
)
_NAME: Final = rf"(?i)\b({_KEY}|{_PERSON})"
# Part of every name above: looking for one of them first is four times as fast.
_PARTS: Final = re.compile(
    r"(?i)token|secret|passw|passphrase|signature|cookie|key|phone|mobile|mail|name|street|address|post|zip"
)
# Every repetition is bounded: a line must not take longer than its length deserves.
_NAMED: Final = (
    # "access_token": "abc def", to the closing quote; client_secret=abc&, X-Signature: abc
    (
        re.compile(_NAME + r"(\\?[\"']?\s{0,4}[:=]\s{0,4})(\\?[\"'])(?!\[redacted\])[^\"'\\]+"),
        r"\1\2\3" + REDACTED,
    ),
    (re.compile(_NAME + r"(\\?[\"']?\s{0,4}[:=]\s{0,4})(?![\"'\\\[{])[^\s&'\",;})\\]+"), r"\1\2" + REDACTED),
    # <Phone>...</Phone>
    (re.compile(rf"(?i)<({_KEY}|{_PERSON})>[^<]*"), rf"<\1>{REDACTED}"),
)
# Each with texts without which it cannot match.
_SHAPED: Final = (
    # Authorization: Basic abc==, and the schemes alone where the header's name is not beside them
    (("=", ":"), re.compile(r"(?i)(authorization['\"]?\s{0,4}[:=]\s{0,4}['\"]?)[^\r\n'\"]+"), r"\1" + REDACTED),
    ((" ",), re.compile(r"(?i)\b(bearer|basic)(\s{1,4})(?!\[redacted\])[\w~+/.=-]{6,}"), r"\1\2" + REDACTED),
    # postgresql://user:password@host
    (
        ("://",),
        re.compile(r"(\b[a-z][a-z0-9+.-]{0,20}://[^\s:/@]{0,256}:)[^\s@/]{1,512}(@)"),
        r"\1" + REDACTED + r"\2",
    ),
    (
        ("@", "%40"),
        re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]{1,64}(?:@|%40)(?:[\w-]{1,63}\.){1,8}[A-Za-z][\w-]{1,62}"),
        REDACTED,
    ),
    (("+",), re.compile(r"(?<![\w+])\+\d(?:[\s().\-/]{0,3}\d){6,14}(?!\d)"), REDACTED),
)
# 0151 2345678 or 015112345678: 13 digits and more are a GTIN or an order number
_NATIONAL: Final = (
    re.compile(r"(?<![\w.-])0[1-9]\d{1,4}[ /-]{1,3}\d(?:[ -]?\d){4,9}(?![\w-])"),
    re.compile(r"(?<![\w.-])0[1-9]\d{8,10}(?![\w-])"),
)


def without_secrets(text: str) -> str:
    """The text without what looks like a credential, an e-mail address or an international phone number."""
    for signs, pattern, replacement in _SHAPED:
        if any(sign in text for sign in signs):
            text = pattern.sub(replacement, text)
    if _PARTS.search(text):
        for pattern, replacement in _NAMED:
            text = pattern.sub(replacement, text)
    return text


def without_phones(text: str) -> str:
    """The text without numbers that may be phone numbers of the same country: for texts in which buyers are likely."""
    for pattern in _NATIONAL:
        text = pattern.sub(REDACTED, text)
    return text


def forms_of(secret: str) -> set[str]:
    """A secret as it is and as it may stand inside a URL, a JSON text or a repr (``Bearer`` and Basic have patterns)."""
    return {
        secret,
        quote(secret, safe=""),
        quote(secret),
        quote_plus(secret),
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        repr(secret)[1:-1],
    }
