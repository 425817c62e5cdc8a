"""Amazon's traps around single offers: what is accepted, what is applied, and whose stock it is."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from marketsync.adapter.api import Aspect, Money, OfferOp, Price, Result, Seen, Stock
from marketsync.adapter.errors import RateLimited, UnexpectedReply
from marketsync.testing.contract import Session
from marketsync_adapters.amazon import AmazonAdapter
from marketsync_adapters.amazon.errors import HINTS, refusals
from marketsync_adapters.amazon.mapping import Terms, patch_out, put_out
from marketsync_adapters.amazon.marketplaces import MARKETPLACES
from marketsync_adapters.amazon.sandbox import Account, Refused
from marketsync_adapters.amazon.spec import OPERATIONS, SPEC
from tests.contract.amazon_bench import TERMS, UNLIMITED, receipt_of, results_of, run, zero
from tests.contract.amazon_harness import DE, FR, listing, offer, shelve

# -------------------------------------------------------------------- accepted is not applied


def test_accepted_is_not_applied_until_the_item_shows_it() -> None:
    """A PATCH is SUBMITTED; reading the item decides, and every look waits longer than the one before."""

    async def test(session: Session, account: Account) -> tuple[list[Result], list[timedelta]]:
        await session.put_on_sale(["a-1"])
        op = session.op("a-1", Aspect.STOCK, quantity=2)
        outcome = await session.adapter.push("patch", [op])
        results, waits = [one.result for one in outcome.results], [outcome.ask_after]
        receipt = receipt_of(outcome, "patch", [op], session)
        while outcome.receipt:
            session.harness.clock.advance(outcome.ask_after.total_seconds())
            outcome = await session.adapter.confirm(receipt)
            results += [one.result for one in outcome.results]
            waits.append(outcome.ask_after)
        assert account.requests["item", 200] <= 6
        return results, waits

    results, waits = run(test, replace(UNLIMITED, apply_time=timedelta(seconds=90)))
    assert set(results[:-1]) == {Result.SUBMITTED}
    assert results[-1] is Result.APPLIED
    assert waits[:-1] == sorted(waits[:-1])


def test_what_is_never_seen_is_unknown_after_a_quarter_of_an_hour() -> None:
    """Not rejected and not applied: the engine reads back, else sends the absolute value again."""

    async def test(session: Session, _account: Account) -> set[Result]:
        await session.put_on_sale(["a-1"])
        op = session.op("a-1", Aspect.STOCK, Aspect.PRICE, quantity=2, price=session.price(999))
        outcome = await session.adapter.push("patch", [op])
        session.harness.clock.advance(15 * 60)
        decided = await session.adapter.confirm(receipt_of(outcome, "patch", [op], session))
        assert decided.receipt is None
        return set(results_of(decided).values())

    async def slow(session: Session, account: Account) -> set[Result]:
        account.items._rules = replace(UNLIMITED, apply_time=timedelta(seconds=1))
        await session.put_on_sale(["a-1"])
        account.items._rules = replace(UNLIMITED, apply_time=timedelta(hours=2))
        op = session.op("a-1", Aspect.STOCK, Aspect.PRICE, quantity=2, price=session.price(999))
        outcome = await session.adapter.push("patch", [op])
        session.harness.clock.advance(15 * 60)
        decided = await session.adapter.confirm(receipt_of(outcome, "patch", [op], session))
        assert decided.receipt is None
        return set(results_of(decided).values())

    assert run(test) == {Result.APPLIED}
    assert run(slow) == {Result.UNKNOWN}


@pytest.mark.parametrize(("before", "sold", "expected"), [(9, 2, Result.APPLIED), (3, 0, Result.SUBMITTED)])
def test_a_lower_stock_counts_as_seen_only_when_it_moved(before: int, sold: int, expected: Result) -> None:
    """Sold since: applied. Still what it was before the raise: not applied yet."""

    async def test(session: Session, account: Account) -> Result:
        await session.put_on_sale(["s-1"], quantity=before)
        op = replace(session.op("s-1", Aspect.STOCK, quantity=5), seen_stock=before)
        outcome = await session.adapter.push("patch", [op])
        if sold:
            session.harness.clock.advance(10)
            account.sales.buy([("s-1", sold)])
        decided = await session.adapter.confirm(receipt_of(outcome, "patch", [op], session))
        return decided.results[0].result

    assert run(test) is expected


def test_a_new_offer_that_sold_before_it_was_looked_at_is_there() -> None:
    """There was nothing before: fewer pieces than were written can only be left of them."""

    async def test(session: Session, account: Account) -> set[Result]:
        op = session.op("s-1", *Aspect, quantity=5)
        outcome = await session.adapter.push("put", [op])
        session.harness.clock.advance(10)
        account.sales.buy([("s-1", 2)])
        return set(results_of(await session.adapter.confirm(receipt_of(outcome, "put", [op], session))).values())

    assert run(test) == {Result.APPLIED}


def test_fewer_pieces_than_written_are_written_again_where_nobody_knows_what_there_were() -> None:
    """After a sale the engine knows no figure: sold from since, or not applied. A minute decides, not a quarter of an
    hour in which the stock of what sells best stood still.
    """

    async def test(session: Session, account: Account) -> list[Result]:
        await session.put_on_sale(["s-1"], quantity=9)
        op = replace(session.op("s-1", Aspect.STOCK, quantity=8), seen_stock=None)
        outcome = await session.adapter.push("patch", [op])
        session.harness.clock.advance(10)
        account.sales.buy([("s-1", 2)])
        results = []
        for seconds in (0, 50):
            session.harness.clock.advance(seconds)
            decided = await session.adapter.confirm(receipt_of(outcome, "patch", [op], session))
            results += [one.result for one in decided.results]
        return results

    assert run(test) == [Result.SUBMITTED, Result.UNKNOWN]


def test_a_new_product_that_amazon_suppresses_is_refused_in_its_words() -> None:
    """Accepted at first, an issue later: neither buyable nor discoverable, and an error says why."""

    async def test(session: Session, account: Account) -> list[Any]:
        op = session.op("n-1", *Aspect)
        outcome = await session.adapter.push("put", [op])
        session.harness.clock.advance(10)
        item = account.items.get("n-1")
        assert item is not None
        issue = {"code": "5665", "message": "Marke nicht zugelassen", "severity": "ERROR", "categories": []}
        item.issues.append(issue)
        item.attributes["purchasable_offer"][0]["our_price"][0]["schedule"][0]["value_with_tax"] = 1
        return list((await session.adapter.confirm(receipt_of(outcome, "put", [op], session))).results)

    results = {one.aspect: one for one in run(test)}
    assert results[Aspect.LISTING].result is Result.REJECTED
    assert results[Aspect.PRICE].result is Result.REJECTED
    assert results[Aspect.LISTING].code == "5665"
    assert results[Aspect.LISTING].hint == HINTS["5665"]


def test_a_refused_title_does_not_hold_the_stock_back() -> None:
    """One PATCH is refused as a whole: its guilty aspect is parked, its innocent ones are sent again without it."""

    async def test(session: Session, _account: Account) -> dict[tuple[str, Aspect], Result]:
        await session.put_on_sale(["t-1"])
        bad = replace(listing("t-1"), title="y" * 201)
        op = session.op("t-1", Aspect.LISTING, Aspect.STOCK, listing=bad, quantity=1)
        return results_of(await session.adapter.push("patch", [op]))

    assert run(test) == {("t-1", Aspect.LISTING): Result.REJECTED, ("t-1", Aspect.STOCK): Result.RETRY}


def test_an_issue_without_attributes_refuses_everything() -> None:
    """Nobody knows which aspect is meant."""
    results = refusals("x", {Aspect.PRICE, Aspect.STOCK}, [{"code": "8541", "severity": "ERROR", "message": "no"}])
    assert {one.result for one in results} == {Result.REJECTED}
    assert len(HINTS) >= 20


# -------------------------------------------------------------------- what is written


def test_an_offer_on_an_existing_asin_needs_no_product_type() -> None:
    """Only the terms of sale are written, under the type PRODUCT."""
    op = OfferOp(
        sku="o-1",
        changed=frozenset(Aspect),
        revision=1,
        listing=offer("o-1"),
        price=Price(amount=Money(1_999, "EUR")),
        stock=Stock(quantity=3),
    )
    body = put_out(op, TERMS)
    assert (body["productType"], body["requirements"]) == ("PRODUCT", "LISTING_OFFER_ONLY")
    assert set(body["attributes"]) == {
        "merchant_suggested_asin",
        "condition_type",
        "purchasable_offer",
        "fulfillment_availability",
    }
    assert body["attributes"]["merchant_suggested_asin"] == [{"value": "B0CHAIR001", "marketplace_id": DE}]


def test_a_new_product_passes_its_attributes_through() -> None:
    """JSON as it is given, with the storefront's id; text as a value, with a language where Amazon wants one."""
    given = {
        "number_of_items": '[{"value": 4}]',
        "item_dimensions": '{"length": {"value": 1, "unit": "meters"}, "marketplace_id": "X"}',
        "material": "Eiche",
        "model_number": "M-1",
        "note": "[not json",
    }
    plain = replace(listing("p-1"), attributes=given, language="de-AT")
    body = put_out(OfferOp(sku="p-1", changed=frozenset({Aspect.LISTING}), revision=1, listing=plain), TERMS)
    attributes = body["attributes"]
    assert (body["productType"], body["requirements"]) == ("CHAIR", "LISTING")
    assert attributes["number_of_items"] == [{"marketplace_id": DE, "value": 4}]
    assert attributes["item_dimensions"][0]["marketplace_id"] == "X"
    assert attributes["material"] == [{"value": "Eiche", "marketplace_id": DE, "language_tag": "de_AT"}]
    assert attributes["model_number"] == [{"value": "M-1", "marketplace_id": DE}]
    assert attributes["note"] == [{"value": "[not json", "marketplace_id": DE}]
    assert attributes["size"][0]["value"] == "L"
    assert attributes["externally_assigned_product_identifier"][0]["type"] == "ean"


