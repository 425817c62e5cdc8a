"""Kaufland's own words for reasons and carriers, and which of ours stand for them."""

import re
from collections.abc import Iterable, Mapping

CANCEL_REASONS = (
    "BuyerCancelled", "ShippingAddressUndeliverable", "WrongCatalogData", "GeneralAdjustment",
    "MerchandiseNotReceived", "NoInventory", "DelayedInventory", "WrongPrice", "NoReactionBuyer", "UndeliverableRegion",
)  # fmt: skip
REFUND_REASONS = (
    "delivery_damage", "delivery_delay", "incomplete_delivery", "incorrect_delivery", "refund_postage_fee", "defect",
    "other_refund", "refund_return_postage_fee",
)  # fmt: skip

# Words of a free reason, the first that fits decides.
_CANCEL_WORDS: tuple[tuple[str, str], ...] = (
    ("delay", "DelayedInventory"),
    ("stock|inventory|sold ?out|oversold|unavailable", "NoInventory"),
    ("region|country", "UndeliverableRegion"),
    ("address|undeliverable", "ShippingAddressUndeliverable"),
    ("price", "WrongPrice"),
    ("catalog|description|wrong data", "WrongCatalogData"),
    ("no re(action|sponse|ply)", "NoReactionBuyer"),
    ("not received|lost", "MerchandiseNotReceived"),
    ("buyer|customer|request", "BuyerCancelled"),
)
_REFUND_WORDS: tuple[tuple[str, str], ...] = (
    ("return (postage|shipping)", "refund_return_postage_fee"),
    ("postage|shipping cost|shipping fee", "refund_postage_fee"),
    ("damage", "delivery_damage"),
    ("late|delay", "delivery_delay"),
    ("incomplete|missing", "incomplete_delivery"),
    ("incorrect|wrong", "incorrect_delivery"),
    ("defect|broken|faulty", "defect"),
)

# What carriers are called elsewhere -> `carrier_code`. Whatever is not here is looked up in GET /carriers.
CARRIERS: Mapping[str, str] = {
    "dhl": "DHL", "dhlde": "DHL", "dhlpaket": "DHL", "deutschepost": "Deutsche Post", "dpd": "DPD", "dpdde": "DPD",
    "fedex": "Fedex", "gls": "GLS", "hermes": "Hermes", "hermesde": "Hermes", "tnt": "TNT", "ups": "UPS",
}  # fmt: skip
NO_CARRIER = "Other"  # the one carrier that needs no tracking number


def cancel_reason(reason: str, default: str) -> str:
    """The reason of a cancellation in Kaufland's words."""
    return _chosen(reason, CANCEL_REASONS, _CANCEL_WORDS, default)


def refund_reason(reason: str, default: str) -> str:
    """The reason of a refund in Kaufland's words."""
    return _chosen(reason, REFUND_REASONS, _REFUND_WORDS, default)


def carrier_code(carrier: str, tracking: str, own: Mapping[str, str]) -> str | None:
    """Kaufland's code of a carrier by the seller's own names, then the usual ones; None where neither knows it.

    Without a tracking number it is "Other": every other carrier requires one.
    """
    if not tracking or not carrier.strip():
        return NO_CARRIER
    named = {_plain(name): code for name, code in own.items()}
    return named.get(_plain(carrier)) or CARRIERS.get(_plain(carrier))


def listed_carrier(carrier: str, listed: Iterable[str]) -> str:
    """The carrier as Kaufland's own list spells it; "Other" where it is not in it."""
    return next((name for name in listed if _plain(name) == _plain(carrier)), NO_CARRIER)


def _chosen(reason: str, known: tuple[str, ...], words: tuple[tuple[str, str], ...], default: str) -> str:
    for name in known:
        if _plain(name) == _plain(reason):
            return name
    return next((name for pattern, name in words if re.search(pattern, reason, re.IGNORECASE)), default)


def _plain(text: str) -> str:
    return re.sub(r"[\W_]", "", text).casefold()
