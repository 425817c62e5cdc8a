"""Offers: what is pushed is what the channel shows, item by item, whatever is in it."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from marketsync.adapter.api import (
    Aspect,
    ConfirmsPushes,
    Money,
    OfferOp,
    PushesOffers,
    PushResult,
    ReadsOffers,
    Receipt,
    Result,
    Seen,
    Stock,
)
from marketsync.testing import nasty
from marketsync.testing.contract.harness import Harness, Session

Results = dict[tuple[str, Aspect], PushResult]

AWAITS = 60  # at how many different awaits a call is cancelled


class OfferContract:
    def test_a_new_offer_shows_what_was_pushed(self, harness: Harness) -> None:
        """Listing, price and stock read back as they were sent, in every observable field."""
        harness.needs(PushesOffers, ReadsOffers)

        async def test(session: Session) -> Seen:
            await session.put_on_sale(["new-1"], quantity=7, minor=2_499)
            return (await session.read(["new-1"]))["new-1"]

        seen = harness.run(test)
        _assert_shows(harness, seen, quantity=7, minor=2_499)
        assert harness.hands.shown_stock("new-1") == 7

    def test_updates_reach_the_channel(self, harness: Harness) -> None:
        """Each aspect can be changed on its own, and the others stay."""
        harness.needs(PushesOffers, ReadsOffers)

        async def test(session: Session) -> Seen:
            await session.put_on_sale(["update-1"])
            plain = harness.listing("update-1")
            ops = {
                Aspect.LISTING: session.op("update-1", Aspect.LISTING, listing=replace(plain, title="Another title")),
                Aspect.PRICE: session.op("update-1", Aspect.PRICE, price=session.price(3_333)),
                Aspect.STOCK: session.op("update-1", Aspect.STOCK, quantity=2),
            }
            for aspect, op in ops.items():
                results = await session.push(session.door(aspect), [op])
                assert results["update-1", aspect].result is Result.APPLIED
            return (await session.read(["update-1"]))["update-1"]

        seen = harness.run(test)
        _assert_shows(harness, seen, quantity=2, minor=3_333, title="Another title")

    @pytest.mark.parametrize("aspect", list(Aspect))
    def test_full_batches_are_taken(self, harness: Harness, aspect: Aspect) -> None:
        """A door takes as many offers at once as the spec says it does."""
        harness.needs(PushesOffers)

        async def test(session: Session) -> Results:
            door = session.door(aspect)
            skus = [f"full-{number:05d}" for number in range(door.batch)]
            if aspect is not Aspect.LISTING:
                await session.put_on_sale(skus)
            return await session.push(door, [session.op(sku, aspect, quantity=9) for sku in skus])

        results = harness.run(test)
        assert {Result.APPLIED} == {result.result for result in results.values()}

    def test_nasty_skus_arrive_as_they_are(self, harness: Harness) -> None:
        """A SKU is applied and read back letter by letter, or refused with a reason; no other offer suffers."""
        harness.needs(PushesOffers, ReadsOffers)

        async def test(session: Session) -> tuple[Results, dict[str, Seen]]:
            results = await _push_all(session, Aspect.LISTING, [session.op(sku, Aspect.LISTING) for sku in nasty.SKUS])
            applied = [sku for (sku, _), result in results.items() if result.result is Result.APPLIED]
            return results, await session.read(applied)

        results, seen = harness.run(test)
        assert {result.result for result in results.values()} <= {Result.APPLIED, Result.REJECTED}
        applied = {sku for (sku, _), result in results.items() if result.result is Result.APPLIED}
        assert applied == set(seen)
        assert "85123A" in applied, "plain SKUs are not among the victims"

    def test_nasty_listings_are_taken_or_refused_one_by_one(self, harness: Harness) -> None:
        """No text, picture or number of a listing makes a push fail as a whole."""
        harness.needs(PushesOffers)

        async def test(session: Session) -> Results:
            listings = list(nasty.listings(harness.listing("nasty")))
            ops = [
                session.op(f"nasty-{number}", Aspect.LISTING, listing=listing)
                for number, listing in enumerate(listings)
            ]
            return await _push_all(session, Aspect.LISTING, ops)

        results = harness.run(test)
        assert {result.result for result in results.values()} <= {Result.APPLIED, Result.REJECTED}
        assert Result.APPLIED in {result.result for result in results.values()}

    def test_prices_from_the_lowest_to_the_highest(self, harness: Harness) -> None:
        """Every price within the spec's bounds is applied and read back to the cent."""
        harness.needs(PushesOffers, ReadsOffers)
        low, high = harness.adapter.spec.price_bounds
        prices = {f"price-{minor}": minor for minor in (*nasty.PRICES, low, high) if low <= minor <= high}

        async def test(session: Session) -> tuple[Results, dict[str, Seen]]:
            await session.put_on_sale(sorted(prices))
            ops = [session.op(sku, Aspect.PRICE, price=session.price(minor)) for sku, minor in prices.items()]
            results = await _push_all(session, Aspect.PRICE, ops)
            return results, await session.read(sorted(prices))

        results, seen = harness.run(test)
        assert {Result.APPLIED} == {result.result for result in results.values()}
        shown = {sku: one.price.amount for sku, one in seen.items() if one.price is not None}
        assert {sku: Money(minor, harness.currency) for sku, minor in prices.items()} == shown

    def test_quantities_from_nothing_to_the_most(self, harness: Harness) -> None:
        """Every quantity within the spec's bounds is shown to buyers exactly; nothing means nothing."""
        harness.needs(PushesOffers)
        low, high = harness.adapter.spec.stock_bounds
        quantities = {f"stock-{number}": number for number in (*nasty.QUANTITIES, low, high) if low <= number <= high}

        async def test(session: Session) -> Results:
            await session.put_on_sale(sorted(quantities))
            ops = [session.op(sku, Aspect.STOCK, quantity=number) for sku, number in quantities.items()]
            return await _push_all(session, Aspect.STOCK, ops)

        results = harness.run(test)
        assert {Result.APPLIED} == {result.result for result in results.values()}
        assert quantities == {sku: harness.hands.shown_stock(sku) or 0 for sku in quantities}

    def test_a_sale_price_has_its_days(self, harness: Harness) -> None:
        """A sale price with start and end reads back as it was sent, where the channel shows it."""
        harness.needs(PushesOffers, ReadsOffers)
        starts = harness.clock.now() + timedelta(days=1)
        sale = {
            "sale": Money(999, harness.currency),
            "sale_starts": starts,
            "sale_ends": starts + timedelta(days=7),
        }
        fields = harness.adapter.spec.observable.get(Aspect.PRICE, frozenset()) & set(sale)
        if not fields:
            pytest.skip("the channel does not show sale prices")

        async def test(session: Session) -> Seen:
            await session.put_on_sale(["sale-1"])
            op = session.op("sale-1", Aspect.PRICE, price=session.price(1_999, **sale))
            assert (await session.push(session.door(Aspect.PRICE), [op]))[
                "sale-1", Aspect.PRICE
            ].result is Result.APPLIED
            return (await session.read(["sale-1"]))["sale-1"]

        price = harness.run(test).price
        assert {name: sale[name] for name in fields} == {name: getattr(price, name) for name in fields}

    def test_a_refused_offer_leaves_the_others_applied(self, harness: Harness) -> None:
        """What is wrong with one item is told of that item, with the channel's code and words."""
        harness.needs(PushesOffers)

        async def test(session: Session) -> Results:
            ops = [session.op(sku, Aspect.LISTING) for sku in ("good-1", "good-2")]
            ops.insert(1, session.op("bad-1", Aspect.LISTING, listing=harness.refused))
            return await _push_all(session, Aspect.LISTING, ops)

        results = harness.run(test)
        bad = results["bad-1", Aspect.LISTING]
        assert bad.result is Result.REJECTED
        assert bad.message
        assert results["good-1", Aspect.LISTING].result is Result.APPLIED
        assert results["good-2", Aspect.LISTING].result is Result.APPLIED

    def test_pushing_twice_changes_nothing(self, harness: Harness) -> None:
        """Content is absolute: the same op again leaves the same offer, not a second one."""
        harness.needs(PushesOffers, ReadsOffers)

        async def test(session: Session) -> tuple[dict[str, Seen], dict[str, Seen]]:
            await session.put_on_sale(["twice-1", "twice-2"])
            once = await session.read()
            await session.put_on_sale(["twice-1", "twice-2"])
            return once, await session.read()

        once, twice = harness.run(test)
        assert once == twice

    def test_a_withdrawn_offer_cannot_be_bought(self, harness: Harness) -> None:
        """After a withdrawal buyers see nothing, and withdrawing again is no error."""
        harness.needs(PushesOffers)

        async def test(session: Session) -> list[Result]:
            await session.put_on_sale(["gone-1", "stays-1"])
            door = session.door(Aspect.LISTING, withdraws=True)
            outcomes = []
            for _ in range(2):
                results = await session.push(door, [session.withdrawal("gone-1", frozenset({Aspect.LISTING}))])
                outcomes += [result.result for result in results.values()]
            return outcomes

        assert harness.run(test) == [Result.APPLIED, Result.APPLIED]
        assert not harness.hands.shown_stock("gone-1")
        assert harness.hands.shown_stock("stays-1") == 5

    def test_a_missing_offer_is_a_result_not_an_error(self, harness: Harness) -> None:
        """Price and stock for an offer that somebody deleted concern that offer alone."""
        harness.needs(PushesOffers)

        async def test(session: Session) -> Results:
            await session.put_on_sale(["there-1"])
            session.offers.known["missing-1"] = session.offers.known.get("there-1", "") + "0"
            ops = [session.op(sku, Aspect.STOCK, quantity=3) for sku in ("missing-1", "there-1")]
            return await _push_all(session, Aspect.STOCK, ops)

        results = harness.run(test)
        assert results["missing-1", Aspect.STOCK].result in {Result.REJECTED, Result.RETRY}
        assert results["there-1", Aspect.STOCK].result is Result.APPLIED

    def test_reading_goes_through_all_pages(self, harness: Harness) -> None:
        """Everything on the channel is read, each offer once; asked by SKU, what is missing is left out."""
        harness.needs(PushesOffers, ReadsOffers)
        skus = [f"many-{number:04d}" for number in range(450)]

        async def test(session: Session) -> tuple[dict[str, Seen], dict[str, Seen]]:
            await session.put_on_sale(skus)
            return await session.read(), await session.read([*skus[:150], "not-there", skus[0]])

        everything, some = harness.run(test)
        assert set(skus) == set(everything)
        assert set(skus[:150]) == set(some)

    def test_a_receipt_that_nobody_knows_is_no_success(self, harness: Harness) -> None:
        """A submission that the channel has forgotten may or may not have been done."""
        harness.needs(ConfirmsPushes)

        async def test(session: Session) -> set[Result]:
            door = session.door(Aspect.LISTING)
            receipt = Receipt(
                token="no-such-receipt",  # noqa: S106 - the receipt's token, no secret
                operation=door.name,
                submitted=harness.clock.now(),
                ops=[("lost-1", frozenset({Aspect.LISTING}))],
            )
            outcome = await session.adapter.confirm(receipt)
            return {result.result for result in outcome.results}

        assert harness.run(test) <= {Result.UNKNOWN, Result.RETRY}

    def test_a_push_may_be_cancelled_at_any_await(self, harness: Harness) -> None:
        """After a cancelled push the adapter works on, and the same op again leaves the channel right."""
        harness.needs(PushesOffers)

        async def test(session: Session) -> int:
            await session.put_on_sale(["cut-1"])
            door = session.door(Aspect.STOCK)
            for awaits in range(AWAITS):
                task = asyncio.create_task(
                    session.adapter.push(door.name, [session.op("cut-1", Aspect.STOCK, quantity=8)])
                )
                for _ in range(awaits):
                    await asyncio.sleep(0)
                if task.done():
                    task.result()
                    return awaits
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            return AWAITS

        async def then(session: Session) -> None:
            await test(session)
            results = await session.push(session.door(Aspect.STOCK), [session.op("cut-1", Aspect.STOCK, quantity=6)])
            assert results["cut-1", Aspect.STOCK].result is Result.APPLIED

        harness.run(then)
        assert harness.hands.shown_stock("cut-1") == 6

    def test_stock_of_locations_is_kept_apart(self, harness: Harness) -> None:
        """Where the channel shows locations, each has its own quantity."""
        harness.needs(PushesOffers, ReadsOffers)
        if "locations" not in harness.adapter.spec.observable.get(Aspect.STOCK, frozenset()):
            pytest.skip("the channel has no locations")
        stock = Stock(quantity=5, locations={"berlin": 2, "wien": 3})

        async def test(session: Session) -> Seen:
            await session.put_on_sale(["place-1"])
            op = session.op("place-1", Aspect.STOCK, stock=stock)
            await session.push(session.door(Aspect.STOCK), [op])
            return (await session.read(["place-1"]))["place-1"]

        assert stock == harness.run(test).stock


async def _push_all(session: Session, aspect: Aspect, ops: Sequence[OfferOp]) -> Results:
    """Push in batches as large as the door takes."""
    door = session.door(aspect)
    results: Results = {}
    for start in range(0, len(ops), door.batch):
        results |= await session.push(door, ops[start : start + door.batch])
    return results


def _assert_shows(harness: Harness, seen: Seen, *, quantity: int, minor: int, title: str | None = None) -> None:
    observable = harness.adapter.spec.observable
    sent = harness.listing(seen.sku) if title is None else replace(harness.listing(seen.sku), title=title)
    expected = harness.shown(sent)
    for name in observable.get(Aspect.LISTING, frozenset()):
        assert getattr(expected, name) == getattr(seen.listing, name), name
    if "amount" in observable.get(Aspect.PRICE, frozenset()):
        assert seen.price is not None
        assert Money(minor, harness.currency) == seen.price.amount
    if "quantity" in observable.get(Aspect.STOCK, frozenset()):
        assert seen.stock is not None
        assert quantity == seen.stock.quantity