def test_a_variant_hangs_on_its_parent() -> None:
    """Where the mapping names the theme; without one nothing is claimed."""
    themed = replace(listing("v-1"), attributes={"variation_theme": '[{"name": "SIZE"}]'})
    op = OfferOp(sku="v-1", changed=frozenset({Aspect.LISTING}), revision=1, family="PARENT", listing=themed)
    attributes = put_out(op, TERMS)["attributes"]
    assert attributes["child_parent_sku_relationship"][0]["parent_sku"] == "PARENT"
    assert attributes["parentage_level"][0]["value"] == "child"
    assert "parentage_level" not in put_out(replace(op, listing=listing("v-1")), TERMS)["attributes"]


def test_a_quantity_is_merged_and_a_price_replaced() -> None:
    """The seller's own handling time stays as it is; a sale price that is left out ends."""

    async def test(session: Session, _account: Account) -> list[Seen]:
        await session.put_on_sale(["m-1"])
        sale = {"sale": Money(999, "EUR"), "sale_ends": session.harness.clock.now() + timedelta(days=3)}
        seen = []
        for price in (session.price(1_999, **sale), session.price(1_999)):
            await session.push(SPEC.operation("patch"), [session.op("m-1", Aspect.PRICE, price=price)])
            seen.append((await session.read(["m-1"]))["m-1"])
        return seen

    on_sale, ended = run(test)
    assert (on_sale.price.sale, ended.price.sale) == (Money(999, "EUR"), None)
    op = OfferOp(sku="m-1", changed=frozenset({Aspect.STOCK}), revision=1, stock=Stock(quantity=3))
    (patch,) = patch_out(op, Terms(MARKETPLACES["DE"], handling_days=2))["patches"]
    assert (patch["op"], patch["value"][0]["lead_time_to_ship_max_days"]) == ("merge", 2)


