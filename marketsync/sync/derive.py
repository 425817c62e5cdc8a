"""Derive: items, stock and rules become what each channel should show. Runs inside the transaction that changed them.

``derive_items`` looks at everything of some items, ``derive_stock`` at their stock only: the path of a sale.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Connection

from marketsync.adapter.content import Aspect, Price, Stock
from marketsync.adapter.money import Money
from marketsync.domain.availability import available, kit, shown, spread
from marketsync.domain.content import ABSENT, price_from, to_document
from marketsync.domain.item import Item
from marketsync.domain.listing_map import Components, renamed
from marketsync.domain.packs import pack
from marketsync.ledger import desired, pins
from marketsync.ledger import items as item_store
from marketsync.ledger.desired import Changes, NewOffer, StoredOffer, Wanted, wanted
from marketsync.ledger.issues import IssueRow, close_issues, raise_issues
from marketsync.ledger.sql import alone
from marketsync.ledger.stock import pieces
from marketsync.ledger.types import micros
from marketsync.sync.guard import EVERYTHING, Firsts, watch
from marketsync.sync.rules import ChannelRules

PROBLEMS = ("no_price", "listing_problem", "kit_without_item")


@dataclass(slots=True)
class Derived:
    """What a derive changed: offers by channel, so that pushes can be asked for."""

    changed: dict[str, int] = field(default_factory=dict)

    def add(self, channel: str, count: int) -> None:
        if count:
            self.changed[channel] = self.changed.get(channel, 0) + count


@dataclass(frozen=True, slots=True)
class _Pieces:
    """What lies where of one item. ``told``: when each figure was read (µs)."""

    on_hand: Mapping[str, int]
    reserved: Mapping[str, int]
    told: Mapping[str, int]


NOTHING = _Pieces({}, {}, {})


@dataclass(slots=True)
class _Common:
    """What the channels share while some items are derived: their pieces, and listings made by the same rules."""

    conn: Connection
    pieces: dict[str, _Pieces] = field(default_factory=dict)
    listings: dict[tuple[object, str], tuple[Wanted, tuple[str, ...]]] = field(default_factory=dict)

    def load(self, skus: Iterable[str]) -> None:
        missing = sorted(set(skus) - self.pieces.keys())
        if missing:
            self.pieces.update(dict.fromkeys(missing, NOTHING))
            self.pieces.update({sku: _Pieces(*at) for sku, at in pieces(self.conn, missing).items()})


@dataclass(slots=True)
class _Desk:
    """All that one channel's derive needs for some items, loaded at once."""

    rules: ChannelRules
    items: Mapping[str, Item]
    common: _Common
    stored: Mapping[str, StoredOffer]
    overrides: Mapping[str, Mapping[str, str]]
    now: datetime
    changes: Changes = field(default_factory=Changes)
    problems: list[IssueRow] = field(default_factory=list)
    fine: list[str] = field(default_factory=list)
    firsts: Firsts = field(default_factory=Firsts)


def derive_items(
    conn: Connection,
    channels: Sequence[ChannelRules],
    items: Collection[Item],
    gone: Collection[str],
    order: Sequence[str],
    now: datetime,
    *,
    in_run: bool = False,
) -> Derived:
    """Bring every offer of these items in line, on every channel. ``gone``: SKUs that no source names any more.

    ``in_run``: what changes waits for the verdict over the run that it is part of. The caller is ``alone`` since before
    it loaded the items.
    """
    derived = Derived()
    by_sku = {item.sku: item for item in items}
    touched = [*by_sku, *gone]
    overridden = item_store.has_overrides(conn)
    common = _Common(conn)
    common.load(touched)
    for rules in channels:
        names = sorted({name for sku in touched for name in rules.listing_map.selling(sku)})
        if not names:
            continue
        loaded = _with_components(conn, rules, names, by_sku, order)
        if len(rules.listing_map):
            common.load(c.sku for name in names for c in rules.listing_map.components(name))
        desk = _Desk(
            rules,
            loaded,
            common,
            desired.stored(conn, rules.channel_id, names),
            item_store.overrides(conn, rules.name, names, micros(now)) if overridden else {},
            now,
        )
        for name in names:
            _offer(desk, name)
        _write(conn, desk, names, in_run=in_run)
        derived.add(rules.name, desk.changes.count)
    _look_again(conn, items, now)
    return derived


