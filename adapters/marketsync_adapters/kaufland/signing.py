"""Kaufland's signatures: one HMAC over method, address, body and time, for requests and for notifications alike."""

import hmac
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from marketsync.adapter.api import WebhookCall
from marketsync.adapter.errors import AuthRefused

TOLERANCE = timedelta(minutes=5)  # what Kaufland itself grants a request, either way


def signature(method: str, url: str, body: bytes, timestamp: int, secret: str) -> str:
    """64 hex digits. ``url`` whole, with its query as it is sent. The secret is a text, however much it looks like hex."""
    text = b"\n".join((method.encode(), url.encode(), body, str(timestamp).encode()))
    return hmac.new(secret.encode(), text, sha256).hexdigest()


def headers(
    method: str, url: str, body: bytes, now: datetime, *, client_key: str, secret: str, partner: tuple[str, str] | None
) -> Mapping[str, str]:
    """The headers that sign one request. ``partner``: key and secret of a software house, which signs as well."""
    timestamp = int(now.timestamp())
    signed = {
        "Shop-Client-Key": client_key,
        "Shop-Timestamp": str(timestamp),
        "Shop-Signature": signature(method, url, body, timestamp, secret),
    }
    if partner is not None:
        key, partner_secret = partner
        signed["Shop-Partner-Client-Key"] = key
        signed["Shop-Partner-Signature"] = signature(method, url, body, timestamp, partner_secret)
    return signed


def verified(call: WebhookCall, callback_url: str, secret: str) -> datetime:
    """When a notification was signed, aware UTC. Raises ``AuthRefused`` for a wrong or old signature, or no secret."""
    written = call.headers.get("shop-timestamp", "")
    timestamp = int(written) if written.isascii() and written.isdecimal() and len(written) < 12 else 0
    expected = signature("POST", callback_url, call.body, timestamp, secret)
    given = call.headers.get("shop-signature", "")
    if not secret or not callback_url or not hmac.compare_digest(expected.encode(), given.encode()):
        raise AuthRefused("the notification's signature is wrong", code="bad_signature")
    sent = datetime.fromtimestamp(timestamp, UTC)
    if abs(call.received - sent) > TOLERANCE:
        raise AuthRefused("the notification is too old", code="old_signature")
    return sent
