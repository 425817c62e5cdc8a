"""Random histories of orders against a tiny model: what is held, what lies there and what was oversold always agree.

A channel keeps its orders in all their versions. Pages bring any of them, twice, older ones later, and some pages crash
before their commit. The model knows only what was committed.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from marketsync.adapter.api import ChannelOrder, Fulfilment, Payment
from marketsync.domain.ownership import FallsAt, LocationPolicy, Owner
from marketsync.ledger.lines import set_listing_map
from marketsync.ledger.orders import store_orders
from marketsync.ledger.stock import Movement, apply_figures, book
from tests.order_desk import START, Desk, later, line, order

COMPONENTS = {"A": {"A": 1}, "B": {"B": 1}, "KIT": {"A": 2, "B": 1}}
OPENING = 6
Line = tuple[str, str]  # order id, line id (which is the SKU without the example's number)
POLICIES = {
    "ledger": LocationPolicy(),
    "order": LocationPolicy(Owner.SOURCE, FallsAt.ORDER, "erp"),
    "shipment": LocationPolicy(Owner.SOURCE, FallsAt.SHIPMENT, "erp"),
    "never": LocationPolicy(Owner.SOURCE, FallsAt.NEVER, "erp"),
}

number = st.integers(0, 5)
pieces = st.integers(1, 3)
steps = st.one_of(
    st.tuples(st.just("place"), st.sampled_from([("A",), ("B",), ("KIT",), ("A", "KIT")]), pieces, st.booleans()),
    st.tuples(st.just("pay"), number),
    st.tuples(st.just("fail"), number),
    st.tuples(st.just("cancel"), number, number, pieces),
    st.tuples(st.just("cancel all"), number),
    st.tuples(st.just("ship"), number, number, pieces),
    st.tuples(st.just("more"), number, number, pieces),
    st.tuples(st.just("pull"), st.lists(st.tuples(number, st.integers(0, 2)), max_size=6), st.booleans()),
    st.tuples(st.just("figure"), st.sampled_from("AB"), st.integers(0, 8), st.integers(0, 3)),
)
examples = count(1)


@dataclass
class Model:
    """What should be true: pieces by (order, line), and what fell but is in no figure yet by (order, line, SKU)."""

    policy: str
    on_hand: dict[str, int]
    told: dict[str, int]  # what the source said last
    updated: dict[str, datetime] = field(default_factory=dict)
    open: dict[Line, int] = field(default_factory=dict)
    shipped: dict[Line, int] = field(default_factory=dict)
    fallen: dict[tuple[Line, str], tuple[int, int]] = field(default_factory=dict)  # pieces, time
    oversold: int = 0

    def reserved(self, sku: str) -> int:
        held = sum(pieces for (_, fell), (pieces, _) in self.fallen.items() if fell == sku)
        if self.policy != "order":
            held += sum(pieces * COMPONENTS[name].get(sku, 0) for (_, name), pieces in self.open.items())
        return held

    def commit(self, page: list[ChannelOrder], now: int) -> None:
        newest: dict[str, ChannelOrder] = {}
        for read in page:
            if read.order_id not in newest or newest[read.order_id].updated <= read.updated:
                newest[read.order_id] = read
        for read in sorted(newest.values(), key=lambda one: (one.placed, one.order_id)):
            if read.order_id not in self.updated or self.updated[read.order_id] < read.updated:
                self.updated[read.order_id] = read.updated
                for part in read.lines:
                    self._take((read.order_id, part.line_id), _open(read, part), part.shipped, now)

    def _take(self, name: Line, is_open: int, is_shipped: int, now: int) -> None:
        sent = is_shipped - self.shipped.get(name, 0)
        more = is_open - self.open.get(name, 0) + sent
        for sku, each in COMPONENTS[name[1]].items():
            short = self.reserved(sku) - self.on_hand[sku]
            self.oversold += max(0, short + max(0, more) * each) - max(0, short)
            fell, at = self.fallen.get((name, sku), (0, 0))
            if self.policy == "order":
                self.fallen[name, sku] = (max(0, fell + more * each), now if more > 0 else at)
            elif self.policy == "shipment" and sent:
                self.fallen[name, sku] = (fell + sent * each, now)
            elif self.policy in {"ledger", "never"}:
                self.on_hand[sku] -= sent * each
        self.open[name], self.shipped[name] = is_open, is_shipped

    def figure(self, sku: str, figure: int, exported: int) -> None:
        if self.policy == "never":
            self.on_hand[sku] += figure - self.told[sku]
        elif self.policy != "ledger":
            self.on_hand[sku] = figure
            for key, (_, at) in self.fallen.items():
                if key[1] == sku and at < exported:
                    self.fallen[key] = (0, 0)
        self.told[sku] = figure


def _open(read: ChannelOrder, part) -> int:
    if read.payment is Payment.FAILED or read.fulfilment is Fulfilment.CANCELLED:
        return 0
    return max(0, part.quantity - part.cancelled - part.shipped)


class Channel:
    """The channel's side: orders in all their versions."""

    def __init__(self, prefix: str) -> None:
        self.prefix, self.clock = prefix, 0.0
        self.versions: list[list[ChannelOrder]] = []

    def place(self, skus: tuple[str, ...], quantity: int, paid: bool) -> None:
        self.clock += 1
        lines = [line(f"{sku}-{self.prefix}", quantity, line_id=f"{sku}") for sku in skus]
        payment = Payment.PAID if paid else Payment.PENDING
        name = f"{self.prefix}-{len(self.versions)}"
        self.versions.append(
            [order(name, *lines, at=self.clock, payment=payment, storefront="de" if quantity < 3 else "fr")]
        )

    def change(self, number: int, changed) -> None:
        if not self.versions:
            return
        versions = self.versions[number % len(self.versions)]
        newest = versions[-1]
        if newest.fulfilment is Fulfilment.CANCELLED or newest.payment is Payment.FAILED:
            return
        self.clock += 1
        version = changed(newest)
        if version is not None:
            versions.append(replace(version, updated=START + timedelta(seconds=self.clock)))

    def pick(self, wanted: list[tuple[int, int]]) -> list[ChannelOrder]:
        if not self.versions:
            return []
        picked = [(self.versions[number % len(self.versions)], back) for number, back in wanted]
        return [versions[max(0, len(versions) - 1 - back)] for versions, back in picked]