def derive_stock(
    conn: Connection,
    channels: Sequence[ChannelRules],
    skus: Iterable[str],
    order: Sequence[str],
    now: datetime,
    *,
    in_run: bool = False,
) -> set[str]:
    """Recompute the stock of every offer that takes pieces of these items. Returns the channels with changes.

    ``in_run``: a source says so, and its zeros wait for the verdict over its reading; what a sale changes never waits.
    """
    alone(conn)
    chosen = sorted(set(skus))
    changed: set[str] = set()
    by_stock = [rules for rules in channels if rules.assortment_needs_stock]
    if by_stock:
        items = item_store.load(conn, chosen, order)
        changed |= set(derive_items(conn, by_stock, items.values(), (), order, now, in_run=in_run).changed)
    overridden = item_store.has_overrides(conn)
    common = _Common(conn)
    for rules in channels:
        names = sorted({name for sku in chosen for name in rules.listing_map.selling(sku)})
        stored = {} if rules in by_stock else desired.stored(conn, rules.channel_id, names)
        if not stored:
            continue
        common.load(c.sku for name in stored for c in rules.listing_map.components(name))
        overrides = item_store.overrides(conn, rules.name, names, micros(now)) if overridden else {}
        desk = _Desk(rules, {}, common, stored, overrides, now)
        for name, offer in stored.items():
            if offer.left_at is None and offer.stock != ABSENT:
                components = rules.listing_map.components(name)
                _stock(desk, offer, components, *_pieces(desk, components))
        desired.write(conn, rules.channel_id, rules.managed, desk.changes, rules.dues_now(now), micros(now))
        if in_run:
            watch(conn, rules, stored.values(), desk.changes, desk.firsts, micros(now), in_run=True)
        if desk.changes.stock:
            changed.add(rules.name)
    return changed


def _with_components(
    conn: Connection, rules: ChannelRules, names: Sequence[str], known: Mapping[str, Item], order: Sequence[str]
) -> Mapping[str, Item]:
    """The items of these offers: their own rows and their components'."""
    if not len(rules.listing_map):
        return known
    wanted = {c.sku for name in names for c in rules.listing_map.components(name)} | set(names)
    missing = sorted(wanted - known.keys())
    return {**item_store.load(conn, missing, order), **known} if missing else known


def _offer(desk: _Desk, name: str) -> None:
    """One offer: what it should show, and where that differs from what is stored."""
    rules, stored = desk.rules, desk.stored.get(name)
    components = rules.listing_map.components(name)
    item = _item_of(desk, name, components)
    pieces, basis = _pieces(desk, components)
    fixed = desk.overrides.get(name, {})
    if item is None or fixed.get("sell") == "no" or rules.excluded(item, pieces) is not None:
        if stored is not None:
            _leave(desk, stored)
        return
    item = _overridden(item, fixed)
    price = _fixed_price(fixed, rules) or rules.prices(desk.now)(item)
    if isinstance(price, str):
        desk.problems.append(IssueRow(f"channel:{rules.name}", "no_price", price, name))
        if stored is None:
            return
    shows, problems = _listing(desk, item, fixed)
    desk.problems += [IssueRow(f"channel:{rules.name}", "listing_problem", text, name) for text in problems[:1]]
    if not problems and not isinstance(price, str):
        desk.fine.append(name)
    costs = None if isinstance(price, str) else rules.wanted_price(price, desk.now)
    if costs is not None and (stored is None or (not stored.known and stored.price_acked == ABSENT)):
        _first_price(desk, name, item, stored, costs, fixed)
    if stored is not None:
        _compare(desk, stored, item, shows, costs)
        _stock(desk, stored, components, pieces, basis)
        return
    assert costs is not None
    quantity, shelf = _quantity(desk, name, components, pieces)
    offer = NewOffer(name, item.sku, item.parent, rules.stock_key(name), shows, costs, shelf, quantity, basis)
    desk.changes.new.append(offer)


def _first_price(
    desk: _Desk, name: str, item: Item, stored: StoredOffer | None, costs: Wanted, fixed: Mapping[str, str]
) -> None:
    """Note a first price that nothing can be compared with, and a held one that has something by now."""
    if item.cost is None and item.reference_price is None and _fixed_price(fixed, desk.rules) is None:
        if stored is None or stored.price != costs.hash:
            desk.firsts.groundless[name] = costs
    elif stored is not None and stored.held & EVERYTHING == EVERYTHING:
        desk.firsts.grounded.append(stored)


