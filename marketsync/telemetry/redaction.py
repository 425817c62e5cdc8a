"""Takes secrets and personal data out of whatever is about to be logged."""

import json
import re
from collections.abc import Iterable, Mapping
from datetime import date, time, timedelta
from decimal import Decimal
from functools import lru_cache
from pathlib import PurePath
from threading import Lock
from typing import Any, Final
from urllib.parse import quote, quote_plus
from uuid import UUID

REDACTED: Final = "[redacted]"
SHORTEST: Final = 4  # a shorter text stands in half of all words; such a "secret" keeps nothing safe
MOST: Final = 1_000  # tokens are renewed every hour, for months
DEEPEST: Final = 8
LONGEST: Final = 16_384  # characters of one text; a marketplace's error page may have a megabyte

# A key that contains one of these words ("accessToken", "client_secret") holds a secret or personal data.
_WORDS: Final = frozenset(
    {
        "authorization", "billing", "bearer", "buyer", "cookie", "cookies", "credential", "credentials", "email",
        "mail", "mobile", "passphrase", "passwd", "password", "phone", "postcode", "recipient", "secret", "secrets",
        "signature", "street", "street2", "telephone", "token", "tokens", "zip",
    }
)  # fmt: skip
_JOINED: Final = frozenset({"apikey", "accesskey", "clientkey", "privatekey", "secretkey", "signingkey"})
_SPLIT: Final = re.compile(r"[^A-Za-z0-9]+|(?<=[a-z0-9])(?=[A-Z])")

_NAMES: Final = (
    r"(?:[\w-]{0,40}(?:token|secret|passw(?:or)?d|passphrase|signature|cookie)|(?:x-)?api[-_]?key|client[-_]?key"
    r"|private[-_]?key)"
)
_PAIR: Final = rf"(?i)\b({_NAMES}\\?['\"]?\s{{0,4}}SIGN\s{{0,4}}\\?['\"]?)(?!\[redacted\])[^\s&'\",;}})\\]+"
# Each with a text without which it cannot match: looking for that first is ten times as fast. Every repetition is
# bounded: a log line must not take longer than its length deserves.
_PATTERNS: Final = (
    # Authorization: Basic abc==, and the schemes alone where the header's name is not beside them
    ("", re.compile(r"(?i)(authorization['\"]?\s{0,4}[:=]\s{0,4}['\"]?)[^\r\n'\"]+"), r"\1" + REDACTED),
    (" ", re.compile(r"(?i)\b(bearer|basic)(\s{1,4})(?!\[redacted\])[\w~+/.=-]{6,}"), r"\1\2" + REDACTED),
    # client_secret=abc&, "access_token": "abc", refresh_token: abc
    ("=", re.compile(_PAIR.replace("SIGN", "=")), r"\1" + REDACTED),
    (":", re.compile(_PAIR.replace("SIGN", ":")), r"\1" + REDACTED),
    # postgresql://user:password@host
    ("://", re.compile(r"(\b[a-z][a-z0-9+.-]{0,20}://[^\s:/@]{0,256}:)[^\s@/]{1,512}(@)"), r"\1" + REDACTED + r"\2"),
    ("@", re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]{1,64}@(?:[\w-]{1,63}\.){1,8}[A-Za-z][\w-]{1,62}"), REDACTED),
    # International numbers only: without the + a GTIN, an order number and a phone number look alike
    ("+", re.compile(r"(?<![\w+])\+\d(?:[\s().\-/]{0,3}\d){7,14}(?!\d)"), REDACTED),
)

_STRUCTURE: Final = frozenset({"event", "exception", "level", "logger", "stack", "timestamp"})
_PLAIN: Final = (Decimal, date, time, timedelta, UUID, PurePath, BaseException)


class Redactor:
    """Knows the secrets of this process and how secrets and personal data look."""

    def __init__(self) -> None:
        self._secrets: dict[str, None] = {}
        self._forms: tuple[str, ...] = ()
        self._pattern: re.Pattern[str] | None = None
        self._lock = Lock()

    def register(self, secrets: Iterable[str]) -> None:
        """Never show these again, nor what they become in a URL, in JSON or in a ``repr``.

        Texts under 4 characters are passed over. The newest 1,000 are kept.
        """
        with self._lock:
            for secret in secrets:
                if len(secret) >= SHORTEST:
                    self._secrets.pop(secret, None)
                    self._secrets[secret] = None
            while len(self._secrets) > MOST:
                del self._secrets[next(iter(self._secrets))]
            forms = {form for secret in self._secrets for form in _forms(secret)}
            self._forms = tuple(sorted(forms, key=len, reverse=True))  # the longest first: one may begin another
            self._pattern = re.compile("|".join(map(re.escape, self._forms))) if forms else None

    def text(self, text: str) -> str:
        """The text without registered secrets, credentials, e-mail addresses and international phone numbers.

        Of a long one the middle is left out.
        """
        text = text.encode("utf-8", "backslashreplace").decode()  # half a surrogate cannot be written
        # Most texts are shorter than any secret, and plain searching is faster than a pattern of many alternatives
        if self._pattern and len(text) >= len(self._forms[-1]) and any(form in text for form in self._forms):
            text = self._pattern.sub(REDACTED, text)
        if len(text) > LONGEST:
            text = f"{text[: LONGEST // 2]} [...] {text[-LONGEST // 2 :]}"
        for sign, pattern, replacement in _PATTERNS:
            if sign in text:
                text = pattern.sub(replacement, text)
        return text

    def value(self, value: Any, depth: int = 0) -> Any:
        """The same for a field: mappings and sequences as copies, numbers as they are.

        An object of any other type becomes its type's name: an order in a log line would bring its buyer along.
        """
        clean: Any
        match value:
            case None | bool():
                clean = value
            case str():
                clean = self.text(value)
            case bytes():
                clean = self.text(value.decode("utf-8", "replace"))
            case Mapping():
                clean = self._mapping(value, depth) if depth < DEEPEST else "{...}"
            case list() | tuple() | set() | frozenset():
                clean = [self.value(entry, depth + 1) for entry in value] if depth < DEEPEST else "[...]"
            case int() | float():
                shown = self.text(str(value))
                clean = value if shown == str(value) and abs(value) < 2**63 else shown
            case _ if isinstance(value, _PLAIN):
                clean = self.text(str(value))
            case _:
                clean = f"<{type(value).__name__}>"
        return clean

    def _mapping(self, fields: Mapping[Any, Any], depth: int) -> dict[str, Any]:
        return {
            (key if key in _STRUCTURE else self.text(str(key))): REDACTED
            if _private(str(key)) and value
            else self.value(value, depth + 1)
            for key, value in fields.items()
        }

    def event(self, _logger: Any, _method: str, event: Mapping[str, Any]) -> dict[str, Any]:
        """The structlog processor; it stands behind everything that adds a field."""
        return self._mapping(event, 0)


@lru_cache(maxsize=4096)
def _private(key: str) -> bool:
    words = [word.lower() for word in _SPLIT.split(key) if word]
    joined = "".join(words)
    return not _WORDS.isdisjoint(words) or any(name in joined for name in _JOINED)


def _forms(secret: str) -> set[str]:
    """The secret as it is and as it may stand inside a URL, a JSON text or a repr (``Bearer`` and Basic have patterns)."""
    return {
        secret,
        quote(secret, safe=""),
        quote(secret),
        quote_plus(secret),
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        repr(secret)[1:-1],
    }


redactor: Final = Redactor()  # one process has one log, hence one
register_secrets = redactor.register
