"""What WooCommerce's error codes mean, and the replies that are not WooCommerce's own words."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from marketsync.adapter.api import Operation, Reply, Result
from marketsync.adapter.errors import (
    AdapterError,
    AuthRefused,
    ChannelBlocked,
    OutcomeUnknown,
    Unavailable,
    UnexpectedReply,
)

_GONE = "The offer is gone from the shop: resync the SKU to list it again."
_IMAGE = "The shop could not download the image: open its address in a private window, it needs a public one."
_IMAGE_ID = "An image was deleted from the shop's media library: resync the SKU to upload it again."
_RIGHTS = "The key's user may not do this: use a key of an administrator or a shop manager."
_NOT_SAVED = "A plugin of the shop refused the product: its message says why."

# The channel's code -> a plain sentence for the manager.
HINTS: Mapping[str, str] = {
    "product_invalid_sku": "Another product has this SKU, or one that differs only in case or accents: rename one.",
    "product_invalid_global_unique_id": "Another product has this GTIN, or it is none: correct it, or set gtin: false.",
    "woocommerce_rest_product_invalid_id": _GONE,
    "woocommerce_rest_product_variation_invalid_id": _GONE,
    "woocommerce_rest_invalid_product_id": "The SKU is a variation now: resync it.",
    "woocommerce_rest_product_variation_invalid_parent": "The variable product is gone: resync the whole family.",
    "woocommerce_product_image_upload_error": _IMAGE,
    "woocommerce_variation_image_upload_error": _IMAGE,
    "woocommerce_product_invalid_image_id": _IMAGE_ID,
    "woocommerce_variation_invalid_image_id": _IMAGE_ID,
    "woocommerce_rest_product_not_created": _NOT_SAVED,
    "woocommerce_rest_product_variation_not_created": _NOT_SAVED,
    "woocommerce_rest_cannot_create": _RIGHTS,
    "woocommerce_rest_cannot_edit": _RIGHTS,
    "woocommerce_rest_cannot_delete": _RIGHTS,
    "woocommerce_rest_cannot_batch": _RIGHTS,
    "woocommerce_rest_shop_order_invalid_id": "The order was deleted in the shop.",
    "woocommerce_rest_invalid_order_id": "The order was deleted in the shop.",
    "woocommerce_rest_cannot_create_order_refund": (
        "The shop or its payment provider refuses the refund. Where the provider cannot refund, set api_refund: false."
    ),
    "woocommerce_rest_term_invalid": "The category or attribute was deleted in the shop.",
    "rest_invalid_param": "A plugin of the shop accepts other values than WooCommerce: its message names the field.",
    # Ours: what is never sent, because the shop would store something else.
    "sku_not_storable": "The shop strips markup, %-codes and runs of spaces from SKUs, and has room for 100 letters.",
    "sku_twin": "The shop tells SKUs apart by more than case and accents: rename one of the two.",
    "category_unknown": "Map the category to one of the shop's, or set create_categories: true.",
    "family_not_variable": "The shop has another product with the family's SKU: rename it, or change parent_sku.",
    "parent_sku_taken": "A variant has the SKU of its family: set parent_sku, for example '{family}-family'.",
    "title_missing": "Give the item a title, or fill the listing's title template.",
    "stock_not_managed": "Turn on stock management in WooCommerce > Settings > Products > Inventory.",
    "wrong_currency": "Set the channel's price rule to the shop's currency.",
    "gross_net": "Let the channel's price rule and the setting prices say the same: gross or net.",
}

_DOWNLOADS = frozenset({"woocommerce_product_image_upload_error", "woocommerce_variation_image_upload_error"})
_PASSING = ("curl error", "timed out", "could not resolve", "service unavailable", "bad gateway", "too many requests")


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the shop did not do something: its code and text, and what that means for the offer."""

    code: str
    message: str
    result: Result = Result.REJECTED

    @property
    def hint(self) -> str:
        return HINTS.get(self.code, "")


def refusal(document: Mapping[str, Any]) -> Refusal:
    """The refusal of one item of a batch, or of a request: ``{code, message, data: {status}}``."""
    code, message = str(document.get("code", "")), str(document.get("message", ""))
    data = document.get("data")
    status = data.get("status") if isinstance(data, dict) else None
    passing = code in _DOWNLOADS and any(word in message.lower() for word in _PASSING)
    later = passing or (isinstance(status, int) and (status >= 500 or status == 429))
    return Refusal(code or "refused", message, Result.RETRY if later else Result.REJECTED)


def error_of(operations: Mapping[str, Operation], operation: str, reply: Reply) -> AdapterError | None:
    """What the status table cannot know: pages of hosts, firewalls and themes, and missing rights.

    A page with status 200 in the place of an answer leaves a write unknown.
    """
    if reply.status < 300:
        return _page_for_an_answer(operations[operation]) if is_page(reply) else None
    if is_page(reply):
        return _page_for_an_error(operation, reply.status)
    document = reply.json()
    code = document.get("code", "") if isinstance(document, dict) else ""
    if code == "rest_no_route":
        return ChannelBlocked("The address has no WooCommerce REST API: is the plugin active?", code=code)
    if reply.status == 401:
        return _refused_key(str(code), str(document.get("message", "")))
    return None


def is_page(reply: Reply) -> bool:
    """Whether this is no JSON: a login form, a challenge, an error page, or a PHP warning in front of the answer."""
    start = reply.content.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    return start not in {b"[", b"{"}


def _page_for_an_answer(operation: Operation) -> AdapterError:
    message = (
        "The shop answered with a page instead of data: something stands in front of it, or a plugin prints warnings."
    )
    if operation.writes:
        return OutcomeUnknown(message, code="page")
    return Unavailable(message, code="page")


def _page_for_an_error(operation: str, status: int) -> AdapterError | None:
    if status == 404 and operation == "check":
        return ChannelBlocked(
            "There is no REST API at this address. In WordPress, choose any permalinks but 'Plain' under"
            " Settings > Permalinks, and check base_url.",
            code="no_rest_api",
        )
    if status == 404:
        return Unavailable("The shop's REST API is gone: are its permalinks 'Plain' now?", code="no_rest_api")
    if status == 403:
        return Unavailable(
            "A firewall in front of the shop refused the request: allow our address there.", code="firewall"
        )
    if 300 <= status < 400:
        return UnexpectedReply("The shop redirects: correct base_url (https, with or without www).", code="redirect")
    return None


def _refused_key(code: str, message: str) -> AuthRefused:
    if "write permission" in message:
        return AuthRefused("The key may only read: make one with the permission Read/Write.", code=code)
    return AuthRefused(
        "The shop does not accept the key. If key and secret are right, its web server drops the Authorization header"
        " (see the adapter's README).",
        code=code,
    )
