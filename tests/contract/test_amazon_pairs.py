"""All of Amazon's own sandbox pairs for the operations used: our requests are the ones it expects, its answers are read."""

import asyncio
from collections import Counter
from typing import Any

import pytest

from marketsync.adapter.api import Aspect, Fulfilment, Money, Payment, Result
from marketsync.adapter.errors import AdapterError, ItemRefused
from marketsync.testing.clock import TurnedClock
from marketsync.testing.contract.harness import Silent
from marketsync.testing.http import channel_http
from marketsync_adapters.amazon.client import Client
from marketsync_adapters.amazon.errors import hint, refusals
from marketsync_adapters.amazon.mapping import seen
from marketsync_adapters.amazon.marketplaces import MARKETPLACES
from marketsync_adapters.amazon.orders import is_ours, order_in
from marketsync_adapters.amazon.spec import SPEC
from tests.contract.amazon_harness import FOLDER, credentials, settings
from tests.contract.amazon_pairs import CALLS, NOT_ASKED, Pair, Replay, call, pairs

ALL = list(pairs()) if FOLDER.exists() else []
pytestmark = pytest.mark.skipif(not ALL, reason="Amazon's models are not at hand (MARKETSYNC_CONTRACTS)")


def play(pair: Pair) -> tuple[Any, Replay]:
    """Our client's answer to a pair, or the error that it raises."""
    replay = Replay(pair)
    body = pair.value("body")
    shops = pair.value("marketplaceIds") or (body or {}).get("marketplaceIds") or ["ATVPDKIKX0DER"]

    async def run() -> Any:
        clock = TurnedClock(auto=True)
        async with channel_http(SPEC, settings(), credentials(), clock=clock, log=Silent(), transport=replay) as http:
            try:
                return await call(Client(http, pair.value("sellerId", "SellerId"), shops, ""), pair)
            except AdapterError as error:
                return error

    return asyncio.run(run()), replay


@pytest.mark.parametrize("pair", ALL, ids=lambda pair: pair.name)
def test_amazons_own_pair(pair: Pair) -> None:
    """The request says all that the pair names, save what we have a reason never to say; the answer is understood."""
    answer, replay = play(pair)
    excused = {name for name in replay.unsaid if name in NOT_ASKED or pair.name in NOT_ASKED}
    if "mode" in replay.unsaid:
        excused.add("includedData")  # of the dry run
    assert set(replay.unsaid) <= excused
    if pair.status < 300:
        assert not isinstance(answer, AdapterError), answer
    elif pair.operation in {"getFeed", "getOrder"}:
        assert answer is None, "what Amazon does not know is nothing, not an error"
    elif pair.operation == "confirmShipment":
        assert answer.status == 400
    else:
        assert isinstance(answer, ItemRefused)
        assert answer.code == pair.response["errors"][0]["code"]


def test_the_pairs_are_those_that_were_counted() -> None:
    """A model with more pairs is looked at by a person: what is new in it may concern us."""
    counts = Counter(pair.operation for pair in ALL)
    assert set(CALLS) == set(counts)
    assert sum(counts.values()) == 41


def test_orders_of_the_pairs_are_read_whole() -> None:
    """States, who ships, money and addresses of Amazon's own examples."""
    found = [one for pair in ALL if pair.operation == "searchOrders" and pair.status == 200 for one in play(pair)[0][0]]
    orders = {order.order_id: order for order in map(order_in, filter(is_ours, found))}
    japan, london, brazil = orders.values()
    assert [line.fulfilled_by for line in japan.lines] == ["channel", "channel"]
    assert (japan.fulfilment, japan.total) == (Fulfilment.SHIPPED, Money(19_940, "JPY"))
    assert [line.amount for line in japan.lines] == [Money(5_980, "JPY"), Money(13_960, "JPY")]
    assert (london.lines[0].shipped, london.lines[0].fulfilled_by) == (1, "merchant")
    assert london.buyer is not None
    assert (london.buyer.postcode, london.buyer.street2) == ("SW1A 1AA", "Flat 2A")
    assert (brazil.payment, brazil.fulfilment, brazil.storefront) == (Payment.PAID, Fulfilment.OPEN, "A2Q3Y263D00KWC")
    assert brazil.total == Money(159_990, "BRL")


def test_a_net_price_is_told_from_a_gross_one() -> None:
    """Where the tax is needed for the total, the item's amount is without it."""
    found = [play(pair)[0] for pair in ALL if pair.operation == "getOrder" and pair.status == 200]
    seattle = next(order_in(one) for one in found if one["orderId"] == "114-9876543-1234567")
    line = seattle.lines[0]
    assert (line.amount, line.gross, line.tax) == (Money(3_999, "USD"), False, Money(1_000, "USD"))
    istanbul = next(order_in(one) for one in found if one["orderId"] == "028-1234567-8901234")
    assert (istanbul.lines[0].amount, istanbul.lines[0].gross) == (Money(12_500, "TRY"), True)


def test_the_items_of_the_pairs_show_price_stock_and_issues() -> None:
    """The example item is one of ours, in two storefronts with a price each."""
    pair = next(pair for pair in ALL if pair.operation == "getListingsItem" and pair.status == 200)
    item, _ = play(pair)
    shown = {country: seen(item, MARKETPLACES[country]) for country in ("US", "CA")}
    assert [one.price.amount for one in shown.values() if one.price] == [Money(10_000, "USD"), Money(13_000, "CAD")]
    assert {one.stock.quantity for one in shown.values() if one.stock} == {100}
    assert all(hint(issue) for issue in item["issues"])


def test_an_invalid_submission_of_the_pairs_is_refused_with_amazons_words() -> None:
    """Code, text and a plain sentence arrive at the manager."""
    invalid = [
        play(pair)[0] for pair in ALL if isinstance(pair.response, dict) and pair.response.get("status") == "INVALID"
    ]
    assert len(invalid) == 2
    for submission in invalid:
        results = refusals(submission["sku"], {Aspect.LISTING, Aspect.STOCK}, submission["issues"])
        by_aspect = {one.aspect: one for one in results}
        assert by_aspect[Aspect.LISTING].result is Result.REJECTED
        assert by_aspect[Aspect.LISTING].hint
        assert by_aspect[Aspect.STOCK].result is Result.RETRY
