"""A multipack that has no row of its own in the catalogue."""

from dataclasses import replace

from marketsync.adapter.money import Money
from marketsync.domain.item import Item


def pack(item: Item, quantity: int) -> Item:
    """Several pieces of one item sold as one: so many times its price and weight."""

    def times(money: Money | None) -> Money | None:
        return None if money is None else Money(money.minor * quantity, money.currency)

    return replace(
        item,
        title=f"{quantity} x {item.title}" if item.title else item.title,
        gtin=None,
        price=times(item.price),
        sale_price=times(item.sale_price),
        reference_price=times(item.reference_price),
        prices={name: Money(money.minor * quantity, money.currency) for name, money in item.prices.items()},
        cost=times(item.cost),
        weight_grams=None if item.weight_grams is None else item.weight_grams * quantity,
    )
