"""The shop's notifications: signed, sent until they are taken."""

import asyncio
import hmac
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from uuid import NAMESPACE_URL, uuid5

import orjson

from marketsync.adapter.api import Clock
from marketsync_adapters.shopify.sandbox.rules import Rules

TRIES = 8

Post = Callable[[str, Mapping[str, str], bytes], Awaitable[int]]


@dataclass(slots=True)
class Delivery:
    id: str
    to: str
    topic: str
    body: bytes
    made: datetime
    due: datetime
    tries: int = 0


class Webhooks:
    def __init__(self, rules: Rules, clock: Clock) -> None:
        self._rules, self._clock = rules, clock
        self._sent = 0
        self.pending: list[Delivery] = []
        self.subscriptions: list[tuple[str, str]] = []  # topic as the API writes it, address

    def notify(self, topic: str, reference: str) -> None:
        """Queue a notification for everybody who has subscribed; ``webhook_url`` of the rules is told everything."""
        wanted = topic.upper().replace("/", "_")
        addresses = [uri for subscribed, uri in self.subscriptions if subscribed == wanted]
        for address in [self._rules.webhook_url, *addresses] if self._rules.webhook_url else addresses:
            self._sent += 1
            now = self._clock.now()
            body = orjson.dumps({"id": int(reference.rsplit("/", 1)[-1]), "admin_graphql_api_id": reference})
            id_ = str(uuid5(NAMESPACE_URL, f"{self._rules.domain}/{self._sent}"))
            self.pending.append(Delivery(id_, address, topic, body, now, now))

    def headers(self, delivery: Delivery) -> dict[str, str]:
        signature = hmac.new(self._rules.client_secret.encode(), delivery.body, sha256).digest()
        return {
            "Content-Type": "application/json",
            "X-Shopify-Topic": delivery.topic,
            "X-Shopify-Hmac-SHA256": b64encode(signature).decode(),
            "X-Shopify-Shop-Domain": self._rules.domain,
            "X-Shopify-Webhook-Id": delivery.id,
            "X-Shopify-Triggered-At": delivery.made.isoformat(),
            "X-Shopify-API-Version": self._rules.versions[-1],
        }

    async def deliver(self, post: Post) -> int:
        """Send what is due. Returns how many were taken; the others wait twice as long each time."""
        taken = 0
        for delivery in [one for one in self.pending if one.due <= self._clock.now()]:
            status = await post(delivery.to, self.headers(delivery), delivery.body)
            delivery.tries += 1
            if 200 <= status < 300:
                taken += 1
            if 200 <= status < 300 or delivery.tries >= TRIES:
                self.pending.remove(delivery)
                if not 200 <= status < 300:
                    self._forget(delivery)
            else:
                delivery.due = self._clock.now() + timedelta(seconds=2**delivery.tries)
        return taken

    def _forget(self, delivery: Delivery) -> None:
        """A subscription that nobody answers is deleted."""
        gone = delivery.topic.upper().replace("/", "_"), delivery.to
        self.subscriptions = [one for one in self.subscriptions if one != gone]

    async def run(self, post: Post) -> None:
        """Deliver until cancelled."""
        while True:
            await self.deliver(post)
            await self._clock.sleep(0.2)


async def post(url: str, headers: Mapping[str, str], body: bytes) -> int:
    """One POST. Returns the status, 0 where nobody answers."""
    request = urllib.request.Request(url, data=body, headers=dict(headers), method="POST")  # noqa: S310 - the address is the user's own

    def send() -> int:
        try:
            with urllib.request.urlopen(request, timeout=10) as reply:  # noqa: S310 - as above
                return int(reply.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    return await asyncio.to_thread(send)