def _listing(desk: _Desk, item: Item, fixed: Mapping[str, str]) -> tuple[Wanted, tuple[str, ...]]:
    """The listing, made once for all channels with the same rules. Packs and overrides are made each time."""
    rules, known = desk.rules, desk.common.listings
    pinned = fixed.get(pins.FIELDS[Aspect.LISTING])
    if pinned is not None:
        return wanted(orjson.loads(pinned), rules.versions[Aspect.LISTING]), ()
    key = (rules.listing_key, item.sku)
    own = not fixed and desk.items.get(item.sku) is item
    made = known.get(key) if own else None
    if made is None:
        document, problems = rules.listing(item, None)
        made = (wanted(document, rules.versions[Aspect.LISTING]), problems)
        if own:
            known[key] = made
    return made


def _compare(desk: _Desk, stored: StoredOffer, item: Item, shows: Wanted, costs: Wanted | None) -> None:
    if stored.listing != shows.hash:
        desk.changes.listing.append((stored.id, shows))
    if costs and stored.price != costs.hash:
        desk.changes.price.append((stored.id, costs))
    if (stored.item_sku, stored.family) != (item.sku, item.parent):
        desk.changes.belongs.append((stored.id, item.sku, item.parent))
    if stored.left_at is not None:
        desk.changes.back.append(stored.id)


def _leave(desk: _Desk, stored: StoredOffer) -> None:
    """Out of the assortment: stock zero at once; what never was on the channel is simply forgotten."""
    if not stored.known:
        desk.changes.gone.append(stored.id)
        return
    if stored.left_at is None:
        desk.changes.left.append(stored.id)
    zero = desk.rules.wanted_stock(0)
    if stored.stock not in (zero.hash, ABSENT):
        desk.changes.stock.append((stored.id, zero, 0, 0))


def _stock(desk: _Desk, stored: StoredOffer, components: Components, pieces: int, basis: int) -> None:
    quantity, shelf = _quantity(desk, stored.sku, components, pieces)
    if stored.stock != shelf.hash:
        desk.changes.stock.append((stored.id, shelf, quantity, max(basis, stored.stock_basis)))
    elif basis > stored.stock_basis:
        desk.changes.basis.append((stored.id, basis))


