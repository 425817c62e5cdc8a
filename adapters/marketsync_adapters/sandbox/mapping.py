"""Between marketsync's neutral content and the sandbox's JSON. Pure: no I/O, no clock.

A change in what is written for the same content raises the aspect's ``mapping_version`` in the spec.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from marketsync.adapter.api import (
    Address,
    Aspect,
    ChannelLine,
    ChannelOrder,
    ChannelReturn,
    Command,
    CommandResult,
    Fulfilment,
    Listing,
    Money,
    OfferOp,
    Payment,
    Price,
    PushResult,
    Result,
    ReturnState,
    Seen,
    Stock,
)

HINTS = {
    "title_missing": "Give the item a title, or fill the listing's title template.",
    "title_too_long": "Shorten the title template of this channel.",
    "offer_not_found": "The offer is gone from the channel: resync the SKU to list it again.",
    "unknown_category": "Map the item's category to one of the channel's.",
    "unknown_option": "Map the option's name to one that the channel knows.",
    "wrong_currency": "Set the channel's price rule to the storefront's currency.",
    "price_not_positive": "The rules made a price of zero: look at the item's base price.",
    "quantity_out_of_range": "Set show_at_most for this channel.",
    "image_invalid": "Images are addresses that begin with https://.",
}


def listing_out(op: OfferOp) -> dict[str, Any]:
    listing = op.listing
    assert listing is not None, "an op that changes the listing carries it"
    return {
        "title": listing.title,
        "description": listing.description,
        "brand": listing.brand,
        "gtin": listing.gtin,
        "category": listing.category,
        "condition": listing.condition,
        "images": list(listing.images),
        "attributes": dict(listing.attributes),
        "options": dict(listing.options),
        "weight_grams": listing.weight_grams,
        "family": op.family or "",
    }


def price_out(price: Price | None) -> dict[str, Any]:
    assert price is not None, "an op that changes the price carries it"
    document: dict[str, Any] = {"amount": _decimal(price.amount), "currency": price.amount.currency}
    if price.sale is not None:
        document["sale"] = _decimal(price.sale)
        document["sale_starts"] = price.sale_starts.isoformat() if price.sale_starts else None
        document["sale_ends"] = price.sale_ends.isoformat() if price.sale_ends else None
    if price.reference is not None:
        document["reference"] = _decimal(price.reference)
    return document


def stock_out(stock: Stock | None) -> dict[str, Any]:
    assert stock is not None, "an op that changes the stock carries it"
    if not stock.locations:
        return {"quantity": stock.quantity}
    return {"quantity": stock.quantity, "locations": dict(stock.locations)}


def offer_out(op: OfferOp) -> dict[str, Any]:
    """One item of a listing job: the listing, and with it the price and the stock where they changed too."""
    item: dict[str, Any] = {"sku": op.sku, "listing": listing_out(op)}
    if Aspect.PRICE in op.changed:
        item["price"] = price_out(op.price)
    if Aspect.STOCK in op.changed:
        item["stock"] = stock_out(op.stock)
    return item


def results(asked: Iterable[tuple[str, frozenset[Aspect]]], reports: Sequence[Mapping[str, Any]]) -> list[PushResult]:
    """One result per SKU and changed aspect. An item that the market does not report on is UNKNOWN."""
    by_sku = {report["sku"]: report for report in reports}
    return [_result(sku, aspect, by_sku.get(sku)) for sku, changed in asked for aspect in Aspect if aspect in changed]


def submitted(ops: Sequence[OfferOp]) -> list[PushResult]:
    return [
        PushResult(sku=op.sku, aspect=aspect, result=Result.SUBMITTED)
        for op in ops
        for aspect in Aspect
        if aspect in op.changed
    ]


def seen(document: Mapping[str, Any]) -> Seen:
    listing, price, stock = document["listing"], document["price"], document["stock"]
    return Seen(
        sku=document["sku"],
        channel_id=document["offer_id"],
        listing=Listing(
            title=listing["title"],
            description=listing["description"],
            brand=listing["brand"],
            gtin=listing["gtin"],
            category=listing["category"],
            condition=listing["condition"],
            images=tuple(listing["images"]),
            attributes=listing["attributes"],
            options=listing["options"],
            weight_grams=listing["weight_grams"],
        ),
        price=None if price is None else _price_in(price),
        stock=None if stock is None else Stock(quantity=stock["quantity"], locations=stock["locations"]),
    )


def order(document: Mapping[str, Any]) -> ChannelOrder:
    currency = document["currency"]
    return ChannelOrder(
        order_id=document["order_id"],
        storefront=document["storefront"],
        placed=datetime.fromisoformat(document["placed"]),
        updated=datetime.fromisoformat(document["updated"]),
        payment=Payment(document["payment"]),
        fulfilment=Fulfilment(document["state"]),
        currency=currency,
        lines=tuple(_line(line, currency) for line in document["lines"]),
        ship_by=datetime.fromisoformat(document["ship_by"]),
        cancel_requested=document["cancel_requested"],
        shipping=Money.of(document["shipping"], currency),
        total=Money.of(document["total"], currency),
        buyer=None if document["buyer"] is None else Address(**document["buyer"]),
        acknowledged=document["acknowledged"],
    )


def returned(document: Mapping[str, Any]) -> ChannelReturn:
    return ChannelReturn(
        return_id=document["return_id"],
        order_id=document["order_id"],
        line_id=document["line_id"],
        sku=document["sku"],
        quantity=document["quantity"],
        state=ReturnState(document["state"]),
        updated=datetime.fromisoformat(document["updated"]),
        reason=document["reason"],
        sellable=document["sellable"],
    )


def command_out(command: Command) -> dict[str, Any]:
    """The body of a shipment, cancellation or refund; without lines it means the whole order."""
    document: dict[str, Any] = {
        "lines": [
            {"line_id": line.line_id, "quantity": line.quantity}
            | ({} if line.amount is None else {"amount": _decimal(line.amount)})
            for line in command.lines
        ]
    }
    if command.reason:
        document["reason"] = command.reason
    if command.carrier or command.tracking:
        document |= {"carrier": command.carrier, "tracking": command.tracking}
    if command.return_tracking:
        document["return_tracking"] = command.return_tracking
    if command.shipped_at is not None:
        document["shipped_at"] = command.shipped_at.isoformat()
    return document


def _result(sku: str, aspect: Aspect, report: Mapping[str, Any] | None) -> PushResult:
    if report is None:
        return PushResult(sku=sku, aspect=aspect, result=Result.UNKNOWN, message="The channel does not mention it.")
    if report["status"] == 200:
        return PushResult(sku=sku, aspect=aspect, result=Result.APPLIED, channel_id=report["offer_id"])
    error = report["errors"][0] if report["errors"] else {"code": str(report["status"]), "message": ""}
    return PushResult(
        sku=sku,
        aspect=aspect,
        result=Result.RETRY if report["status"] in {429, 503} else Result.REJECTED,
        code=error["code"],
        message=error["message"],
        hint=HINTS.get(error["code"], ""),
    )


def acknowledgements(commands: Sequence[Command], reports: Sequence[Mapping[str, Any]]) -> list[CommandResult]:
    by_order = {report["order_id"]: report for report in reports}
    return [_acknowledgement(command, by_order.get(command.order_id)) for command in commands]


def _acknowledgement(command: Command, report: Mapping[str, Any] | None) -> CommandResult:
    if report is None:
        return CommandResult(result=Result.UNKNOWN, message="The channel does not mention the order.")
    if report["status"] == 200:
        return CommandResult(result=Result.APPLIED, reference=command.order_id)
    error = report["errors"][0]
    return CommandResult(result=Result.REJECTED, code=error["code"], message=error["message"])


def _line(document: Mapping[str, Any], currency: str) -> ChannelLine:
    return ChannelLine(
        line_id=document["line_id"],
        sku=document["sku"],
        quantity=document["quantity"],
        title=document["title"],
        cancelled=document["cancelled"],
        shipped=document["shipped"],
        returned=document["returned"],
        refunded=document["refunded"],
        amount=Money.of(document["amount"], currency),
        tax=Money.of(document["tax"], currency),
        tax_rate=document["tax_rate"],
        fees=Money.of(document["fee"], currency),
    )


def _price_in(document: Mapping[str, Any]) -> Price:
    currency = document["currency"]
    starts, ends = document.get("sale_starts"), document.get("sale_ends")
    return Price(
        amount=Money.of(document["amount"], currency),
        sale=Money.of(document["sale"], currency) if document.get("sale") else None,
        sale_starts=datetime.fromisoformat(starts) if starts else None,
        sale_ends=datetime.fromisoformat(ends) if ends else None,
        reference=Money.of(document["reference"], currency) if document.get("reference") else None,
    )


def _decimal(money: Money) -> str:
    return f"{money.decimal:f}"
