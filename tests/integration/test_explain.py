"""Explain: the figures it tells are those that derive makes, and the way from source to read-back is there."""

import json
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from marketsync.adapter.content import Aspect, PushOutcome, PushResult, Result
from marketsync.adapter.money import Money
from marketsync.domain.content import item_document
from marketsync.domain.item import Item
from marketsync.ledger import channels as channel_store
from marketsync.ledger import items, purge, tables
from marketsync.ledger.items import SourceSays
from marketsync.ledger.queries.explain import offer as row_of
from marketsync.sync.derive import derive_items
from marketsync.sync.explain import explain
from marketsync.sync.rules import ChannelRules
from marketsync.testing.clock import TurnedClock
from marketsync_adapters.sandbox import SandboxAdapter
from tests.engine import Engine, engine, load_config, play, sandboxes, write_config
from tests.integration.engine_acts import configured, ready, reread, sqlite
from tests.integration.ledger_rows import DAY, NOW, open_ledger, put

PRICE, STOCK, LISTING = Aspect.PRICE, Aspect.STOCK, Aspect.LISTING

# ------------------------------------------------------------------ the same figures as derive's

MONEY = st.integers(1, 30_000).map(lambda minor: Money(minor, "EUR"))
ITEMS = st.builds(
    Item,
    sku=st.just("A"),
    title=st.none() | st.sampled_from(["Mug", "Blue mug with a very long name", ""]),
    brand=st.none() | st.sampled_from(["Acme", "Other"]),
    category=st.none() | st.sampled_from(["Home", "Home > Kitchen", "Toys"]),
    price=st.sampled_from([False, True, True, True]).flatmap(lambda told: MONEY if told else st.none()),
    sale_price=st.none() | MONEY,
    cost=st.none() | MONEY,
    reference_price=st.none() | MONEY,
)
PRICES = st.fixed_dictionaries(
    {"country": st.just("DE")},
    optional={
        "from": st.sampled_from(["price", "cost"]),
        "markup": st.integers(-20, 60).map(lambda percent: f"{percent}%"),
        "plus": st.sampled_from(["0.95 EUR", "3 EUR"]),
        "ending": st.sampled_from([".99", ".95", "9"]),
        "margin": st.sampled_from(["5%", "20%"]),
        "commission": st.sampled_from(["13%"]),
        "floor": st.sampled_from(["5 EUR", "50 EUR"]),
        "ceiling": st.sampled_from(["60 EUR", "400 EUR"]),
        "reference": st.booleans(),
    },
)
STOCKS = st.fixed_dictionaries(
    {},
    optional={
        "buffer": st.integers(0, 4),
        "percentage": st.sampled_from(["50%", "75%"]),
        "show_at_most": st.integers(0, 20),
        "minimum": st.integers(1, 8),
        "locations": st.sampled_from([["main"], ["other", "main"]]),
    },
)
ASSORTMENTS = st.fixed_dictionaries(
    {},
    optional={
        "include": st.sampled_from([{"categories": ["Home"]}, {"stock_from": 1}]),
        "exclude": st.sampled_from([{"brands": ["Acme"]}, {"price_to": "10 EUR"}]),
    },
)
LISTINGS = st.fixed_dictionaries(
    {},
    optional={
        "title": st.sampled_from(["{brand} {title}", "{title}"]),
        "title_max": st.integers(5, 20),
        "categories": st.sampled_from([{"Home": "1001"}, {"Home": "1001", "*": "9"}]),
    },
)
OVERRIDES = st.dictionaries(
    st.sampled_from(["price", "stock", "stock", "title", "sell"]), st.integers(1, 30), max_size=2
)
LEVELS = st.dictionaries(
    st.sampled_from(["main", "other"]), st.tuples(st.integers(0, 15), st.integers(0, 4)), min_size=1
)


class Undone(Exception):
    pass


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    folder = tmp_path_factory.mktemp("explained")
    with closing(open_ledger(f"sqlite:///{folder}/ledger.db")) as ledger:

        def house(conn):
            put(conn, tables.Account(id=1, name="one", adapter="sandbox", changed_at=NOW - DAY))
            facts = {"state": "active", "adopted_at": NOW - DAY, "changed_at": NOW - DAY}
            put(conn, tables.Channel(id=1, name="one", account_id=1, storefront="main", **facts))

        ledger.write_now(house)
        yield SimpleNamespace(ledger=ledger, folder=folder)


