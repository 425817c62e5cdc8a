"""Notifications: signed with the app's client secret; what they hold is never believed, only re-read."""

import hmac
from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha256
from typing import Final

from marketsync.adapter.api import WebhookCall, WebhookNotice
from marketsync.adapter.errors import AuthRefused, ItemRefused
from marketsync_adapters.shopify import documents
from marketsync_adapters.shopify.client import Client
from marketsync_adapters.shopify.errors import sentence

# What we want to be told of; a return that is processed tells it by its order.
TOPICS: Final = (
    "ORDERS_CREATE", "ORDERS_UPDATED", "ORDERS_CANCELLED", "REFUNDS_CREATE", "RETURNS_REQUEST", "RETURNS_UPDATE",
)  # fmt: skip

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


async def keep(client: Client, url: str) -> list[str]:
    """Subscribe to the topics that are missing. Returns what was changed.

    Shopify forgets a subscription whose deliveries fail again and again; those of the app's version are not listed.
    Raises ``ItemRefused`` where Shopify refuses one, such as for a scope that the app lacks.
    """
    walk = client.walk("webhooks", documents.WEBHOOKS, {"uri": url}, lambda data: data["webhookSubscriptions"])
    present = {node["topic"] async for node in walk}
    changed = []
    for topic in [topic for topic in TOPICS if topic not in present]:
        data = await client.ask("subscribe", documents.SUBSCRIBE, {"topic": topic, "to": {"uri": url}})
        errors = data["webhookSubscriptionCreate"]["userErrors"]
        if errors:
            raise ItemRefused(f"Shopify does not send {topic} to {url}: {sentence(errors)}", code="webhook_refused")
        changed.append(f"{topic}: subscribed")
    return changed
