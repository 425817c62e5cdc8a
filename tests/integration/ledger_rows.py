"""Rows of a ledger for tests: one small shop with something in every table, all of it consistent."""

from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.fernet import Fernet
from sqlalchemy import Connection, text

from marketsync.domain.content import ABSENT, UNKNOWN
from marketsync.ledger import migrate, outbox, tables, tokens
from marketsync.ledger.gateway import Ledger
from marketsync.ledger.tokens import TokenRow
from marketsync.ledger.types import micros
from marketsync.ledger.vault import Vault

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
KEY = Fernet.generate_key().decode()
A, B = b"a" * 16, b"b" * 16
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def open_ledger(url: str) -> Ledger:
    """An empty ledger of the newest schema."""
    migrate.upgrade(url)
    return Ledger(url, Vault(KEY))


def put(conn: Connection, row: Any) -> None:
    """Insert one instance of a table."""
    table = type(row).__table__
    values = {column.name: getattr(row, column.name) for column in table.columns}
    conn.execute(table.insert().values({name: value for name, value in values.items() if value is not None}))


def offer(number: int, channel: int, sku: str, **values: Any) -> tables.Offer:
    """An offer that shows what it should, unless ``values`` say otherwise."""
    defaults = {f"{aspect}_{state}": A for aspect in outbox.ASPECTS for state in ("desired", "acked", "seen")}
    facts = {"item_sku": sku, "remote_id": f"R{number}", "stock_quantity": 5, "stock_acked_quantity": 5, "proved": 7}
    contents = {
        "price_content": {"amount": {"minor": 1999, "currency": "EUR"}, "gross": True},
        "stock_content": {"quantity": 5},
        "listing_content": {"title": f"The {sku}"},
    }
    return tables.Offer(id=number, channel_id=channel, sku=sku, **{**defaults, **facts, **contents, **values})


def shop(conn: Connection, vault: Vault) -> None:
    """Two channels of one account and a third of its own; seven offers, four orders, and all that hangs on them."""
    for row in (*_house(), *_catalogue(), *_orders(vault)):
        put(conn, row)
    dialect = conn.dialect.name
    conn.execute(text(outbox.refresh(dialect, "1 = 1")))
    document = {"access": "secret-access", "refresh": "secret-refresh", "origin": "o"}
    tokens.save(conn, vault, "rialto", TokenRow(document, NOW + HOUR, NOW + 30 * DAY, 1), 0)
    if dialect != "sqlite":  # rows were put with their ids: the next ones come after them
        for table in ("account", "channel", "offer", "sales_order", "order_line", "order_command", "task_run"):
            sql = f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), (SELECT MAX(id) FROM {table}))"
            conn.execute(text(sql))


def _house() -> list[Any]:
    t = tables
    return [
        t.Account(id=1, name="rialto", adapter="sandbox", changed_at=NOW - DAY),
        t.Account(id=2, name="bazaar", adapter="sandbox", changed_at=NOW - DAY),
        t.Channel(id=1, name="rialto-de", account_id=1, storefront="de", state="active", adopted_at=NOW - DAY, changed_at=NOW - DAY),
        t.Channel(id=2, name="rialto-fr", account_id=1, storefront="fr", state="paused", why="stocktaking", adopted_at=NOW - DAY, changed_at=NOW - HOUR),
        t.Channel(id=3, name="bazaar", account_id=2, state="observing", why="new", changed_at=NOW - DAY),
        t.TaskState(owner="account:rialto", task="orders", started_at=NOW - MINUTE, success_at=NOW - MINUTE, pulled_from=NOW - MINUTE),
        t.TaskState(owner="channel:rialto-de", task="push", started_at=NOW - MINUTE, success_at=NOW - HOUR, failures=2, error="the channel is down"),
        t.TaskState(owner="source:pim", task="ingest", started_at=NOW - HOUR, success_at=NOW - HOUR),
        t.TaskRun(id=1, owner="source:pim", task="ingest", reason="interval", started_at=NOW - HOUR, finished_at=NOW - HOUR + MINUTE, outcome="done", counts={"rows": 3, "changed": 1}),
        t.TaskRun(id=2, owner="channel:rialto-de", task="push", reason="sale", started_at=NOW - MINUTE, finished_at=NOW - MINUTE + timedelta(seconds=2), outcome="failed", counts={"batches": 1}, error="the channel is down"),
        t.TaskRun(id=3, owner="account:rialto", task="orders", reason="interval", started_at=NOW - MINUTE),
        t.RateBucket(account="rialto", bucket="feeds", tat=NOW.timestamp() + 30, blocked_until=NOW.timestamp() + 90),
        t.RateBucket(account="rialto", bucket="daily", used=40, window_start=NOW.timestamp() - 3600),
        t.Issue(id=1, scope="source:pim", sku="C", code="negative_stock", message="the stock is -3", hint="correct the row", place="products.csv:7:4", count=3, first_seen=NOW - DAY, last_seen=NOW - HOUR),
        t.Issue(id=2, scope="channel:rialto-de", sku="PARKED", code="refused_listing", message="E17: the title is too long", hint="shorten it", first_seen=NOW - HOUR, last_seen=NOW - HOUR),
        t.Issue(id=3, scope="channel:rialto-de", sku="A", code="refused_price", message="gone by now", first_seen=NOW - 40 * DAY, last_seen=NOW - 40 * DAY, closed_at=NOW - 39 * DAY),
        t.Hold(id=1, channel="rialto-de", sku="HELD", aspect="price", guard="price_change", message="80 % lower", opened_at=NOW - HOUR),
    ]  # fmt: skip


