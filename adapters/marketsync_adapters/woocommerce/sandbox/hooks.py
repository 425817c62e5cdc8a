"""The shop's webhooks: signed, delivered, turned off after too many failures in a row."""

import base64
import hmac
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from hashlib import md5, sha256
from typing import Any

import orjson

from marketsync.adapter.api import Clock
from marketsync_adapters.woocommerce.sandbox.rules import Refused

FAILURES = 5  # one more in a row, and the webhook is off

Post = Callable[[str, Mapping[str, str], bytes], Awaitable[int]]


@dataclass(slots=True)
class Delivery:
    hook: dict[str, Any]
    body: bytes
    headers: dict[str, str]


class Hooks:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.hooks: dict[int, dict[str, Any]] = {}
        self.pending: list[Delivery] = []

    def add(self, sent: Mapping[str, Any]) -> dict[str, Any]:
        number = len(self.hooks) + 1
        hook = {
            "id": number,
            "name": sent.get("name", "Webhook"),
            "status": sent.get("status", "active"),
            "topic": sent["topic"],
            "delivery_url": sent["delivery_url"],
            "$secret": sent["secret"],
            "$failures": 0,
        }
        self.hooks[number] = hook
        ping = b"webhook_id=%d" % number
        self.pending.append(Delivery(hook, ping, {"Content-Type": "application/x-www-form-urlencoded"}))
        return hook

    def update(self, number: int, sent: Mapping[str, Any]) -> dict[str, Any]:
        if number not in self.hooks:
            raise Refused(404, "woocommerce_rest_shop_webhook_invalid_id", "Invalid ID.")
        hook = self.hooks[number]
        if sent.get("status") == "active" and hook["status"] != "active":
            hook["$failures"] = 0
        hook |= {name: sent[name] for name in ("name", "status", "topic") if name in sent}
        if "secret" in sent:
            hook["$secret"] = sent["secret"]
        return hook

    def shown(self, hook: Mapping[str, Any]) -> dict[str, Any]:
        document = {name: value for name, value in hook.items() if not name.startswith("$")}
        resource, _, event = hook["topic"].partition(".")
        return document | {"resource": resource, "event": event, "hooks": []}

    def notify(self, topic: str, payload: Mapping[str, Any]) -> None:
        for hook in self.hooks.values():
            if hook["topic"] == topic and hook["status"] == "active":
                self.pending.append(self._delivery(hook, orjson.dumps(payload)))

    async def deliver(self, post: Post) -> None:
        """Send what is pending, each once: the shop does not repeat a delivery."""
        deliveries, self.pending = self.pending, []
        for delivery in deliveries:
            hook = delivery.hook
            status = await post(hook["delivery_url"], delivery.headers, delivery.body)
            taken = 200 <= status < 300 or status in {301, 302}
            hook["$failures"] = 0 if taken else hook["$failures"] + 1
            if hook["$failures"] > FAILURES:
                hook["status"] = "disabled"

    def _delivery(self, hook: dict[str, Any], body: bytes) -> Delivery:
        """The delivery's id is made of the webhook and the second: two of one second have the same."""
        resource, _, event = hook["topic"].partition(".")
        second = int(self._clock.now().timestamp())
        signature = base64.b64encode(hmac.new(hook["$secret"].encode(), body, sha256).digest()).decode()
        headers = {
            "Content-Type": "application/json",
            "X-WC-Webhook-Topic": hook["topic"],
            "X-WC-Webhook-Resource": resource,
            "X-WC-Webhook-Event": event,
            "X-WC-Webhook-Signature": signature,
            "X-WC-Webhook-ID": str(hook["id"]),
            "X-WC-Webhook-Delivery-ID": md5(f"{hook['id']}{second}".encode(), usedforsecurity=False).hexdigest(),
        }
        return Delivery(hook, body, headers)