def test_a_wrong_currency_is_refused_before_it_is_sent() -> None:
    """Amazon.de sells in euros."""

    async def test(session: Session, account: Account) -> tuple[set[Result], int]:
        price = replace(session.price(1), amount=Money(100, "GBP"))
        outcome = await session.adapter.push("patch", [session.op("c-1", Aspect.PRICE, price=price)])
        return set(results_of(outcome).values()), sum(account.requests.values())

    assert run(test) == ({Result.REJECTED}, 0)


# -------------------------------------------------------------------- whose stock


def test_the_quantity_is_one_for_all_storefronts() -> None:
    """What Germany wrote, France shows: the engine has to know that they share it."""

    async def test(session: Session, account: Account) -> Stock | None:
        op = replace(session.op("eu-1", *Aspect, quantity=5), price=Price(amount=Money(1_999, "EUR")))
        shelve(account, op)
        account.items.apply_patch(
            "eu-1",
            {
                "patches": [
                    {"path": "/attributes/condition_type", "value": [{"value": "new_new", "marketplace_id": FR}]}
                ]
            },
        )
        (seen,) = [one async for one in session.adapter.offers(["eu-1"])]
        return seen.stock

    assert SPEC.stock_shared
    assert run(test, marketplace="FR") == Stock(quantity=5)


