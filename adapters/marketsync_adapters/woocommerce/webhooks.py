"""Webhooks: signed calls that say what to look at, and keeping them alive in the shop."""

import base64
import hmac
import re
from collections.abc import Sequence
from hashlib import sha256

from marketsync.adapter.api import WebhookCall, WebhookNotice
from marketsync.adapter.errors import AuthRefused
from marketsync_adapters.woocommerce.client import Client
from marketsync_adapters.woocommerce.settings import Settings

TOPICS = ("order.created", "order.updated")
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


async def keep(client: Client, url: str, secret: str) -> list[str]:
    """Make the webhooks that are missing and turn on those that are off. Returns what was changed.

    The shop turns a webhook off after more than five failed deliveries in a row, and tells nobody. Raises AuthRefused
    where the key's user may not see webhooks.
    """
    mine = [
        hook async for hook in client.all("webhooks", "/webhooks", {"status": "all"}) if hook["delivery_url"] == url
    ]
    active = {hook["topic"] for hook in mine if hook["status"] == "active"}
    asleep = {hook["topic"]: hook["id"] for hook in mine}
    changed = []
    for topic in [topic for topic in TOPICS if topic not in active]:
        if topic in asleep:
            path = f"/webhooks/{asleep[topic]}"
            await client.send("webhooks", "PUT", path, {"status": "active", "secret": secret})
            changed.append(f"{topic}: on again")
        else:
            body = {"name": f"marketsync {topic}", "topic": topic, "delivery_url": url, "secret": secret}
            await client.send("webhooks", "POST", "/webhooks", body)
            changed.append(f"{topic}: made")
    return changed
