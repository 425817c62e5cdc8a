"""The market's notifications: signed, sent until they are taken, given up after a few tries."""

import asyncio
import hmac
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

import orjson

from marketsync.adapter.api import Clock
from marketsync_adapters.sandbox.rules import Rules

TRIES = 5

Post = Callable[[str, Mapping[str, str], bytes], Awaitable[int]]


@dataclass(slots=True)
class Subscription:
    """An address that wants to be told. The market turns it off when it gives a delivery up."""

    id: str
    url: str
    active: bool = True


@dataclass(slots=True)
class Delivery:
    delivery_id: str
    to: Subscription
    body: bytes
    due: datetime
    tries: int = 0


class Webhooks:
    """``Authenticity``: header ``X-Sandbox-Signature: t=<unix seconds>,v1=<hex of HMAC-SHA256 over "t.body">``."""

    def __init__(self, rules: Rules, clock: Clock) -> None:
        self._rules = rules
        self._clock = clock
        self._sent = 0
        self.pending: list[Delivery] = []
        self.given_up = 0
        self.subscriptions: dict[str, Subscription] = {}
        if rules.webhook_url:
            self.subscribe(rules.webhook_url)

    def subscribe(self, url: str) -> Subscription:
        """A new subscription, also where the address has one: then it is told twice."""
        made = Subscription(f"SUB-{len(self.subscriptions) + 1}", url)
        self.subscriptions[made.id] = made
        return made

    def notify(self, topic: str, reference: str) -> None:
        """Queue a notification for every active subscription."""
        for subscription in self.subscriptions.values():
            if not subscription.active:
                continue
            self._sent += 1
            now = self._clock.now()
            delivery_id = f"WH-{self._sent:08d}"
            document = {"id": delivery_id, "topic": topic, "reference": reference, "sent": now.isoformat()}
            self.pending.append(Delivery(delivery_id, subscription, orjson.dumps(document), now))

    def headers(self, delivery: Delivery) -> dict[str, str]:
        timestamp = str(int(self._clock.now().timestamp()))
        return {
            "Content-Type": "application/json",
            "X-Sandbox-Delivery": delivery.delivery_id,
            "X-Sandbox-Signature": f"t={timestamp},v1={sign(self._rules.webhook_secret, timestamp, delivery.body)}",
        }

    async def deliver(self, post: Post) -> int:
        """Send what is due. Returns how many were taken (2xx); the others wait twice as long each time."""
        taken = 0
        for delivery in [one for one in self.pending if one.due <= self._clock.now()]:
            status = await post(delivery.to.url, self.headers(delivery), delivery.body)
            delivery.tries += 1
            if 200 <= status < 300:
                taken += 1
                self.pending.remove(delivery)
            elif delivery.tries >= TRIES:
                self.given_up += 1
                delivery.to.active = False
                self.pending.remove(delivery)
            else:
                delivery.due = self._clock.now() + timedelta(seconds=2**delivery.tries)
        return taken

    async def run(self, post: Post) -> None:
        """Deliver until cancelled."""
        while True:
            await self.deliver(post)
            await self._clock.sleep(0.2)


def sign(secret: str, timestamp: str, body: bytes) -> str:
    return hmac.new(secret.encode(), timestamp.encode() + b"." + body, sha256).hexdigest()


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
