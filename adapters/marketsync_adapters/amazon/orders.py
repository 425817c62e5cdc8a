"""Amazon's orders (2026-01-01) as neutral ones, and shipments the other way. Pure."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from hashlib import blake2b
from typing import Any

from marketsync.adapter.api import Address, ChannelLine, ChannelOrder, Command, Fulfilment, Money, Payment
from marketsync.adapter.errors import UnexpectedReply
from marketsync_adapters.amazon.client import moment, stamp
from marketsync_adapters.amazon.marketplaces import MARKETPLACES

ALL_ORDERS = "GET_FLAT_FILE_ALL_ORDERS_DATA_BY_ORDER_DATE_GENERAL"

_STATES: Mapping[str, tuple[Payment, Fulfilment]] = {
    "PENDING_AVAILABILITY": (Payment.PENDING, Fulfilment.OPEN),
    "PENDING": (Payment.PENDING, Fulfilment.OPEN),
    "UNSHIPPED": (Payment.PAID, Fulfilment.OPEN),
    "PARTIALLY_SHIPPED": (Payment.PAID, Fulfilment.PARTLY_SHIPPED),
    "SHIPPED": (Payment.PAID, Fulfilment.SHIPPED),
    # Amazon takes the money when a parcel leaves: of a cancelled order it has taken none.
    "CANCELLED": (Payment.FAILED, Fulfilment.CANCELLED),
    "UNFULFILLABLE": (Payment.FAILED, Fulfilment.CANCELLED),
}
_CURRENCIES = {place.id: place.currency for place in MARKETPLACES.values()}

# Codes that Amazon knows; every other carrier travels as "Other" with its name.
CARRIERS: Mapping[str, str] = {
    code.casefold(): code
    for code in (
        "Amazon Shipping", "Asendia", "Bpost", "BRT", "Canada Post", "Chronopost", "Colis Prive", "Colissimo",
        "Correos", "DB Schenker", "Deutsche Post", "DHL", "DHL eCommerce", "DPD", "Evri", "FedEx", "GEL Express", "GLS",
        "Hermes", "La Poste", "Mondial Relay", "Parcelforce", "Poste Italiane", "PostNL", "PostNord", "Royal Mail", "SDA",
        "SEUR", "SF Express", "TNT", "UPS", "USPS", "Yodel",
    )
}  # fmt: skip


def is_ours(document: Mapping[str, Any]) -> bool:
    """Not a shipment that Amazon makes for an order of another shop: that order is at home elsewhere."""
    return bool(document["salesChannel"]["channelName"] != "NON_AMAZON")


def order_in(document: Mapping[str, Any]) -> ChannelOrder:
    """Raises ``UnexpectedReply`` for a state that this API version does not promise."""
    fulfilment = document.get("fulfillment") or {}
    status = str(fulfilment.get("fulfillmentStatus", ""))
    if status not in _STATES:
        raise UnexpectedReply(f"order {document['orderId']} has the unknown state {status!r}")
    payment, state = _STATES[status]
    market = str(document["salesChannel"].get("marketplaceId", ""))
    proceeds = document.get("proceeds") or {}
    total = money_in(proceeds.get("grandTotal"))
    by_amazon = fulfilment.get("fulfilledBy") == "AMAZON"
    lines = tuple(
        _line_in(item, cancelled=state is Fulfilment.CANCELLED, by_amazon=by_amazon) for item in document["orderItems"]
    )
    currencies = [amount.currency for amount in (total, *(line.amount for line in lines)) if amount is not None]
    by = (fulfilment.get("shipByWindow") or {}).get("latestDateTime")
    return ChannelOrder(
        order_id=document["orderId"],
        placed=moment(document["createdTime"]),
        updated=moment(document["lastUpdatedTime"]),
        payment=payment,
        fulfilment=state,
        currency=next(iter(currencies), _CURRENCIES.get(market, "EUR")),
        lines=lines,
        storefront=market,
        ship_by=None if by is None else moment(by),
        cancel_requested=any(_cancel_requested(item) for item in document["orderItems"]),
        shipping=_subtotal(proceeds, "SHIPPING"),
        total=total,
        buyer=_address_in(document),
        extra={"marketplace_id": market},
    )


def _line_in(item: Mapping[str, Any], *, cancelled: bool, by_amazon: bool) -> ChannelLine:
    product, fulfilment = item["product"], item.get("fulfillment") or {}
    ordered, shipped = int(item["quantityOrdered"]), int(fulfilment.get("quantityFulfilled", 0))
    executed = (item.get("cancellation") or {}).get("cancellationExecution")
    amount, gross, tax = _amounts_in(item, ordered)
    return ChannelLine(
        line_id=item["orderItemId"],
        sku=str(product.get("sellerSku", "")),
        quantity=ordered,
        title=str(product.get("title", "")),
        cancelled=ordered - shipped if cancelled or executed else 0,
        shipped=shipped,
        amount=amount,
        gross=gross,
        tax=tax,
        discount=_positive(_subtotal(item.get("proceeds") or {}, "DISCOUNT")),
        fulfilled_by="channel" if by_amazon else "merchant",
    )


def _amounts_in(item: Mapping[str, Any], ordered: int) -> tuple[Money | None, bool, Money | None]:
    """(amount of the line, whether it includes the tax, the tax).

    Amazon does not say whether ITEM includes TAX. It does where the parts without TAX make up the total, and does not
    where TAX is needed for it.
    """
    proceeds = item.get("proceeds") or {}
    amount, tax = _subtotal(proceeds, "ITEM"), _subtotal(proceeds, "TAX")
    if amount is None:
        unit = money_in((item["product"].get("price") or {}).get("unitPrice"))
        return (None if unit is None else Money(unit.minor * ordered, unit.currency)), True, tax
    total = money_in(proceeds.get("proceedsTotal"))
    parts = sum(part.minor for part in (money_in(one.get("subtotal")) for one in proceeds["breakdowns"]) if part)
    net = tax is not None and tax.minor > 0 and total is not None and total.minor >= parts
    return amount, not net, tax


def _subtotal(proceeds: Mapping[str, Any], kind: str) -> Money | None:
    for part in proceeds.get("breakdowns") or ():
        if part.get("type") == kind:
            return money_in(part["subtotal"])
    return None


def money_in(document: Mapping[str, Any] | None) -> Money | None:
    return None if document is None else Money.of(document["amount"], document["currencyCode"])


def _positive(amount: Money | None) -> Money | None:
    return None if amount is None else Money(abs(amount.minor), amount.currency)


def _cancel_requested(item: Mapping[str, Any]) -> bool:
    cancellation = item.get("cancellation") or {}
    return bool(cancellation.get("cancellationRequest")) and not cancellation.get("cancellationExecution")


def _address_in(document: Mapping[str, Any]) -> Address | None:
    address = (document.get("recipient") or {}).get("deliveryAddress")
    if not address:
        return None
    more = (address.get("addressLine2"), address.get("addressLine3"))
    return Address(
        name=address.get("name", ""),
        company=address.get("companyName", ""),
        street=address.get("addressLine1", ""),
        street2=", ".join(line for line in more if line),
        postcode=address.get("postalCode", ""),
        city=address.get("city", ""),
        region=address.get("stateOrRegion", ""),
        country=address.get("countryCode", ""),
        phone=address.get("phone", ""),
        email=(document.get("buyer") or {}).get("buyerEmail", ""),
    )


# -------------------------------------------------------------------- shipments


def package_reference(key: str) -> str:
    """The package's number within its order: the same for every attempt of a command. Amazon takes digits only."""
    return str(int.from_bytes(blake2b(key.encode(), digest_size=4).digest()) % 999_999_999 + 1)