def _catalogue() -> list[Any]:
    t = tables
    skus = ("A", "B", "C", "DUE", "PARKED", "HELD", "UNKNOWN")
    return [
        t.SourceSnapshot(id=1, source="pim", exported_at=NOW - 2 * DAY, read_at=NOW - 2 * DAY, applied_at=NOW - 2 * DAY, rows=3, verdict="applied"),
        t.SourceSnapshot(id=2, source="pim", exported_at=NOW - 2 * HOUR, read_at=NOW - HOUR, applied_at=NOW - HOUR, rows=7, changed=1, problems=1, verdict="applied"),
        t.SourceSnapshot(id=3, source="pim", exported_at=NOW - MINUTE, read_at=NOW - MINUTE, verdict="failed", error="products.csv: cut off"),
        *[t.Item(sku=sku, content={"pim": {"sku": sku, "title": f"The {sku}"}}) for sku in skus],
        *[t.StockLevel(sku=sku, location="main", on_hand=5, figure_at=NOW - HOUR) for sku in skus if sku != "A"],
        t.StockLevel(sku="A", location="main", on_hand=7, reserved=5, figure_at=NOW - HOUR),
        *[t.StockMovement(sku=sku, location="main", delta=5, kind="opening", reference=f"opening:main:{sku}", at=NOW - DAY) for sku in skus if sku != "A"],
        t.StockMovement(sku="A", location="main", delta=8, kind="opening", reference="opening:main:A", at=NOW - DAY),
        t.StockMovement(sku="A", location="main", delta=-1, kind="shipment", reference="ship:3:A:1", at=NOW - HOUR),
        t.PushBatch(id=1, channel_id=1, operation="stock", epoch=1, started_at=NOW - MINUTE, ops=1),
        t.PushItem(batch_id=1, offer_id=2, position=0, aspects=4, revision=1, stock_hash=B, stock_before=A),
        t.PushBatch(id=2, channel_id=1, operation="listing", epoch=1, started_at=NOW - DAY, closed_at=NOW - DAY, ops=2),
        t.PushItem(batch_id=2, offer_id=1, position=0, aspects=1, revision=1),
        t.PushItem(batch_id=2, offer_id=4, position=1, aspects=1, revision=1),
        offer(1, 1, "A", seen_at=micros(NOW - HOUR), listing_acked_at=micros(NOW - DAY), price_acked_at=micros(NOW - DAY)),
        offer(2, 1, "B", stock_desired=B, stock_acked=UNKNOWN, stock_acked_quantity=None, open_batch=1, open_aspects=4, stock_since=micros(NOW - 2 * MINUTE)),
        offer(3, 2, "C"),
        offer(4, 1, "DUE", price_desired=B, price_due=micros(NOW - 3 * MINUTE), price_since=micros(NOW - 3 * MINUTE)),
        offer(5, 1, "PARKED", listing_desired=B, listing_acked=ABSENT, listing_parked=B, listing_since=micros(NOW - HOUR), remote_id=None, price_acked=ABSENT, stock_acked=ABSENT, stock_acked_quantity=None, proved=0),
        offer(6, 1, "HELD", price_desired=B, held=2, price_since=micros(NOW - HOUR)),
        offer(7, 3, "A", price_seen=B, price_desired=B, seen_at=micros(NOW - HOUR), proved=5, managed=0),
    ]  # fmt: skip


