"""The README's scorecard is what a whole day at eBay shows, and the example configuration is right."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from marketsync.adapter import api
from marketsync.adapter.api import Aspect, Command, CommandLine, OfferOp
from marketsync.config.loader import load
from marketsync.daemon.adapters import Installed
from marketsync.testing.clock import TurnedClock
from marketsync.testing.contract import Session
from marketsync.testing.contract.orders import pull, pull_returns
from marketsync_adapters.ebay import EbayAdapter
from marketsync_adapters.ebay.sandbox import Market, Rules
from tests.contract.ebay_harness import PUBLISHED, contract_file, harness_for, listing, referee_for
from tests.contract.scorecards import agrees, assumptions

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "adapters" / "marketsync_adapters" / "ebay" / "README.md"
CAPABILITIES = (
    api.PushesOffers, api.ConfirmsPushes, api.ReadsOffers, api.PullsOrders, api.CountsOrders, api.AcknowledgesOrders,
    api.ShipsOrders, api.CancelsOrders, api.RefundsOrders, api.LooksUpCommands, api.PullsReturns, api.ReceivesWebhooks,
    api.SubscribesWebhooks,
)  # fmt: skip
LISTING = frozenset({Aspect.LISTING})


async def a_day(session: Session) -> None:
    """Everything that the adapter does, once."""
    adapter, hands = session.adapter, session.harness.hands
    doors = {operation.name: operation for operation in adapter.spec.operations}

    def family(sku: str) -> OfferOp:
        text = replace(listing(sku), options={"Size": sku[-1]})
        return replace(session.op(sku, *Aspect, listing=text), family="day")

    async def push(door: str, ops: Sequence[OfferOp]) -> None:
        results = await session.push(doors[door], ops)
        assert {one.result for one in results.values()} == {api.Result.APPLIED}

    await adapter.check()
    await push("listing", [session.op(f"day-{number}", *Aspect, quantity=9) for number in (1, 2)])
    await push("listing", [family("v-S"), family("v-M")])
    text = replace(listing("day-1"), description="Another text.")
    await push("listing", [session.op("day-1", Aspect.LISTING, listing=text)])
    await push("price_stock", [session.op("day-1", Aspect.STOCK, Aspect.PRICE, quantity=8)])
    await push("withdraw", [session.withdrawal("day-2", LISTING)])
    gone = replace(session.withdrawal("v-S", LISTING), family="day")
    await push("withdraw", [gone, replace(family("v-M"), changed=frozenset(), stock=None)])
    await push("withdraw", [replace(session.withdrawal("v-M", LISTING), family="day")])
    assert set(await session.read()) == {"day-1"}
    assert set(await session.read(["day-1", "day-2"])) == {"day-1"}
    order_id = hands.sell([("day-1", 3)])
    began = session.harness.clock.now().replace(hour=0)
    assert await adapter.order_ids(began, began.replace(hour=23)) == [order_id]
    (order,) = await pull(session)
    line = CommandLine(line_id=order.lines[0].line_id, sku="day-1", quantity=1)
    await adapter.ship(Command(key="s", order_id=order_id, lines=(line,), carrier="DHL", tracking="1"))
    assert await adapter.command_result(
        "ship", Command(key="s", order_id=order_id, lines=(), carrier="DHL", tracking="1")
    )
    await adapter.refund(Command(key="r", order_id=order_id, lines=(line,)))
    hands.request_return(order_id, line.line_id, 1)
    assert await pull_returns(session)


def scorecard() -> str:
    """The table, from the adapter, from a day behind the referees, and from the README's own list of assumptions."""
    referees = {}
    for base, name in PUBLISHED.items():
        contract_file(name)  # skips without it
        referees[base] = referee_for(base)
        referees[base].coverage.clear()
    clock = TurnedClock(auto=True)
    harness_for(Market(Rules(), clock), clock).run(a_day)
    assert not [violation for referee in referees.values() for violation in referee.violations]
    used = [f"`{call.replace(' ', f' {base}', 1)}`" for base in PUBLISHED for call in sorted(referees[base].coverage)]
    can = [kind.__name__ for kind in CAPABILITIES if issubclass(EbayAdapter, kind)]
    return "\n".join(
        [
            "| what | how much |",
            "|---|---|",
            f"| capabilities | {len(can)} of {len(CAPABILITIES)}: {', '.join(can)} |",
            f"| operations of eBay's contracts in use, each request and reply checked against them | {len(used)} |",
            f"| unconfirmed assumptions | {assumptions(README)} |",
            "",
            "Operations: " + ", ".join(used) + ".",
        ]
    )


def test_the_scorecard_is_what_the_adapter_does() -> None:
    """Capabilities, coverage of the contracts and the number of assumptions, as the README says."""
    agrees(README, scorecard())


def test_every_setting_is_told_in_the_readme() -> None:
    """Nobody has to read the code to know what can be set."""
    text = README.read_text()
    missing = [name for name in EbayAdapter.spec.settings.model_fields if f"`{name}`" not in text]
    assert not missing


def test_the_example_configuration_is_right() -> None:
    """As `marketsync check` reads it, with its secrets in the environment."""
    names = ("MARKETSYNC_KEY", "EBAY_CLIENT_ID", "EBAY_CLIENT_SECRET", "EBAY_REFRESH_TOKEN")
    key = f"{'A' * 43}="  # what `marketsync init` makes looks like this
    result = load(ROOT / "config" / "ebay.yaml", adapters=Installed(), environment=dict.fromkeys(names, key))
    assert [] == [str(problem) for problem in (*result.problems, *result.warnings)]
    assert result.config is not None
    assert {"ebay-de"} == set(result.config.channels)
