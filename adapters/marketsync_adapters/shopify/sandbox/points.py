"""Who may come in, and the bucket of points."""

from datetime import datetime
from hmac import compare_digest
from secrets import token_urlsafe
from typing import Any

from marketsync.adapter.api import Clock
from marketsync_adapters.shopify.sandbox.rules import Rules


class Gate:
    def __init__(self, rules: Rules, clock: Clock) -> None:
        self._rules, self._clock = rules, clock
        self._tokens: dict[str, datetime] = {}

    def token(self, client_id: str, client_secret: str) -> str | None:
        """A new access token of the client-credentials grant; None for a client that is not known."""
        known = compare_digest(client_id.encode(), self._rules.client_id.encode())
        if not compare_digest(client_secret.encode(), self._rules.client_secret.encode()) or not known:
            return None
        token = token_urlsafe(24)
        self._tokens[token] = self._clock.now() + self._rules.token_life
        return token

    def expire_tokens(self) -> None:
        self._tokens.clear()

    def knows(self, token: str) -> bool:
        if compare_digest(token.encode(), self._rules.access_token.encode()):
            return True
        ends = self._tokens.get(token)
        return ends is not None and self._clock.now() < ends


class Points:
    """A leaky bucket, as ``throttleStatus`` describes it."""

    def __init__(self, rules: Rules, clock: Clock) -> None:
        self._rules, self._clock = rules, clock
        self._available = rules.capacity if rules.points is None else rules.points
        self._at = clock.monotonic()
        self.spent = 0.0
        self.throttled = 0

    def take(self, cost: float) -> bool:
        """False, and nothing is taken, where the bucket does not hold the cost."""
        self._refill()
        if cost > self._available + 1e-6:
            self.throttled += 1
            return False
        self._available -= cost
        self.spent += cost
        return True

    def give_back(self, cost: float) -> None:
        self._available = min(self._rules.capacity, self._available + cost)
        self.spent -= cost

    def document(self, requested: float, actual: float | None) -> dict[str, Any]:
        self._refill()
        return {
            "requestedQueryCost": requested,
            "actualQueryCost": actual,
            "throttleStatus": {
                "maximumAvailable": self._rules.capacity,
                "currentlyAvailable": self._available,
                "restoreRate": self._rules.restore,
            },
        }

    def _refill(self) -> None:
        now = self._clock.monotonic()
        self._available = min(self._rules.capacity, self._available + (now - self._at) * self._rules.restore)
        self._at = now
