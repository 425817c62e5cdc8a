"""The amounts that a price may take: steps (0.05) and endings (.99), and how a wanted price settles on one of them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Literal

from marketsync.adapter.money import exponent

Direction = Literal["up", "nearest", "down"]

_ENDING = re.compile(r"([0-9]{0,6})(?:[.,]([0-9]{1,4}))?")


@dataclass(frozen=True, slots=True)
class Grid:
    """Amounts in minor units: all ``remainder + k * modulus`` above zero, for each (modulus, remainder)."""

    lines: tuple[tuple[int, int], ...]

    def up(self, minor: int) -> int:
        """The smallest amount not below ``minor``."""
        least = max(minor, 1)
        gap = min([(remainder - least) % modulus for modulus, remainder in self.lines])
        return least + gap

    def down(self, minor: int) -> int:
        """The largest amount not above ``minor``; 0 where there is none."""
        gap = min([(minor - remainder) % modulus for modulus, remainder in self.lines])
        return max(0, minor - gap)

    def move(self, minor: int, direction: Direction) -> int:
        """The amount that ``minor`` moves to: up where nothing lies below, and up where both are as near."""
        above = self.up(minor)
        below = self.down(minor)
        if direction == "up" or not below:
            return above
        if direction == "down":
            return below
        return below if minor - below < above - minor else above


def settle(wanted: int, grid: Grid, direction: Direction | None, floor: int, ceiling: int | None) -> int:
    """The price for a wanted amount: on the grid wherever the grid has an amount within the bounds.

    ``direction`` None: ``wanted`` is on the grid already. The floor (at least 1) holds before the grid, the ceiling (not below the
    floor) too. Never falls when ``wanted`` or ``floor`` rise.
    """
    amount = wanted if direction is None else grid.move(wanted, direction)
    if ceiling is not None and amount > ceiling:
        amount = grid.down(ceiling)
    if amount < floor:
        amount = grid.up(floor)
        if ceiling is not None and amount > ceiling:
            return min(max(wanted, floor), ceiling)
    return amount


def parse_ending(text: str) -> tuple[Decimal, Decimal]:
    """(modulus, remainder) in major units: ".99" is (1, 0.99), "9" is (10, 9), "9.95" is (10, 9.95).

    Raises ValueError for what is no ending.
    """
    match = _ENDING.fullmatch(text.strip())
    if match is None or not text.strip():
        raise ValueError(f"{text!r} is no price ending: write how prices end, such as .99, .95, 9 or 9.90")
    whole = "" if match[1] == "0" and match[2] else match[1]
    return Decimal(10) ** len(whole), Decimal(f"{whole or 0}.{match[2] or 0}")


def ending_grid(endings: Sequence[str], currency: str) -> Grid:
    """The amounts with one of these endings. Raises ValueError where the currency cannot write one of them."""
    lines = []
    for text in endings:
        modulus, remainder = parse_ending(text)
        minor = remainder.scaleb(exponent(currency))
        if minor != int(minor):
            raise ValueError(f"no price in {currency} ends in {text}: it has {exponent(currency)} decimals")
        lines.append((int(modulus.scaleb(exponent(currency))), int(minor)))
    return Grid(tuple(lines))


def step_grid(step: Decimal | None, currency: str) -> Grid:
    """The multiples of a step in major units (None: of the minor unit). Raises ValueError where it is not writable."""
    digits = exponent(currency)
    if step is None:
        return Grid(((1, 0),))
    minor = step.scaleb(digits)
    if minor != int(minor):
        raise ValueError(f"prices in {currency} cannot be rounded to {step}: it has {digits} decimals")
    return Grid(((int(minor), 0),))


def round_to_step(value: Fraction, step: int, direction: Direction) -> int:
    """The multiple of ``step`` that ``value`` rounds to; halves go up."""
    if direction == "up":
        return -(-value // step) * step
    if direction == "down":
        return value // step * step
    return (value / step + Fraction(1, 2)) // 1 * step
