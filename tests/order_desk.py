"""An order desk for tests: a real ledger with one account and its channels, and orders made in one line."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, text
from sqlmodel import SQLModel

from marketsync.adapter.api import Address, ChannelLine, ChannelOrder, Fulfilment, Money, Payment, SaleLowers
from marketsync.domain.ownership import LocationPolicy, StockPolicy
from marketsync.ledger import channels, tables
from marketsync.ledger.gateway import Ledger
from marketsync.ledger.order_context import OrderChannel, OrderContext, Stored
from marketsync.ledger.orders import store_orders
from marketsync.ledger.stock import Movement, book, check_stock
from marketsync.ledger.vault import Vault

KEY = "bWFya2V0c3luYy10ZXN0LWtleS0wMTIzNDU2Nzg5MDE="
START = datetime(2026, 3, 1, 12, tzinfo=UTC)
BUYER = Address(name="Zoë Müller", street="Große Straße 1", postcode="04109", city="Leipzig", country="DE")


def create_tables(url: str) -> None:
    """The tables as they are declared, without the migrations."""
    assert tables.SalesOrder
    from marketsync.ledger.engine import write_engine

    engine = write_engine(url, connections=1)
    SQLModel.metadata.create_all(engine)
    engine.dispose()


def line(sku: str, quantity: int = 1, line_id: str = "", **more: object) -> ChannelLine:
    amount = Money(1000 * quantity, "EUR")
    return ChannelLine(line_id=line_id or f"l-{sku}", sku=sku, quantity=quantity, amount=amount, **more)  # type: ignore[arg-type]


def order(
    order_id: str, *lines: ChannelLine, at: float = 0.0, updated: float | None = None, **more: object
) -> ChannelOrder:
    """A paid, open order, placed ``at`` seconds after START."""
    placed = START + timedelta(seconds=at)
    values: dict[str, object] = {
        "order_id": order_id, "placed": placed,
        "updated": placed if updated is None else START + timedelta(seconds=updated),
        "payment": Payment.PAID, "fulfilment": Fulfilment.OPEN, "currency": "EUR", "lines": tuple(lines),
        "buyer": BUYER, "total": Money(sum(part.amount.minor for part in lines if part.amount), "EUR"),
    }  # fmt: skip
    return ChannelOrder(**{**values, **more})  # type: ignore[arg-type]


def later(earlier: ChannelOrder, seconds: float = 60.0, **changes: object) -> ChannelOrder:
    """A newer version of an order. ``lines`` may be a mapping line id -> changed fields."""
    lines = changes.pop("lines", None)
    if isinstance(lines, Mapping):
        changes["lines"] = tuple(replace(part, **lines.get(part.line_id, {})) for part in earlier.lines)
    elif lines is not None:
        changes["lines"] = lines
    return replace(earlier, updated=earlier.updated + timedelta(seconds=seconds), **changes)  # type: ignore[arg-type]


class Desk:
    """One account ``shop`` with channels of one storefront each; both adopted a day before START."""

    def __init__(
        self, url: str, names: Iterable[str] = ("de", "fr"), policies: Mapping[str, LocationPolicy] | None = None
    ):
        create_tables(url)
        self.ledger = Ledger(url, Vault(KEY))
        self.now = START
        self.forgotten: list[tuple[int, tuple[str, ...]]] = []
        self.restocked: list[tuple[str, ...]] = []
        self.sinks: dict[str, bool] = {"erp": False}
        self.stock = StockPolicy(dict(policies or {}))
        names = tuple(names)
        rows = self.write(
            lambda conn: channels.register(conn, {"shop": "sandbox"}, {name: ("shop", name) for name in names}, START)
        )
        self.account_id = rows[names[0]].account_id
        self.ids = {name: rows[name].id for name in names}
        self.channels = {
            rows[name].id: OrderChannel(
                name=name, locations=("main",), adopted_at=START - timedelta(days=1), sale_lowers=SaleLowers.AT_PLACING,
                acknowledges=True,
            )
            for name in names
        }  # fmt: skip
        self.write(lambda conn: [channels.adopt(conn, name, 7, START - timedelta(days=1)) for name in names])

    def change(self, name: str, **values: object) -> None:
        self.channels[self.ids[name]] = replace(self.channels[self.ids[name]], **values)  # type: ignore[arg-type]

    def ctx(self) -> OrderContext:
        def forget(_conn: Connection, channel_id: int, skus: Iterable[str]) -> None:
            self.forgotten.append((channel_id, tuple(skus)))

        def restock(_conn: Connection, skus: Iterable[str]) -> set[str]:
            self.restocked.append(tuple(skus))
            return {"elsewhere"}

        return OrderContext(
            account="shop", now=self.now, channels=self.channels, stock=self.stock, sinks=self.sinks,
            vault=self.ledger.vault, hash_key=b"test", forget_stock=forget, restock=restock,
        )  # fmt: skip

    def store(self, *orders: ChannelOrder, storefront: str = "de") -> Stored:
        named = [read if read.storefront else replace(read, storefront=storefront) for read in orders]
        return self.write(lambda conn: store_orders(conn, self.account_id, self.ids, named, self.ctx()))

    def items(self, **on_hand: int) -> None:
        """Items with so many pieces at ``main``."""

        def write(conn: Connection) -> None:
            for sku, pieces in on_hand.items():
                conn.execute(
                    text("INSERT INTO item (sku, content) VALUES (:sku, :content)"), {"sku": sku, "content": "{}"}
                )
                book(conn, [Movement(sku, "main", pieces, "opening", f"opening:main:{sku}", self.now)])

        self.write(write)

    def write(self, run):
        return self.ledger.write_now(run)

    def rows(self, sql: str, **values: object) -> list[tuple]:
        return self.ledger.read_now(lambda conn: [tuple(row) for row in conn.execute(text(sql), values)])

    def level(self, sku: str, location: str = "main") -> tuple[int, int]:
        """(on hand, reserved)."""
        found = self.rows(
            "SELECT on_hand, reserved FROM stock_level WHERE sku = :sku AND location = :location",
            sku=sku,
            location=location,
        )
        return found[0] if found else (0, 0)

    def problems(self) -> list[str]:
        return self.ledger.read_now(check_stock)

    def close(self) -> None:
        self.ledger.close()
