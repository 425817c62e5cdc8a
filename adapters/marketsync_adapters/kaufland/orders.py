"""Orders: Kaufland sells piece by piece (one piece, one order unit); here units become lines, and lines units again.

Pure: no I/O, no clock. A line holds all units of an order with one `id_offer`, and is named after it: so a unit
alone, in a return, tells its line.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from marketsync.adapter.api import (
    Address,
    ChannelLine,
    ChannelOrder,
    CommandLine,
    Fulfilment,
    Money,
    Payment,
)
from marketsync.adapter.errors import UnexpectedReply
from marketsync_adapters.kaufland.feeds import instant

Unit = Mapping[str, Any]

OPEN = frozenset({"open", "need_to_be_sent"})
SENT = frozenset({"sent", "sent_and_autopaid", "received", "returned", "returned_paid"})
RETURNED = frozenset({"returned", "returned_paid"})
REFUNDED = frozenset({"returned_paid"})
CANCELLED = frozenset({"cancelled"})
REFUNDABLE = OPEN | SENT - REFUNDED
STATES = OPEN | SENT | CANCELLED


class NotPossible(Exception):
    """A command does not fit the order as it is now."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


def order(document: Mapping[str, Any]) -> ChannelOrder:
    """An order with all its units."""
    units = _units(document)
    currencies = {unit["currency"] for unit in units}
    if len(currencies) != 1:
        raise UnexpectedReply(f"order {document['id_order']} has units in {len(currencies)} currencies")
    currency = currencies.pop()
    states = [unit["status"] for unit in units]
    by_kaufland = document["fulfillment_type"] == "fulfilled_by_kaufland"
    deadlines = [unit["delivery_time_expires_iso"] for unit in units if unit["delivery_time_expires_iso"]]
    shipping = sum(unit["shipping_rate"] for unit in units)
    buyer = _address(document["shipping_address"], document["buyer"])
    return ChannelOrder(
        order_id=document["id_order"],
        storefront=document["storefront"],
        placed=instant(document["ts_created_iso"]),
        updated=max(instant(unit["ts_updated_iso"]) for unit in units),
        payment=_payment(states, known=buyer is not None),
        fulfilment=_fulfilment(states),
        currency=currency,
        lines=tuple(_line(sku, group, currency, by_kaufland=by_kaufland) for sku, group in grouped(units).items()),
        shipping=Money(shipping, currency),
        total=Money(sum(unit["price"] for unit in units) + shipping, currency),
        buyer=buyer,
        billing=_address(document["billing_address"], document["buyer"]),
        acknowledged="open" not in states,
        extra={"deliver_by": min(deadlines)} if deadlines else {},
    )


def grouped(units: Iterable[Unit]) -> dict[str, list[Unit]]:
    """Units by line id, the older units first."""
    groups: dict[str, list[Unit]] = {}
    for unit in sorted(units, key=lambda unit: int(unit["id_order_unit"])):
        groups.setdefault(line_id(unit), []).append(unit)
    return groups


def line_id(unit: Unit) -> str:
    """The line of a unit. A unit of an offer without `id_offer` is named after its product."""
    if unit["id_offer"]:
        return str(unit["id_offer"])
    product = unit.get("product") or {}
    return f"product {product.get('id_product', 'unknown')}"


def targets(
    document: Mapping[str, Any], lines: Sequence[CommandLine], states: frozenset[str]
) -> list[tuple[Unit, CommandLine | None]]:
    """The units that a command is about, those that it names first. No lines: every unit in one of these states.

    Raises ``NotPossible`` where a line has fewer units in these states than the command wants.
    """
    groups = grouped(_units(document))
    if not lines:
        fit = [unit for group in groups.values() for unit in group if unit["status"] in states]
        if not fit:
            raise NotPossible("nothing_left", f"order {document['id_order']} has no piece that this could be done to")
        return [(unit, None) for unit in fit]
    chosen: list[tuple[Unit, CommandLine | None]] = []
    for line in lines:
        named = [
            unit
            for unit in groups.get(line.line_id, [])
            if not line.unit_ids or str(unit["id_order_unit"]) in line.unit_ids
        ]
        fit = [unit for unit in named if unit["status"] in states]
        if line.quantity > len(fit):
            reason = f"line {line.line_id} has {len(fit)} pieces that this can be done to, not {line.quantity}"
            raise NotPossible("too_many_pieces", reason)
        chosen += [(unit, line) for unit in fit[: line.quantity]]
    return chosen


