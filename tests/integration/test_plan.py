"""A plan is what the next push does, told beforehand; and applying one does that and nothing else."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from marketsync.adapter.content import Aspect, OfferOp, PushOutcome
from marketsync.adapter.money import Money
from marketsync.domain.content import UNKNOWN
from marketsync.ledger.outbox import refresh
from marketsync.sync import plan_file
from marketsync.sync.apply import apply
from marketsync.sync.plan import Change, Plan, stored_limits
from marketsync.sync.rehearse import rehearse
from marketsync.testing.clock import TurnedClock
from tests.engine import Engine, engine, play
from tests.integration.engine_acts import configured, offer, ready, reread, shown, sqlite

ROWS = {"A": ("10.00", 5), "B": ("20.00", 8), "C": ("30.00", 0), "D": ("40.00", 3)}
LISTING, PRICE, STOCK = Aspect.LISTING, Aspect.PRICE, Aspect.STOCK


async def planned(e: Engine, *, skus: Sequence[str] | None = None, aspects: Iterable[Aspect] = Aspect) -> list[Change]:
    _, changes = await plan_of(e, skus=skus, aspects=aspects)
    return changes


async def plan_of(
    e: Engine, *, skus: Sequence[str] | None = None, aspects: Iterable[Aspect] = Aspect
) -> tuple[Plan, list[Change]]:
    stored = await e.house.ledger.read(lambda conn: stored_limits(conn, list(e.house.accounts)))
    async with rehearse(e.house, list(e.house.channels), skus=skus) as rehearsal:
        made = Plan(e.house, rehearsal, frozenset(aspects), stored)
        return made, list(made.changes())


async def written(e: Engine, folder: Path, **only: Any) -> plan_file.PlanFile:
    """A plan by way of its file."""
    stored = await e.house.ledger.read(lambda conn: stored_limits(conn, list(e.house.accounts)))
    async with rehearse(e.house, list(e.house.channels), skus=only.get("skus")) as rehearsal:
        made = Plan(e.house, rehearsal, frozenset(only.get("aspects", Aspect)), stored)
        plan_file.write(folder / "plan.json", plan_file.lines(made, {}, lambda _change: None))
    return plan_file.read(folder / "plan.json")


def sent_by(e: Engine, channel: str = "one") -> list[OfferOp]:
    """Every op that the channel's adapter is given from here on."""
    adapter: Any = e.house.channels[channel].adapter
    push, ops = adapter.push, []

    async def pushing(operation: str, given: Sequence[OfferOp]) -> PushOutcome:
        ops.extend(given)
        return await push(operation, given)  # type: ignore[no-any-return]

    adapter.push = pushing
    return ops


async def push(e: Engine) -> None:
    """One push, to its end: listings are created by a job of the market, their price and stock follow."""
    summary = await e.run("channel:one", "push")
    assert ("done", "") == (summary.outcome, summary.error)
    if summary.counts.get("submitted"):
        e.clock.advance(3)
        await e.run("channel:one", "confirm")
        await e.run("channel:one", "push")


def said(changes: Iterable[Change], *, waits: bool = False) -> set[tuple[str, Aspect]]:
    return {(one.sku, one.aspect) for one in changes if bool(one.waits) is waits}


def did(ops: Iterable[OfferOp]) -> set[tuple[str, Aspect]]:
    return {(op.sku, aspect) for op in ops for aspect in op.changed}


def change(changes: Iterable[Change], sku: str, aspect: Aspect) -> Change:
    (found,) = [one for one in changes if (one.sku, one.aspect) == (sku, aspect)]
    return found


def hold(e: Engine, sku: str, bits: int, *, aspect: str = "price") -> None:
    def write(conn: Any) -> None:
        conn.execute(text("UPDATE offer SET held = :bits WHERE sku = :sku"), {"bits": bits, "sku": sku})
        conn.execute(text(refresh(conn.dialect.name, "1 = 1")))
        conn.execute(
            text(
                "INSERT INTO hold (channel, sku, aspect, guard, message, state, opened_at, decided_by, reason)"
                " VALUES ('one', :sku, :aspect, 'price_change', '+900 %', 'held', 0, '', '')"
            ),
            {"sku": sku, "aspect": aspect},
        )

    e.house.ledger.write_now(write)


