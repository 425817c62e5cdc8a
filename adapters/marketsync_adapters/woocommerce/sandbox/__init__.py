"""A WooCommerce shop to rehearse with: its REST API, its buyers, its webhooks, its host and their faults."""

from marketsync_adapters.woocommerce.sandbox.app import build_app, sandbox_app
from marketsync_adapters.woocommerce.sandbox.rules import Rules
from marketsync_adapters.woocommerce.sandbox.shop import Shop

__all__ = ["Rules", "Shop", "build_app", "sandbox_app"]