def progress(document: Mapping[str, Any], lines: Sequence[CommandLine], done: frozenset[str]) -> tuple[int, int] | None:
    """(pieces of a command in one of the ``done`` states, all its pieces); None where its pieces are not known.

    Known they are where the command is for the whole order, or names as many units as it wants.
    """
    units = _units(document)
    if lines:
        if any(len(line.unit_ids) != line.quantity for line in lines):
            return None
        named = {unit_id for line in lines for unit_id in line.unit_ids}
        units = [unit for unit in units if str(unit["id_order_unit"]) in named]
    else:
        units = [unit for unit in units if unit["status"] not in CANCELLED - done]
    return sum(unit["status"] in done for unit in units), len(units)


def refund_amounts(chosen: Sequence[tuple[Unit, CommandLine | None]]) -> list[int]:
    """Minor units to refund per unit: its price, or its share of the line's amount, to the cent.

    Raises ``NotPossible`` for an amount in another currency, or one that is no cent per piece.
    """
    amounts: list[int] = []
    shares: dict[str, list[int]] = {}
    for unit, line in chosen:
        if line is None or line.amount is None:
            amounts.append(int(unit["price"]))
            continue
        if line.amount.currency != unit["currency"]:
            raise NotPossible("wrong_currency", f"{line.amount} is not in {unit['currency']}")
        if line.amount.minor < line.quantity:
            raise NotPossible("amount_too_small", f"{line.amount} is less than a cent for each of {line.quantity}")
        if line.line_id not in shares:
            each, rest = divmod(line.amount.minor, line.quantity)
            shares[line.line_id] = [each + 1] * rest + [each] * (line.quantity - rest)
        amounts.append(shares[line.line_id].pop(0))
    return amounts


def _units(document: Mapping[str, Any]) -> list[Unit]:
    units = document["order_units"]
    strange = [unit["status"] for unit in units if unit["status"] not in STATES]
    if not units or strange:
        what = f"a unit in the unknown state {strange[0]!r}" if strange else "no units"
        raise UnexpectedReply(f"order {document['id_order']} has {what}")
    return list(units)


def _line(sku: str, units: Sequence[Unit], currency: str, *, by_kaufland: bool) -> ChannelLine:
    states = [unit["status"] for unit in units]
    vat = units[0]["vat"]
    gross = sum(unit["price"] for unit in units)
    # Pieces that something can still be done to come first: commands take ids from the front.
    urgent = sorted(units, key=lambda unit: (unit["status"] not in OPEN, unit["status"] in CANCELLED))
    return ChannelLine(
        line_id=sku,
        sku=sku if units[0]["id_offer"] else "",
        quantity=len(units),
        title=(units[0]["product"] or {}).get("title", ""),
        unit_ids=tuple(str(unit["id_order_unit"]) for unit in urgent),
        cancelled=_count(states, CANCELLED),
        shipped=_count(states, SENT),
        returned=_count(states, RETURNED),
        refunded=_count(states, REFUNDED),
        amount=Money(gross, currency),
        tax_rate="" if vat is None else format(Decimal(vat).normalize(), "f"),
        fulfilled_by="channel" if by_kaufland else "merchant",
    )


def _payment(states: Sequence[str], *, known: bool) -> Payment:
    """Kaufland tells no payment. What the seller may send is paid; an open unit without an address waits for it."""
    left = [state for state in states if state not in CANCELLED | REFUNDED]
    if not left:
        return Payment.REFUNDED if known else Payment.FAILED
    if all(state == "open" for state in left) and not known:
        return Payment.PENDING
    return Payment.PAID


def _fulfilment(states: Sequence[str]) -> Fulfilment:
    sold, shipped = len(states) - _count(states, CANCELLED), _count(states, SENT)
    if not sold:
        return Fulfilment.CANCELLED
    if not shipped:
        return Fulfilment.OPEN
    return Fulfilment.SHIPPED if shipped == sold else Fulfilment.PARTLY_SHIPPED


def _count(states: Sequence[str], wanted: frozenset[str]) -> int:
    return sum(state in wanted for state in states)


def _address(document: Mapping[str, Any] | None, buyer: Mapping[str, Any] | None) -> Address | None:
    if document is None:
        return None

    def text(name: str) -> str:
        return str(document.get(name) or "").strip()

    return Address(
        name=f"{text('first_name')} {text('last_name')}".strip(),
        company=text("company_name"),
        street=f"{text('street')} {text('house_number')}".strip(),
        street2=text("additional_field"),
        postcode=text("postcode"),
        city=text("city"),
        country=text("country"),
        phone=text("phone"),
        email=str((buyer or {}).get("email") or ""),
    )


def placed_within(summary: Mapping[str, Any], start: datetime, end: datetime) -> bool:
    """Whether an order was placed in [start, end), to the second: finer Kaufland does not tell."""
    placed = instant(summary["ts_created_iso"])
    return start.replace(microsecond=0) <= placed < end.replace(microsecond=0)