# ------------------------------------------------------------------ plan


def test_a_plan_is_what_the_next_push_does(tmp_path: Path, ledger_url: str) -> None:
    async def run() -> None:
        async with engine(configured(tmp_path, ledger_url, ROWS, "one")) as e:
            await ready(e)
            rows = {"A": ("11.00", 5), "B": ("20.00", 2), "C": ("30.00", 9), "NEW": ("5.00", 1)}  # D is gone
            await reread(e, tmp_path, rows)
            e.clock.advance(1)
            await e.run("account:one", "orders")
            changes = await planned(e)
            ops = sent_by(e)
            await push(e)
            expected = {("A", PRICE), ("B", STOCK), ("C", STOCK), ("D", STOCK), *[("NEW", aspect) for aspect in Aspect]}
            assert expected == did(ops)
            assert expected == said(changes)
            assert [] == await planned(e)

    play(run)


def test_a_plan_tells_old_and_new_with_the_difference_and_what_cannot_be_undone(tmp_path: Path) -> None:
    async def run() -> None:
        async with engine(configured(tmp_path, sqlite(tmp_path), ROWS, "one")) as e:
            await ready(e)
            await reread(e, tmp_path, {**ROWS, "A": ("7.50", 5), "B": ("20.00", 2), "NEW": ("5.00", 1)})
            changes = await planned(e)
            price, stock = change(changes, "A", PRICE), change(changes, "B", STOCK)
            assert (Money(1000, "EUR"), Money(750, "EUR"), -250, -25.0) == (
                price.old, price.new, price.difference, price.percent,
            )  # fmt: skip
            assert (8, 2, -6) == (stock.old, stock.new, stock.difference)
            assert {("A", "update", True), ("NEW", "create", False)} == {
                (one.sku, one.action, one.undoable)
                for one in changes
                if one.sku in {"A", "NEW"} and one.aspect is PRICE
            }

    play(run)


def test_a_plan_names_the_fields_of_a_listing_that_change(tmp_path: Path) -> None:
    async def run() -> None:
        async with engine(configured(tmp_path, sqlite(tmp_path), {"A": ("1.00", 5)}, "one")) as e:
            await ready(e)
            catalogue = tmp_path / "catalogue.csv"
            catalogue.write_text(catalogue.read_text().replace("Item A", "Better A"))
            e.clock.advance(1)
            await e.run("source:pim", "ingest")
            assert ("title",) == change(await planned(e), "A", LISTING).fields

    play(run)


@pytest.mark.parametrize("busy", [False, True])
def test_a_listing_is_planned_with_its_whole_family_and_waits_for_it(
    tmp_path: Path, ledger_url: str, busy: bool
) -> None:
    async def run() -> None:
        async with engine(configured(tmp_path, ledger_url, ROWS, "one")) as e:
            await ready(e)
            account = e.house.accounts["one"]
            account.spec = replace(account.spec, groups_variants=True)
            catalogue = tmp_path / "catalogue.csv"
            catalogue.write_text(catalogue.read_text().replace("Item A", "Better A"))
            e.clock.advance(1)
            await e.run("source:pim", "ingest")

            def write(conn: Any) -> None:
                conn.execute(text("UPDATE offer SET family = 'fruit' WHERE sku IN ('A', 'B')"))
                if busy:
                    conn.execute(text("UPDATE offer SET open_batch = 1, open_aspects = 2 WHERE sku = 'B'"))

            e.house.ledger.write_now(write)
            changes = await planned(e)
            assert [("A", LISTING, "limit" if busy else "")] == [(one.sku, one.aspect, one.waits) for one in changes]
            ops = sent_by(e)
            await push(e)
            assert ([] if busy else ["A", "B"]) == [op.sku for op in ops]

    play(run)


