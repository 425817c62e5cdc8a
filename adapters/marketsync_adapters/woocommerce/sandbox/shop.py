"""The whole shop in one object, without a web around it. Time is the clock's, so tests turn it."""

import base64
from collections import Counter
from collections.abc import Sequence
from typing import Any

from marketsync.adapter.api import Clock
from marketsync.adapter.clock import SystemClock
from marketsync_adapters.sandbox.faults import Faults
from marketsync_adapters.woocommerce.sandbox.catalogue import Catalogue
from marketsync_adapters.woocommerce.sandbox.hooks import Hooks
from marketsync_adapters.woocommerce.sandbox.rules import Limiter, Refused, Rules
from marketsync_adapters.woocommerce.sandbox.sales import Sales


class Shop:
    def __init__(self, rules: Rules | None = None, clock: Clock | None = None) -> None:
        self.rules = rules or Rules()
        self.clock = clock or SystemClock()
        self.catalogue = Catalogue(self.rules, self.clock)
        self.hooks = Hooks(self.clock)
        self.sales = Sales(self.rules, self.clock, self.catalogue, self._order_changed)
        self.limiter = Limiter(self.rules.per_second, self.rules.burst)
        self.faults = Faults()
        self.requests: Counter[tuple[str, int]] = Counter()  # (operation, status)

    def buy(self, lines: Sequence[tuple[str, int]], **how: Any) -> dict[str, Any]:
        """A buyer orders (SKU, pieces) pairs; ``Sales.buy`` says the rest."""
        return self.sales.buy(lines, **how)

    def authenticate(self, authorization: str, *, write: bool) -> None:
        """Raises ``Refused`` (401) for a wrong key, a missing one and one that may only read."""
        key = f"{self.rules.consumer_key}:{self.rules.consumer_secret}"
        if authorization == "Basic " + base64.b64encode(key.encode()).decode():
            if write and self.rules.read_only:
                message = "The API key provided does not have write permissions."
                raise Refused(401, "woocommerce_rest_authentication_error", message)
            return
        if authorization.startswith("Basic "):
            given = base64.b64decode(authorization.removeprefix("Basic ")).decode("utf-8", "replace")
            if given.split(":")[0] == self.rules.consumer_key:
                raise Refused(401, "woocommerce_rest_authentication_error", "Consumer secret is invalid.")
        raise Refused(401, "woocommerce_rest_cannot_view", "Sorry, you cannot list resources.")

    def settings(self, group: str) -> list[dict[str, Any]]:
        """A group of the shop's settings. Raises ``Refused`` where the key's user may not see them."""
        if not self.rules.shop_manager:
            raise Refused(401, "woocommerce_rest_cannot_view", "Sorry, you cannot list resources.")
        values = {
            "general": {"woocommerce_currency": self.rules.currency, "woocommerce_calc_taxes": "yes"},
            "tax": {"woocommerce_prices_include_tax": "yes" if self.rules.prices_include_tax else "no"},
            "products": {
                "woocommerce_weight_unit": self.rules.weight_unit,
                "woocommerce_manage_stock": "yes" if self.rules.manages_stock else "no",
            },
        }
        if group not in values:
            raise Refused(404, "rest_setting_setting_group_invalid", "Invalid setting group.")
        return [{"id": name, "label": name, "type": "text", "value": value} for name, value in values[group].items()]

    def state(self) -> dict[str, Any]:
        """Everything, for a test's own judgement of what happened here."""
        return {
            "now": self.clock.now().isoformat(),
            "products": [self.catalogue.shown(row) for row in self.catalogue.products.values()],
            "variations": [self.catalogue.shown(row) for row in self.catalogue.variations.values()],
            "orders": [self.sales.shown(order) for order in self.sales.orders.values()],
            "requests": [
                {"operation": operation, "status": status, "calls": calls}
                for (operation, status), calls in sorted(self.requests.items())
            ],
            "refused_by_the_host": self.limiter.refused,
            "faults": dict(self.faults.happened),
            "webhooks": [self.hooks.shown(hook) for hook in self.hooks.hooks.values()],
        }

    def _order_changed(self, topic: str, number: int) -> None:
        self.hooks.notify(topic, self.sales.shown(self.sales.orders[number]))
