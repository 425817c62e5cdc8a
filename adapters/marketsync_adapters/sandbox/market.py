"""The sandbox marketplace: its state and rules in one place, without any web around it.

Everything runs in one thread (that of the event loop); time is the clock's, so tests turn it.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from marketsync.adapter.api import Clock
from marketsync.adapter.clock import SystemClock
from marketsync_adapters.sandbox.checks import Unfit
from marketsync_adapters.sandbox.faults import Faults
from marketsync_adapters.sandbox.gate import Gate
from marketsync_adapters.sandbox.order import Order
from marketsync_adapters.sandbox.rules import BATCH, Refused, Rules
from marketsync_adapters.sandbox.sales import Sales
from marketsync_adapters.sandbox.shelf import Shelf
from marketsync_adapters.sandbox.webhooks import Webhooks

Report = dict[str, Any]


@dataclass(slots=True)
class Job:
    """Listings that were submitted; they take effect when the job is done."""

    job_id: str
    storefront: str
    items: list[Any]
    done_at: datetime
    request_id: str
    apply: bool
    reports: list[Report] = field(default_factory=list)
    done: bool = False


class Market:
    def __init__(self, rules: Rules | None = None, clock: Clock | None = None) -> None:
        self.rules = rules or Rules()
        self.clock = clock or SystemClock()
        self.shelf = Shelf(self.rules, self.clock)
        self.webhooks = Webhooks(self.rules, self.clock)
        self.sales = Sales(self.rules, self.clock, self.shelf, self._order_placed)
        self.gate = Gate(self.rules, self.clock)
        self.faults = Faults()
        self.requests: Counter[tuple[str, int]] = Counter()  # (operation, status)
        self._jobs: dict[str, Job] = {}
        self._open_jobs: list[Job] = []

    def buy(self, lines: Sequence[tuple[str, int]], **how: Any) -> Order:
        """A buyer orders (SKU, pieces) pairs; ``Sales.buy`` says the rest."""
        self.settle()
        return self.sales.buy(lines, **how)

    def submit(self, storefront: str, items: list[Any], request_id: str, *, apply: bool = True) -> Job:
        """Take listings for later."""
        self._checked(storefront, items, "offers")
        job_id = f"job-{len(self._jobs) + 1:07d}"
        job = Job(job_id, storefront, items, self.clock.now() + self.rules.job_time, request_id, apply)
        self._jobs[job_id] = job
        self._open_jobs.append(job)
        return job

    def job(self, job_id: str) -> Job:
        self.settle()
        if job_id not in self._jobs:
            raise Refused(404, "job_not_found", f"There is no job {job_id}.")
        return self._jobs[job_id]

    def settle(self) -> None:
        """Do the jobs whose time has come, in the order they were submitted."""
        while self._open_jobs and self._open_jobs[0].done_at <= self.clock.now():
            job = self._open_jobs.pop(0)
            job.reports = _each(job.items, partial(self._put, job))
            job.items, job.done = [], True

    def set_prices(self, storefront: str, items: list[Any], *, apply: bool = True) -> list[Report]:
        self._checked(storefront, items, "prices")
        return _each(items, lambda item: self.shelf.set_price(storefront, item, apply=apply))

    def set_stock(self, storefront: str, items: list[Any], request_id: str, *, apply: bool = True) -> list[Report]:
        self._checked(storefront, items, "stock")
        return _each(items, lambda item: self.shelf.set_stock(storefront, item, request_id, apply=apply))

    def withdraw(self, storefront: str, skus: list[Any], request_id: str, *, apply: bool = True) -> list[Report]:
        items = [{"sku": sku} for sku in skus]
        self._checked(storefront, items, "withdraw")
        return _each(items, lambda item: self.shelf.withdraw(storefront, item["sku"], request_id, apply=apply))

    def find(self, storefront: str, skus: list[Any]) -> list[dict[str, Any]]:
        """The offers with these SKUs; those that are not on the market are left out."""
        self._checked(storefront, [{"sku": sku} for sku in skus], "read_offers")
        self.settle()
        return [offer.document() for sku in skus if (offer := self.shelf.get(storefront, sku)) is not None]

    def browse(self, storefront: str, token: str | None) -> tuple[list[dict[str, Any]], str | None]:
        self.shelf.currency(storefront)
        self.settle()
        offers, following = self.shelf.page(storefront, token, self.rules.offer_page)
        return [offer.document() for offer in offers], following

    def state(self) -> dict[str, Any]:
        """Everything, for a test's own judgement of what happened here."""
        self.settle()
        return {
            "now": self.clock.now().isoformat(),
            "offers": [offer.document() | {"storefront": offer.storefront} for offer in self.shelf],
            "orders": [order.document() for order in self.sales.orders.values()],
            "returns": [returned.document() for returned in self.sales.returns.values()],
            "open_jobs": len(self._open_jobs),
            "requests": [
                {"operation": operation, "status": status, "calls": calls}
                for (operation, status), calls in sorted(self.requests.items())
            ],
            "faults": dict(self.faults.happened),
            "webhooks": {"pending": len(self.webhooks.pending), "given_up": self.webhooks.given_up},
        }

    def _put(self, job: Job, item: dict[str, Any]) -> str:
        return self.shelf.put(job.storefront, item, job.request_id, apply=job.apply)

    def _checked(self, storefront: str, items: Any, operation: str) -> None:
        self.shelf.currency(storefront)
        if not isinstance(items, list) or not items:
            raise Refused(400, "items_missing", "Send a list of at least one item.")
        if len(items) > BATCH[operation]:
            raise Refused(413, "too_many_items", f"At most {BATCH[operation]} items at once, these are {len(items)}.")
        skus = [item.get("sku") if isinstance(item, dict) else None for item in items]
        if not all(isinstance(sku, str) for sku in skus):
            raise Refused(400, "sku_missing", "Each item names its SKU.")
        if len(set(skus)) < len(skus):
            raise Refused(400, "sku_twice", "An item may stand only once in a request.")

    def _order_placed(self, order: Order) -> None:
        self.webhooks.notify("order.created", order.order_id)


def _each(items: list[Any], write: Callable[[Any], str | None]) -> list[Report]:
    """Write item by item; a refused one leaves the others alone."""
    reports: list[Report] = []
    for item in items:
        try:
            reports.append({"sku": item["sku"], "status": 200, "offer_id": write(item), "errors": []})
        except Unfit as unfit:
            reports.append({"sku": item["sku"], "status": unfit.status, "offer_id": None, "errors": [unfit.report]})
    return reports
