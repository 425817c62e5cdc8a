"""What a channel's SKUs stand for: renamed SKUs, multipacks and kits, and the way back from an item to its offers."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Component:
    """So many pieces of one item in one piece of an offer."""

    sku: str
    quantity: int = 1

    def __post_init__(self) -> None:
        if self.quantity < 1:
            raise ValueError(f"{self.quantity} pieces of {self.sku} make no offer: write 1 or more")


Components = tuple[Component, ...]


def resolve(channel_sku: str, mapping: Mapping[str, Components]) -> Components:
    """What one sold piece of a channel SKU takes from stock; a SKU that nobody mapped stands for itself."""
    return mapping.get(channel_sku) or (Component(channel_sku),)


def renamed(components: Components) -> str | None:
    """The item that a channel SKU is just another name of; None for multipacks and kits."""
    return components[0].sku if len(components) == 1 and components[0].quantity == 1 else None


class ListingMap:
    """One channel's listing map, indexed both ways. Built once from {channel SKU: components}.

    A SKU that is mapped never stands for the item of the same spelling, and an item that was renamed is not offered
    under its own SKU, unless the map says that too (``A: A``).
    """

    __slots__ = ("_by_component", "_mapping", "_renamed")

    def __init__(self, mapping: Mapping[str, Components]) -> None:
        by_component: dict[str, dict[str, None]] = {}
        for channel_sku, components in mapping.items():
            if not components:
                raise ValueError(f"the channel SKU {channel_sku} stands for nothing: name at least one item")
            for component in components:
                by_component.setdefault(component.sku, {})[channel_sku] = None
        self._mapping = dict(mapping)
        self._by_component = {sku: tuple(names) for sku, names in by_component.items()}
        self._renamed = frozenset(filter(None, map(renamed, mapping.values())))

    def __len__(self) -> int:
        return len(self._mapping)

    def components(self, channel_sku: str) -> Components:
        """What one sold piece takes from stock."""
        return resolve(channel_sku, self._mapping)

    def own(self, sku: str) -> bool:
        """Whether the item is offered under its own SKU."""
        return sku not in self._mapping and sku not in self._renamed

    def selling(self, sku: str) -> tuple[str, ...]:
        """Every channel SKU that takes pieces of this item: all of them are due when its stock moves."""
        mapped = self._by_component.get(sku, ())
        return (sku, *mapped) if self.own(sku) else mapped
