"""The rehearsal eBay in one object, without a web around it."""

import base64
import json
from collections import Counter
from functools import cached_property
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from marketsync.adapter.api import Clock
from marketsync.adapter.clock import SystemClock
from marketsync_adapters.ebay.sandbox.gate import Gate
from marketsync_adapters.ebay.sandbox.rules import Rules
from marketsync_adapters.ebay.sandbox.sales import Sales, text
from marketsync_adapters.ebay.sandbox.shelf import Shelf
from marketsync_adapters.sandbox.faults import Faults

KEY_ID = "9936261a-7d7b-4621-a0f1-964059b4a4d3"


class Market:
    def __init__(self, rules: Rules | None = None, clock: Clock | None = None) -> None:
        self.rules = rules or Rules()
        self.clock = clock or SystemClock()
        self.gate = Gate(self.rules, self.clock)
        self.shelf = Shelf(self.rules, self.clock)
        self.sales = Sales(self.rules, self.clock, self.shelf)
        self.faults = Faults()
        self.requests: Counter[tuple[str, int]] = Counter()  # (operation, status)

    @cached_property
    def _key(self) -> Any:
        return generate_private_key(SECP256R1())

    @property
    def public_key(self) -> str:
        """The key that notifications are signed with, as getPublicKey tells it: PEM without line breaks."""
        der = self._key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return f"-----BEGIN PUBLIC KEY-----{base64.b64encode(der).decode()}-----END PUBLIC KEY-----"

    def notification(self, order_id: str, topic: str = "ORDER_CONFIRMATION") -> tuple[dict[str, str], bytes]:
        """Headers and body of the notification of an order."""
        now = text(self.clock.now())
        body = json.dumps(
            {
                "metadata": {"topic": topic, "schemaVersion": "1.0", "deprecated": False},
                "notification": {
                    "notificationId": f"notification-{order_id}",
                    "eventDate": now,
                    "publishDate": now,
                    "publishAttemptCount": 1,
                    "data": {"orderId": order_id},
                },
            }
        ).encode()
        signature = base64.b64encode(self._key.sign(body, ECDSA(SHA1()))).decode()  # noqa: S303 - as eBay signs
        told = json.dumps({"alg": "ecdsa", "kid": KEY_ID, "signature": signature, "digest": "SHA1"})
        return {"X-EBAY-SIGNATURE": base64.b64encode(told.encode()).decode()}, body

    def state(self) -> dict[str, Any]:
        """Everything, for a test's own judgement of what happened here."""
        return {
            "now": self.clock.now().isoformat(),
            "items": len(self.shelf.items),
            "offers": [self.shelf.told(offer) for offer in self.shelf.offers.values()],
            "groups": {key: group.document for key, group in self.shelf.groups.items()},
            "orders": [self.sales.document(order, whole=True) for order in self.sales.orders.values()],
            "returns": list(self.sales.returns.values()),
            "requests": [
                {"operation": operation, "status": status, "calls": calls}
                for (operation, status), calls in sorted(self.requests.items())
            ],
            "faults": dict(self.faults.happened),
        }