def package_out(command: Command, now: datetime, carriers: Mapping[str, str], reference: str) -> dict[str, Any]:
    """The packageDetail of a shipment. ``carriers``: the seller's own names for Amazon's codes."""
    name = carriers.get(command.carrier, command.carrier)
    code = CARRIERS.get(name.casefold())
    carrier = {"carrierCode": code} if code else {"carrierCode": "Other", "carrierName": name or "Other"}
    return {
        "packageReferenceId": reference,
        **carrier,
        "trackingNumber": command.tracking,
        "shipDate": stamp(command.shipped_at or now),
        "orderItems": [{"orderItemId": line.line_id, "quantity": line.quantity} for line in command.lines],
    }


def open_items(document: Mapping[str, Any]) -> list[tuple[str, str, int]]:
    """(line, SKU, pieces) that are not shipped yet."""
    return [
        (line.line_id, line.sku, line.quantity - line.cancelled - line.shipped)
        for line in order_in(document).lines
        if line.quantity > line.cancelled + line.shipped
    ]


def has_package(document: Mapping[str, Any], reference: str) -> bool:
    return any(package.get("packageReferenceId") == reference for package in document.get("packages") or ())


# -------------------------------------------------------------------- the report of all orders


def covering(reports: Iterable[Mapping[str, Any]], start: datetime, end: datetime) -> list[Mapping[str, Any]]:
    """The reports over a window that holds all of ours, the newest first."""
    fit = [
        report
        for report in reports
        if "dataStartTime" in report
        and moment(report["dataStartTime"]) <= start
        and moment(report.get("dataEndTime", report["dataStartTime"])) >= end
    ]
    return sorted(fit, key=lambda report: moment(report["createdTime"]), reverse=True)


def order_ids_in(content: bytes, start: datetime, end: datetime) -> Sequence[str]:
    """Ids of the orders in a report placed in [start, end), to the second, as precisely as the report tells it.

    Raises ``UnexpectedReply`` where it is no such report.
    """
    start, end = start.replace(microsecond=0), end.replace(microsecond=0)
    # Only ASCII columns are read, and which encoding a storefront's report has is nowhere promised.
    rows = csv.DictReader(io.StringIO(content.decode("latin-1"), newline=""), delimiter="\t", quoting=csv.QUOTE_NONE)
    if not {"amazon-order-id", "purchase-date"} <= set(rows.fieldnames or ()):
        raise UnexpectedReply("Amazon's report of all orders lacks its columns")
    ids: dict[str, None] = {}
    for row in rows:
        placed = row["purchase-date"]
        if placed and row.get("sales-channel") != "Non-Amazon" and start <= moment(placed).replace(microsecond=0) < end:
            ids[row["amazon-order-id"]] = None
    return list(ids)
