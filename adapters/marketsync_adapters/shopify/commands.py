"""What is told about orders: shipments, cancellations, refunds; and what became of those without an answer."""

from collections.abc import AsyncIterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from marketsync.adapter.api import Command, CommandLine, CommandResult, Money, Result
from marketsync_adapters.shopify import documents
from marketsync_adapters.shopify.client import Client, Data, whole
from marketsync_adapters.shopify.errors import sentence
from marketsync_adapters.shopify.ids import gid, number
from marketsync_adapters.shopify.orders import NOT_SHIPPED, order_gid
from marketsync_adapters.shopify.settings import Settings

MOST_LINES: Final = 512  # line items per fulfilment order in one fulfillmentCreate
_UNPAID: Final = frozenset({"PENDING", "EXPIRED", "VOIDED", "PARTIALLY_PAID"})

# Words in a reason -> the reason that Shopify knows.
_REASONS: Final[Mapping[str, str]] = {
    "stock": "INVENTORY",
    "inventory": "INVENTORY",
    "customer": "CUSTOMER",
    "buyer": "CUSTOMER",
    "fraud": "FRAUD",
    "declined": "DECLINED",
}


class Commands:
    def __init__(self, client: Client, settings: Settings) -> None:
        self._client = client
        self._settings = settings

    # ---------------------------------------------------------------- ship

    async def ship(self, command: Command) -> CommandResult:
        data = await self._client.ask("ship", documents.FULFILLMENT_ORDERS, {"id": order_gid(command.order_id)})
        order = data["order"]
        refused = _not_here(order) or _is_cancelled(order) or self._not_paid(order)
        if refused is not None:
            return refused
        open_, held = await self._open_lines(order["fulfillmentOrders"]["nodes"])
        parcels = _parcels(command.lines, open_)
        if isinstance(parcels, str):
            return _rejected("on_hold" if held else "not_open", parcels)
        reference = ""
        for number_of, parcel in enumerate(parcels):
            told = await self._client.ask("ship", documents.SHIP, {"fulfillment": self._fulfilment(command, parcel)})
            payload = told["fulfillmentCreate"]
            if payload["userErrors"]:
                done = f" {number_of} of {len(parcels)} parcels were made before it." if number_of else ""
                return _rejected("refused", sentence(payload["userErrors"]) + done)
            reference = reference or number(payload["fulfillment"]["id"])
        return CommandResult(result=Result.APPLIED, reference=reference)

    async def _open_lines(self, fulfilment_orders: Sequence[Data]) -> tuple[list[dict[str, Any]], bool]:
        """What can be shipped now, line by line; and whether something is on hold."""
        open_: list[dict[str, Any]] = []
        held = False
        for one in fulfilment_orders:
            if "CREATE_FULFILLMENT" not in {action["action"] for action in one["supportedActions"]}:
                held = held or one["status"] in {"ON_HOLD", "SCHEDULED"}
                continue
            lines = one["lineItems"]["nodes"]
            if one["lineItems"]["pageInfo"]["hasNextPage"]:
                document = documents.FULFILLMENT_ORDER_LINES
                lines = await whole(
                    self._client.walk("ship", document, {"id": one["id"]}, lambda data: data["node"]["lines"])
                )
            location = (one["assignedLocation"]["location"] or {"id": ""})["id"]
            open_ += [
                {"order": one["id"], "location": location, "id": line["id"], "line": number(line["lineItem"]["id"]),
                 "pieces": line["remainingQuantity"]}
                for line in lines
                if line["remainingQuantity"] > 0
            ]  # fmt: skip
        return open_, held

    def _fulfilment(self, command: Command, parcel: Sequence[tuple[dict[str, Any], int]]) -> dict[str, Any]:
        by_order: dict[str, list[dict[str, Any]]] = {}
        for line, pieces in parcel:
            by_order.setdefault(line["order"], []).append({"id": line["id"], "quantity": pieces})
        document: dict[str, Any] = {
            "lineItemsByFulfillmentOrder": [
                {"fulfillmentOrderId": order, "fulfillmentOrderLineItems": lines} for order, lines in by_order.items()
            ],
            "notifyCustomer": self._settings.notify_buyers,
        }
        if command.tracking or command.carrier:
            document["trackingInfo"] = {"company": command.carrier or None, "number": command.tracking or None}
        return document

    def _not_paid(self, order: Data) -> CommandResult | None:
        status = order["displayFinancialStatus"] or "PENDING"
        if status in _UNPAID or (status == "AUTHORIZED" and not self._settings.authorized_is_paid):
            return _rejected("not_paid", "The order is not paid.")
        return None

    # ---------------------------------------------------------------- cancel

    async def cancel(self, command: Command) -> CommandResult:
        """The whole order, or pieces of it: those Shopify takes out of an order by refunding them."""
        order = order_gid(command.order_id)
        if command.lines and not await self._is_whole(command):
            return await self._refund(command, cancels=True)
        variables = {
            "order": order,
            "reason": next((code for word, code in _REASONS.items() if word in command.reason.lower()), "OTHER"),
            "refund": {"originalPaymentMethodsRefund": True},
            "restock": self._settings.restock,
            "notify": self._settings.notify_buyers,
            "note": f"{command.reason} ({command.key})"[:255],
        }
        payload = (await self._client.ask("cancel", documents.CANCEL, variables))["orderCancel"]
        if payload["orderCancelUserErrors"]:
            error = payload["orderCancelUserErrors"][0]
            return _rejected(error["code"] or "refused", sentence(payload["orderCancelUserErrors"]))
        # Shopify cancels in its own time: what it has not done yet is looked up later.
        return await self._cancelled(order) or CommandResult(
            result=Result.UNKNOWN, code="under_way", message="Shopify is cancelling the order."
        )

    async def _is_whole(self, command: Command) -> bool:
        left = {number(line["id"]): line["refundableQuantity"] async for line in self._refundable("cancel", command)}
        asked = {line.line_id: line.quantity for line in command.lines}
        return bool(left) and asked == {line: pieces for line, pieces in left.items() if pieces > 0}

    async def _cancelled(self, order: str) -> CommandResult | None:
        shown = (await self._client.ask("cancel", documents.CANCELLED, {"id": order}))["order"]
        if shown is None or shown["cancelledAt"] is None:
            return None
        return CommandResult(result=Result.APPLIED, reference=number(order))

    # ---------------------------------------------------------------- refund

    async def refund(self, command: Command) -> CommandResult:
        return await self._refund(command, cancels=False)

    async def _refund(self, command: Command, *, cancels: bool) -> CommandResult:
        """The refund's note carries the command's key: by it an earlier attempt is found, before anything is sent."""
        operation = "cancel" if cancels else "refund"
        lines = await self._refund_lines(operation, command)
        everything = not command.lines and not cancels
        variables = {"id": order_gid(command.order_id), "lines": lines, "shipping": everything}
        order = (await self._client.ask(operation, documents.REFUND_BASIS, variables))["order"]
        refused = _not_here(order)
        if refused is not None:
            return refused
        if (earlier := _by_note(order, command.key)) is not None:
            return earlier
        transactions = _transactions(order, command)
        if isinstance(transactions, str):
            return _rejected("not_refundable", transactions)
        document: dict[str, Any] = {
            "orderId": order["id"],
            "note": _note(command),
            "notify": self._settings.notify_buyers,
            "refundLineItems": lines,
            "transactions": transactions,
        }
        if order["presentmentCurrencyCode"] != order["currencyCode"]:
            document["currency"] = order["presentmentCurrencyCode"]
        if everything:
            document["shipping"] = {"fullRefund": True}
        told = await self._client.ask(operation, documents.REFUND, {"input": document, "key": command.key})
        payload = told["refundCreate"]
        if payload["userErrors"]:
            return _rejected("refused", sentence(payload["userErrors"]))
        return CommandResult(result=Result.APPLIED, reference=number(payload["refund"]["id"]))

    async def _refund_lines(self, operation: str, command: Command) -> list[dict[str, Any]]:
        if command.lines and not self._settings.restock:
            wanted = [(line.line_id, line.quantity, 0) for line in command.lines]
        else:
            named = {line.line_id: line.quantity for line in command.lines}
            wanted = []
            async for line in self._refundable(operation, command):
                id_, left = number(line["id"]), line["refundableQuantity"]
                pieces = named.get(id_, 0) if command.lines else left
                wanted.append((id_, pieces, line["unfulfilledQuantity"]))
        return [self._refund_line(id_, pieces, unshipped) for id_, pieces, unshipped in wanted if pieces > 0]

    def _refund_line(self, line_id: str, pieces: int, unshipped: int) -> dict[str, Any]:
        document: dict[str, Any] = {"lineItemId": gid("LineItem", line_id), "quantity": pieces}
        if not self._settings.restock:
            return document | {"restockType": "NO_RESTOCK"}
        kind = "CANCEL" if unshipped >= pieces else "RETURN"
        return document | {"restockType": kind, "locationId": self._settings.location_ids[0]}

    def _refundable(self, operation: str, command: Command) -> AsyncIterator[Data]:
        variables = {"id": order_gid(command.order_id)}
        return self._client.walk(
            operation, documents.REFUNDABLE, variables, lambda data: data["order"] and data["order"]["lineItems"]
        )

    # ---------------------------------------------------------------- look up

    async def look_up(self, kind: str, command: Command) -> CommandResult | None:
        """Whether an earlier attempt took effect; None: no trace."""
        order = order_gid(command.order_id)
        if kind == "ship":
            return await self._shipped(command)
        variables = {"id": order, "lines": [], "shipping": False}
        shown = (await self._client.ask("commands", documents.REFUND_BASIS, variables))["order"]
        refused = _not_here(shown)
        if refused is not None:
            return refused
        if kind == "cancel" and shown["cancelledAt"] is not None:
            return CommandResult(result=Result.APPLIED, reference=command.order_id)
        return _by_note(shown, command.key)

    async def _shipped(self, command: Command) -> CommandResult | None:
        data = await self._client.ask("commands", documents.SHIPMENTS, {"id": order_gid(command.order_id)})
        order = data["order"]
        if order is None:
            return _not_here(order)
        sent = [one for one in order["fulfillments"] if one["status"] not in NOT_SHIPPED]
        for one in sent:
            if command.tracking and command.tracking in {info["number"] for info in one["trackingInfo"]}:
                return CommandResult(result=Result.APPLIED, reference=number(one["id"]))
        if command.tracking or not sent:
            return None
        if not command.lines and order["displayFulfillmentStatus"] == "FULFILLED":
            return CommandResult(result=Result.APPLIED, reference=number(sent[-1]["id"]))
        message = "Without a tracking number nobody can tell whether it was shipped: look at the order in Shopify."
        return _rejected("cannot_tell", message)


