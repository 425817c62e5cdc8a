"""A WooCommerce shop to rehearse with: its REST API, its buyers, its webhooks, its host and their faults."""

from marketsync_adapters.woocommerce.sandbox.app import build_app, sandbox_app
from marketsync_adapters.woocommerce.sandbox.rules import Rules
from marketsync_adapters.woocommerce.sandbox.shop import Shop

__all__ = ["Rules", "Shop", "build_app", "rehearsal", "sandbox_app"]


def rehearsal(url: str) -> str:
    """The channel to write into a configuration for a marketplace of this kind that runs at ``url``: YAML."""
    rules = Rules()
    return (
        "  woocommerce:\n    adapter: woocommerce\n"
        f"    credentials: {{consumer_key: {rules.consumer_key}, consumer_secret: {rules.consumer_secret}}}\n"
        f"    settings: {{base_url: '{url}', create_categories: yes}}\n"
    )
