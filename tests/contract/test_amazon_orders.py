"""Amazon's traps around orders: slow searches, pending ones, FBA, reports, shipments, tokens."""

from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from marketsync.adapter.api import (
    CancelsOrders,
    Command,
    CommandLine,
    CommandResult,
    Fulfilment,
    OrderCursor,
    OrderPage,
    Payment,
    PullsReturns,
    ReceivesWebhooks,
    RefundsOrders,
    Result,
)
from marketsync.adapter.errors import AuthRefused, ConsentExpired, OutcomeUnknown, RateLimited, Unavailable
from marketsync.domain import limits
from marketsync.testing.clock import TurnedClock
from marketsync.testing.contract import Session
from marketsync_adapters.amazon import AmazonAdapter
from marketsync_adapters.amazon.orders import package_reference
from marketsync_adapters.amazon.sandbox import Account, Rules
from marketsync_adapters.amazon.spec import SPEC
from marketsync_adapters.sandbox.faults import FaultKind
from tests.contract.amazon_harness import DE, RULES, credentials, harness_for

UNLIMITED = replace(RULES, limits={})


def run(test: Callable[[Session, Account], Coroutine[Any, Any, Any]], rules: Rules = UNLIMITED, **how: Any) -> Any:
    clock = TurnedClock(auto=True)
    account = Account(rules, clock)
    given = how.pop("credentials", None)
    return harness_for(account, clock, **how).run(lambda session: test(session, account), credentials=given)


async def pulled(session: Session) -> OrderPage:
    page: OrderPage = await session.adapter.orders(OrderCursor(since=session.harness.clock.now() - timedelta(days=1)))
    return page


def command(key: str, order_id: str, *lines: tuple[str, str, int], **more: Any) -> Command:
    named = tuple(CommandLine(line_id=line, sku=sku, quantity=n) for line, sku, n in lines)
    given = {"carrier": "DHL", "tracking": "00340434161094000000", "extra": {"marketplace_id": DE}, **more}
    return Command(key=key, order_id=order_id, lines=named, **given)


# -------------------------------------------------------------------- searching


def test_a_pull_of_up_to_a_hundred_orders_is_one_search() -> None:
    """One search in 179 seconds is all that is sustained: pages are full, and nothing else is asked per order."""

    async def test(session: Session, account: Account) -> tuple[int, int, str | None]:
        await session.put_on_sale(["s-1"], quantity=500)
        for _ in range(100):
            account.sales.buy([("s-1", 1)])
        page = await pulled(session)
        return len(page.orders), account.requests["orders", 200] + account.requests["order", 200], page.next_page

    assert run(test) == (100, 1, None)


def test_the_search_is_as_slow_as_amazon_says_and_survives_a_restart() -> None:
    """Twenty at once, then one in 179 seconds; a bucket slower than one a second is stored."""
    (bucket,) = [one for one in SPEC.buckets(None) if one.name == "searchOrders"]
    assert limits.interval(bucket) > 1
    assert SPEC.order_overlap >= timedelta(minutes=10)

    async def test(session: Session, account: Account) -> tuple[int, float]:
        for _ in range(20):
            await pulled(session)
        with pytest.raises(RateLimited) as raised:
            await pulled(session)
        assert raised.value.retry_after is not None
        return account.requests["orders", 429], raised.value.retry_after.total_seconds()

    refused, wait = run(test, RULES)
    assert refused == 0
    assert 170 < wait < 190


def test_a_pending_order_reserves_without_an_address_for_three_weeks() -> None:
    """It shows what was bought, not by whom and for how much."""

    async def test(session: Session, account: Account) -> Any:
        await session.put_on_sale(["p-1"])
        account.sales.buy([("p-1", 2)], paid=False)
        return (await pulled(session)).orders[0]

    order = run(test)
    assert (order.payment, order.fulfilment, order.buyer, order.currency) == (
        Payment.PENDING,
        Fulfilment.OPEN,
        None,
        "EUR",
    )
    assert [(line.sku, line.quantity) for line in order.lines] == [("p-1", 2)]
    assert SPEC.max_order_age >= timedelta(days=21)


