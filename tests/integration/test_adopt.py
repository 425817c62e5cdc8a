"""The first contact with a live shop: who is who, what would change, and nothing is created twice."""

from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import text

from marketsync.adapter.content import Aspect, OfferOp, PushOutcome
from marketsync.adapter.money import Money
from marketsync.ledger.types import micros
from marketsync.sync.adopt import AdoptReport, hold_twins, look, take
from marketsync.sync.matching import Ambiguity, Matches, Suggestion, There, match
from marketsync.sync.plan import Change, Plan
from marketsync.sync.rehearse import rehearse
from marketsync.testing.clock import TurnedClock
from marketsync_adapters.sandbox.faults import Fault, FaultKind
from tests.engine import Engine, engine, play, sandboxes, write_config
from tests.integration.engine_acts import FAST, offer, shown, sqlite

GTIN = {"A": "4006381333931", "B": "4006381333948", "C": "", "D": "036000291452"}
ALL = frozenset(Aspect)
MAP = "listing_map: {ONE-C: {C: 1}}\n"


def configured(folder: Path, ledger: str, extra: str = "") -> Path:
    lines = [f"{sku},Item {sku},{gtin},10.00,5" for sku, gtin in GTIN.items()]
    (folder / "catalogue.csv").write_text("\n".join(["sku,title,gtin,price,stock", *lines]) + "\n")
    source = "sources:\n  pim: {file: catalogue.csv, owns: [content, price, stock], falls_at: never}\n"
    return write_config(folder, ledger, source + sandboxes("one", extra=FAST + extra))


def there(e: Engine, sku: str, *, gtin: str = "", price: str = "10.00", stock: int = 5) -> None:
    """The shop has this offer already."""
    amount = {"amount": price, "currency": "EUR", "gross": True}
    item = {
        "sku": sku,
        "listing": {"title": f"Item {sku}", "gtin": gtin},
        "price": amount,
        "stock": {"quantity": stock},
    }
    e.markets["one"].submit("main", [item], f"by hand {sku}")
    e.clock.advance(5)
    e.markets["one"].settle()
    assert sku in {one.sku for one in e.markets["one"].shelf}


async def begun(e: Engine) -> None:
    await e.run("source:pim", "ingest")
    e.clock.advance(10)


def matched(e: Engine, *seen: There) -> Matches:
    channel = e.house.channels["one"]
    return e.house.ledger.read_now(
        partial(match, channel_id=channel.id, there=seen, mapped=frozenset(channel.config.listing_map))
    )


async def would_change(e: Engine, report: AdoptReport, takes: frozenset[Aspect] = ALL) -> Sequence[Change]:
    now = micros(e.clock.now())
    prepare = partial(hold_twins, channel=e.house.channels["one"], report=report, now=now)
    async with rehearse(e.house, ["one"], adopting=takes, prepare=prepare) as rehearsal:
        return list(Plan(e.house, rehearsal, ALL, {}).changes())


def creates_of(e: Engine) -> list[str]:
    """The SKUs of every listing that is created from here on."""
    adapter: Any = e.house.channels["one"].adapter
    push, created = adapter.push, []

    async def pushing(operation: str, ops: Sequence[OfferOp]) -> PushOutcome:
        created.extend(op.sku for op in ops if op.channel_id is None and Aspect.LISTING in op.changed)
        return await push(operation, ops)  # type: ignore[no-any-return]

    adapter.push = pushing
    return created


def test_what_is_there_is_matched_by_sku_and_listing_map_and_the_rest_is_unknown_or_missing(
    tmp_path: Path, ledger_url: str
) -> None:
    async def run() -> None:
        async with engine(configured(tmp_path, ledger_url, MAP)) as e:
            await begun(e)
            there(e, "A")
            there(e, "ONE-C")
            there(e, "STRANGE")
            report = await look(e.house, "one")
            found = report.matches
            assert (1, 1, 1, ["STRANGE"]) == (found.by_sku, found.by_map, found.unknown, found.unknown_skus)
            assert (2, 2, ["B", "D"]) == (report.matched, report.missing, report.missing_skus)
            assert ([], []) == (found.suggestions, found.ambiguous)

    play(run)


def test_what_is_there_under_another_sku_is_suggested_by_its_gtin_and_never_renamed(
    tmp_path: Path, ledger_url: str
) -> None:
    async def run() -> None:
        async with engine(configured(tmp_path, ledger_url)) as e:
            await begun(e)
            there(e, "B-2019", gtin=GTIN["B"])
            there(e, "D-2019", gtin="0" + GTIN["D"])  # the UPC as an EAN
            report = await look(e.house, "one")
            assert {("B-2019", "B"), ("D-2019", "D")} == {(s.channel_sku, s.sku) for s in report.matches.suggestions}
            assert {"GTIN 4006381333948", "GTIN 36000291452"} == {s.by for s in report.matches.suggestions}
            assert [None, None] == [offer(e, sku, "remote_id") for sku in ("B", "D")]

    play(run)


def test_an_id_that_shows_another_sku_is_suggested(tmp_path: Path, ledger_url: str) -> None:
    async def run() -> None:
        async with engine(configured(tmp_path, ledger_url)) as e:
            await begun(e)
            e.house.ledger.write_now(
                lambda conn: conn.execute(text("UPDATE offer SET remote_id = 'of-9' WHERE sku = 'A'"))
            )
            found = matched(e, There("A-RENAMED", "of-9", ""))
            assert [Suggestion("A-RENAMED", "A", "channel id", "of-9")] == found.suggestions

    play(run)