@settings(max_examples=120, suppress_health_check=[HealthCheck.too_slow])
@given(item=ITEMS, price=PRICES, stock=STOCKS, assortment=ASSORTMENTS, listing=LISTINGS, fixed=OVERRIDES, at=LEVELS)
def test_what_is_explained_is_what_derive_makes(empty, item, price, stock, assortment, listing, fixed, at):
    """For an item and a pack of it, whatever the rules, the overrides and the pieces are."""
    rules = {"price": price, "stock": stock, "assortment": assortment, "listing": listing}
    body = "sources:\n  pim: {file: x.csv, owns: [content, price, cost, stock]}\n  far: {file: y.csv, owns: [stock], location: other}\nvat: {DE: {standard: 19%}}\n"
    extra = "\n".join(f"{name}: {json.dumps(rule)}" for name, rule in rules.items()) + "\nlisting_map: {PACK: {A: 3}}"
    body += sandboxes("one", extra=extra)
    config = load_config(write_config(empty.folder, "sqlite:///x.db", body))
    clock = TurnedClock(NOW)

    def work(conn: Any) -> None:
        row = channel_store.load(conn)["one"]
        channel = SimpleNamespace(
            id=1, name="one", config=config.channels["one"],
            rules=ChannelRules("one", config, SandboxAdapter.spec, row, NOW),
        )  # fmt: skip
        house = SimpleNamespace(clock=clock, order=("pim",), config=config)
        document = {name: value for name, value in item_document(item).items() if name != "sku"}
        known = items.apply(conn, "pim", [SourceSays("A", b"h" * 16, document or {"title": ""}, None)], ("pim",))
        for place, (on_hand, reserved) in at.items():
            put(conn, tables.StockLevel(sku="A", location=place, on_hand=on_hand, reserved=reserved, figure_at=NOW))
        items.put_overrides(conn, "fixes", [
            {"channel": "one", "sku": "A", "field": name, "reason": "so", "until": None, "who": "",
             "value": {"price": f"{value}.49 EUR", "sell": "no" if value % 2 else "yes"}.get(name, str(value))}
            for name, value in fixed.items()
        ])  # fmt: skip
        derive_items(conn, [channel.rules], known, (), ("pim",), NOW)
        for sku in ("A", "PACK"):
            _compare(explain(conn, house, channel, sku), row_of(conn, 1, sku))
        raise Undone

    with pytest.raises(Undone):
        empty.ledger.write_now(work)


def _compare(told, row):
    listing, price, stock = told.stories
    if row is None:
        assert told.excluded is not None or price.steps[-1].name == "no price"
        return
    assert told.excluded is None
    for story in told.stories:
        assert story.derived == row[f"{story.aspect}_content"] == story.desired
        assert story.notes == ()
    assert str(row["stock_quantity"]) == stock.steps[-1].value
    assert row["listing_content"].get("title", "") == listing.steps[0].value
    steps = {step.name: step.value for step in price.steps}
    amount = str(_money(row["price_content"]["amount"]))
    if "override" in steps:
        assert amount == steps["override"]
    else:
        assert amount == steps["price"]
        sale = row["price_content"].get("sale")
        assert (sale and str(_money(sale))) == (steps.get("sale price") if sale else None)


def _money(document):
    return Money(document["minor"], document["currency"])


# ------------------------------------------------------------------ the whole way


def told(e: Engine, sku: str, at: Any = None) -> Any:
    found = e.house.ledger.read_now(lambda conn: explain(conn, e.house, e.house.channels["one"], sku, at))
    return found, {story.aspect: story for story in found.stories}


