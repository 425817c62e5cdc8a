"""The README's scorecard is what a whole day at the shop shows, and the example configuration is right."""

from pathlib import Path

from marketsync.adapter import api
from marketsync.adapter.api import Aspect, Command, CommandLine
from marketsync.config.loader import load
from marketsync.daemon.adapters import Installed
from marketsync.testing.clock import TurnedClock
from marketsync.testing.contract import Session
from marketsync.testing.contract.orders import pull
from marketsync_adapters.woocommerce import WooCommerceAdapter
from marketsync_adapters.woocommerce.errors import HINTS
from marketsync_adapters.woocommerce.sandbox import Shop
from tests.contract.scorecards import agrees, assumptions
from tests.contract.woocommerce_harness import harness_for, refereed

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "adapters" / "marketsync_adapters" / "woocommerce" / "README.md"
CAPABILITIES = (
    api.PushesOffers, api.ConfirmsPushes, api.ReadsOffers, api.PullsOrders, api.CountsOrders, api.AcknowledgesOrders,
    api.ShipsOrders, api.CancelsOrders, api.RefundsOrders, api.LooksUpCommands, api.PullsReturns, api.ReceivesWebhooks,
    api.SubscribesWebhooks,
)  # fmt: skip


async def a_day(session: Session) -> None:
    """Everything that the adapter does, once."""
    adapter, hands = session.adapter, session.harness.hands
    await adapter.check()
    await adapter.subscribe()
    hands.shop.hooks.update(1, {"status": "disabled"})
    await adapter.subscribe()
    await session.put_on_sale(["day-1", "day-2"], quantity=9)
    family = [session.op(f"day-{size}", *Aspect, family="DAY") for size in "SL"]
    await session.push(session.door(Aspect.LISTING), family)
    new = session.harness.listing("x")
    made = type(new)(title="New", category="Garden > New")
    await session.push(session.door(Aspect.LISTING), [session.op("day-3", *Aspect, listing=made)])
    await session.push(session.door(Aspect.STOCK), [session.op("day-S", Aspect.STOCK, quantity=8)])
    withdrawal = session.withdrawal("day-2", frozenset({Aspect.LISTING}))
    await session.push(session.door(Aspect.LISTING, withdraws=True), [withdrawal])
    await session.read()
    await session.read(["day-1", "day-S"])
    began = session.harness.clock.now()
    first, second = hands.sell([("day-1", 2)]), hands.sell([("day-S", 1)])
    session.harness.clock.advance(1)
    assert [first, second] == await adapter.order_ids(began, session.harness.clock.now())
    line = (await pull(session))[0].lines[0]
    part = (CommandLine(line_id=line.line_id, sku=line.sku, quantity=1),)
    await adapter.ship(Command(key="s", order_id=first, lines=part, carrier="DHL", tracking="1"))
    await adapter.refund(Command(key="r", order_id=first, lines=part))
    await adapter.cancel(Command(key="c", order_id=second, lines=()))
    assert await adapter.command_result("cancel", Command(key="c", order_id=second, lines=()))
    assert 2 == len(await pull(session))


def scorecard() -> str:
    """The table, from the adapter, from a day behind the referee, and from the README's own list of assumptions."""
    clock = TurnedClock(auto=True)
    shop = Shop(clock=clock)
    transport, referee = refereed(shop)
    harness_for(shop, clock, transport=transport, create_categories=True).run(a_day)
    assert not referee.violations
    coverage = referee.coverage
    can = [kind.__name__ for kind in CAPABILITIES if issubclass(WooCommerceAdapter, kind)]
    return "\n".join(
        [
            "| what | how much |",
            "|---|---|",
            f"| capabilities | {len(can)} of {len(CAPABILITIES)}: {', '.join(can)} |",
            f"| operations of the contract in use, each request and reply checked against it | {len(coverage)} |",
            f"| unconfirmed assumptions | {assumptions(README)} |",
            "",
            "Operations: " + ", ".join(f"`{one}`" for one in sorted(coverage)) + ".",
        ]
    )


def test_the_scorecard_is_what_the_adapter_does() -> None:
    """Capabilities, coverage of the contract and the number of assumptions, as the README says."""
    agrees(README, scorecard())


def test_every_setting_is_told_in_the_readme() -> None:
    """Nobody has to read the code to know what can be set."""
    text = README.read_text()
    assert [] == [name for name in WooCommerceAdapter.spec.settings.model_fields if f"`{name}`" not in text]


def test_twenty_codes_have_a_sentence_for_the_manager() -> None:
    """The commonest refusals say what to do, in a sentence."""
    assert len(HINTS) >= 20
    assert all(hint.endswith(".") and len(hint) < 160 for hint in HINTS.values())


def test_the_example_configuration_is_right() -> None:
    """As `marketsync check` reads it, with its secrets in the environment, and every setting in it."""
    names = ("MARKETSYNC_KEY", "WOOCOMMERCE_KEY", "WOOCOMMERCE_SECRET", "WOOCOMMERCE_HOOK")
    key = f"{'A' * 43}="  # what `marketsync init` makes looks like this
    result = load(ROOT / "config" / "woocommerce.yaml", adapters=Installed(), environment=dict.fromkeys(names, key))
    assert [] == [str(problem) for problem in (*result.problems, *result.warnings)]
    assert result.config is not None
    settings = result.config.channels["shop"].settings
    assert set(WooCommerceAdapter.spec.settings.model_fields) == settings.model_fields_set