def test_what_amazon_keeps_is_read_and_marked() -> None:
    """FBA: the stock is Amazon's own figure, the offer is marked, and a write of ours cannot change it."""

    async def test(session: Session, account: Account) -> tuple[Seen, int | None]:
        await session.put_on_sale(["fba-1", "mine-1"], quantity=5)
        account.items.stock_by_amazon("fba-1", 42)
        await session.adapter.push("patch", [session.op("fba-1", Aspect.STOCK, quantity=1)])
        seen = await session.read()
        assert seen["mine-1"].fulfilled_by == "merchant"
        return seen["fba-1"], session.harness.hands.shown_stock("fba-1")

    seen, shown = run(test)
    assert (seen.fulfilled_by, seen.stock, shown) == ("channel", Stock(quantity=42), 42)


# -------------------------------------------------------------------- reading


def test_a_search_that_shows_a_thousand_still_reads_all() -> None:
    """Windows of creation times, each offer once."""

    async def test(session: Session, account: Account) -> int:
        for n in range(230):
            shelve(account, session.op(f"r-{n:04}", *Aspect))
            session.harness.clock.advance(1 if n % 7 == 0 else 0)
        return len(await session.read())

    assert run(test, replace(UNLIMITED, search_shows=60)) == 230
    assert run(test) == 230


def test_a_reading_that_cannot_be_whole_fails_loudly() -> None:
    """Silently lacking offers would be created again."""

    async def test(session: Session, account: Account) -> None:
        for n in range(1_100):
            shelve(account, session.op(f"r-{n:04}", *Aspect))
        with pytest.raises(UnexpectedReply, match="same moment"):
            await session.read()

    run(test)


def test_a_comma_in_a_sku_is_read_alone() -> None:
    """Amazon cannot tell it from the comma between two SKUs."""

    async def test(session: Session, account: Account) -> tuple[set[str], int]:
        for sku in ("a", "b", "a,b"):
            shelve(account, session.op(sku, *Aspect))
        before = account.requests["item", 200]
        return set(await session.read(["a", "a,b", "b"])), account.requests["item", 200] - before

    assert run(test) == ({"a", "b", "a,b"}, 1)


def test_the_rate_that_amazon_tells_is_learned() -> None:
    """An account that is allowed more than the default gets it."""

    async def test(session: Session, _account: Account) -> float:
        await session.put_on_sale(["fast-1"])
        clock = session.harness.clock
        await session.adapter.push("patch", [zero(session, "fast-1")])
        began = clock.monotonic()
        for _ in range(100):
            await session.adapter.push("patch", [zero(session, "fast-1")])
        return clock.monotonic() - began

    seconds = run(test, replace(UNLIMITED, limits={"patch": (20.0, 20)}))
    assert 100 / 20 - 1 <= seconds <= 100 / 20 * 1.1


def test_amazons_three_words_for_too_many_are_kept() -> None:
    """The whole application's limit reads differently from the account's."""

    async def test(session: Session, account: Account) -> str:
        def admit(_operation: str) -> None:
            raise Refused(
                429, "QuotaExceeded", "The frequency of requests was greater than what is allowed for product data."
            )

        account.gate.admit = admit  # type: ignore[method-assign]
        with pytest.raises(RateLimited) as raised:
            await session.adapter.push("patch", [zero(session, "w-1")])
        return f"{raised.value.message} {raised.value.code}"

    said = run(test)
    assert "for product data" in said
    assert "QuotaExceeded" in said


def test_operations_name_what_cannot_be_undone() -> None:
    """A withdrawal deletes the listing; a shipment is told to the buyer."""
    assert {one.name for one in OPERATIONS if not one.undoable} == {"withdraw", "ship"}
    assert AmazonAdapter.spec is SPEC
