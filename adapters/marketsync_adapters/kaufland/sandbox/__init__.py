"""A Kaufland to rehearse with: ``build_app(Market(rules, clock))`` is its ASGI app, /admin the hands of its buyers."""

from marketsync_adapters.kaufland.sandbox.app import build_app, sandbox_app
from marketsync_adapters.kaufland.sandbox.market import Market
from marketsync_adapters.kaufland.sandbox.rules import Rules

__all__ = ["Market", "Rules", "build_app", "rehearsal", "sandbox_app"]


def rehearsal(url: str) -> str:
    """The channel to write into a configuration for a marketplace of this kind that runs at ``url``: YAML."""
    rules = Rules()
    return (
        "  kaufland-de:\n    adapter: kaufland\n"
        f"    credentials: {{client_key: {rules.client_key}, secret_key: {rules.secret_key}}}\n"
        f"    settings: {{base_url: '{url}/v2', storefront: de}}\n"
    )