def test_a_plan_changes_nothing(tmp_path: Path, ledger_url: str) -> None:
    async def run() -> None:
        async with engine(configured(tmp_path, ledger_url, ROWS, "one")) as e:
            await ready(e)
            await reread(e, tmp_path, {**ROWS, "A": ("7.50", 5)})
            tables = ("offer", "push_batch", "push_item", "hold", "task_state", "price_history")
            before = [e.rows(f"SELECT * FROM {table} ORDER BY 1, 2") for table in tables]
            ops = sent_by(e)
            await planned(e)
            assert before == [e.rows(f"SELECT * FROM {table} ORDER BY 1, 2") for table in tables]
            assert [] == ops

    play(run)


def test_what_waits_is_planned_with_its_reason(tmp_path: Path, ledger_url: str) -> None:
    async def run() -> None:
        async with engine(configured(tmp_path, ledger_url, {**ROWS, "E": ("5.00", 5), "F": ("6.00", 6)}, "one")) as e:
            await ready(e)
            rows = {
                "A": ("90.00", 5),
                "B": ("21.00", 9),
                "C": ("30.00", 7),
                "D": ("41.00", 3),
                "E": ("6.00", 5),
                "F": ("7.00", 6),
            }
            await reread(e, tmp_path, rows)
            hold(e, "A", 2)
            hold(e, "F", 16, aspect="stock")
            later = e.clock.now() + timedelta(hours=1)

            def write(conn: Any) -> None:
                conn.execute(text("UPDATE offer SET price_parked = price_desired WHERE sku = 'D'"))
                values = {"due": int(later.timestamp() * 1e6)}
                conn.execute(text("UPDATE offer SET price_due = :due WHERE sku = 'E'"), values)
                conn.execute(text(refresh(conn.dialect.name, "1 = 1")))

            e.house.ledger.write_now(write)
            changes = await planned(e)
            assert {
                ("A", PRICE, "held"), ("B", STOCK, "order pull"), ("C", STOCK, "order pull"), ("D", PRICE, "refused"),
                ("E", PRICE, "scheduled"), ("F", PRICE, "held"),
            } == {(one.sku, one.aspect, one.waits) for one in changes if one.waits}  # fmt: skip
            assert "+900 %" in change(changes, "A", PRICE).why
            assert "whole run" in change(changes, "F", PRICE).why
            assert later == change(changes, "E", PRICE).until
            ops = sent_by(e)
            await push(e)
            assert did(ops) == said(changes) == {("B", PRICE)}

    play(run)


def test_a_source_whose_reading_is_held_is_named(tmp_path: Path) -> None:
    async def run() -> None:
        async with engine(configured(tmp_path, sqlite(tmp_path), ROWS, "one")) as e:
            sql = (
                "INSERT INTO hold (source, guard, message, state, opened_at, decided_by, reason)"
                " VALUES ('pim', 'shrunk', '60 % are gone', 'held', 0, '', '')"
            )
            e.house.ledger.write_now(lambda conn: conn.execute(text(sql)))
            made, _ = await plan_of(e)
            assert {"pim": "hold 1: 60 % are gone"} == made.sources

    play(run)


def test_on_a_channel_that_only_observes_every_change_waits_for_its_adoption(tmp_path: Path) -> None:
    async def run() -> None:
        async with engine(configured(tmp_path, sqlite(tmp_path), ROWS, "one")) as e:
            await e.settle(5)
            made, changes = await plan_of(e)
            one = made.channels["one"]
            assert {"the channel is observing: new"} == {c.why for c in changes if c.waits == "channel"}
            assert (0, 12, {}) == (one.changes, sum(one.waiting.values()), one.calls)

    play(run)


def test_a_listing_whose_creation_was_never_answered_is_looked_up_first(tmp_path: Path) -> None:
    async def run() -> None:
        async with engine(configured(tmp_path, sqlite(tmp_path), {"A": ("1.00", 5)}, "one")) as e:
            await e.activate()
            await e.run("source:pim", "ingest")
            lost = "UPDATE offer SET listing_acked = :unknown"
            e.house.ledger.write_now(lambda conn: conn.execute(text(lost), {"unknown": UNKNOWN}))
            assert "looked up first" in change(await planned(e), "A", LISTING).why

    play(run)


