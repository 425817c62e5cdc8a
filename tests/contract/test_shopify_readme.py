"""The README's scorecard is what a whole day at the shop shows, and the example configuration is right."""

from dataclasses import replace
from pathlib import Path

import pytest

from marketsync.adapter import api
from marketsync.adapter.api import Aspect, Command, CommandLine
from marketsync.config.loader import load
from marketsync.daemon.adapters import Installed
from marketsync.testing.clock import TurnedClock
from marketsync.testing.contract import Session
from marketsync.testing.contract.orders import pull, pull_returns
from marketsync.testing.referee import Referee, RefereedTransport
from marketsync.testing.sandbox import InProcess
from marketsync_adapters.shopify import SCOPES, ShopifyAdapter
from marketsync_adapters.shopify.documents import API_VERSION, API_VERSIONS
from marketsync_adapters.shopify.sandbox import Shop, build_app
from tests.contract.scorecards import agrees, assumptions
from tests.contract.shopify_harness import RULES, SETTINGS, contract, harness_for

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "adapters" / "marketsync_adapters" / "shopify" / "README.md"
CAPABILITIES = (
    api.PushesOffers, api.ConfirmsPushes, api.ReadsOffers, api.PullsOrders, api.CountsOrders, api.AcknowledgesOrders,
    api.ShipsOrders, api.CancelsOrders, api.RefundsOrders, api.LooksUpCommands, api.PullsReturns, api.ReceivesWebhooks,
    api.SubscribesWebhooks,
)  # fmt: skip
LISTING = frozenset({Aspect.LISTING})


async def a_day(session: Session) -> None:
    """Everything that the adapter does, once."""
    adapter, hands = session.adapter, session.harness.hands
    await adapter.check()
    await adapter.subscribe()
    await session.put_on_sale(["day-1", "day-2"], quantity=9)
    plain = session.harness.listing("x")
    for sizes in ("SML", [f"{number:03d}" for number in range(110)]):
        family = f"DAY{len(sizes)}"
        ops = [
            session.op(f"{family}-{size}", *LISTING, family=family, listing=replace(plain, options={"Size": size}))
            for size in sizes
        ]
        await session.push(session.door(Aspect.LISTING), ops)
    await session.push(session.door(Aspect.PRICE), [session.op("DAY3-S", Aspect.PRICE)])
    door = session.door(Aspect.LISTING, withdraws=True)
    await session.push(door, [session.withdrawal("DAY3-S", LISTING), session.withdrawal("day-2", LISTING)])
    await session.read()
    await session.read(["day-1", "not-there"])
    began = session.harness.clock.now()
    first, second = hands.sell([("day-1", 3)]), hands.sell([("day-1", 1)])
    session.harness.clock.advance(1)
    assert sorted([first, second]) == sorted(await adapter.order_ids(began, session.harness.clock.now()))
    line = (await pull(session))[0].lines[0]
    part = (CommandLine(line_id=line.line_id, sku=line.sku, quantity=1),)
    await adapter.ship(Command(key="s", order_id=first, lines=part, carrier="DHL", tracking="1"))
    assert await adapter.command_result("ship", Command(key="s", order_id=first, lines=part, tracking="1"))
    await adapter.refund(Command(key="r", order_id=first, lines=part))
    await adapter.cancel(Command(key="c", order_id=second, lines=()))
    assert await adapter.command_result("cancel", Command(key="c", order_id=second, lines=()))
    hands.request_return(first, line.line_id, 1)
    assert 1 == len(await pull_returns(session))
    assert 2 == len(await pull(session))


def scorecard() -> str:
    """The table, from the adapter, from a day behind the referee, and from the README's own list of assumptions."""
    clock = TurnedClock(auto=True)
    shop = Shop(RULES, clock)
    referee = Referee.from_graphql(contract())
    settings = SETTINGS.model_copy(update={"publications": ("71",)})
    transport = RefereedTransport(InProcess(build_app(shop, in_process=True)), referee)
    replace(harness_for(shop, clock, settings=settings), transport=transport).run(a_day)
    assert not referee.violations
    fields = sorted({_plain(name) for name in referee.coverage})
    can = [kind.__name__ for kind in CAPABILITIES if issubclass(ShopifyAdapter, kind)]
    return "\n".join(
        [
            "| what | how much |",
            "|---|---|",
            f"| capabilities | {len(can)} of {len(CAPABILITIES)}: {', '.join(can)} |",
            f"| queries and mutations in use, each request and reply checked against the schema | {len(fields)} |",
            f"| versions of the schema that every document is valid in | {', '.join(sorted(API_VERSIONS))} |",
            f"| unconfirmed assumptions | {assumptions(README)} |",
            "",
            "Fields: " + ", ".join(f"`{one}`" for one in fields) + ".",
        ]
    )


def _plain(operation: str) -> str:
    """ "mutation productSet, productSet" is one."""
    kind, _, names = operation.partition(" ")
    return f"{kind} {names.split(', ')[0]}"


def test_the_scorecard_is_what_the_adapter_does() -> None:
    """Capabilities, coverage of the contract and the number of assumptions, as the README says."""
    if not contract().exists():
        pytest.skip("Shopify's schema is not at hand (MARKETSYNC_CONTRACTS)")
    agrees(README, scorecard())


def test_every_setting_scope_and_version_is_told_in_the_readme() -> None:
    """Nobody has to read the code to know what can be set and what has to be clicked."""
    text = README.read_text()
    wanted = [*ShopifyAdapter.spec.settings.model_fields, *ShopifyAdapter.spec.credentials.model_fields, *SCOPES]
    assert [] == [name for name in wanted if f"`{name}`" not in text]
    assert f"**{API_VERSION}**, until {API_VERSIONS[API_VERSION]}" in text


def test_the_example_configuration_is_right() -> None:
    """As `marketsync check` reads it, with its secrets in the environment, and every setting in it."""
    names = ("MARKETSYNC_KEY", "ERP_URL", "SHOPIFY_CLIENT_ID", "SHOPIFY_CLIENT_SECRET")
    key = f"{'A' * 43}="  # what `marketsync init` makes looks like this
    result = load(ROOT / "config" / "shopify.yaml", adapters=Installed(), environment=dict.fromkeys(names, key))
    assert [] == [str(problem) for problem in (*result.problems, *result.warnings)]
    assert result.config is not None
    settings = result.config.channels["shop"].settings
    assert set(ShopifyAdapter.spec.settings.model_fields) == settings.model_fields_set
