"""Notifications: signed with the app's client secret; what they hold is never believed, only re-read."""

import hmac
from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha256
from typing import Final

from marketsync.adapter.api import WebhookCall, WebhookNotice
from marketsync.adapter.errors import AuthRefused

# The first part of a topic -> what to look at. Other topics are taken and mean nothing.
_TASKS: Final = {"orders": "orders", "refunds": "orders", "fulfillments": "orders", "returns": "returns"}


def notices(call: WebhookCall, secret: str) -> Sequence[WebhookNotice]:
    """Raises ``AuthRefused`` where the signature is wrong, and where no secret is set.

    The signature covers the body alone; the time in the headers is not signed, so it says nothing here. The webhook's
    id is the same at every try of a delivery.
    """
    expected = b64encode(hmac.new(secret.encode(), call.body, sha256).digest())
    given = call.headers.get("x-shopify-hmac-sha256", "")
    if not secret or not hmac.compare_digest(expected, given.encode()):
        raise AuthRefused("the notification's signature is wrong", code="bad_signature")
    task = _TASKS.get(call.headers.get("x-shopify-topic", "").partition("/")[0])
    return [] if task is None else [WebhookNotice(task=task, id=call.headers.get("x-shopify-webhook-id", ""))]
