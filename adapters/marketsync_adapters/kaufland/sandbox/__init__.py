"""A Kaufland to rehearse with: ``build_app(Market(rules, clock))`` is its ASGI app, /admin the hands of its buyers."""

from marketsync_adapters.kaufland.sandbox.app import build_app, sandbox_app
from marketsync_adapters.kaufland.sandbox.market import Market
from marketsync_adapters.kaufland.sandbox.rules import Rules

__all__ = ["Market", "Rules", "build_app", "sandbox_app"]