def test_the_way_of_a_price_is_told_from_its_source_to_what_was_read_back(tmp_path: Path, ledger_url: str) -> None:
    async def run() -> None:
        extra = "price: {markup: 10%}\nschedule: {orders: 1m, stock: 1s, price: 1s, listing: 1s}\n"
        async with engine(configured(tmp_path, ledger_url, {"A": ("1.00", 5)}, "one", extra=extra)) as e:
            await ready(e)
            await reread(e, tmp_path, {"A": ("2.00", 5)})
            found, stories = told(e, "A")
            price = stories[PRICE]
            assert [("base", "2.00 EUR"), ("markup", "2.20 EUR"), ("price", "2.20 EUR")] == [
                (step.name, step.value) for step in price.steps
            ]
            assert (220, 110) == (price.desired["amount"]["minor"], price.shows["amount"]["minor"])
            (source,) = found.sources
            assert ("pim", 5, 200) == (source.source, source.stock["main"], source.values["price"]["minor"])
            assert source.read == e.clock.now()
            await e.house.ledger.write(lambda conn: conn.execute(text("UPDATE offer SET held = 0")))
            await e.house.ledger.write(lambda conn: conn.execute(text(
                "UPDATE offer SET lane = 4, due_at = 0, price_due = 0 WHERE sku = 'A'")))  # fmt: skip
            e.clock.advance(5)
            await e.run("channel:one", "push")
            sent = told(e, "A")[1][PRICE].sent
            assert (Result.APPLIED, 220) == (sent.result, sent.content["amount"]["minor"])
            assert sent.at == e.clock.now() == sent.answered
            assert ("as it should be", "") == (told(e, "A")[1][PRICE].state, told(e, "A")[1][PRICE].seen)
            e.clock.advance(3600)
            await e.run("channel:one", "reconcile")
            assert ("seen", e.clock.now()) == (told(e, "A")[1][PRICE].seen, told(e, "A")[1][PRICE].read)

    play(run)


def test_a_refusal_and_a_request_that_was_never_answered_are_told_with_the_channels_words(tmp_path: Path) -> None:
    async def run() -> None:
        async with engine(configured(tmp_path, sqlite(tmp_path), {"A": ("1.00", 5), "B": ("1.00", 5)}, "one")) as e:
            await ready(e)

            async def answer(_operation: str, ops: Any) -> PushOutcome:
                return PushOutcome(request_id="r-17", results=[
                    PushResult(sku=op.sku, aspect=aspect, result=Result.REJECTED, code="E8", message="too low",
                               hint="raise it")
                    for op in ops for aspect in op.changed if op.sku == "A"
                ])  # fmt: skip

            e.house.channels["one"].adapter.push = answer
            await reread(e, tmp_path, {"A": ("1.10", 5), "B": ("1.10", 5)})
            e.clock.advance(5)
            await e.run("channel:one", "push")
            refused, lost = told(e, "A")[1][PRICE], told(e, "B")[1][PRICE]
            assert ("parked", "r-17") == (refused.state, refused.sent.request_id)
            assert (Result.REJECTED, "E8", "too low") == (
                refused.sent.result, refused.sent.code, refused.sent.message,
            )  # fmt: skip
            assert ("E8: too low", "raise it") == refused.refused[:2]
            assert (Result.UNKNOWN, "no answer", False) == (lost.sent.result, lost.sent.message, lost.known)

    play(run)


def test_of_an_earlier_time_it_tells_what_was_live_and_what_is_no_longer_kept(tmp_path: Path, ledger_url: str) -> None:
    async def run() -> None:
        async with engine(configured(tmp_path, ledger_url, {"A": ("1.00", 5)}, "one")) as e:
            await ready(e)
            then = e.clock.now()
            e.clock.advance(86_400)
            await reread(e, tmp_path, {"A": ("1.20", 9)})
            e.clock.advance(5)
            await e.run("account:one", "orders")
            await e.run("channel:one", "push")
            now, _ = told(e, "A")
            found, stories = told(e, "A", then)
            assert (120, 100) == (now.live.price.minor, found.live.price.minor)
            assert ["5"] == [step.value for step in stories[STOCK].steps]
            assert ({"quantity": 5}, 100) == (
                stories[STOCK].sent.content, stories[PRICE].sent.content["amount"]["minor"],
            )  # fmt: skip
            assert ("the text is the one that is live now",) == stories[LISTING].notes
            assert not [one for one in found.not_kept if "journal" in one]
            await purge.purge(e.house.ledger, e.clock.now() + timedelta(days=40), timedelta(days=1))
            found, stories = told(e, "A", then)
            assert (100, None) == (found.live.price.minor, stories[PRICE].sent)
            assert [one for one in found.not_kept if one.startswith("what was sent")]

    play(run)


def test_an_item_that_a_channel_does_not_offer_is_told_why(tmp_path: Path) -> None:
    async def run() -> None:
        extra = "assortment: {exclude: {skus: ['A*']}}\n"
        async with engine(configured(tmp_path, sqlite(tmp_path), {"A": ("1.00", 5)}, "one", extra=extra)) as e:
            await e.run("source:pim", "ingest")
            assert ("excluded: skus", "no source names it") == (told(e, "A")[0].excluded, told(e, "X")[0].excluded)
            assert "not offered: excluded: skus" == told(e, "A")[1][STOCK].steps[-1].note

    play(run)
