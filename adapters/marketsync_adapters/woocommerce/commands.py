"""What is told about orders: shipments, cancellations, refunds. Each looks at the order first, so that none counts twice."""

import json
from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from marketsync.adapter.api import Command, CommandLine, CommandResult, Money, Reply, Result
from marketsync.adapter.errors import Unavailable
from marketsync_adapters.woocommerce import orders
from marketsync_adapters.woocommerce.client import Client, document
from marketsync_adapters.woocommerce.errors import is_page, refusal
from marketsync_adapters.woocommerce.mapping import Document
from marketsync_adapters.woocommerce.settings import Settings

# Refusals that concern this one order. The shop answers a refund that it refuses with 500 and a code of its own.
_OF_THE_ORDER = frozenset({400, 404})
_OF_THE_REFUND = frozenset({400, 404, 500})
_REFUND_REFUSED = "woocommerce_rest_cannot_create_order_refund"


class Commands:
    def __init__(self, client: Client, settings: Settings) -> None:
        self._client = client
        self._settings = settings

    async def ship(self, command: Command) -> CommandResult:
        """A part becomes a note and a meta field of ours; with the last piece the order is completed."""
        order = await self._order("ship", command)
        if isinstance(order, CommandResult):
            return order
        if command.key in orders.shipments(order):
            return CommandResult(result=Result.APPLIED, reference=command.key)
        means = orders.meaning(order, self._settings)
        if means in {"unpaid", "failed"}:
            return _rejected("not_paid", "The order is not paid yet.")
        open_pieces = await self._open_pieces(order)
        pieces = {line.line_id: line.quantity for line in command.lines} or {k: v for k, v in open_pieces.items() if v}
        if not pieces or any(count > open_pieces.get(line, 0) for line, count in pieces.items()):
            return _rejected("not_open", "Fewer pieces of this order are open than were sent.")
        await self._note(command)
        whole = all(left == pieces.get(line, 0) for line, left in open_pieces.items())
        return await self._update("ship", command, self._shipment(command, pieces, whole=whole), command.key)

    async def cancel(self, command: Command) -> CommandResult:
        order = await self._order("cancel", command)
        if isinstance(order, CommandResult):
            return order
        means = orders.meaning(order, self._settings)
        if means == "cancelled":
            return CommandResult(result=Result.APPLIED, reference=command.order_id)
        if means not in {"unpaid", "paid"}:
            return _rejected("not_open", f"The order is {order['status']}.")
        open_pieces = await self._open_pieces(order)
        if sum(open_pieces.values()) < sum(int(line["quantity"]) for line in order["line_items"]):
            return _rejected("partly_shipped", "A part of the order is shipped or refunded: refund the rest instead.")
        if command.lines and {line.line_id: line.quantity for line in command.lines} != open_pieces:
            return _rejected("only_whole", "WooCommerce cancels orders as a whole: refund the line instead.")
        return await self._update("cancel", command, {"status": "cancelled"}, command.order_id)

    async def refund(self, command: Command) -> CommandResult:
        order = await self._order("refund", command)
        if isinstance(order, CommandResult):
            return order
        if (made := refund_made(order, command)) is not None:
            return made
        body = refund_out(order, command, self._settings)
        if body is None:
            return _rejected("nothing_to_refund", "These lines do not belong to the order, or are refunded already.")
        path = f"/orders/{command.order_id}/refunds"
        reply = await self._client.send("refund", "POST", path, body, _OF_THE_REFUND)
        if reply.status in _OF_THE_REFUND:
            return _refused_refund(reply)
        return CommandResult(result=Result.APPLIED, reference=str(document(reply)["id"]))

    async def result(self, kind: str, command: Command) -> CommandResult | None:
        """Whether the order shows that a command took effect; None: no trace."""
        order = await self._order("read_order", command)
        if isinstance(order, CommandResult):
            return None
        if kind == "refund":
            return refund_made(order, command)
        if kind == "ship":
            return _applied(command.key) if command.key in orders.shipments(order) else None
        cancelled = orders.meaning(order, self._settings) == "cancelled"
        return _applied(command.order_id) if cancelled else None

    async def _order(self, operation: str, command: Command) -> Any:
        """The order, or the result of a command for one that is not there. It is a command's first request, so it
        takes the slot that was reserved for the command.
        """
        path = f"/orders/{command.order_id}"
        if not command.order_id.isdecimal():
            return _rejected("woocommerce_rest_shop_order_invalid_id", "The shop's orders have numbers for ids.")
        reply = await self._client.reply(operation, path, {"dp": 6}, _OF_THE_ORDER)
        return _of_reply(reply) if reply.status in _OF_THE_ORDER else document(reply)

    async def _open_pieces(self, order: Document) -> dict[str, int]:
        path = f"/orders/{order['id']}/refunds"
        refunds = [one async for one in self._client.all("read_order", path, {"dp": 6})] if order.get("refunds") else []
        pieces = orders.pieces_by_line(order, refunds, self._settings)
        return {
            str(line["id"]): int(line["quantity"]) - pieces[line["id"]].cancelled - pieces[line["id"]].shipped
            for line in order["line_items"]
        }

    async def _note(self, command: Command) -> None:
        """Write the tracking note, unless an earlier try of this command has written it."""
        if self._settings.tracking == "meta" or not command.tracking:
            return
        text = self._settings.tracking_note.format(carrier=command.carrier, tracking=command.tracking)
        path = f"/orders/{command.order_id}/notes"
        if any(note["note"] == text for note in await self._client.get("read_order", path)):
            return
        body = {"note": text, "customer_note": self._settings.tracking == "customer_note"}
        await self._client.send("ship", "POST", path, body)

    def _shipment(self, command: Command, pieces: dict[str, int], *, whole: bool) -> dict[str, Any]:
        """The shipment under its key and, when it is the last, the new status: in one request, so both or neither."""
        value = json.dumps({"lines": pieces, "carrier": command.carrier, "tracking": command.tracking})
        meta = [{"key": orders.SHIPMENT_KEY + command.key, "value": value}]
        if self._settings.tracking == "meta" and command.tracking:
            meta.append({"key": self._settings.tracking_key, "value": command.tracking})
            meta.append({"key": self._settings.carrier_key, "value": command.carrier})
        return {"meta_data": meta} | ({"status": "completed"} if whole else {})

    async def _update(self, operation: str, command: Command, body: dict[str, Any], reference: str) -> CommandResult:
        reply = await self._client.send(operation, "PUT", f"/orders/{command.order_id}", body, _OF_THE_ORDER)
        return _of_reply(reply) if reply.status in _OF_THE_ORDER else _applied(reference)


