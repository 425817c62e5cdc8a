"""Guards: what stops an absurd change before it leaves. Pure: figures in, the sentence and numbers of a hold out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, Field, field_validator

from marketsync.adapter.content import Price
from marketsync.adapter.money import Money
from marketsync.domain.scalars import RULES, Percent, duration_text

PRICE_WINDOW = timedelta(hours=24)  # steps add up: a price is compared with the one that was live this long ago
FEW = 10  # a share of fewer than this many offers says nothing


def _switch(value: object) -> object:
    return {"on": True, "off": False}.get(value, value) if isinstance(value, str) else value


def _off(value: object) -> object:
    return None if value is False or value == "off" else value


Share = Annotated[Percent | None, BeforeValidator(_off, json_schema_input_type=Percent | Literal["off"])]
Times = Annotated[
    Annotated[int, Field(ge=2)] | None, BeforeValidator(_off, json_schema_input_type=int | Literal["off"])
]
Switch = Annotated[bool, BeforeValidator(_switch, json_schema_input_type=bool | Literal["on", "off"])]


class Guard(StrEnum):
    """What can stop a change, as holds, metrics and the configuration name it."""

    PRICE_CHANGE = "price_change"
    NO_REFERENCE = "no_reference"
    CURRENCY = "currency"
    STOCK_JUMP = "stock_jump"
    PRICES_MOVED = "prices_moved"
    ZEROED = "zeroed"
    SHRUNK = "shrunk"
    STALE = "stale"
    HEADER = "header"


class GuardRules(BaseModel):
    """When a change of this channel becomes a hold that waits for a person. ``off`` switches one guard off."""

    model_config = RULES

    price_change: Share = Decimal(40)
    """The most that a price moves within 24 hours, in percent of what was live before, up or down."""
    no_reference: Switch = True
    """Hold the first price of an item that has neither a cost nor any price to compare with, where a source owns costs."""
    prices_moved: Share = Decimal(20)
    """The share of the channel's offers whose price one reading or change of rules may move."""
    zeroed: Share = Decimal(25)
    """The share of the channel's offers that a source may set to zero or take out; sales do not count."""
    stock_jump: Times = 50
    """How many times more pieces than before one offer may show at once, once that is more than 100 pieces."""

    @field_validator("price_change", "prices_moved", "zeroed")
    @classmethod
    def _share(cls, value: Decimal | None) -> Decimal | None:
        if value is not None and value <= 0:
            raise ValueError(f"{value}% would hold everything: write a percentage above 0%, or off")
        return value


class SourceGuards(BaseModel):
    """When a whole reading of this source becomes a hold and nothing of it is applied."""

    model_config = RULES

    shrunk: Share = Decimal(30)
    """The share of its rows that may be gone since the last reading; off switches the guard off."""
    header: Switch = True
    """Hold a reading whose columns are not those of the last one."""
    stale: Switch = True
    """Hold a reading that is older than `max_age`."""


@dataclass(frozen=True, slots=True)
class Trip:
    """Why a change is held: the guard, a sentence with the numbers, and the numbers themselves."""

    guard: Guard
    message: str
    details: Mapping[str, object] = field(default_factory=dict)


def effective(price: Price) -> Money:
    """What a buyer pays at least: the sale price where there is one, also before it starts."""
    return price.sale if price.sale is not None and price.sale.minor < price.amount.minor else price.amount


def price_trip(rules: GuardRules, new: Price, before: Money | None, *, has_cost: bool) -> Trip | None:
    """Why a price may not leave by itself; None where it may. ``before``: what was live 24 hours ago or approved since."""
    now = effective(new)
    if before is None:
        if rules.no_reference and not has_cost and new.reference is None:
            message = f"{now} is its first price, and there is neither a cost nor another price to compare it with"
            return Trip(Guard.NO_REFERENCE, message, {"new": now.minor, "currency": now.currency})
        return None
    numbers = {"old": before.minor, "new": now.minor, "currency": now.currency}
    if before.currency != now.currency:
        return Trip(Guard.CURRENCY, f"the currency changes from {before.currency} to {now.currency}", numbers)
    if rules.price_change is None or before.minor <= 0:
        return None
    percent = Decimal(now.minor - before.minor) * 100 / before.minor
    if abs(percent) <= rules.price_change:
        return None
    message = (
        f"the price moves by {percent:+.1f} %, from {before} to {now}; allowed are {rules.price_change:f} % in 24 h"
    )
    return Trip(Guard.PRICE_CHANGE, message, numbers | {"percent": float(round(percent, 1))})


def stock_trip(rules: GuardRules, new: int, before: int | None) -> Trip | None:
    """Why a quantity may not leave by itself. ``before``: what the channel acknowledged; None or 0 compares with 1."""
    if rules.stock_jump is None or new <= 100 or before is None:
        return None
    if new <= max(before, 1) * rules.stock_jump:
        return None
    message = f"the stock jumps from {before} to {new} pieces, more than {rules.stock_jump} times as many"
    return Trip(Guard.STOCK_JUMP, message, {"old": before, "new": new})


def share_trip(guard: Guard, limit: Decimal | None, moved: int, of: int, what: str) -> Trip | None:
    """Why a whole run is held: ``moved`` of ``of`` offers change. A handful of offers is no assortment."""
    if limit is None or of == 0 or moved < FEW or Decimal(moved) * 100 <= limit * of:
        return None
    percent = Decimal(moved) * 100 / of
    message = f"{moved} of {of} offers ({percent:.0f} %) {what} in one run; allowed are {limit:f} %"
    return Trip(guard, message, {"moved": moved, "of": of, "percent": float(round(percent, 1))})


def header_trip(header: tuple[str, ...], before: tuple[str, ...] | None) -> Trip | None:
    """Why a snapshot is held: its columns are others than before. A new order of the same columns is fine."""
    if before is None or set(header) == set(before):
        return None
    gone, new = sorted(set(before) - set(header)), sorted(set(header) - set(before))
    parts = [f"{word} {', '.join(names)}" for word, names in (("without", gone), ("with", new)) if names]
    return Trip(Guard.HEADER, f"its columns changed: {'; '.join(parts)}", {"gone": gone, "new": new})


def stale_trip(age: timedelta, limit: timedelta | None) -> Trip | None:
    """Why a snapshot is held: it was written too long ago."""
    if limit is None or age <= limit:
        return None
    message = f"it was exported {duration_text(age)} ago, allowed are {duration_text(limit)}"
    return Trip(Guard.STALE, message, {"age_seconds": int(age.total_seconds())})


def shrunk_trip(limit: Decimal | None, rows: int, before: int) -> Trip | None:
    """Why a snapshot is held: it has far fewer rows than the one before."""
    if limit is None or before < FEW or Decimal(before - rows) * 100 <= limit * before:
        return None
    percent = Decimal(before - rows) * 100 / before
    message = f"{rows} rows, {before} before: {percent:.0f} % are gone, allowed are {limit:f} %. Was the file cut off?"
    return Trip(Guard.SHRUNK, message, {"rows": rows, "before": before, "percent": float(round(percent, 1))})
