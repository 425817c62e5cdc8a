"""Amazon's traps around feeds: which door a backlog takes, what a processing report proves, five in five minutes."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import orjson
import pytest

from marketsync.adapter.api import Aspect, Result
from marketsync.adapter.errors import RateLimited, Unavailable, UnexpectedReply
from marketsync.ledger.outbox import Lane
from marketsync.sync.doors import doors
from marketsync.testing.contract import Session
from marketsync_adapters.amazon import feeds
from marketsync_adapters.amazon.sandbox import Account
from marketsync_adapters.amazon.spec import SPEC
from tests.contract.amazon_bench import UNLIMITED, receipt_of, results_of, run, zero
from tests.contract.amazon_harness import RULES, check_documents, listing, schema

# -------------------------------------------------------------------- which door


def chosen(lane: Lane, backlog: int, takes: str = "any") -> str:
    found = doors(SPEC, {lane: backlog})
    return next(door.operation.name for door in found if lane in door.lanes and door.takes == takes)


@pytest.mark.parametrize("lane", [Lane.LOWER, Lane.RAISE, Lane.PRICE, Lane.PRICE_FIRST])
def test_the_backlog_chooses_between_patch_and_feed(lane: Lane) -> None:
    """Some hundred PATCHes are done before a feed is; thousands are not."""
    assert chosen(lane, 499) == "patch"
    assert chosen(lane, 500) == "feed"


def test_new_offers_go_by_put_and_many_of_them_by_feed() -> None:
    """Both create; updates of listings take the other two doors."""
    assert (chosen(Lane.LISTING, 10, "create"), chosen(Lane.LISTING, 10, "update")) == ("put", "patch")
    assert (chosen(Lane.LISTING, 900, "create"), chosen(Lane.LISTING, 900, "update")) == ("feed_create", "feed")


@pytest.mark.parametrize(
    ("zeros", "order"),
    [
        (1, ["withdraw", "patch", "feed"]),
        (499, ["withdraw", "patch", "feed"]),
        (500, ["withdraw", "feed", "patch"]),
        (20_000, ["withdraw", "feed", "patch"]),
    ],
)
def test_stock_zero_goes_by_patch_unless_a_feed_is_there_sooner(zeros: int, order: list[str]) -> None:
    """However long the other queues are, no feed stands before some hundred zeros. PATCHing 20,000 takes an hour, a
    feed minutes; what it does not take, or has to wait for it, still goes by PATCH.
    """
    found = doors(SPEC, {Lane.ZERO: zeros, Lane.RAISE: 20_000})
    assert [door.operation.name for door in found][:3] == order
    assert {"withdraw", "patch"} <= {door.operation.name for door in found if Lane.ZERO in door.lanes}


def test_stock_zero_by_patch_beside_a_queued_feed_and_again_after_it() -> None:
    """At once, although a feed with an older figure is queued; that feed undoes it, and zero has to be sent again."""

    async def test(session: Session, account: Account) -> list[int | None]:
        await session.put_on_sale(["z-1"], quantity=9)
        shown = session.harness.hands.shown_stock
        op = session.op("z-1", Aspect.STOCK, quantity=7)
        feed = await session.adapter.push("feed", [op])
        await session.push(SPEC.operation("patch"), [zero(session, "z-1")])
        seen = [shown("z-1")]
        session.harness.clock.advance(200)
        ended = await session.adapter.confirm(receipt_of(feed, "feed", [op], session))
        assert set(results_of(ended).values()) == {Result.APPLIED}
        seen.append(shown("z-1"))
        await session.push(SPEC.operation("patch"), [zero(session, "z-1")])
        assert account.requests["feed", 202] == 1
        return [*seen, shown("z-1")]

    assert run(test) == [0, 7, 0]


# -------------------------------------------------------------------- feeds


def test_a_feed_holds_as_many_messages_as_the_schema_allows() -> None:
    """25,000 in one document, valid under Amazon's schema, one submission, all confirmed."""

    async def test(session: Session, account: Account) -> tuple[int, int]:
        ops = [session.op(f"f-{n}", Aspect.STOCK, quantity=n) for n in range(SPEC.operation("feed").batch)]
        for op in ops[:3]:
            await session.put_on_sale([op.sku])
        outcome = await session.adapter.push("feed", ops)
        session.harness.clock.advance(200)
        ended = await session.adapter.confirm(receipt_of(outcome, "feed", ops, session))
        results = list(results_of(ended).values())
        assert len(results) == len(ops)
        assert account.requests["feed", 202] == 1
        return results.count(Result.APPLIED), results.count(Result.REJECTED)

    most = schema("listings-feed-schema-v2.json").schema["properties"]["messages"]["maxItems"]
    assert SPEC.operation("feed").batch == most
    assert run(test) == (3, most - 3)