def test_orders_that_amazon_ships_are_marked_and_not_shipped_by_us() -> None:
    """FBA: the line says so, and Amazon refuses a shipment of ours."""

    async def test(session: Session, account: Account) -> tuple[list[str], Result]:
        await session.put_on_sale(["fba-1"])
        account.items.stock_by_amazon("fba-1", 5)
        order_id = account.sales.buy([("fba-1", 1)]).order_id
        order = (await pulled(session)).orders[0]
        result = await session.adapter.ship(command("k", order_id))
        return [line.fulfilled_by for line in order.lines], result.result

    assert run(test) == (["channel"], Result.REJECTED)


def test_orders_of_other_shops_that_amazon_ships_stay_there() -> None:
    """Multi-channel fulfilment: the order is at home elsewhere, and no count misses it."""

    async def test(session: Session, account: Account) -> tuple[list[str], list[str], str]:
        await session.put_on_sale(["mcf-1"])
        account.sales.buy([("mcf-1", 1)], other_shop=True)
        ours = account.sales.buy([("mcf-1", 1)]).order_id
        session.harness.clock.advance(60)
        now = session.harness.clock.now()
        counted = await session.adapter.order_ids(now - timedelta(hours=1), now)
        return [order.order_id for order in (await pulled(session)).orders], list(counted), ours

    pulled_ids, counted, ours = run(test)
    assert pulled_ids == [ours]
    assert counted == [ours]


def test_a_cancelled_order_was_never_paid() -> None:
    """Amazon takes the money when a parcel leaves."""

    async def test(session: Session, account: Account) -> Any:
        await session.put_on_sale(["c-1"])
        account.sales.cancel(account.sales.buy([("c-1", 1)]).order_id)
        return (await pulled(session)).orders[0]

    order = run(test)
    assert (order.payment, order.fulfilment, order.lines[0].cancelled) == (Payment.FAILED, Fulfilment.CANCELLED, 1)


# -------------------------------------------------------------------- completeness


def test_completeness_is_proved_from_a_report_that_takes_its_time() -> None:
    """The first count asks for a report and says when to come back; the next, with a later window, finds that report."""

    async def test(session: Session, account: Account) -> tuple[list[str], list[str]]:
        await session.put_on_sale(["n-1"], quantity=50)
        clock = session.harness.clock
        sold = [account.sales.buy([("n-1", 1)]).order_id for _ in range(5)]
        clock.advance(7_200)
        overlap = SPEC.order_overlap
        waits = 0
        while True:
            until = clock.now() - overlap
            try:
                counted = await session.adapter.order_ids(until - timedelta(days=1), until)
                break
            except Unavailable as pending:
                clock.advance((pending.retry_after or timedelta(0)).total_seconds())
                waits += 1
        assert waits == 3
        assert account.requests["report_request", 202] == 1
        assert account.requests["orders", 200] == 0
        return sold, list(counted)

    sold, counted = run(test, replace(UNLIMITED, report_time=timedelta(minutes=5)))
    assert sorted(sold) == sorted(counted)


# -------------------------------------------------------------------- shipments


def test_every_attempt_of_a_shipment_is_the_same_package() -> None:
    """A positive number, the same for the same command; sent twice it corrects the package and ships no more."""

    async def test(session: Session, account: Account) -> tuple[list[CommandResult], int, int]:
        await session.put_on_sale(["t-1"])
        order = account.sales.buy([("t-1", 3)])
        line = order.lines[0]
        one = command("ship-1", order.order_id, (line.line_id, "t-1", 2))
        results = [await session.adapter.ship(one) for _ in range(2)]
        results.append(await session.adapter.ship(command("ship-2", order.order_id)))
        return results, line.shipped, len(order.packages)

    results, shipped, packages = run(test)
    assert [one.result for one in results] == [Result.APPLIED] * 3
    assert results[0].reference == results[1].reference == package_reference("ship-1")
    assert results[2].reference != results[0].reference
    assert (shipped, packages) == (3, 2)
    assert all(1 <= int(package_reference(f"key-{n}")) < 10**9 for n in range(500))


