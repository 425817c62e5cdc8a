"""What Shopify allows, what the check of a channel tells, and the sandbox as an app of its own."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import httpx
import pytest

from marketsync.adapter.api import Aspect
from marketsync.adapter.errors import AuthRefused, ChannelBlocked, RateLimited
from marketsync.testing.clock import TurnedClock
from marketsync.testing.contract import Harness, Session
from marketsync.testing.sandbox import InProcess
from marketsync_adapters.shopify import reading
from marketsync_adapters.shopify.errors import TABLE
from marketsync_adapters.shopify.sandbox import Shop, build_app
from tests.contract.shopify_acts import made
from tests.contract.shopify_harness import RULES, SETTINGS, harness_for

LISTING = frozenset({Aspect.LISTING})


@pytest.fixture
def clock() -> TurnedClock:
    return TurnedClock(auto=True)


@pytest.fixture
def shop(clock: TurnedClock) -> Shop:
    return Shop(RULES, clock)


@pytest.fixture
def harness(shop: Shop, clock: TurnedClock) -> Harness:
    return harness_for(shop, clock)


class TestLimits:
    def test_throttled_comes_with_http_200_and_says_how_long(self, clock: TurnedClock) -> None:
        """THROTTLED is no answer but a RateLimited: the bucket waits as long as its points take."""
        shop = Shop(replace(RULES, points=0, restore=200, capacity=4_000), clock)
        shop.points.take = lambda cost: not setattr(shop.points, "throttled", 1) and False  # type: ignore[method-assign]

        async def test(session: Session) -> RateLimited:
            with pytest.raises(RateLimited) as raised:
                await session.adapter.check()
            return raised.value

        error = harness_for(shop, clock).run(test)
        assert ("THROTTLED", "points") == (error.code, error.bucket)
        assert error.retry_after is not None
        assert 0 < error.retry_after.total_seconds() < 60

    def test_the_bucket_learns_what_shopify_says_of_itself(self, clock: TurnedClock) -> None:
        """A shop with a tenth of the plan's points is not overrun."""
        shop = Shop(replace(RULES, restore=250, capacity=2_500, points=0), clock)

        async def test(session: Session) -> None:
            for number in range(40):
                while True:
                    try:
                        await session.put_on_sale([f"learn-{number}-{n}" for n in range(5)])
                    except RateLimited as limited:
                        codes.add(limited.code)
                        await clock.sleep(limited.retry_after.total_seconds() if limited.retry_after else 1)
                    else:
                        break

        codes: set[str] = set()
        harness_for(shop, clock).run(test)
        assert codes <= {"limit"}, "our own bucket waits, before Shopify says it"
        assert shop.points.throttled <= 1, "until the first answer nobody could know"

    def test_a_walk_goes_on_where_shopify_s_pages_end(self, harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
        """Shopify shows 25,000 objects of a walk: then a new one begins behind the last id."""
        monkeypatch.setattr(reading, "DEEPEST", 150)

        async def test(session: Session) -> list[str]:
            await session.put_on_sale([f"deep-{number:03d}" for number in range(700)])
            return sorted(await session.read())

        assert [f"deep-{number:03d}" for number in range(700)] == harness.run(test)


class TestCheck:
    def check(self, shop: Shop, clock: TurnedClock, **settings: Any) -> str:
        async def test(session: Session) -> str:
            return await session.adapter.check()

        return harness_for(shop, clock, settings=SETTINGS.model_copy(update=settings)).run(test)

    def test_a_missing_scope_is_named(self, clock: TurnedClock) -> None:
        """Before the first push fails."""
        with pytest.raises(AuthRefused, match=r"the scopes write_orders, read_returns"):
            self.check(Shop(replace(RULES, scopes=RULES.scopes[:3] + RULES.scopes[5:6]), clock), clock)

    def test_a_retired_version_blocks_with_what_to_do(self, clock: TurnedClock) -> None:
        """Shopify would answer with another version, which may mean something else."""
        shop = Shop(RULES, clock)

        async def test(session: Session) -> None:
            shop.rules = replace(RULES, versions=("2027-07",))  # still served, no longer supported
            await session.adapter.check()

        with pytest.raises(ChannelBlocked, match=r"no such shop|update marketsync"):
            harness_for(shop, clock).run(test)

    def test_another_currency_or_location_is_told(self, shop: Shop, clock: TurnedClock) -> None:
        """What the settings say of the shop is compared with the shop."""
        with pytest.raises(ChannelBlocked, match=r"sells in EUR, settings\.currency says PLN"):
            self.check(shop, clock, currency="PLN")
        with pytest.raises(ChannelBlocked, match=r"no active location gid://shopify/Location/99"):
            self.check(shop, clock, locations={"*": "99"})

    def test_without_all_orders_the_line_says_so(self, clock: TurnedClock) -> None:
        """Orders older than 60 days need a scope that Shopify grants on request."""
        scopes = tuple(scope for scope in RULES.scopes if scope != "read_all_orders")
        assert "60 days" in self.check(Shop(replace(RULES, scopes=scopes), clock), clock)


def test_twenty_codes_have_a_sentence_for_the_manager() -> None:
    """The commonest refusals say what to do."""
    assert len(TABLE) >= 20
    assert all(hint.endswith(".") and len(hint) < 160 for _, hint in TABLE.values())


def test_requests_name_no_person_and_no_secret(harness: Harness, shop: Shop) -> None:
    """What goes out holds content alone: the token stands in a header."""
    sent: list[bytes] = []
    inner = harness.transport.handle_async_request

    async def record(request: Any) -> Any:
        sent.append(await request.aread())
        return await inner(request)

    harness.transport.handle_async_request = record  # type: ignore[method-assign]

    async def test(session: Session) -> None:
        await session.put_on_sale(["plain-1"])

    harness.run(test)
    assert sent
    assert not [secret for secret in harness.secrets for body in sent if secret.encode() in body]
    assert all({"query", "variables"} == set(json.loads(body)) for body in sent)


def test_the_sandbox_is_an_asgi_app_of_its_own(clock: TurnedClock) -> None:
    """Users rehearse against it: its admin endpoint sells, breaks and tells."""
    shop = Shop(RULES, clock)
    made(shop, "app-1")

    async def talk() -> list[Any]:
        async with httpx.AsyncClient(transport=InProcess(build_app(shop)), base_url="http://shop") as client:
            sold = await client.post("/admin/sales", json={"sku": "app-1", "quantity": 1})
            again = await client.post("/admin/sales", json={"sku": "app-1", "quantity": 9})
            fault = await client.post("/admin/faults", json={"kind": "503", "operation": "orders"})
            wrong = await client.post("/admin/faults", json={"kind": "418"})
            told = await client.get("/admin/state")
            return [
                sold.json()["lines"],
                again.status_code,
                fault.status_code,
                wrong.status_code,
                told.json()["offers"],
            ]

    assert asyncio.run(talk()) == [
        [{"sku": "app-1", "quantity": 1, "current": 1}],
        422,
        200,
        422,
        [{"sku": "app-1", "price": "1.00", "quantity": 0, "status": "ACTIVE"}],
    ]
