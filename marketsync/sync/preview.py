"""What derive makes of one offer now, step by step and without writing it: the engine's own functions, on a desk apart."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from marketsync.domain.item import Item
from marketsync.domain.listing_map import Components
from marketsync.ledger import items as item_store
from marketsync.ledger.desired import StoredOffer, Wanted
from marketsync.ledger.stock import Level, levels
from marketsync.ledger.types import micros
from marketsync.sync.derive import _Common, _Desk, _item_of, _offer, _overridden, _pieces
from marketsync.sync.rules import ChannelRules


@dataclass(frozen=True, slots=True)
class Preview:
    """One offer as a derive would make it now.

    ``item``: what its rules start from, packed and with its texts overridden. ``pieces``: how many could be sold.
    ``excluded``: why the channel does not offer it; else None. ``fixed``: overrides in force, by field.
    """

    components: Components
    item: Item | None
    levels: Mapping[str, Mapping[str, Level]]  # by SKU and location
    pieces: int
    fixed: Mapping[str, str]
    excluded: str | None
    listing: Wanted | None
    price: Wanted | None
    stock: Wanted | None
    quantity: int
    problems: Mapping[str, str]  # by code


def preview(conn: Connection, rules: ChannelRules, name: str, order: tuple[str, ...], now: datetime) -> Preview:
    """What a derive at ``now`` (aware UTC) would make of the channel SKU ``name``. Nothing is written."""
    components = rules.listing_map.components(name)
    skus = [component.sku for component in components]
    common = _Common(conn)
    common.load(skus)
    # Compared with an offer that shows nothing of what it should, everything is a change.
    bare = StoredOffer(
        id=0, sku=name, item_sku="", family=None, remote_id=None, fulfilled_by="merchant", left_at=None, listing=b"",
        price=b"", stock=b"", price_acked=b"", stock_basis=0, held=0, known=True,
    )  # fmt: skip
    loaded = item_store.load(conn, sorted({name, *skus}), order)
    desk = _Desk(rules, loaded, common, {name: bare}, item_store.overrides(conn, rules.name, [name], micros(now)), now)
    item = _item_of(desk, name, components)
    pieces, _ = _pieces(desk, components)
    fixed = desk.overrides.get(name, {})
    sold = any(name in rules.listing_map.selling(sku) for sku in skus)
    if sold:
        _offer(desk, name)
    changes = desk.changes
    offered = bool(sold and item is not None and not changes.left)
    return Preview(
        components=components,
        item=None if item is None else _overridden(item, fixed),
        levels=levels(conn, skus),
        pieces=pieces,
        fixed=fixed,
        excluded=None if offered else _reason(rules, name, item, pieces, fixed, sold=sold),
        listing=changes.listing[0][1] if offered else None,
        price=changes.price[0][1] if offered and changes.price else None,
        stock=changes.stock[0][1] if changes.stock else None,
        quantity=changes.stock[0][2] if changes.stock else 0,
        problems={problem.code: problem.message for problem in desk.problems},
    )


def _reason(
    rules: ChannelRules, name: str, item: Item | None, pieces: int, fixed: Mapping[str, str], *, sold: bool
) -> str:
    if not sold:
        return f"the listing map sells {name} under another SKU"
    if item is None:
        return "no source names it"
    if fixed.get("sell") == "no":
        return "an override says that it is not sold"
    return rules.excluded(item, pieces) or "excluded"
