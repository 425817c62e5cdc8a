"""A sandbox Amazon: an ASGI app that behaves like the Selling Partner API for one seller's account."""

from marketsync_adapters.amazon.sandbox.account import Account
from marketsync_adapters.amazon.sandbox.app import build_app, sandbox_app
from marketsync_adapters.amazon.sandbox.rules import LIMITS, Refused, Rules

__all__ = ["LIMITS", "Account", "Refused", "Rules", "build_app", "rehearsal", "sandbox_app"]


def rehearsal(url: str) -> str:
    """The channel to write into a configuration for a marketplace of this kind that runs at ``url``: YAML."""
    rules = Rules()
    return (
        "  amazon-de:\n    adapter: amazon\n    credentials:\n"
        f"      client_id: {rules.client_id}\n      client_secret: {rules.client_secret}\n"
        f"      refresh_token: {rules.refresh_token}\n"
        f"    settings: {{base_url: '{url}', seller_id: {rules.seller_id}, marketplace: DE}}\n"
    )
