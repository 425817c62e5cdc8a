"""What tests of the engine do to it: a small catalogue, a channel that shows it, and looks at both sides."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from marketsync.adapter.content import PushOutcome
from marketsync.ledger.verify import verify
from tests.engine import Engine, sandboxes, write_config

FAST = "schedule: {orders: 1m, stock: 1s, price: 1s, listing: 1s}\n"


def configured(folder: Path, ledger: str, rows: dict[str, tuple[str, int]], *names: str, extra: str = FAST) -> Path:
    catalogue(folder, rows)
    source = "sources:\n  pim: {file: catalogue.csv, owns: [content, price, stock], falls_at: never}\n"
    return write_config(folder, ledger, source + sandboxes(*names, extra=extra))


def catalogue(folder: Path, rows: dict[str, tuple[str, int]]) -> None:
    lines = [f"{sku},Item {sku},{price},{stock}" for sku, (price, stock) in rows.items()]
    (folder / "catalogue.csv").write_text("\n".join(["sku,title,price,stock", *lines]) + "\n")


def sqlite(folder: Path) -> str:
    return f"sqlite:///{folder / 'ledger.db'}"


def during_push(e: Engine, act: Callable[[], Any], channel: str = "one") -> None:
    """Run ``act`` once while the next push is on its way: after the request was sent, before the answer is known."""
    adapter = e.house.channels[channel].adapter
    push = adapter.push

    async def pushing(operation: str, ops: Any) -> PushOutcome:
        outcome = await push(operation, ops)
        adapter.push = push
        result = act()
        if asyncio.iscoroutine(result):
            await result
        return outcome

    adapter.push = pushing


def offer(e: Engine, sku: str, *columns: str, channel: str = "one") -> Any:
    sql = (
        f"SELECT {', '.join(columns)} FROM offer o JOIN channel c ON c.id = o.channel_id WHERE c.name = :c AND sku = :s"
    )
    (row,) = e.rows(sql, c=channel, s=sku)
    return row[0] if len(columns) == 1 else row


def shown(e: Engine, sku: str, channel: str = "one") -> tuple[str, int]:
    (found,) = [one for one in e.markets[channel].shelf if one.sku == sku]
    return found.price["amount"], found.quantity


async def ready(e: Engine) -> None:
    """Everything adopted, pushed and quiet."""
    await e.activate()
    await e.settle(20)


async def reread(e: Engine, folder: Path, rows: dict[str, tuple[str, int]]) -> None:
    catalogue(folder, rows)
    e.clock.advance(1)
    await e.run("source:pim", "ingest")


def verify_clean(e: Engine) -> bool:
    return e.house.ledger.read_now(lambda conn: verify(conn, e.house.ledger.vault, e.clock.now())) == []
