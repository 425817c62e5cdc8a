"""Evidence: what a channel said, without secrets and personal data."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from pydantic import BaseModel, SecretStr

from marketsync.domain.redaction import REDACTED, SHORTEST, forms_of, without_phones, without_secrets

LONGEST: Final = 2_000
_READ: Final = 4 * LONGEST  # of a long text only the beginning can become evidence


def redact(text: str | bytes, secrets: Iterable[str] = ()) -> str:
    """At most 2,000 characters of a text, without these secrets, without what looks like one, and without buyers.

    Bytes are read as UTF-8. Secrets of fewer than 4 characters are passed over.
    """
    if isinstance(text, bytes):
        text = text[: 4 * _READ].decode("utf-8", "replace")
    text = text[:_READ]
    known = {form for secret in secrets if len(secret) >= SHORTEST for form in forms_of(secret)}
    for form in sorted(known, key=len, reverse=True):
        text = text.replace(form, REDACTED)
    text = without_phones(without_secrets(text))
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
