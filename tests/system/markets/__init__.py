"""The five real marketplaces, by their sandboxes, as buyers and the judge of a replay see them: one module each."""

from collections.abc import Mapping
from types import MappingProxyType

from tests.system.markets.amazon import Amazon
from tests.system.markets.ebay import Ebay
from tests.system.markets.kaufland import Kaufland
from tests.system.markets.market import Market, Sold, SoldLine
from tests.system.markets.shopify import Shopify
from tests.system.markets.woocommerce import WooCommerce

MARKETS: Mapping[str, type[Market]] = MappingProxyType(
    {"kaufland": Kaufland, "amazon": Amazon, "ebay": Ebay, "shopify": Shopify, "woocommerce": WooCommerce}
)

__all__ = ["MARKETS", "Market", "Sold", "SoldLine"]
