"""The README's scorecard is what a whole day at Amazon shows, and the example configuration is right."""

import json
import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from marketsync.adapter import api
from marketsync.adapter.api import Aspect, Command
from marketsync.config.loader import load
from marketsync.daemon.adapters import Installed
from marketsync.testing.clock import TurnedClock
from marketsync.testing.contract import Session
from marketsync.testing.contract.orders import pull
from marketsync_adapters.amazon import AmazonAdapter
from marketsync_adapters.amazon.errors import HINTS
from marketsync_adapters.amazon.sandbox import Account
from marketsync_adapters.amazon.spec import RATES, SPEC
from tests.contract.amazon_harness import COVERED, MODELS, RULES, check_documents, harness_for, model
from tests.contract.amazon_pairs import pairs
from tests.contract.scorecards import agrees, assumptions

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "adapters" / "marketsync_adapters" / "amazon" / "README.md"
CAPABILITIES = (
    api.PushesOffers, api.ConfirmsPushes, api.ReadsOffers, api.PullsOrders, api.CountsOrders, api.AcknowledgesOrders,
    api.ShipsOrders, api.CancelsOrders, api.RefundsOrders, api.LooksUpCommands, api.PullsReturns, api.ReceivesWebhooks,
    api.SubscribesWebhooks,
)  # fmt: skip


async def a_day(session: Session, account: Account) -> None:
    """Everything that the adapter does, once."""
    adapter, spec = session.adapter, session.adapter.spec
    await adapter.check()
    await session.put_on_sale(["day-1", "day-2", "day-3"], quantity=9)
    await session.push(spec.operation("patch"), [session.op("day-1", *Aspect, quantity=8)])
    await session.push(
        spec.operation("feed"), [session.op(sku, Aspect.STOCK, quantity=7) for sku in ("day-1", "day-2")]
    )
    await session.push(spec.operation("feed_create"), [session.op("day-4", *Aspect)])
    await session.push(spec.operation("withdraw"), [session.withdrawal("day-4", frozenset({Aspect.LISTING}))])
    account.items.stock_by_amazon("day-3", 3)
    await session.read()
    await session.read(["day-1"])
    order_id = session.harness.hands.sell([("day-1", 3)])
    assert [order.order_id for order in await pull(session)] == [order_id]
    shipment = Command(key="k", order_id=order_id, lines=(), carrier="DHL", tracking="1")
    await adapter.ship(shipment)
    assert await adapter.command_result("ship", shipment)
    session.harness.clock.advance(60)
    now = session.harness.clock.now()
    assert await adapter.order_ids(now - timedelta(hours=1), now) == [order_id]


def scorecard() -> str:
    """The table, from the adapter, from a day behind the referee, and from the README's own list of assumptions."""
    account = Account(replace(RULES, limits={}), TurnedClock(auto=True))
    harness = harness_for(account, account.clock)
    COVERED.clear()
    harness.run(lambda session: a_day(session, account))
    documents = check_documents(account)
    used = sorted(COVERED)
    played = list(pairs())
    can = [kind.__name__ for kind in CAPABILITIES if issubclass(AmazonAdapter, kind)]
    return "\n".join(
        [
            "| what | how much |",
            "|---|---|",
            f"| capabilities | {len(can)} of {len(CAPABILITIES)}: {', '.join(can)} |",
            f"| operations of seven models in use, each request and reply checked against them | {len(used)} |",
            f"| feeds and processing reports of that day, valid under Amazon's schemas | {documents} |",
            f"| Amazon's own sandbox pairs played | {len(played)}, all of the operations in use |",
            f"| codes of issues with a plain sentence | {len(HINTS)} |",
            f"| unconfirmed assumptions | {assumptions(README)} |",
            "",
            "Operations: " + ", ".join(f"`{one}`" for one in used) + ".",
        ]
    )


def test_the_scorecard_is_what_the_adapter_does() -> None:
    """Capabilities, coverage of the models and the number of assumptions, as the README says."""
    agrees(README, scorecard())


def test_every_setting_is_told_in_the_readme() -> None:
    """Nobody has to read the code to know what can be set."""
    text = README.read_text()
    assert not [name for name in SPEC.settings.model_fields if f"`{name}`" not in text]


def test_the_limits_are_those_that_the_models_print() -> None:
    """Rate and burst of every operation, read out of Amazon's own descriptions."""
    printed = {}
    for name, _ in MODELS.values():
        for path, item in json.loads(model(name).read_bytes())["paths"].items():
            for operation in (one for one in item.values() if isinstance(one, dict) and "operationId" in one):
                row = re.search(r"^\| ([\d.]+) \| (\d+) \|", operation["description"], re.MULTILINE)
                if row and path.startswith("/orders/v0/") is (operation["operationId"] == "confirmShipment"):
                    printed[operation["operationId"]] = (float(row[1]), int(row[2]))
    assert {name: printed.get(name) for name in RATES} == RATES


def test_the_example_configuration_is_right() -> None:
    """As `marketsync check` reads it, with its secrets in the environment."""
    names = ("MARKETSYNC_KEY", "AMAZON_LWA_CLIENT_ID", "AMAZON_LWA_CLIENT_SECRET", "AMAZON_REFRESH_TOKEN")
    key = f"{'A' * 43}="  # what `marketsync init` makes looks like this
    result = load(ROOT / "config" / "amazon.yaml", adapters=Installed(), environment=dict.fromkeys(names, key))
    assert [] == [str(problem) for problem in (*result.problems, *result.warnings)]
    assert result.config is not None
    assert {"amazon-de", "amazon-fr"} == set(result.config.channels)