def test_a_plan_keeps_to_skus_and_aspects(tmp_path: Path) -> None:
    async def run() -> None:
        async with engine(configured(tmp_path, sqlite(tmp_path), ROWS, "one", "two")) as e:
            await ready(e)
            await reread(e, tmp_path, {"A": ("11.00", 4), "B": ("21.00", 7), "C": ("31.00", 0), "D": ("40.00", 3)})
            assert {("A", STOCK), ("A", PRICE)} == said(await planned(e, skus=["A"]))
            assert {("A", PRICE), ("B", PRICE), ("C", PRICE)} == said(await planned(e, aspects=[PRICE]))
            made, _ = await plan_of(e, aspects=[PRICE])
            assert {"one": {"prices": 1}, "two": {"prices": 1}} == {n: one.calls for n, one in made.channels.items()}

    play(run)


def test_a_plan_counts_the_calls_and_the_time_that_the_limits_make_them_last(tmp_path: Path) -> None:
    async def run() -> None:
        rows = {f"S{n:04}": ("1.00", 5) for n in range(2_000)}
        path = configured(tmp_path, sqlite(tmp_path), rows, "one")
        path.write_text(path.read_text().replace("limits: false", "limits: true"))
        async with engine(path) as e:
            await e.activate()
            await e.run("source:pim", "ingest")
            e.clock.advance(1)
            await e.run("account:one", "orders")
            made, _ = await plan_of(e)
            one = made.channels["one"]
            # README of the sandbox: 100 listings a call, 5 calls a second after 10 at once; 200 prices a call, and the
            # stock of each such call follows it.
            assert {"offers": 20, "prices": 10, "stock": 10} == one.calls
            assert 2.0 == pytest.approx(one.seconds, abs=0.1)

    play(run)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    rows=st.dictionaries(
        st.sampled_from("ABCDEF"), st.tuples(st.integers(1, 30).map(lambda n: f"{n}.00"), st.integers(0, 9)), max_size=6
    ),
    pulls=st.booleans(),
    held=st.dictionaries(st.sampled_from("ABCD"), st.integers(0, 63), max_size=3),
)
def test_whatever_changes_the_plan_is_what_the_push_does(
    tmp_path_factory: pytest.TempPathFactory, rows: dict[str, tuple[str, int]], pulls: bool, held: dict[str, int]
) -> None:
    async def run() -> None:
        folder = tmp_path_factory.mktemp("plan")
        async with engine(configured(folder, sqlite(folder), ROWS, "one")) as e:
            await ready(e)
            await reread(e, folder, rows | {"KEPT": ("1.00", 1)})
            for sku, bits in held.items():
                hold(e, sku, bits)
            e.clock.advance(1)
            if pulls:
                await e.run("account:one", "orders")
            changes = await planned(e)
            ops = sent_by(e)
            await push(e)
            assert said(changes) == did(ops)
            assert said(changes, waits=True) == said(await planned(e), waits=True)

    play(run)


# ------------------------------------------------------------------ apply


def test_applying_a_plan_sends_what_is_in_it_and_nothing_else(tmp_path: Path, ledger_url: str) -> None:
    async def run() -> None:
        async with engine(configured(tmp_path, ledger_url, ROWS, "one")) as e:
            await ready(e)
            await reread(e, tmp_path, {**ROWS, "A": ("11.00", 4), "B": ("21.00", 8)})
            plan = await written(e, tmp_path, skus=["A"])
            report = await apply(e.house, plan)
            assert ({"sent": 2}, []) == (report.counts, report.left)
            assert (("11.00", 4), ("20.00", 8)) == (shown(e, "A"), shown(e, "B"))

    play(run)


def test_what_changed_since_the_plan_was_made_is_refused_and_named(tmp_path: Path, ledger_url: str) -> None:
    async def run() -> None:
        async with engine(configured(tmp_path, ledger_url, ROWS, "one")) as e:
            await ready(e)
            await reread(e, tmp_path, {**ROWS, "A": ("11.00", 5), "B": ("21.00", 8)})
            plan = await written(e, tmp_path)
            await reread(e, tmp_path, {**ROWS, "A": ("99.00", 5), "B": ("21.00", 8)})
            report = await apply(e.house, plan)
            assert {"sent": 1, "changed": 1} == report.counts
            assert [("one", "A", PRICE, "changed")] == [(o.channel, o.sku, o.aspect, o.outcome) for o in report.left]
            assert (("10.00", 5), ("21.00", 8)) == (shown(e, "A"), shown(e, "B"))

    play(run)


