"""Webhooks: signed calls that say what to look at, and keeping them alive in the shop."""

import base64
import hmac
import re
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from marketsync.adapter.api import WebhookCall, WebhookNotice
from marketsync.adapter.errors import AuthRefused
from marketsync_adapters.woocommerce.client import Client, document
from marketsync_adapters.woocommerce.settings import Settings

TOPICS = ("order.created", "order.updated")
_ALREADY = frozenset({401, 403, 404})
_PING = re.compile(rb"webhook_id=\d+")


def notices(call: WebhookCall, settings: Settings) -> Sequence[WebhookNotice]:
    """Raises ``AuthRefused`` for a call that is not signed with our secret.

    The shop signs no time. Its delivery ids repeat for two orders of one second, so the body's hash goes with them.
    """
    if _PING.fullmatch(call.body):
        return ()  # sent unsigned when a webhook is made: an answer is all it wants
    secret = settings.webhook_secret.get_secret_value()
    expected = base64.b64encode(hmac.new(secret.encode(), call.body, sha256).digest())
    signature = call.headers.get("x-wc-webhook-signature", "")
    if not secret or not hmac.compare_digest(expected, signature.encode()):
        raise AuthRefused("the notification's signature is wrong", code="bad_signature")
    topic = call.headers.get("x-wc-webhook-topic", "")
    task = "reconcile" if topic.startswith("product.") else "orders"
    delivery = call.headers.get("x-wc-webhook-delivery-id", "")
    return [WebhookNotice(task=task, id=f"{delivery}:{sha256(call.body).hexdigest()[:16]}")]


async def keep(client: Client, settings: Settings) -> str:
    """Make the webhooks that are missing, turn on those that are off, and say in a few words how they are.

    The shop turns a webhook off after more than five failed deliveries in a row, and tells nobody.
    """
    reply = await client.reply("check", "/webhooks", {"per_page": 100, "status": "all"}, _ALREADY)
    if reply.status in _ALREADY:
        return "webhooks not readable with this key"
    mine = [hook for hook in document(reply) if hook["delivery_url"] == settings.webhook_url]
    by_topic: dict[str, Any] = {hook["topic"]: hook for hook in mine}
    made, woken = 0, 0
    for topic in TOPICS:
        hook = by_topic.get(topic)
        secret = settings.webhook_secret.get_secret_value()
        if hook is None:
            body = {
                "name": f"marketsync {topic}",
                "topic": topic,
                "delivery_url": settings.webhook_url,
                "secret": secret,
            }
            await client.send("webhooks", "POST", "/webhooks", body)
            made += 1
        elif hook["status"] != "active":
            await client.send("webhooks", "PUT", f"/webhooks/{hook['id']}", {"status": "active", "secret": secret})
            woken += 1
    changes = [f"{made} made"] * bool(made) + [f"{woken} turned on again after failed deliveries"] * bool(woken)
    return "webhooks active" + (f" ({', '.join(changes)})" if changes else "")
