"""The shop: products with their variants, stock by location, and the log of every change of stock."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from typing import Any, NamedTuple

from marketsync.adapter.api import Clock
from marketsync.adapter.clock import SystemClock
from marketsync_adapters.sandbox.faults import Faults
from marketsync_adapters.shopify.sandbox.points import Gate, Points
from marketsync_adapters.shopify.sandbox.rules import Rules
from marketsync_adapters.shopify.sandbox.webhooks import Webhooks

DEFAULT = {"Title": "Default Title"}


class Refused(Exception):
    """The shop does not do what a buyer or a test asks for."""


@dataclass(slots=True)
class Variant:
    number: int
    product: "Product"
    sku: str = ""
    price: str = "0.00"
    compare_at: str | None = None
    barcode: str | None = None
    options: dict[str, str] = field(default_factory=lambda: dict(DEFAULT))
    grams: float = 0
    tracked: bool = False
    levels: dict[str, int] = field(default_factory=dict)  # available, by location gid

    @property
    def id(self) -> str:
        return f"gid://shopify/ProductVariant/{self.number}"

    @property
    def item(self) -> str:
        return f"gid://shopify/InventoryItem/{self.number + 500_000}"

    @property
    def available(self) -> int:
        return sum(self.levels.values())


@dataclass(slots=True)
class Product:
    number: int
    handle: str
    title: str = ""
    description: str = ""
    vendor: str = ""
    product_type: str = ""
    status: str = "ACTIVE"
    variants: list[Variant] = field(default_factory=list)
    files: list[dict[str, Any]] = field(default_factory=list)
    files_written: int = 0  # how often pictures were fetched
    metafields: dict[tuple[str, str, str], str] = field(default_factory=dict)  # (owner, namespace, key)
    publications: set[str] = field(default_factory=set)

    @property
    def id(self) -> str:
        return f"gid://shopify/Product/{self.number}"


class StockWrite(NamedTuple):
    """One change of what is available. ``cause``: write (the seller), sale."""

    at: datetime
    sku: str
    before: int
    quantity: int
    cause: str


@dataclass(slots=True)
class Later:
    """A product that is written in the shop's own time."""

    id: str
    done_at: datetime
    arguments: dict[str, Any]
    payload: dict[str, Any] | None = None


class Shop:
    """All state; one thread. Sales are added by ``sales.Sales(shop)``, which keeps itself at ``shop.sales``."""

    def __init__(self, rules: Rules | None = None, clock: Clock | None = None) -> None:
        from marketsync_adapters.shopify.sandbox.sales import Sales  # noqa: PLC0415 - the two know each other

        self.rules = rules or Rules()
        self.clock = clock or SystemClock()
        self.gate = Gate(self.rules, self.clock)
        self.points = Points(self.rules, self.clock)
        self.faults = Faults()
        self.webhooks = Webhooks(self.rules, self.clock)
        self.numbers = count(1_001)
        self.products: dict[str, Product] = {}
        self.variants: dict[str, Variant] = {}
        self.items: dict[str, Variant] = {}
        self.operations: dict[str, Later] = {}
        self.keys: dict[str, tuple[str, Any]] = {}  # idempotency key -> (parameters, payload)
        self.log: list[StockWrite] = []
        self.on_stock_write: list[Callable[[StockWrite], None]] = []
        self.deleted: list[str] = []  # SKUs of variants that a write deleted
        self.requests: Counter[tuple[str, int]] = Counter()
        self.sales = Sales(self)

    @property
    def locations(self) -> list[str]:
        return [f"gid://shopify/Location/{number}" for number in self.rules.locations]

    def by_handle(self, handle: str) -> Product | None:
        return next((one for one in self.products.values() if one.handle == handle), None)

    def by_sku(self, sku: str) -> list[Variant]:
        return [one for one in self.variants.values() if one.sku == sku]

    def on_sale(self, sku: str) -> Variant | None:
        """The variant that buyers can see."""
        return next((one for one in self.by_sku(sku) if one.product.status in {"ACTIVE", "UNLISTED"}), None)

    def add_variant(self, product: Product) -> Variant:
        variant = Variant(next(self.numbers), product)
        product.variants.append(variant)
        self.variants[variant.id] = self.items[variant.item] = variant
        return variant

    def drop_variant(self, variant: Variant) -> None:
        variant.product.variants.remove(variant)
        del self.variants[variant.id], self.items[variant.item]
        self.deleted.append(variant.sku)

    def set_level(self, variant: Variant, location: str, quantity: int, cause: str) -> None:
        before = variant.available
        variant.levels[location] = quantity
        write = StockWrite(self.clock.now(), variant.sku, before, variant.available, cause)
        self.log.append(write)
        for watch in self.on_stock_write:
            watch(write)

    def state(self) -> dict[str, Any]:
        """Everything, for a test's own judgement of what happened here."""
        return {
            "now": self.clock.now().isoformat(),
            "offers": [
                {"sku": one.sku, "price": one.price, "quantity": one.available, "status": one.product.status}
                for one in self.variants.values()
            ],
            "orders": [order.plain() for order in self.sales.orders.values()],
            "requests": [
                {"operation": operation, "status": status, "calls": calls}
                for (operation, status), calls in sorted(self.requests.items())
            ],
            "throttled": self.points.throttled,
            "faults": dict(self.faults.happened),
        }