def test_what_cannot_be_told_apart_is_ambiguous(tmp_path: Path, ledger_url: str) -> None:
    async def run() -> None:
        async with engine(configured(tmp_path, ledger_url)) as e:
            await begun(e)
            twice = matched(e, There("A", "of-1", ""), There("A", "of-2", ""))
            assert [Ambiguity("2 offers on the channel have the SKU A", ("of-1", "of-2"), ("A",))] == twice.ambiguous
            two = matched(e, There("X", "of-1", GTIN["B"]), There("Y", "of-2", GTIN["B"]))
            assert [(("X", "Y"), ("B",))] == [(one.there, one.ours) for one in two.ambiguous]
            assert ([], 0) == (two.suggestions, two.unknown)
            e.house.ledger.write_now(
                lambda conn: conn.execute(text("UPDATE offer SET remote_id = 'of-1' WHERE sku = 'B'"))
            )
            again = matched(e, There("B", "of-1", GTIN["B"]), There("B-COPY", "of-2", GTIN["B"]))
            assert [(("B-COPY",), ("B",))] == [(one.there, one.ours) for one in again.ambiguous]

    play(run)


def test_the_report_tells_the_prices_and_stock_it_would_change_and_by_how_much(tmp_path: Path, ledger_url: str) -> None:
    async def run() -> None:
        async with engine(configured(tmp_path, ledger_url)) as e:
            await begun(e)
            there(e, "A", gtin=GTIN["A"], price="8.00", stock=50)
            there(e, "B", gtin=GTIN["B"], stock=1)
            changes = await would_change(e, await look(e.house, "one"), frozenset({Aspect.PRICE, Aspect.STOCK}))
            assert {
                ("A", Aspect.PRICE, Money(800, "EUR"), Money(1000, "EUR"), 200, 25.0),
                ("A", Aspect.STOCK, 50, 5, -45, None),
                ("B", Aspect.STOCK, 1, 5, 4, None),
            } == {(c.sku, c.aspect, c.old, c.new, c.difference, c.percent) for c in changes if not c.waits}
            assert {("C", "listing"), ("D", "listing")} == {(c.sku, c.waits) for c in changes if c.waits}

    play(run)


def test_what_is_perhaps_there_already_is_held_and_not_created(tmp_path: Path, ledger_url: str) -> None:
    async def run() -> None:
        async with engine(configured(tmp_path, ledger_url)) as e:
            await begun(e)
            there(e, "B-2019", gtin=GTIN["B"])
            report = await look(e.house, "one")
            assert {"B"} == {
                c.sku for c in await would_change(e, report) if c.waits == "held" and c.aspect is Aspect.LISTING
            }
            await take(e.house, report, ALL)
            await e.settle(20)
            assert {"A", "B-2019", "C", "D"} == {one.sku for one in e.markets["one"].shelf}
            assert [("B", "listing", "twin", "held")] == e.rows("SELECT sku, aspect, guard, state FROM hold")

    play(run)


def test_adopting_again_opens_no_second_hold(tmp_path: Path) -> None:
    async def run() -> None:
        async with engine(configured(tmp_path, sqlite(tmp_path))) as e:
            await begun(e)
            there(e, "B-2019", gtin=GTIN["B"])
            for _ in range(2):
                await take(e.house, await look(e.house, "one"), ALL)
            assert [(1,)] == e.rows("SELECT COUNT(*) FROM hold WHERE state = 'held'")

    play(run)


def test_only_the_aspects_that_are_taken_are_written(tmp_path: Path) -> None:
    async def run() -> None:
        async with engine(configured(tmp_path, sqlite(tmp_path))) as e:
            await begun(e)
            there(e, "A", price="8.00", stock=50)
            await take(e.house, await look(e.house, "one"), frozenset({Aspect.PRICE}))
            await e.settle(20)
            assert ("10.00", 50) == shown(e, "A")
            assert {"A"} == {one.sku for one in e.markets["one"].shelf}

    play(run)


def test_open_orders_are_told_with_their_age(tmp_path: Path, ledger_url: str) -> None:
    async def run() -> None:
        async with engine(configured(tmp_path, ledger_url)) as e:
            await begun(e)
            there(e, "A")
            assert not (await look(e.house, "one")).orders.read
            e.markets["one"].buy([("A", 1)])
            placed = e.clock.now()
            e.clock.advance(1)
            await e.run("account:one", "orders")
            e.clock.advance(timedelta(days=8).total_seconds())
            orders = (await look(e.house, "one")).orders
            assert (1, placed, {"1 d": 1, "7 d": 1, "30 d": 0}, True) == (
                orders.count,
                orders.oldest,
                orders.older,
                orders.read,
            )

    play(run)


def test_a_listing_whose_creation_was_not_answered_is_found_and_not_created_again(
    tmp_path: Path, ledger_url: str
) -> None:
    async def run() -> None:
        async with engine(configured(tmp_path, ledger_url), clock=TurnedClock(auto=True)) as e:
            await begun(e)
            await take(e.house, await look(e.house, "one"), ALL)
            await e.run("channel:one", "derive")
            created = creates_of(e)
            e.markets["one"].faults.add(Fault(FaultKind.TIMEOUT_AFTER, "offers", times=5))
            await e.run("channel:one", "push")
            e.markets["one"].faults.clear()
            e.clock.advance(700)
            await e.run("account:one", "orders")
            for task in ("push", "confirm", "push", "push"):
                e.clock.advance(10)
                await e.run("channel:one", task)
            assert sorted(GTIN) == sorted(created)
            assert {("10.00", 5)} == {shown(e, sku) for sku in GTIN}
            assert None not in {offer(e, sku, "remote_id") for sku in GTIN}

    play(run)