def refund_made(order: Document, command: Command) -> CommandResult | None:
    """A refund that an earlier try of this command has made: its mark stands in the reason."""
    mark = orders.refund_mark(command.key)
    made = next((one for one in order.get("refunds", ()) if mark in (one.get("reason") or "")), None)
    return None if made is None else _applied(str(made["id"]))


def refund_out(order: Document, command: Command, settings: Settings) -> dict[str, Any] | None:
    """The refund of lines with their pieces and amounts; without lines, of all that is left. None: there is nothing."""
    currency = order["currency"]
    items = {str(line["id"]): line for line in order["line_items"]}
    if any(line.line_id not in items or line.quantity > int(items[line.line_id]["quantity"]) for line in command.lines):
        return None
    if command.lines:
        lines = [_refund_line(items[line.line_id], line, currency) for line in command.lines]
        total = sum((Decimal(line["refund_total"]) + _taxes(line) for line in lines), Decimal(0))
    else:
        total = orders.money(currency, order["total"], *(one["total"] for one in order.get("refunds", ()))).decimal
        lines = [] if order.get("refunds") else _whole(order)
    if total <= 0:
        return None
    return {
        "amount": f"{total:f}",
        "reason": f"{command.reason} {orders.refund_mark(command.key)}".strip(),
        "api_refund": settings.api_refund,
        "api_restock": False,  # what comes back to the shelf is for the ledger to say
        "line_items": lines,
    }


def _refund_line(item: Document, line: CommandLine, currency: str) -> dict[str, Any]:
    """A line's refund, split into net and taxes as the line itself is."""
    net = Decimal(str(item["total"] or 0))
    taxes = {tax["id"]: Decimal(str(tax["total"] or 0)) for tax in item.get("taxes", ())}
    gross = net + sum(taxes.values(), Decimal(0))
    share = line.amount or Money.of(gross * line.quantity / int(item["quantity"]), currency)
    parts = _split(share, [*taxes.values(), net], gross)
    return {
        "id": item["id"],
        "quantity": line.quantity,
        "refund_total": parts[-1],
        "refund_tax": [{"id": key, "refund_total": part} for key, part in zip(taxes, parts[:-1], strict=True)],
    }


def _split(amount: Money, weights: Sequence[Decimal], whole: Decimal) -> list[Decimal]:
    """An amount in parts as large as the weights are to the whole; the last part takes what rounding leaves."""
    cent = Decimal(1).scaleb(amount.decimal.as_tuple().exponent)  # type: ignore[arg-type]  # finite: it is money
    parts = [
        (amount.decimal * weight / whole).quantize(cent, ROUND_HALF_UP) if whole else Decimal(0)
        for weight in weights[:-1]
    ]
    return [*parts, amount.decimal - sum(parts, Decimal(0))]


def _whole(order: Document) -> list[dict[str, Any]]:
    """Everything that an order consists of: its lines with all their pieces, its shipping and its fees."""
    items = [*order["line_items"], *order.get("shipping_lines", ()), *order.get("fee_lines", ())]
    return [
        {
            "id": item["id"],
            "quantity": int(item.get("quantity", 0)),
            "refund_total": Decimal(str(item["total"] or 0)),
            "refund_tax": [
                {"id": tax["id"], "refund_total": Decimal(str(tax["total"] or 0))} for tax in item.get("taxes", ())
            ],
        }
        for item in items
    ]


def _taxes(line: Document) -> Decimal:
    return sum((Decimal(tax["refund_total"]) for tax in line["refund_tax"]), Decimal(0))


def _refused_refund(reply: Reply) -> CommandResult:
    """A refusal with the shop's own code made nothing; any other 500 leaves it unknown."""
    if reply.status == 500 and (is_page(reply) or document(reply).get("code") != _REFUND_REFUSED):
        return CommandResult(result=Result.UNKNOWN, code="500", message="The shop failed while it refunded.")
    return _of_reply(reply)


def _of_reply(reply: Reply) -> CommandResult:
    if is_page(reply):
        raise Unavailable("The shop's REST API is gone: are its permalinks 'Plain' now?", code="no_rest_api")
    said = refusal(document(reply))
    return CommandResult(result=Result.REJECTED, code=said.code, message=f"{said.message} {said.hint}".strip())


def _applied(reference: str) -> CommandResult:
    return CommandResult(result=Result.APPLIED, reference=reference)


def _rejected(code: str, message: str) -> CommandResult:
    return CommandResult(result=Result.REJECTED, code=code, message=message)
