"""Returns: one return of a buyer holds return units, one per piece; each becomes a return of its own here. Pure."""

from collections.abc import Mapping
from typing import Any

from marketsync.adapter.api import ChannelReturn, ReturnState
from marketsync.adapter.errors import UnexpectedReply
from marketsync_adapters.kaufland.feeds import instant
from marketsync_adapters.kaufland.orders import line_id

_STATES: Mapping[str, ReturnState] = {
    "need_to_be_returned": ReturnState.REQUESTED,
    "return_arrived": ReturnState.RECEIVED,
    "return_in_repair": ReturnState.RECEIVED,
    "return_in_clarification": ReturnState.RECEIVED,
    "return_accepted": ReturnState.RECEIVED,
    "return_closed": ReturnState.REFUNDED,
    "return_rejected": ReturnState.REJECTED,
}
# Why buyers send back what nobody else should get.
_SPOILT = frozenset({"bad_quality", "defect", "delivered_damaged", "missing_parts"})


def returned(
    document: Mapping[str, Any], unit: Mapping[str, Any], order_unit: Mapping[str, Any], *, accepted_sellable: bool
) -> ChannelReturn:
    """One piece of a return, with the order unit it was. ``accepted_sellable``: what the seller accepts may be resold."""
    state = _STATES.get(unit["status"])
    if state is None:
        raise UnexpectedReply(f"return unit {unit['id_return_unit']} is in the unknown state {unit['status']!r}")
    return ChannelReturn(
        return_id=str(unit["id_return_unit"]),
        order_id=order_unit["id_order"],
        line_id=line_id(order_unit),
        sku=order_unit["id_offer"] or "",
        quantity=1,
        state=state,
        updated=instant(document["ts_updated_iso"]),
        reason=unit["reason"],
        sellable=_sellable(unit, accepted_sellable=accepted_sellable),
    )


def _sellable(unit: Mapping[str, Any], *, accepted_sellable: bool) -> bool | None:
    """Kaufland does not tell: what came in for a fault is not, what was accepted may be, of the rest nobody knows."""
    if unit["status"] in {"need_to_be_returned", "return_rejected"}:
        return None
    if unit["reason"] in _SPOILT:
        return False
    return True if accepted_sellable and unit["status"] in {"return_accepted", "return_closed"} else None