def test_a_plan_is_applied_only_once(tmp_path: Path) -> None:
    async def run() -> None:
        async with engine(configured(tmp_path, sqlite(tmp_path), ROWS, "one")) as e:
            await ready(e)
            await reread(e, tmp_path, {**ROWS, "A": ("11.00", 5)})
            plan = await written(e, tmp_path)
            await apply(e.house, plan)
            ops = sent_by(e)
            assert {"sent": 1} == (await apply(e.house, plan)).counts
            assert [] == ops

    play(run)


def test_a_change_between_the_look_and_the_claim_does_not_leave(tmp_path: Path) -> None:
    """What is allowed is decided in the transaction that takes the offer out of the outbox."""

    async def run() -> None:
        async with engine(configured(tmp_path, sqlite(tmp_path), ROWS, "one")) as e:
            await ready(e)
            await reread(e, tmp_path, {**ROWS, "A": ("11.00", 5), "B": ("21.00", 8)})
            plan = await written(e, tmp_path)
            slots: Any = e.house.accounts["one"].http
            reserve, ran, alone = slots.reserve, [], asyncio.Lock()

            async def reserving(operation: str, *, urgent: bool = False) -> float:
                async with alone:
                    if not ran:
                        ran.append(True)
                        await reread(e, tmp_path, {**ROWS, "A": ("99.00", 5), "B": ("21.00", 8)})
                return await reserve(operation, urgent=urgent)  # type: ignore[no-any-return]

            slots.reserve = reserving
            assert {"sent": 1, "changed": 1} == (await apply(e.house, plan)).counts
            assert (("10.00", 5), ("21.00", 8)) == (shown(e, "A"), shown(e, "B"))

    play(run)


def test_creating_by_a_plan_takes_the_listing_its_price_and_its_stock(tmp_path: Path) -> None:
    async def run() -> None:
        clock = TurnedClock(auto=True)
        async with engine(configured(tmp_path, sqlite(tmp_path), {"A": ("1.00", 5)}, "one"), clock=clock) as e:
            await e.activate()
            await e.run("source:pim", "ingest")
            e.clock.advance(1)
            await e.run("account:one", "orders")
            report = await apply(e.house, await written(e, tmp_path))
            assert {"sent": 3} == report.counts
            assert ("1.00", 5) == shown(e, "A")
            assert offer(e, "A", "due_at") is None

    play(run)


@pytest.mark.parametrize(
    ("text_", "told"),
    [
        ("{", "plan.json:1:2: this is no JSON"),
        ("{}", "this is no plan of this version: marketsync_plan: Field required"),
        ('{"marketsync_plan": 2, "made": "2026-01-01T00:00:00Z", "changes": []}', "this is no plan of this version"),
    ],
)
def test_a_file_that_is_no_plan_is_refused_with_its_place(tmp_path: Path, text_: str, told: str) -> None:
    (tmp_path / "plan.json").write_text(text_)
    with pytest.raises(plan_file.PlanUnreadable) as error:
        plan_file.read(tmp_path / "plan.json")
    assert told in str(error.value)


def test_the_document_of_a_plan_is_json_with_a_change_per_line(tmp_path: Path) -> None:
    async def run() -> None:
        async with engine(configured(tmp_path, sqlite(tmp_path), ROWS, "one")) as e:
            await ready(e)
            await reread(e, tmp_path, {**ROWS, "A": ("11.00", 5), "B": ("21.00", 8)})
            await written(e, tmp_path)
            lines = (tmp_path / "plan.json").read_text().splitlines()
            assert 5 == len(lines)
            document = orjson.loads((tmp_path / "plan.json").read_bytes())
            assert (2, {"price": 2, "price up": 2}) == (document["pending"], document["channels"][0]["counts"])

    play(run)