def _moved(number: int, quantity: int, name: str):
    def change(newest: ChannelOrder) -> ChannelOrder | None:
        part = newest.lines[number % len(newest.lines)]
        count = min(quantity, part.quantity - part.cancelled - part.shipped)
        return later(newest, 0, lines={part.line_id: {name: getattr(part, name) + count}}) if count else None

    return change


def _more(number: int, quantity: int):
    def change(newest: ChannelOrder) -> ChannelOrder:
        part = newest.lines[number % len(newest.lines)]
        return later(newest, 0, lines={part.line_id: {"quantity": part.quantity + quantity}})

    return change


class Crash(Exception):
    pass


class Play:
    def __init__(self, desk: Desk, policy: str) -> None:
        self.desk, self.prefix = desk, f"{next(examples)}"
        self.channel = Channel(self.prefix)
        self.model = Model(policy, {"A": OPENING, "B": OPENING}, {"A": OPENING, "B": OPENING})
        self.snapshots = count(1)
        self.desk.stock.locations["main"] = POLICIES[policy]
        desk.now = START
        desk.write(self._prepare)

    def _sku(self, sku: str) -> str:
        return f"{sku}-{self.prefix}"

    def _prepare(self, conn) -> None:
        for sku in ("A", "B"):
            conn.execute(text("INSERT INTO item (sku, content) VALUES (:sku, '{}')"), {"sku": self._sku(sku)})
            book(conn, [Movement(self._sku(sku), "main", OPENING, "opening", f"open {self._sku(sku)}", START)])
        kit = {self._sku(sku): each for sku, each in COMPONENTS["KIT"].items()}
        for channel_id in self.desk.ids.values():
            set_listing_map(conn, channel_id, {self._sku("KIT"): kit})

    def step(self, name: str, *values) -> None:
        self.desk.now += timedelta(seconds=1)
        match name:
            case "place":
                self.channel.place(*values)
            case "pay":
                self.channel.change(values[0], lambda newest: replace(newest, payment=Payment.PAID))
            case "fail":

                def unpaid(newest):
                    return replace(newest, payment=Payment.FAILED) if newest.payment is Payment.PENDING else None

                self.channel.change(values[0], unpaid)
            case "cancel":
                self.channel.change(values[0], _moved(values[1], values[2], "cancelled"))
            case "cancel all":
                self.channel.change(values[0], lambda newest: replace(newest, fulfilment=Fulfilment.CANCELLED))
            case "ship":
                self.channel.change(values[0], _moved(values[1], values[2], "shipped"))
            case "more":
                self.channel.change(values[0], _more(values[1], values[2]))
            case "pull":
                self.pull(self.channel.pick(values[0]), crash=values[1])
            case "figure":
                self.figure(*values)
        self.agree()

    def pull(self, page: list[ChannelOrder], *, crash: bool = False) -> None:
        def run(conn) -> None:
            store_orders(conn, self.desk.account_id, self.desk.ids, page, self.desk.ctx())
            if crash:
                raise Crash

        try:
            self.desk.write(run)
        except Crash:
            return
        self.model.commit(page, self._time())

    def figure(self, sku: str, figure: int, ago: int) -> None:
        exported = self.desk.now - timedelta(seconds=ago)
        rows = [(self._sku(sku), "main", figure, self.model.told[sku])]
        policy, number = POLICIES[self.model.policy], next(self.snapshots)
        if self.model.policy == "ledger":
            self.desk.write(lambda conn: conn.execute(text("UPDATE stock_level SET figure_at = 1")))
        self.desk.write(
            lambda conn: apply_figures(conn, rows, policy, exported=exported, read=self.desk.now, snapshot_id=number)
        )
        self.model.figure(sku, figure, self._time() - ago)

    def _time(self) -> int:
        return int((self.desk.now - START).total_seconds())

    def agree(self) -> None:
        for sku in ("A", "B"):
            assert (self.model.on_hand[sku], self.model.reserved(sku)) == self.desk.level(self._sku(sku)), sku
        sql = "SELECT COALESCE(SUM(oversold), 0) FROM order_line WHERE channel_sku LIKE :mine"
        assert self.model.oversold == self.desk.rows(sql, mine=f"%-{self.prefix}")[0][0]


@pytest.mark.parametrize("policy", POLICIES)
def test_stock_agrees_with_the_model_after_any_history(ledger_url, policy):
    desk = Desk(ledger_url)
    few = 60 if ledger_url.startswith("sqlite") else 15

    @settings(max_examples=few, suppress_health_check=list(HealthCheck))
    @given(st.lists(steps, min_size=3, max_size=25))
    def play(history):
        game = Play(desk, policy)
        for step in history:
            game.step(*step)
        newest = [versions[-1] for versions in game.channel.versions]
        game.pull(newest)
        game.agree()
        assert {read.order_id: read.updated for read in newest} == game.model.updated

    play()
    assert [] == desk.problems()
    desk.close()
