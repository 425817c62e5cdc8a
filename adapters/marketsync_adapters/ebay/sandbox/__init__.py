"""An eBay to rehearse with: ``build_app(Market(rules, clock))`` is its ASGI app, /admin the hands of its buyers."""

from marketsync_adapters.ebay.sandbox.app import build_app, sandbox_app
from marketsync_adapters.ebay.sandbox.market import KEY_ID, Market
from marketsync_adapters.ebay.sandbox.rules import Rules

__all__ = ["KEY_ID", "Market", "Rules", "build_app", "rehearsal", "sandbox_app"]


def rehearsal(url: str) -> str:
    """The channel to write into a configuration for a marketplace of this kind that runs at ``url``: YAML."""
    rules = Rules()
    policies = "".join(f"      {kind}_policy_id: '{policy}'\n" for kind, policy in rules.policies.items())
    return (
        "  ebay-de:\n    adapter: ebay\n    credentials:\n"
        f"      client_id: {rules.client_id}\n      client_secret: {rules.client_secret}\n"
        f"      refresh_token: {rules.refresh_token}\n    settings:\n      base_url: '{url}'\n"
        f"      marketplace: {rules.marketplace}\n{policies}      merchant_location_key: {rules.location}\n"
        "    listing: {categories: {'*': '20716'}}\n"
    )
