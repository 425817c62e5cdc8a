"""Who we are logged in as, whether the key may write, and whether the shop's own settings agree with ours."""

from collections.abc import Mapping
from typing import Any

from marketsync.adapter.errors import ChannelBlocked
from marketsync_adapters.woocommerce.client import Client, document
from marketsync_adapters.woocommerce.settings import Settings

_UNSEEN = frozenset({401, 403, 404})  # only an administrator's or shop manager's key reads the shop's settings


async def check(client: Client, settings: Settings) -> str:
    """One line for a person. Raises ``ChannelBlocked`` where nothing could come of it.

    WooCommerce has no seller to name. What a key with read and write permission can always do is to count products
    and to write none of them.
    """
    listed = await client.reply("check", "/products", {"per_page": 1, "_fields": "id"})
    document(listed)
    await client.send("check", "POST", "/products/batch", {"update": []})
    told = [f"{listed.headers.get('x-wp-total', 'unknown')} products"]
    told += await _shop_settings(client, settings)
    return f"{settings.base_url}: {', '.join(told)}"


async def _shop_settings(client: Client, settings: Settings) -> list[str]:
    general = await _group(client, "general")
    if general is None:
        return [f"{settings.currency} (the key's user may not read the shop's settings to compare)"]
    tax, products = await _group(client, "tax") or {}, await _group(client, "products") or {}
    prices = {"yes": "gross", "no": "net"}.get(tax.get("woocommerce_prices_include_tax", ""), settings.prices)
    taxed = general.get("woocommerce_calc_taxes") != "no"
    _agree("currency", settings.currency, general.get("woocommerce_currency", settings.currency))
    if taxed:
        _agree("prices", settings.prices, prices)
    _agree("weight_unit", settings.weight_unit, products.get("woocommerce_weight_unit", settings.weight_unit))
    if products.get("woocommerce_manage_stock") == "no":
        raise ChannelBlocked(
            "The shop counts no stock. Turn it on in WooCommerce > Settings > Products > Inventory.",
            code="stock_not_managed",
        )
    return [settings.currency, f"{settings.prices} prices" if taxed else "no taxes"]


async def _group(client: Client, name: str) -> Mapping[str, Any] | None:
    """A group of the shop's settings by id; None where this key may not read them."""
    reply = await client.reply("check", f"/settings/{name}", {}, _UNSEEN)
    if reply.status in _UNSEEN:
        return None
    return {option["id"]: option.get("value") for option in document(reply)}


def _agree(name: str, ours: str, theirs: str) -> None:
    if ours != theirs:
        raise ChannelBlocked(f"The shop's {name} is {theirs}, this channel's setting is {ours}.", code=f"other_{name}")
