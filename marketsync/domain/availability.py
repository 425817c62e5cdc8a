"""How many pieces can be sold, and how many of them a channel shows."""

from collections.abc import Iterable, Mapping
from decimal import Decimal

from pydantic import BaseModel, Field, field_validator

from marketsync.domain.scalars import RULES, Percent


class StockRules(BaseModel):
    """From the pieces at hand to the pieces that the channel shows."""

    model_config = RULES

    locations: tuple[str, ...] = ()
    """The locations that this channel sells from; all of them if left out."""
    buffer: int = Field(default=0, ge=0)
    """Pieces kept back."""
    percentage: Percent = Decimal(100)
    """The share of the available pieces that is shown, rounded down."""
    show_at_most: int | None = Field(default=None, ge=0)
    """Never more than this many."""
    minimum: int = Field(default=0, ge=0)
    """Fewer than this many are shown as none."""

    @field_validator("percentage")
    @classmethod
    def _share(cls, percentage: Decimal) -> Decimal:
        if not 0 <= percentage <= 100:
            raise ValueError(f"{percentage}% of the stock cannot be shown: write a percentage from 0% to 100%")
        return percentage


def available(on_hand: Mapping[str, int], reserved: Mapping[str, int], rules: StockRules) -> int:
    """On hand - reserved - buffer, over the locations of the rules; never below 0.

    Both mappings hold pieces by location. More reserved than on hand at one location takes from the others: somebody
    has to send those pieces.
    """
    if rules.locations:
        free = sum(on_hand.get(location, 0) - reserved.get(location, 0) for location in rules.locations)
    else:
        free = sum(on_hand.values()) - sum(reserved.values())
    return max(0, free - rules.buffer)


def kit(components: Iterable[tuple[int, int]]) -> int:
    """How many of a kit can be made from (available, quantity per kit); the scarcest component decides. Empty: none."""
    return max(0, min((has // needs for has, needs in components), default=0))


def shown(available: int, rules: StockRules, bounds: tuple[int, int]) -> int:
    """What the channel shows of ``available`` pieces. ``bounds``: the least and most pieces that the channel takes.

    Never more than available: where the rules or the bounds ask for more, nothing is shown.
    """
    pieces = available if rules.percentage == 100 else int(available * rules.percentage / 100)
    pieces = min(pieces, bounds[1]) if rules.show_at_most is None else min(pieces, bounds[1], rules.show_at_most)
    return pieces if pieces >= max(rules.minimum, bounds[0], 0) else 0


def spread(quantity: int, on_hand: Mapping[str, int], reserved: Mapping[str, int], rules: StockRules) -> dict[str, int]:
    """A shown quantity split over the locations, in the order of the rules (else by name), each as far as it has pieces.

    The parts add up to ``quantity`` wherever the locations have that many free pieces; else to what they have.
    """
    parts = {}
    for location in rules.locations or sorted(on_hand):
        part = min(quantity, max(0, on_hand.get(location, 0) - reserved.get(location, 0)))
        parts[location] = part
        quantity -= part
    return parts
