"""Guards: an absurd change never reaches a channel by itself, everything else does, and a person has the last word."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from marketsync.adapter.content import Aspect
from marketsync.ledger import channels as channel_store
from marketsync.ledger import holds
from marketsync.ledger.types import micros
from marketsync.ledger.verify import verify
from marketsync.testing.clock import TurnedClock
from marketsync_adapters.sandbox.market import Market
from tests.engine import Engine, engine, play, sandboxes, write_config
from tests.integration.engine_acts import shown

FAST = "schedule: {orders: 1m, stock: 1s, price: 1s, listing: 1s}\nprice: {country: DE}\n"
MANY = 40


def catalogue(folder: Path, rows: dict[str, tuple[str, int, str]], header: str = "sku,title,price,stock,cost") -> None:
    more = "," * (header.count(",") - 4)
    lines = [f"{sku},Item {sku},{price},{stock},{cost}{more}" for sku, (price, stock, cost) in rows.items()]
    (folder / "catalogue.csv").write_text("\n".join([header, *lines]) + "\n")


def many(price: str = "10.00", pieces: int = 5, count: int = MANY) -> dict[str, tuple[str, int, str]]:
    return {f"S{n:03d}": (price, pieces, "4.00") for n in range(count)}


@asynccontextmanager
async def running(
    folder: Path, ledger: str, rows: dict[str, tuple[str, int, str]], guards: str = "guards: {}\n", source: str = ""
) -> AsyncIterator[Engine]:
    """A channel that shows these rows, adopted and quiet."""
    catalogue(folder, rows)
    path = write_config(
        folder, ledger,
        "vat: {DE: {standard: 0%}}\nsources:\n  pim: {file: catalogue.csv, owns: [content, price, cost, stock], falls_at: never" + source + "}\n"
        + sandboxes("one", extra=FAST + guards),
    )  # fmt: skip
    clock = TurnedClock()
    async with engine(path, markets={"one": Market(None, clock)}, clock=clock) as e:
        await e.settle(5)
        await e.activate()
        await e.settle(90)
        yield e


async def feed(e: Engine, folder: Path, rows: dict[str, tuple[str, int, str]], **more: str) -> None:
    catalogue(folder, rows, **more)
    await e.settle(90)


def held(e: Engine, state: str = "held") -> list[tuple[str, str | None]]:
    found = e.house.ledger.read_now(partial(holds.listing, state=state))
    return [(one.guard, one.sku) for one in found]


async def approve(e: Engine, **chosen: Any) -> None:
    now = micros(e.clock.now())
    for one in e.house.ledger.read_now(partial(holds.listing, **chosen)):
        await e.house.ledger.write(
            partial(holds.decide, hold=one, state="approved", who="ann", reason="meant", now=now)
        )
        if one.sku is None and one.channel is not None and one.aspect is not None:
            channel = e.house.channels[one.channel].id
            await e.house.ledger.write(
                partial(holds.let_run_go, channel_id=channel, aspect=Aspect(one.aspect), limit=10_000)
            )
    await e.settle(90)


def prices(e: Engine) -> set[str]:
    return {offer.price["amount"] for offer in e.markets["one"].shelf}


def well(e: Engine) -> None:
    now = e.clock.now()
    assert [] == e.house.ledger.read_now(lambda conn: verify(conn, e.house.ledger.vault, now))


def test_a_feed_with_every_price_a_hundredth_reaches_no_channel(tmp_path: Path, ledger_url: str) -> None:
    """12 December 2014: goods for 10,990 pounds were shipped for 146. Here the run is held, and each price too."""

    async def scene() -> None:
        async with running(tmp_path, ledger_url, many()) as e:
            assert {"10.00"} == prices(e)
            await feed(e, tmp_path, many("0.10"))
            assert {"10.00"} == prices(e)
            assert [("prices_moved", None)] == held(e)[:1]
            # The floor from cost makes 4.00 of every price: still 60 % less.
            assert {("price_change", f"S{n:03d}") for n in range(MANY)} == set(held(e)[1:])
            await feed(e, tmp_path, many("10.00"))
            assert [] == held(e)
            assert {"10.00"} == prices(e)
            well(e)

    play(scene)


def test_a_feed_that_is_cut_off_takes_nothing_from_any_channel(tmp_path: Path, ledger_url: str) -> None:
    """The first 40 % of the rows are there: nothing of it is applied, and the whole feed is taken again later."""

    async def scene() -> None:
        async with running(tmp_path, ledger_url, many()) as e:
            cut = dict(list(many(pieces=4).items())[: MANY * 4 // 10])
            await feed(e, tmp_path, cut)
            assert [("shrunk", None)] == held(e)
            assert {5} == {offer.quantity for offer in e.markets["one"].shelf}
            await feed(e, tmp_path, many(pieces=6))
            assert [] == held(e)
            assert {6} == {offer.quantity for offer in e.markets["one"].shelf}
            well(e)

    play(scene)


def test_a_source_that_sets_much_to_zero_is_held_and_approved_by_a_person(tmp_path: Path, ledger_url: str) -> None:
    async def scene() -> None:
        async with running(tmp_path, ledger_url, many()) as e:
            rows = many()
            for n in range(MANY // 2):
                rows[f"S{n:03d}"] = ("10.00", 0, "4.00")
            await feed(e, tmp_path, rows)
            assert [("zeroed", None)] == held(e)
            assert ("10.00", 5) == shown(e, "S000")
            await approve(e)
            assert ("10.00", 0) == shown(e, "S000")
            assert [] == held(e)
            assert [("zeroed", None)] == held(e, "approved")
            well(e)

    play(scene)


def test_sales_never_count_against_the_share_of_zeros(tmp_path: Path, ledger_url: str) -> None:
    async def scene() -> None:
        async with running(tmp_path, ledger_url, many(pieces=1)) as e:
            for n in range(MANY):
                e.markets["one"].buy([(f"S{n:03d}", 1)])
            await e.settle(120)
            assert {0} == {offer.quantity for offer in e.markets["one"].shelf}
            assert [] == held(e)

    play(scene)


def test_what_trips_is_held_and_the_rest_goes_through(tmp_path: Path, ledger_url: str) -> None:
    async def scene() -> None:
        async with running(tmp_path, ledger_url, many()) as e:
            rows = many() | {"S000": ("16.00", 7, "4.00"), "S001": ("12.00", 7, "4.00")}
            await feed(e, tmp_path, rows)
            assert [("price_change", "S000")] == held(e)
            assert ("12.00", 7) == shown(e, "S001")
            # The price is held, and with it the raise of the stock: it would sell at the old price.
            assert ("10.00", 5) == shown(e, "S000")
            await approve(e)
            assert ("16.00", 7) == shown(e, "S000")
            well(e)

    play(scene)


def test_steps_of_a_price_add_up_over_a_day(tmp_path: Path, ledger_url: str) -> None:
    """29 % and 29 % again are 66 %: each step alone would pass."""

    async def scene() -> None:
        async with running(tmp_path, ledger_url, many()) as e:
            await feed(e, tmp_path, many() | {"S000": ("12.90", 5, "4.00")})
            assert ("12.90", 5) == shown(e, "S000")
            await feed(e, tmp_path, many() | {"S000": ("16.64", 5, "4.00")})
            assert ("12.90", 5) == shown(e, "S000")
            assert [("price_change", "S000")] == held(e)

    play(scene)


def test_an_approved_price_is_what_later_ones_are_compared_with(tmp_path: Path, ledger_url: str) -> None:
    async def scene() -> None:
        async with running(tmp_path, ledger_url, many()) as e:
            await feed(e, tmp_path, many() | {"S000": ("16.00", 5, "4.00")})
            await approve(e)
            await feed(e, tmp_path, many() | {"S000": ("20.00", 5, "4.00")})
            assert ("20.00", 5) == shown(e, "S000")
            assert [] == held(e)

    play(scene)


def test_a_hold_renews_when_its_cause_changes_and_stays_rejected_while_it_does_not(
    tmp_path: Path, ledger_url: str
) -> None:
    async def scene() -> None:
        async with running(tmp_path, ledger_url, many()) as e:
            await feed(e, tmp_path, many() | {"S000": ("16.00", 5, "4.00")})
            (first,) = e.house.ledger.read_now(holds.listing)
            now = micros(e.clock.now())
            await e.house.ledger.write(
                partial(holds.decide, hold=first, state="rejected", who="ann", reason="a typo", now=now)
            )
            await feed(e, tmp_path, many() | {"S000": ("16.00", 6, "4.00")})
            assert ([], [("price_change", "S000")]) == (held(e), held(e, "rejected"))
            await feed(e, tmp_path, many() | {"S000": ("17.00", 5, "4.00")})
            assert ([("price_change", "S000")], []) == (held(e), held(e, "rejected"))
            assert ("10.00", 5) == shown(e, "S000")

    play(scene)


def test_a_first_price_with_nothing_to_compare_it_with_waits_until_a_cost_is_known(
    tmp_path: Path, ledger_url: str
) -> None:
    async def scene() -> None:
        async with running(tmp_path, ledger_url, many()) as e:
            await feed(e, tmp_path, many() | {"NEW": ("0.01", 3, "")})
            assert [("no_reference", "NEW")] == held(e)
            assert "NEW" not in {offer.sku for offer in e.markets["one"].shelf}
            await feed(e, tmp_path, many() | {"NEW": ("9.00", 3, "5.00")})
            assert [] == held(e)
            assert ("9.00", 3) == shown(e, "NEW")
            well(e)

    play(scene)


def test_a_jump_of_the_stock_is_held(tmp_path: Path, ledger_url: str) -> None:
    async def scene() -> None:
        async with running(tmp_path, ledger_url, many()) as e:
            await feed(e, tmp_path, many() | {"S000": ("10.00", 4_000, "4.00"), "S001": ("10.00", 90, "4.00")})
            assert [("stock_jump", "S000")] == held(e)
            assert [5, 90] == [shown(e, sku)[1] for sku in ("S000", "S001")]

    play(scene)


@pytest.mark.parametrize(
    ("header", "guard"),
    [("sku,title,price,stock,cost,sale_price", "header"), ("sku,title,price,stock,cost", None)],
    ids=["another column", "the same columns"],
)
def test_a_feed_with_other_columns_is_held(tmp_path: Path, ledger_url: str, header: str, guard: str | None) -> None:
    async def scene() -> None:
        async with running(tmp_path, ledger_url, many()) as e:
            await feed(e, tmp_path, many(pieces=6), header=header)
            assert ([] if guard is None else [(guard, None)]) == held(e)
            assert {6 if guard is None else 5} == {offer.quantity for offer in e.markets["one"].shelf}
            await approve(e)
            assert {6} == {offer.quantity for offer in e.markets["one"].shelf}

    play(scene)


def test_a_change_of_rules_that_moves_every_price_is_held(tmp_path: Path, ledger_url: str) -> None:
    """20 % more on everything passes no guard of a single price, and is a run all the same."""

    async def scene() -> None:
        async with running(tmp_path, ledger_url, many()) as e:
            await e.house.ledger.write(
                partial(channel_store.keep_rules, channel_id=e.house.channels["one"].id, rules_hash=b"older")
            )
        path = tmp_path / "marketsync.yaml"
        path.write_text(path.read_text().replace("{country: DE}", "{country: DE, markup: 20%}"))
        async with engine(path, markets=e.markets, clock=e.clock) as again:
            await again.settle(90)
            assert {"10.00"} == prices(again)
            assert [("prices_moved", None)] == held(again)
            await approve(again)
            assert {"12.00"} == prices(again)
            well(again)

    play(scene)


def test_a_run_that_a_crash_cut_off_is_judged_at_the_next_reading(tmp_path: Path, ledger_url: str) -> None:
    async def scene() -> None:
        async with running(tmp_path, ledger_url, many()) as e:
            e.house.runs.add("a reading that never ends")
            await feed(e, tmp_path, many("12.00"))
            assert ({"10.00"}, []) == (prices(e), held(e))
            e.house.runs.clear()  # the daemon was killed and starts again; the file is the same
            await e.settle(90)
            assert ({"10.00"}, [("prices_moved", None)]) == (prices(e), held(e))

    play(scene)


def test_nothing_is_held_while_a_channel_observes(tmp_path: Path, ledger_url: str) -> None:
    async def scene() -> None:
        catalogue(tmp_path, many())
        body = "sources:\n  pim: {file: catalogue.csv, owns: [content, price, stock], falls_at: never}\n"
        async with engine(
            write_config(tmp_path, ledger_url, body + sandboxes("one", extra=FAST + "guards: {}\n"))
        ) as e:
            await e.settle(30)
            await feed(e, tmp_path, many("99.00"))
            assert [] == held(e)

    play(scene)
