"""Notifications: what eBay's pushes make the engine look at. Their contents are never believed."""

import json
from collections.abc import Mapping, Sequence
from datetime import timedelta

from marketsync.adapter.api import WebhookCall, WebhookNotice
from marketsync.adapter.errors import AuthRefused
from marketsync_adapters.ebay.orders import time_in
from marketsync_adapters.ebay.signature import check_notification

TOLERANCE = timedelta(hours=1)  # eBay repeats a delivery that was not taken


def notices(call: WebhookCall, keys: Mapping[str, str]) -> Sequence[WebhookNotice]:
    """Check a notification and say what to look at. Raises ``AuthRefused`` where it is forged or old."""
    check_notification(call.headers.get("x-ebay-signature", ""), call.body, keys)
    try:
        document = json.loads(call.body)
        topic = str(document["metadata"]["topic"])
        notification = document["notification"]
        id_, sent = str(notification["notificationId"]), time_in(notification["publishDate"])
    except (ValueError, KeyError, TypeError):
        raise AuthRefused("the notification is none of eBay's", code="bad_notification") from None
    if abs(call.received - sent) > TOLERANCE:
        raise AuthRefused("the notification is too old", code="old_signature")
    task = _task(topic)
    return [WebhookNotice(task=task, id=id_, sent=sent)] if task else []


def _task(topic: str) -> str:
    """The task that a topic concerns; "" for those that are none of ours (deletion of a buyer's account)."""
    if "RETURN" in topic:
        return "returns"
    return "orders" if topic.startswith(("ORDER", "ITEM_SOLD", "ITEM_MARKED")) else ""
