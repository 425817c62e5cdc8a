"""The README's scorecard is what a whole day at Kaufland shows, and the example configuration is right."""

from pathlib import Path

from marketsync.adapter import api
from marketsync.adapter.api import Aspect, Command, CommandLine, OrderCursor
from marketsync.config.loader import load
from marketsync.daemon.adapters import Installed
from marketsync.testing.contract import Session
from marketsync.testing.contract.orders import pull, pull_returns
from marketsync_adapters.kaufland import KauflandAdapter
from tests.contract.kaufland_harness import Bench
from tests.contract.scorecards import agrees, assumptions

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "adapters" / "marketsync_adapters" / "kaufland" / "README.md"
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
    hands.market.subscriptions[1]["is_active"] = False
    await adapter.subscribe()
    await session.put_on_sale(["day-1", "day-2"], quantity=9)
    await session.push(session.door(Aspect.STOCK), [session.op("day-1", Aspect.STOCK, quantity=8)])
    await session.push(adapter.spec.operation("listing"), [session.op("day-1", Aspect.LISTING)])
    await session.push(
        session.door(Aspect.LISTING, withdraws=True), [session.withdrawal("day-2", frozenset({Aspect.LISTING}))]
    )
    await session.read()
    order_id = hands.sell([("day-1", 3)])
    began = session.harness.clock.now().replace(hour=0)
    assert await adapter.order_ids(began, began.replace(hour=23)) == [order_id]
    assert await pull(session)
    whole = Command(key="k", order_id=order_id, lines=(), carrier="Pigeon Post", tracking="1")
    await adapter.acknowledge([whole])
    pieces = [CommandLine(line_id="day-1", sku="day-1", quantity=1, unit_ids=(str(number),)) for number in (1, 2, 3)]
    await adapter.cancel(Command(key="c", order_id=order_id, lines=(pieces[2],), reason="out of stock"))
    await adapter.ship(whole)
    further = CommandLine(line_id="day-1", sku="day-1", quantity=0)
    await adapter.ship(Command(key="f", order_id=order_id, lines=(further,), carrier="DHL", tracking="2"))
    await adapter.refund(Command(key="r", order_id=order_id, lines=(pieces[0],)))
    hands.request_return(order_id, "day-1", 1)
    assert await pull_returns(session)
    assert (await adapter.orders(OrderCursor(since=None))).orders


def scorecard() -> str:
    """The table, from the adapter, from a day behind the referee, and from the README's own list of assumptions."""
    bench = Bench()
    bench.harness(product_safety_contact={"name": "Acme", "address": "Leipzig"}).run(a_day)
    assert not bench.referee.violations
    used = sorted(bench.referee.coverage)
    can = [kind.__name__ for kind in CAPABILITIES if issubclass(KauflandAdapter, kind)]
    return "\n".join(
        [
            "| what | how much |",
            "|---|---|",
            f"| capabilities | {len(can)} of {len(CAPABILITIES)}: {', '.join(can)} |",
            f"| operations of the contract in use, each request and reply checked against it | {len(used)} |",
            f"| unconfirmed assumptions | {assumptions(README)} |",
            "",
            "Operations: " + ", ".join(f"`{one}`" for one in used) + ".",
        ]
    )


def test_the_scorecard_is_what_the_adapter_does() -> None:
    """Capabilities, coverage of the contract and the number of assumptions, as the README says."""
    agrees(README, scorecard())


def test_every_setting_is_told_in_the_readme() -> None:
    """Nobody has to read the code to know what can be set."""
    text = README.read_text()
    missing = [name for name in KauflandAdapter.spec.settings.model_fields if f"`{name}`" not in text]
    assert not missing


def test_the_example_configuration_is_right() -> None:
    """As `marketsync check` reads it, with its secrets in the environment."""
    names = ("MARKETSYNC_KEY", "KAUFLAND_CLIENT_KEY", "KAUFLAND_SECRET_KEY")
    key = f"{'A' * 43}="  # what `marketsync init` makes looks like this
    result = load(ROOT / "config" / "kaufland.yaml", adapters=Installed(), environment=dict.fromkeys(names, key))
    assert [] == [str(problem) for problem in (*result.problems, *result.warnings)]
    assert result.config is not None
    assert {"kaufland-de", "kaufland-at"} == set(result.config.channels)