def _parcels(
    wanted: Sequence[CommandLine], open_: Sequence[dict[str, Any]]
) -> list[list[tuple[dict[str, Any], int]]] | str:
    """What to ship from where: one parcel per location, as Shopify wants it; else what does not fit."""
    if not open_:
        return "Nothing of the order is open."
    left = {line.line_id: line.quantity for line in wanted} if wanted else None
    by_location: dict[str, list[tuple[dict[str, Any], int]]] = {}
    for line in open_:
        pieces = line["pieces"] if left is None else min(line["pieces"], left.get(line["line"], 0))
        if pieces:
            by_location.setdefault(line["location"], []).append((line, pieces))
            if left is not None:
                left[line["line"]] -= pieces
    missing = {line: pieces for line, pieces in (left or {}).items() if pieces}
    if missing:
        return f"Of line {next(iter(missing))} {next(iter(missing.values()))} pieces more were named than are open."
    return [
        lines[start : start + MOST_LINES]
        for lines in by_location.values()
        for start in range(0, len(lines), MOST_LINES)
    ]


def _transactions(order: Data, command: Command) -> list[dict[str, Any]] | str:
    """Whose money goes back: Shopify's own suggestion, or the amount that the command names."""
    suggested = (order["suggestedRefund"] or {"suggestedTransactions": []})["suggestedTransactions"]
    named = [line.amount for line in command.lines if line.amount is not None]
    foreign = order["presentmentCurrencyCode"] != order["currencyCode"]
    if named and foreign:
        return "The buyer paid in another currency: refund a chosen amount in the Shopify admin."
    left = sum((amount.decimal for amount in named), Decimal(0)) if named else None
    if named and named[0].currency != order["currencyCode"]:
        return f"The shop's currency is {order['currencyCode']}."
    found = []
    for one in suggested:
        bag = one["amountSet"] if left is None else one["maximumRefundableSet"] or one["amountSet"]
        most = Decimal(str(bag["presentmentMoney" if foreign else "shopMoney"]["amount"]))
        amount = most if left is None else min(most, left)
        if amount <= 0 or one["gateway"] is None:
            continue
        left = None if left is None else left - amount
        parent = one["parentTransaction"]
        found.append(
            {"orderId": order["id"], "kind": "REFUND", "gateway": one["gateway"], "amount": _text(amount, order),
             "parentId": parent["id"] if parent else None}
        )  # fmt: skip
    if left:
        return f"{left} {order['currencyCode']} more were named than can be refunded."
    return found


def _text(amount: Decimal, order: Data) -> str:
    return f"{Money.of(amount, order['presentmentCurrencyCode']).decimal:f}"


def _by_note(order: Data, key: str) -> CommandResult | None:
    found = next((one for one in order["refunds"] if (one["note"] or "").endswith(f"[{key}]")), None)
    return None if found is None else CommandResult(result=Result.APPLIED, reference=number(found["id"]))


def _note(command: Command) -> str:
    return f"{command.reason} [{command.key}]".strip()


def _not_here(order: Data | None) -> CommandResult | None:
    if order is None:
        return _rejected("not_found", "Shopify knows no such order.")
    return None


def _is_cancelled(order: Data) -> CommandResult | None:
    return None if order["cancelledAt"] is None else _rejected("cancelled", "The order is cancelled.")


def _rejected(code: str, message: str) -> CommandResult:
    return CommandResult(result=Result.REJECTED, code=code, message=message)
