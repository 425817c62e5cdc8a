"""The rules that keep money safe, one by one, on the whole engine: a real ledger and a sandbox marketplace."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from marketsync.adapter.content import Aspect, PushOutcome, PushResult, Result
from marketsync.adapter.errors import ItemRefused, LeaseLost
from marketsync.daemon.lease import leased
from marketsync.domain.content import UNKNOWN
from marketsync.ledger import leases, tasks
from marketsync.ledger.gateway import Ledger
from marketsync.testing.clock import TurnedClock
from marketsync_adapters.sandbox.faults import Fault, FaultKind
from marketsync_adapters.sandbox.rules import Rules
from tests.engine import engine, play, sandboxes, write_config
from tests.integration.engine_acts import (
    FAST,
    catalogue,
    configured,
    during_push,
    offer,
    ready,
    reread,
    shown,
    sqlite,
    verify_clean,
)


class Killed(BaseException):
    """The process died."""


def test_what_is_on_its_way_is_unknown_until_the_channel_answers(tmp_path: Path, ledger_url: str) -> None:
    async def run() -> None:
        async with engine(configured(tmp_path, ledger_url, {"A": ("1.00", 5)}, "one")) as e:
            await ready(e)
            await reread(e, tmp_path, {"A": ("2.00", 5)})
            seen = []
            during_push(e, lambda: seen.append(offer(e, "A", "price_acked", "price_desired")))
            await e.run("channel:one", "push")
            ((in_flight, desired),) = seen
            assert UNKNOWN == bytes(in_flight)
            assert bytes(desired) == bytes(offer(e, "A", "price_acked"))

    play(run)


def test_acknowledged_is_what_was_sent_not_what_is_desired_by_now(tmp_path: Path, ledger_url: str) -> None:
    async def run() -> None:
        async with engine(configured(tmp_path, ledger_url, {"A": ("1.00", 5)}, "one")) as e:
            await ready(e)
            await reread(e, tmp_path, {"A": ("2.00", 5)})
            during_push(e, partial(reread, e, tmp_path, {"A": ("3.00", 5)}))
            await e.run("channel:one", "push")
            e.clock.advance(5)
            await e.run("channel:one", "push")
            assert ("3.00", 5) == shown(e, "A")
            assert verify_clean(e)

    play(run)


def test_stock_is_not_raised_before_an_order_pull_that_began_after_the_source_was_read(
    tmp_path: Path, ledger_url: str
) -> None:
    async def run() -> None:
        async with engine(configured(tmp_path, ledger_url, {"A": ("1.00", 5)}, "one")) as e:
            await ready(e)
            e.markets["one"].buy([("A", 4)])
            await reread(e, tmp_path, {"A": ("1.00", 6)})
            await e.run("channel:one", "push")
            assert ("1.00", 1) == shown(e, "A")
            e.clock.advance(1)
            await e.run("account:one", "orders")
            await e.run("channel:one", "push")
            assert ("1.00", 2) == shown(e, "A")

    play(run)


def test_stock_is_not_raised_while_order_pulls_are_stale(tmp_path: Path) -> None:
    async def run() -> None:
        async with engine(configured(tmp_path, sqlite(tmp_path), {"A": ("1.00", 5)}, "one")) as e:
            await ready(e)
            await e.house.ledger.write(
                lambda conn: tasks.save_cursor(
                    conn, "account:one", "orders", None, pulled_from=e.clock.now() + timedelta(seconds=60)
                )
            )
            await reread(e, tmp_path, {"A": ("1.00", 9)})
            e.clock.advance(3600)
            await e.run("channel:one", "push")
            assert ("1.00", 5) == shown(e, "A")

    play(run)


def test_stock_is_lowered_at_once_however_stale_the_order_pull(tmp_path: Path) -> None:
    async def run() -> None:
        async with engine(configured(tmp_path, sqlite(tmp_path), {"A": ("1.00", 5)}, "one")) as e:
            await ready(e)
            e.clock.advance(36_000)
            await reread(e, tmp_path, {"A": ("1.00", 3)})
            await e.run("channel:one", "push")
            assert ("1.00", 3) == shown(e, "A")

    play(run)


def test_after_a_sale_the_selling_channel_shows_the_most_shown_again(tmp_path: Path, ledger_url: str) -> None:
    async def run() -> None:
        extra = FAST + "stock: {show_at_most: 10}\n"
        async with engine(configured(tmp_path, ledger_url, {"A": ("1.00", 500)}, "one", extra=extra)) as e:
            await ready(e)
            e.markets["one"].buy([("A", 7)])
            assert ("1.00", 3) == shown(e, "A")
            e.clock.advance(1)
            await e.run("account:one", "orders")
            await e.run("channel:one", "push")
            assert ("1.00", 10) == shown(e, "A")

    play(run)


def test_a_sale_lowers_the_stock_of_every_other_channel(tmp_path: Path, ledger_url: str) -> None:
    async def run() -> None:
        async with engine(configured(tmp_path, ledger_url, {"A": ("1.00", 5)}, "one", "two")) as e:
            await ready(e)
            e.markets["one"].buy([("A", 2)])
            e.clock.advance(1)
            await e.run("account:one", "orders")
            await e.run("channel:two", "push")
            assert ("1.00", 3) == shown(e, "A", "two")

    play(run)


def test_the_answer_of_a_write_that_a_sale_overtook_is_not_believed(tmp_path: Path) -> None:
    async def run() -> None:
        async with engine(configured(tmp_path, sqlite(tmp_path), {"A": ("1.00", 5)}, "one")) as e:
            await ready(e)
            await reread(e, tmp_path, {"A": ("1.00", 4)})

            async def sale() -> None:
                e.markets["one"].buy([("A", 1)])
                e.clock.advance(1)
                await e.run("account:one", "orders")

            during_push(e, sale)
            await e.run("channel:one", "push")
            e.clock.advance(10)
            await e.run("account:one", "orders")
            await e.run("channel:one", "push")
            assert ("1.00", 3) == shown(e, "A")

    play(run)


def test_stock_zero_passes_an_open_listing_job_and_is_sent_again_after_it(tmp_path: Path, ledger_url: str) -> None:
    async def run() -> None:
        slow = Rules(limits={}, job_time=timedelta(minutes=10))
        path = configured(tmp_path, ledger_url, {"A": ("1.00", 5)}, "one")
        async with engine(path, rules=slow) as e:
            await e.activate()
            await e.settle(700, step=20)
            assert ("1.00", 5) == shown(e, "A")
            (tmp_path / "catalogue.csv").write_text("sku,title,price,stock\nA,Another title,1.00,5\n")
            e.clock.advance(5)
            await e.run("source:pim", "ingest")
            await e.run("channel:one", "push")
            (tmp_path / "catalogue.csv").write_text("sku,title,price,stock\nA,Another title,1.00,0\n")
            e.clock.advance(5)
            await e.run("source:pim", "ingest")
            assert offer(e, "A", "open_batch") is not None
            await e.run("channel:one", "push")
            assert ("1.00", 0) == shown(e, "A")
            writes = []
            e.markets["one"].shelf.on_stock_write.append(writes.append)
            e.clock.advance(660)
            await e.run("channel:one", "confirm")
            await e.run("channel:one", "push")
            assert [("A", 0)] == [(write.sku, write.quantity) for write in writes]
            assert verify_clean(e)

    play(run)


def test_stock_that_is_back_before_the_open_listing_job_ends_is_shown_again(tmp_path: Path, ledger_url: str) -> None:
    """Zero went past the job; what is desired then is what was confirmed before it, and still has to be sent."""

    async def run() -> None:
        slow = Rules(limits={}, job_time=timedelta(minutes=10))
        path = configured(tmp_path, ledger_url, {"A": ("1.00", 5)}, "one")
        async with engine(path, rules=slow) as e:
            await e.activate()
            await e.settle(700, step=20)
            for stock in (5, 0, 5):
                (tmp_path / "catalogue.csv").write_text(f"sku,title,price,stock\nA,Another title,1.00,{stock}\n")
                e.clock.advance(5)
                await e.run("source:pim", "ingest")
                await e.run("channel:one", "push")
            assert offer(e, "A", "open_batch") is not None
            assert ("1.00", 0) == shown(e, "A")
            await e.settle(700, step=20)
            assert ("1.00", 5) == shown(e, "A")
            assert verify_clean(e)

    play(run)


def test_a_price_lands_before_the_restock_that_waits_for_it(tmp_path: Path) -> None:
    async def run() -> None:
        async with engine(configured(tmp_path, sqlite(tmp_path), {"A": ("1.00", 0)}, "one")) as e:
            await ready(e)
            seen = []
            e.markets["one"].shelf.on_stock_write.append(lambda write: seen.append((shown(e, "A")[0], write.quantity)))
            await reread(e, tmp_path, {"A": ("9.00", 4)})
            e.clock.advance(5)
            await e.run("account:one", "orders")
            await e.run("channel:one", "push")
            await e.run("channel:one", "push")
            assert [("9.00", 4)] == seen

    play(run)


def test_a_batch_refused_as_a_whole_is_split_until_the_guilty_offer_is_alone(tmp_path: Path) -> None:
    async def run() -> None:
        rows = {f"S{number}": ("1.00", 1) for number in range(9)}
        async with engine(configured(tmp_path, sqlite(tmp_path), rows, "one")) as e:
            await ready(e)
            adapter = e.house.channels["one"].adapter
            push = adapter.push

            async def picky(operation: str, ops: Any) -> PushOutcome:
                if any(op.sku == "S4" for op in ops):
                    raise ItemRefused("one of them is wrong", code="bad")
                return await push(operation, ops)

            adapter.push = picky
            await reread(e, tmp_path, dict.fromkeys(rows, ("2.00", 1)))
            await e.run("channel:one", "push")
            prices = {one.sku: one.price["amount"] for one in e.markets["one"].shelf}
            assert dict.fromkeys(rows, "2.00") | {"S4": "1.00"} == prices
            assert [("S4", "refused_price", "bad: one of them is wrong")] == e.rows(
                "SELECT sku, code, message FROM issue WHERE closed_at IS NULL"
            )
            await e.run("channel:one", "push")
            assert offer(e, "S4", "due_at") is None
            adapter.push = push
            await reread(e, tmp_path, dict.fromkeys(rows, ("3.00", 1)))
            e.clock.advance(5)
            await e.run("channel:one", "push")
            assert ("3.00", 1) == shown(e, "S4")
            assert [] == e.rows("SELECT sku FROM issue WHERE closed_at IS NULL")

    play(run)


def test_an_api_that_refuses_everything_parks_nothing(tmp_path: Path) -> None:
    async def run() -> None:
        rows = {f"S{number}": ("1.00", 1) for number in range(8)}
        async with engine(configured(tmp_path, sqlite(tmp_path), rows, "one")) as e:
            await ready(e)

            async def refuse(_operation: str, _ops: Any) -> PushOutcome:
                raise ItemRefused("no", code="gone")

            e.house.channels["one"].adapter.push = refuse
            await reread(e, tmp_path, dict.fromkeys(rows, ("2.00", 1)))
            summary = await e.run("channel:one", "push")
            assert "failed" == summary.outcome
            assert 0 == e.rows("SELECT COUNT(*) FROM offer WHERE price_parked IS NOT NULL")[0][0]

    play(run)


def test_an_aspect_without_a_result_is_sent_again(tmp_path: Path) -> None:
    async def run() -> None:
        async with engine(configured(tmp_path, sqlite(tmp_path), {"A": ("1.00", 5), "B": ("1.00", 5)}, "one")) as e:
            await ready(e)
            adapter = e.house.channels["one"].adapter
            push = adapter.push

            async def forgetful(operation: str, ops: Any) -> PushOutcome:
                adapter.push = push
                told = PushResult(sku="A", aspect=Aspect.PRICE, result=Result.APPLIED)
                return PushOutcome(results=[told]) if operation == "prices" else await push(operation, ops)

            await reread(e, tmp_path, {"A": ("1.00", 5), "B": ("2.00", 5)})
            adapter.push = forgetful
            await e.run("channel:one", "push")
            e.clock.advance(30)
            await e.run("channel:one", "push")
            assert ("2.00", 5) == shown(e, "B")

    play(run)


def test_what_left_the_source_shows_zero_at_once_and_is_withdrawn_only_after_its_wait(
    tmp_path: Path, ledger_url: str
) -> None:
    async def run() -> None:
        rows = {"A": ("1.00", 5), "B": ("1.00", 5)}
        path = configured(tmp_path, ledger_url, rows, "one", extra=FAST + "withdraw_after: 1h\n")
        async with engine(path) as e:
            await ready(e)
            await reread(e, tmp_path, {"A": ("1.00", 5)})
            await e.run("channel:one", "push")
            assert ("1.00", 0) == shown(e, "B")
            e.clock.advance(3700)
            await e.run("channel:one", "derive")
            await e.run("channel:one", "push")
            assert ["A"] == [one.sku for one in e.markets["one"].shelf]
            assert verify_clean(e)

    play(run)


def test_a_channel_without_scheduled_sales_gets_the_sale_price_while_the_sale_runs(tmp_path: Path) -> None:
    async def run() -> None:
        path = configured(tmp_path, sqlite(tmp_path), {}, "one")
        sale = "A,Item A,9.00,5,7.00,2026-03-01T13:00:00Z,2026-03-01T14:00:00Z"
        heading = "sku,title,price,stock,sale_price,sale_starts,sale_ends"
        (tmp_path / "catalogue.csv").write_text(f"{heading}\n{sale}\n")
        async with engine(path, clock=TurnedClock(datetime(2026, 3, 1, 12, tzinfo=UTC))) as e:
            rules = e.house.channels["one"].rules
            rules.spec = replace(rules.spec, schedules_sales=False)
            await ready(e)
            shows = []
            for minutes in (0, 65, 60):
                e.clock.advance(minutes * 60)
                await e.run("ledger", "sales")
                await e.run("channel:one", "push")
                shows.append(shown(e, "A")[0])
            assert ["9.00", "7.00", "9.00"] == shows

    play(run)


def test_a_channel_that_nobody_adopted_gets_no_write(tmp_path: Path) -> None:
    async def run() -> None:
        async with engine(configured(tmp_path, sqlite(tmp_path), {"A": ("1.00", 5)}, "one")) as e:
            await e.settle(20)
            assert 0 == len(e.markets["one"].shelf)
            assert {"offers", "prices", "stock", "withdraw"}.isdisjoint(
                operation for operation, _ in e.markets["one"].requests
            )

    play(run)


def test_reading_back_heals_what_somebody_changed_by_hand_once_a_day(tmp_path: Path, ledger_url: str) -> None:
    async def run() -> None:
        async with engine(configured(tmp_path, ledger_url, {"A": ("1.00", 5)}, "one")) as e:
            await ready(e)
            market = e.markets["one"]
            for heals in (True, False):
                e.clock.advance(3600)
                price = {"sku": "A", "price": {"amount": "7.00", "currency": "EUR", "gross": True}}
                market.set_prices("main", [price])
                assert "7.00" == shown(e, "A")[0]
                await e.run("channel:one", "reconcile")
                await e.run("channel:one", "push")
                assert ("1.00" if heals else "7.00") == shown(e, "A")[0]

    play(run)


def test_an_offer_that_vanished_from_the_channel_is_created_again(tmp_path: Path) -> None:
    async def run() -> None:
        async with engine(configured(tmp_path, sqlite(tmp_path), {"A": ("1.00", 5)}, "one")) as e:
            await ready(e)
            e.markets["one"].withdraw("main", ["A"], "by hand")
            e.clock.advance(3600)
            await e.run("channel:one", "reconcile")
            await e.settle(20)
            assert ("1.00", 5) == shown(e, "A")

    play(run)


def test_a_listing_whose_creation_was_not_answered_is_looked_up_and_not_created_twice(tmp_path: Path) -> None:
    async def run() -> None:
        path = configured(tmp_path, sqlite(tmp_path), {"A": ("1.00", 5)}, "one")
        async with engine(path, clock=TurnedClock(auto=True)) as e:
            await e.activate()
            await e.run("source:pim", "ingest")
            e.clock.advance(1)
            await e.run("account:one", "orders")
            e.markets["one"].faults.add(Fault(kind=FaultKind.TIMEOUT_AFTER, operation="offers", times=5))
            await e.run("channel:one", "push")
            e.markets["one"].faults.clear()
            e.clock.advance(700)
            looked_up = e.markets["one"].requests["read_offers", 200]
            await e.run("account:one", "orders")
            for task in ("push", "confirm", "push", "push"):
                e.clock.advance(10)
                await e.run("channel:one", task)
            assert looked_up < e.markets["one"].requests["read_offers", 200]
            assert ("1.00", 5) == shown(e, "A")

    play(run)


def test_batches_of_an_older_start_without_an_answer_are_unknown_and_sent_again(
    tmp_path: Path, ledger_url: str
) -> None:
    async def run() -> None:
        clock = TurnedClock()
        path = configured(tmp_path, ledger_url, {"A": ("1.00", 5)}, "one")
        async with engine(path, clock=clock) as e:
            await ready(e)
            markets = e.markets
            await reread(e, tmp_path, {"A": ("2.00", 5)})

            async def die(_operation: str, _ops: Any) -> PushOutcome:
                raise Killed

            e.house.channels["one"].adapter.push = die
            with pytest.raises(Killed):
                await e.run("channel:one", "push")
            assert 1 == e.rows("SELECT COUNT(*) FROM push_batch WHERE closed_at IS NULL")[0][0]
        async with engine(path, clock=clock, markets=markets) as e:
            assert 0 == e.rows("SELECT COUNT(*) FROM push_batch WHERE closed_at IS NULL")[0][0]
            assert UNKNOWN == bytes(offer(e, "A", "price_acked"))
            clock.advance(30)
            await e.run("channel:one", "push")
            assert ("2.00", 5) == shown(e, "A")

    play(run)


def test_a_daemon_whose_lease_was_taken_cannot_write_any_more(tmp_path: Path, postgres_url: str) -> None:
    async def run() -> None:
        clock = TurnedClock()
        async with engine(configured(tmp_path, postgres_url, {"A": ("1.00", 5)}, "one"), clock=clock) as e:
            await ready(e)
            other = Ledger(postgres_url, e.house.ledger.vault)
            try:
                clock.advance(3600)
                taken = other.write_now(
                    partial(leases.acquire, account="*", task="daemon", owner="other:1", ttl=timedelta(hours=1),
                            now=clock.now())
                )  # fmt: skip
                assert isinstance(taken, int)
                with pytest.raises(LeaseLost):
                    await e.house.ledger.write(lambda conn: None)
                other.write_now(partial(leases.release, account="*", task="daemon", owner="other:1", epoch=taken))
            finally:
                other.close()
                e.house.ledger.fence = None

    play(run)


def test_a_daemon_waits_for_the_lease_of_a_killed_one_and_gets_a_higher_epoch(
    tmp_path: Path, postgres_url: str
) -> None:
    async def run() -> None:
        clock = TurnedClock(auto=True)
        async with engine(configured(tmp_path, postgres_url, {"A": ("1.00", 5)}, "one"), clock=clock) as e:
            ledger = e.house.ledger
            first = ledger.fence
            assert first is not None
            ledger.fence = None
            await ledger.write(
                partial(leases.acquire, account="*", task="daemon", owner=first.owner, ttl=timedelta(seconds=5),
                        now=clock.now())
            )  # fmt: skip
            other = Ledger(postgres_url, ledger.vault)
            try:
                async with leased(other, clock) as fence:
                    assert first.epoch < fence.epoch
            finally:
                other.close()

    play(run)


def test_until_every_source_was_read_once_nothing_leaves_but_what_lowers(tmp_path, ledger_url):
    """An override that nobody has read yet may say that the price is another."""

    async def scene():
        catalogue(tmp_path, {"A": ("10.00", 5)})
        sources = (
            "sources:\n  pim: {file: catalogue.csv, owns: [content, price, stock], falls_at: never}\n"
            "  fixed: {file: overrides.csv, owns: overrides}\n"
        )
        path = write_config(tmp_path, ledger_url, sources + sandboxes("one", extra=FAST))
        async with engine(path) as e:
            await e.activate()
            await e.settle(30)
            assert [] == list(e.markets["one"].shelf)
            (tmp_path / "overrides.csv").write_text("channel,sku,field,value\n*,A,price,12.00 EUR\n")
            await e.settle(60)
            assert ("12.00", 5) == shown(e, "A")

    play(scene)
