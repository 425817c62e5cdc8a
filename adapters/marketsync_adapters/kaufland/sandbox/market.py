"""The rehearsal Kaufland: its state in one place, without any web around it. One thread; time is the clock's."""

import hmac
from collections import Counter, deque
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import orjson

from marketsync.adapter.api import Clock
from marketsync.adapter.clock import SystemClock
from marketsync_adapters.kaufland.sandbox.rules import Refused, Rules
from marketsync_adapters.kaufland.sandbox.sales import Sales
from marketsync_adapters.kaufland.sandbox.shelf import Shelf, iso
from marketsync_adapters.sandbox.faults import Faults


@dataclass(frozen=True, slots=True)
class Notification:
    """A notification that Kaufland would send: only what happened and where to look."""

    body: bytes
    event: str
    resource: str


def signature(method: str, url: str, body: bytes, timestamp: int, secret: str) -> str:
    """Kaufland's signature, made without the adapter's help."""
    text = f"{method}\n{url}\n{body.decode()}\n{timestamp}"
    return hmac.new(secret.encode(), text.encode(), sha256).hexdigest()


class Market:
    def __init__(self, rules: Rules | None = None, clock: Clock | None = None) -> None:
        self.rules = rules or Rules()
        self.clock = clock or SystemClock()
        self.shelf = Shelf(self.rules, self.clock)
        self.sales = Sales(self.rules, self.clock, self.shelf, self._notify)
        self.faults = Faults()
        self.requests: Counter[tuple[str, int]] = Counter()  # (operation, status)
        self.subscriptions: dict[int, dict[str, Any]] = {}
        self.notifications: deque[Notification] = deque(maxlen=10_000)
        self._notified = 0
        self._arrival = 0.0  # of the next request, if it is not to be too early (GCRA)

    def authenticate(self, method: str, url: str, headers: Any, body: bytes) -> None:
        """Raises ``Refused`` (401) where key, time or signature are wrong. ``url`` as it was asked for."""
        try:
            timestamp = int(headers["shop-timestamp"])
            key, given = headers["shop-client-key"], headers["shop-signature"]
        except (KeyError, ValueError):
            message = "A required header is missing or invalid"
            raise Refused(401, "missing-or-invalid-request-header", message) from None
        if abs(self.clock.now().timestamp() - timestamp) > self.rules.clock_tolerance.total_seconds():
            raise Refused(401, "missing-or-invalid-request-header", "Shop-Timestamp is too far from now")
        if key != self.rules.client_key:
            raise Refused(401, "invalid-credentials", "Unknown client key")
        if given != signature(method, url, body, timestamp, self.rules.secret_key):
            raise Refused(401, "corrupted-signature", "The signature does not match")

    def admit(self) -> None:
        """Count one request. Raises ``Refused`` (429) above the account's rate."""
        if not self.rules.per_second:
            return
        now = self.clock.monotonic()
        arrival = max(now, self._arrival)
        if arrival - now - (self.rules.burst - 1) / self.rules.per_second > 1e-9:  # rounding is no offence
            raise Refused(429, "bad-request", "429 Too Many Requests")
        self._arrival = arrival + 1 / self.rules.per_second

    def storefront(self, name: str | None) -> str:
        if name not in self.rules.storefronts:
            raise Refused(400, "storefront-not-configured", "The storefront is not configured for this seller")
        return name

    def subscribe(self, storefront: str, body: dict[str, Any]) -> dict[str, Any]:
        number = len(self.subscriptions) + 1
        subscription = {
            "id_subscription": number,
            "callback_url": body["callback_url"],
            "fallback_email": body["fallback_email"],
            "event_name": body["event_name"],
            "is_active": True,
            "storefront": storefront,
        }
        self.subscriptions[number] = subscription
        return subscription

    def signed(self, notification: Notification) -> dict[str, str]:
        """The headers of a notification that is sent now."""
        timestamp = int(self.clock.now().timestamp())
        url, secret = self.rules.callback_url, self.rules.secret_key
        return {
            "Shop-Timestamp": str(timestamp),
            "Shop-Signature": signature("POST", url, notification.body, timestamp, secret),
            "Content-Type": "application/json",
        }

    def state(self) -> dict[str, Any]:
        """Everything, for a test's own judgement of what happened here."""
        return {
            "now": iso(self.clock.now()),
            "offers": [
                {"sku": unit.id_offer, "storefront": unit.storefront, "quantity": unit.amount, "unit": unit.document()}
                for unit in self.shelf
            ],
            "orders": [order.document(self.rules) for order in self.sales.orders.values()],
            "returns": [one.document() | {"unit": one.unit()} for one in self.sales.returns.values()],
            "requests": [
                {"operation": operation, "status": status, "calls": calls}
                for (operation, status), calls in sorted(self.requests.items())
            ],
            "faults": dict(self.faults.happened),
        }

    def _notify(self, event: str, resource: str, storefront: str) -> None:
        self._notified += 1
        document = {
            "id_message": f"msg-{self._notified:08d}",
            "event_name": event,
            "resource": resource,
            "storefront": storefront,
        }
        self.notifications.append(Notification(orjson.dumps(document), event, resource))
