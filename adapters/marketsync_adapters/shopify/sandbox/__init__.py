"""A shop that behaves like one of Shopify's: GraphQL, points, compare-and-set, idempotency keys, webhooks, faults.

It knows nothing of the adapter. ``build_app(Shop(Rules(), clock))`` is the ASGI app.
"""

from starlette.applications import Starlette

from marketsync.adapter.clock import Clock, SystemClock
from marketsync_adapters.shopify.sandbox.app import build_app, serve, server
from marketsync_adapters.shopify.sandbox.rules import Rules
from marketsync_adapters.shopify.sandbox.shop import Shop

__all__ = ["Rules", "Shop", "build_app", "rehearsal", "sandbox_app", "serve", "server"]


def sandbox_app(clock: Clock | None = None, rules: Rules | None = None) -> Starlette:
    """A rehearsal shop of its own."""
    return build_app(Shop(rules or Rules(), clock or SystemClock()))


def rehearsal(url: str) -> str:
    """The channel to write into a configuration for a marketplace of this kind that runs at ``url``: YAML."""
    return (
        f"  shopify:\n    adapter: shopify\n    credentials: {{access_token: {Rules().access_token}}}\n"
        f"    settings: {{shop: '{url}', currency: EUR, locations: {{'*': 11}}}}\n"
    )
