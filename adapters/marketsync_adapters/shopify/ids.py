"""Shopify's ids: ``gid://shopify/Product/123`` on the wire, the number alone in the ledger."""

from dataclasses import dataclass
from typing import Self


def gid(kind: str, id_: str) -> str:
    """The wire form of an id that may have it already."""
    return id_ if id_.startswith("gid://") else f"gid://shopify/{kind}/{id_}"


def number(gid_: str) -> str:
    """The number of a gid."""
    return gid_.rsplit("/", 1)[-1].split("?", 1)[0]


@dataclass(frozen=True, slots=True)
class OfferId:
    """The three ids that an offer needs, as gids; as text "product.variant.item"."""

    product: str
    variant: str
    item: str

    @classmethod
    def parse(cls, text: str | None) -> Self | None:
        """None for what is no id of an offer."""
        parts = (text or "").split(".")
        if len(parts) != 3 or not all(part.isdecimal() for part in parts):
            return None
        return cls(gid("Product", parts[0]), gid("ProductVariant", parts[1]), gid("InventoryItem", parts[2]))

    def __str__(self) -> str:
        return ".".join(number(one) for one in (self.product, self.variant, self.item))
