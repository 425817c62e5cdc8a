"""Takes secrets and personal data out of whatever is about to be logged."""

import re
from collections.abc import Iterable, Mapping
from datetime import date, time, timedelta
from decimal import Decimal
from functools import lru_cache
from pathlib import PurePath
from threading import Lock
from typing import Any, Final
from uuid import UUID

from marketsync.domain.redaction import REDACTED, SHORTEST, forms_of, without_secrets

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
            forms = {form for secret in self._secrets for form in forms_of(secret)}
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
        return without_secrets(text)

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


redactor: Final = Redactor()  # one process has one log, hence one
register_secrets = redactor.register