def _orders(vault: Vault) -> list[Any]:
    def order(number: int, key: str, channel: int, account: int, **values: Any) -> tables.SalesOrder:
        facts = {
            "payment": "paid", "fulfilment": "open", "placed_at": NOW - 2 * HOUR, "updated_at": NOW - 2 * HOUR,
            "stored_at": NOW - 2 * HOUR + MINUTE, "currency": "EUR", "total_minor": 3998, "has_address": True,
            "content_hash": A,
        }  # fmt: skip
        return tables.SalesOrder(
            id=number, account_id=account, channel_id=channel, channel_order_id=key,
            key=f"{account}:{key}", **{**facts, **values},
        )  # fmt: skip

    t = tables
    return [
        order(1, "DE-1", 1, 1, revision=2, ship_by=NOW + DAY),
        order(2, "DE-2", 1, 1, payment="pending", has_address=False),
        order(3, "DE-3", 1, 1, fulfilment="shipped", acknowledged=True),
        order(4, "FR-1", 2, 1, unmapped=True, stored_at=NOW - HOUR),
        t.OrderLine(id=1, order_id=1, channel_line_id="1", channel_sku="A", title="The A", components={"A": 1}, ordered=3, cancelled=1, oversold=1, amount_minor=3998, tax_rate="19"),
        t.OrderLine(id=2, order_id=2, channel_line_id="1", channel_sku="TWO-A", title="Two of A", components={"A": 2}, ordered=1),
        t.OrderLine(id=3, order_id=3, channel_line_id="1", channel_sku="A", title="The A", components={"A": 1}, ordered=1, shipped=1, amount_minor=1999),
        t.OrderLine(id=4, order_id=4, channel_line_id="1", channel_sku="NOBODY", title="What is this", ordered=1),
        t.OrderLine(id=5, order_id=4, channel_line_id="2", channel_sku="A", title="The A", components={"A": 1}, ordered=1),
        t.Reservation(line_id=1, sku="A", location="main", quantity=2),
        t.Reservation(line_id=2, sku="A", location="main", quantity=2),
        t.Reservation(line_id=3, sku="A", location="main", quantity=0),
        t.Reservation(line_id=5, sku="A", location="main", quantity=1),
        t.OrderEvent(order_id=1, at=NOW - 2 * HOUR, kind="received", details={"message": "received with 1 lines"}),
        t.OrderEvent(order_id=1, at=NOW - HOUR, kind="oversold", details={"message": "line 1: 1 pieces were not there"}),
        t.Buyer(order_id=1, sealed=vault.seal({"buyer": {"name": "Ada Example", "city": "Bern"}, "billing": None})),
        t.Buyer(order_id=3, sealed=vault.seal({"buyer": {"name": "Ben Example"}, "billing": None}), expires_at=NOW - HOUR),
        t.OrderCommand(id=1, account_id=1, order_id=3, kind="acknowledge", key="acknowledge:rialto:DE-3", payload={"lines": []}, state="done", attempts=1, created_at=NOW - HOUR, finished_at=NOW - HOUR),
        t.OrderCommand(id=2, account_id=1, order_id=1, kind="acknowledge", key="acknowledge:rialto:DE-1", payload={"lines": []}, next_attempt=NOW, created_at=NOW - HOUR),
        t.OrderCommand(id=3, account_id=1, order_id=3, kind="refund", key="refund:1", payload={"lines": []}, state="held", attempts=1, created_at=NOW - HOUR, message="no answer"),
        t.Delivery(order_id=1, sink="erp", revision=2, delivered=1, state="due", attempts=3, since=NOW - HOUR, next_attempt=NOW + MINUTE, error="503"),
        t.Delivery(order_id=3, sink="erp", revision=1, delivered=1, state="delivered", since=NOW - 2 * HOUR, delivered_at=NOW - HOUR),
        t.Delivery(order_id=4, sink="erp", revision=1, state="due", since=NOW - HOUR, next_attempt=NOW),
    ]  # fmt: skip