def test_a_done_feed_tells_errors_message_by_message() -> None:
    """One bad message among good ones, and one op that could not be written: each has its own result."""

    async def test(session: Session, account: Account) -> dict[str, tuple[Result, str]]:
        bad = {"bad": replace(listing("bad"), title="y" * 201), "typeless": replace(listing("typeless"), category="")}
        ops = [session.op(sku, *Aspect, listing=bad.get(sku)) for sku in ("good", "typeless", "bad", "better")]
        results = await session.push(SPEC.operation("feed_create"), ops)
        assert check_documents(account) == 2
        return {sku: (one.result, one.code) for (sku, aspect), one in results.items() if aspect is Aspect.LISTING}

    assert run(test) == {
        "good": (Result.APPLIED, ""),
        "typeless": (Result.REJECTED, "no_product"),
        "bad": (Result.REJECTED, "90244"),
        "better": (Result.APPLIED, ""),
    }


def report(*issues: dict[str, Any], processed: int) -> bytes:
    return orjson.dumps({"header": {}, "issues": issues, "summary": {"messagesProcessed": processed}})


ASKED = [(sku, frozenset({Aspect.STOCK})) for sku in ("a", "b", "c")]


def decided(content: bytes, asked: Any = ASKED, batch: int = 3) -> list[Result]:
    return [one.result for one in feeds.results_in(content, asked, batch, creates=False)]


def test_a_message_id_is_the_place_in_the_batch() -> None:
    """Where the report names no SKU the place counts, as long as the batch is whole; a SKU always counts."""
    error = {"code": "1", "severity": "ERROR", "message": "no"}
    applied, rejected, unknown = Result.APPLIED, Result.REJECTED, Result.UNKNOWN
    assert decided(report({**error, "messageId": 2}, processed=3)) == [applied, rejected, applied]
    assert decided(report({**error, "messageId": 1, "sku": "c"}, processed=3)) == [applied, applied, rejected]
    assert decided(report({**error, "messageId": 2}, processed=3), ASKED[1:]) == [unknown, unknown]
    assert decided(report({**error, "severity": "WARNING", "messageId": 2}, processed=3)) == [applied] * 3


def test_a_report_that_counts_too_few_messages_proves_nothing() -> None:
    """Messages that were not processed are not applied because nobody complained."""
    assert decided(report(processed=2)) == [Result.UNKNOWN] * 3
    with pytest.raises(UnexpectedReply, match="another form"):
        decided(b"[]")


@pytest.mark.parametrize(("state", "expected"), [("FATAL", Result.UNKNOWN), ("CANCELLED", Result.RETRY)])
def test_how_a_feed_ends_decides_what_is_known(state: str, expected: Result) -> None:
    """FATAL may have applied some of it; cancelled before it began, it has applied nothing."""

    async def test(session: Session, account: Account) -> set[Result]:
        await session.put_on_sale(["e-1", "e-2"])
        account.jobs.ends = state
        ops = [session.op(sku, Aspect.STOCK, quantity=1) for sku in ("e-1", "e-2")]
        results = await session.push(SPEC.operation("feed"), ops)
        assert {one.code for one in results.values()} == {state}
        return {one.result for one in results.values()}

    assert run(test) == {expected}


def test_an_expired_link_is_asked_for_anew() -> None:
    """A report whose link ran out before it was read is not lost: the next look gets a new link."""

    async def test(session: Session, account: Account) -> Result:
        await session.put_on_sale(["l-1"])
        op = session.op("l-1", Aspect.STOCK, quantity=4)
        outcome = await session.adapter.push("feed", [op])
        session.harness.clock.advance(200)
        receipt = receipt_of(outcome, "feed", [op], session)
        account.jobs.rules = replace(account.rules, link_life=timedelta(0))
        with pytest.raises(Unavailable):
            await session.adapter.confirm(receipt)
        account.jobs.rules = account.rules
        return (await session.adapter.confirm(receipt)).results[0].result

    assert run(test) is Result.APPLIED


def test_feeds_keep_to_five_in_five_minutes() -> None:
    """Twelve feeds one after the other, as fast as our own limits let them: Amazon never says 429."""

    async def test(session: Session, account: Account) -> tuple[int, int]:
        await session.put_on_sale(["q-1"])
        clock = session.harness.clock
        for n in range(12):
            op = session.op("q-1", Aspect.STOCK, quantity=n)
            while True:
                try:
                    await session.adapter.push("feed", [op])
                    break
                except RateLimited as limited:
                    await clock.sleep((limited.retry_after or timedelta(0)).total_seconds())
        return account.requests["feed", 202], account.requests["feed", 429]

    assert run(test, RULES) == (12, 0)


def test_what_a_feed_made_can_be_read_whole() -> None:
    """A feed is worked off message by message: a search that shows a part only gets by with times of creation."""

    async def test(session: Session, account: Account) -> int:
        ops = [session.op(f"f-{number:03}", *Aspect) for number in range(300)]
        await session.adapter.push("feed_create", ops)
        session.harness.clock.advance(600)
        return len(await session.read())

    assert run(test, replace(UNLIMITED, search_shows=120)) == 300
