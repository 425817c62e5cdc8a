"""A sandbox Amazon: an ASGI app that behaves like the Selling Partner API for one seller's account."""

from marketsync_adapters.amazon.sandbox.account import Account
from marketsync_adapters.amazon.sandbox.app import build_app, sandbox_app
from marketsync_adapters.amazon.sandbox.rules import LIMITS, Refused, Rules

__all__ = ["LIMITS", "Account", "Refused", "Rules", "build_app", "sandbox_app"]
