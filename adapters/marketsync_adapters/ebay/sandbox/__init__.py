"""An eBay to rehearse with: ``build_app(Market(rules, clock))`` is its ASGI app, /admin the hands of its buyers."""

from marketsync_adapters.ebay.sandbox.app import build_app, sandbox_app
from marketsync_adapters.ebay.sandbox.market import KEY_ID, Market
from marketsync_adapters.ebay.sandbox.rules import Rules

__all__ = ["KEY_ID", "Market", "Rules", "build_app", "sandbox_app"]