def test_a_lost_shipment_is_found_by_its_package() -> None:
    """Looked up, not sent again blindly."""

    async def test(session: Session, account: Account) -> CommandResult | None:
        await session.put_on_sale(["u-1"])
        order = account.sales.buy([("u-1", 1)])
        asked = command("ship-u", order.order_id)
        session.harness.hands.fault("ship", FaultKind.TIMEOUT_AFTER)
        with pytest.raises(OutcomeUnknown):
            await session.adapter.ship(asked)
        found: CommandResult | None = await session.adapter.command_result("ship", asked)
        return found

    found = run(test)
    assert found is not None
    assert found.result is Result.APPLIED


@pytest.mark.parametrize(
    ("carrier", "code", "name"),
    [
        ("dhl", "DHL", ""),
        ("Paket-DHL", "DHL", ""),
        ("Botendienst Müller", "Other", "Botendienst Müller"),
        ("", "Other", "Other"),
    ],
)
def test_carriers_travel_under_amazons_codes(carrier: str, code: str, name: str) -> None:
    """By our own names for them, by theirs, else as "Other" with a name."""

    async def test(session: Session, account: Account) -> tuple[str, str]:
        await session.put_on_sale(["w-1"])
        order = account.sales.buy([("w-1", 1)])
        await session.adapter.ship(command("k", order.order_id, carrier=carrier))
        (kept,) = order.packages.values()
        return kept["package"]["carrierCode"], kept["package"].get("carrierName", "")

    assert run(test, carriers={"Paket-DHL": "DHL"}) == (code, name)


def test_an_order_that_does_not_exist_or_is_done_is_refused_with_a_reason() -> None:
    """Both before anything is sent."""

    async def test(session: Session, account: Account) -> list[str]:
        await session.put_on_sale(["x-1"])
        order = account.sales.buy([("x-1", 1)])
        await session.adapter.ship(command("a", order.order_id))
        again = await session.adapter.ship(command("b", order.order_id))
        missing = await session.adapter.ship(command("c", "305-9999999-9999999", extra={}))
        assert {again.result, missing.result} == {Result.REJECTED}
        return [again.code, missing.code]

    assert run(test) == ["nothing_open", "order_not_found"]


def test_what_these_apis_cannot_do_is_not_claimed() -> None:
    """Cancellation and refund are unconfirmed feeds, returns a report, notifications need a queue of Amazon's."""
    for capability in (CancelsOrders, RefundsOrders, PullsReturns, ReceivesWebhooks):
        assert not issubclass(AmazonAdapter, capability)


# -------------------------------------------------------------------- access


def test_an_access_token_that_ends_is_renewed_once() -> None:
    """In the middle of things, and nobody notices."""

    async def test(session: Session, account: Account) -> tuple[str, int]:
        await session.adapter.check()
        account.gate.expire_tokens()
        return await session.adapter.check(), account.requests["token", 200]

    line, tokens = run(test)
    assert line == "Demo Store on Amazon 1 (DE, EUR)"
    assert tokens == 2


def test_a_withdrawn_consent_says_what_to_do() -> None:
    """The refresh token is refused: a person has to authorise the application again."""

    async def test(session: Session, _account: Account) -> ConsentExpired:
        with pytest.raises(ConsentExpired, match="run `marketsync channels login contract`") as raised:
            await session.adapter.check()
        return raised.value

    error = run(test, credentials=credentials(refresh_token=SecretStr("Atzr|revoked-by-the-seller")))
    assert "revoked-by-the-seller" not in f"{error!r} {error.evidence}"


def test_a_missing_role_is_told_from_a_wrong_key() -> None:
    """403 with a fresh token: the application may not do this, whatever the token."""

    async def test(session: Session, _account: Account) -> str:
        with pytest.raises(AuthRefused) as raised:
            await session.adapter.offers(["a"]).__anext__()
        return raised.value.message

    assert "role" in run(test, seller_id="SOMEBODYELSE")