def _quantity(desk: _Desk, name: str, components: Components, pieces: int) -> tuple[int, Wanted]:
    """How many pieces the channel shows, and that as content."""
    rules = desk.rules
    quantity = shown(pieces, rules.stock, rules.spec.stock_bounds)
    fixed = desk.overrides[name].get("stock") if name in desk.overrides else None
    if fixed is not None:
        quantity = min(int(fixed), pieces)
    if not rules.spec.stock_by_location or len(components) != 1:
        return quantity, rules.wanted_stock(quantity)
    at, packed = desk.common.pieces.get(components[0].sku, NOTHING), components[0].quantity
    on_hand = {location: there // packed for location, there in at.on_hand.items()}
    reserved = {location: -(-there // packed) for location, there in at.reserved.items()}
    parts = spread(quantity, on_hand, reserved, rules.stock)
    return quantity, wanted(to_document(Stock(quantity=quantity, locations=parts)), rules.versions[Aspect.STOCK])


def _pieces(desk: _Desk, components: Components) -> tuple[int, int]:
    """How many of an offer can be sold, and the newest knowledge that rests on (µs)."""
    rules, basis, free, known = desk.rules, 0, [], desk.common.pieces
    for component in components:
        at = known.get(component.sku, NOTHING)
        free.append((available(at.on_hand, at.reserved, rules.stock), component.quantity))
        for location, told in at.told.items():
            if told > basis and rules.sells_from(location):
                basis = told
    return kit(free), basis


def _item_of(desk: _Desk, name: str, components: Components) -> Item | None:
    """The item behind an offer: its own row of the catalogue, else the one it renames or packs."""
    own = desk.items.get(name)
    if own is not None or (len(components) == 1 and components[0].sku == name):
        return own
    if len(components) != 1:
        text = f"the kit {name} has no row of its own in the catalogue: add one with its title and price"
        desk.problems.append(IssueRow(f"channel:{desk.rules.name}", "kit_without_item", text, name))
        return None
    item = desk.items.get(components[0].sku)
    if item is None or renamed(components):
        return item
    return pack(item, components[0].quantity)


_TEXTS = frozenset({"title", "description", "brand", "category", "condition"})


def _overridden(item: Item, fixed: Mapping[str, str]) -> Item:
    texts: dict[str, Any] = {name: value for name, value in fixed.items() if name in _TEXTS}
    return replace(item, **texts) if texts else item


def _fixed_price(fixed: Mapping[str, str], rules: ChannelRules) -> Price | None:
    """A price that an undo put back, else one that a person fixed, as "9.99 EUR" (checked when the override was read)."""
    pinned = fixed.get(pins.FIELDS[Aspect.PRICE])
    if pinned is not None:
        return price_from(orjson.loads(pinned))
    if "price" not in fixed:
        return None
    amount, currency = fixed["price"].split()
    return Price(amount=Money.of(amount, currency), gross=rules.gross)


def _write(conn: Connection, desk: _Desk, names: Sequence[str], *, in_run: bool) -> None:
    rules, now = desk.rules, micros(desk.now)
    desired.write(conn, rules.channel_id, rules.managed, desk.changes, rules.dues(desk.now), now)
    watch(conn, rules, desk.stored.values(), desk.changes, desk.firsts, now, in_run=in_run)
    scope = f"channel:{rules.name}"
    if desk.problems:
        raise_issues(conn, desk.problems, now)
    if desk.fine and rules.had_problems(conn):
        for code in PROBLEMS:
            bad = {issue.sku for issue in desk.problems if issue.code == code}
            close_issues(conn, scope, code, [name for name in names if name not in bad], now)


def _look_again(conn: Connection, items: Collection[Item], now: datetime) -> None:
    """Sale prices start and end by themselves: note when such an item has to be derived again."""
    moments: dict[str, int | None] = {}
    for item in items:
        if item.sale_price is not None and (item.sale_starts or item.sale_ends):
            later = [at for at in (item.sale_starts, item.sale_ends) if at is not None and at > now]
            moments[item.sku] = micros(min(later)) if later else None
    item_store.rederive_at(conn, moments)


def sweep(
    conn: Connection, rules: ChannelRules, after: str, limit: int, order: Sequence[str], now: datetime
) -> tuple[Derived, str]:
    """One step over the whole catalogue for a channel whose rules changed. Returns where to go on, "" at the end."""
    alone(conn)
    page = list(item_store.page(conn, after, limit, order))
    derived = derive_items(conn, [rules], page, (), order, now, in_run=True)
    return derived, page[-1].sku if len(page) == limit else ""


def sweep_orphans(conn: Connection, rules: ChannelRules, after: str, limit: int, now: datetime) -> tuple[int, str]:
    """The other direction: offers that no item stands behind any more (a map that was shortened) leave."""
    alone(conn)
    page = desired.page(conn, rules.channel_id, after, limit)
    live = item_store.load(conn, sorted({c.sku for name in page for c in rules.listing_map.components(name)}), ())
    desk = _Desk(rules, {}, _Common(conn), page, {}, now)
    for name, offer in page.items():
        components = rules.listing_map.components(name)
        sold = any(name in rules.listing_map.selling(c.sku) for c in components)
        if not sold or any(c.sku not in live for c in components):
            _leave(desk, offer)
    desired.write(conn, rules.channel_id, rules.managed, desk.changes, rules.dues(now), micros(now))
    watch(conn, rules, page.values(), desk.changes, desk.firsts, micros(now), in_run=True)
    return desk.changes.count, max(page) if len(page) == limit else ""


def derive_due(
    conn: Connection, channels: Sequence[ChannelRules], order: Sequence[str], now: datetime, limit: int
) -> tuple[Derived, int]:
    """Derive the items whose sale price has just started or ended. Returns also how many items those were."""
    alone(conn)
    skus = item_store.due_again(conn, micros(now), limit)
    items = item_store.load(conn, skus, order)
    item_store.rederive_at(conn, dict.fromkeys(skus))
    return derive_items(conn, channels, items.values(), (), order, now), len(skus)
