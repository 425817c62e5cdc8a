"""The judgement at the end of a replay: ledger, sink and marketplaces must say the same, line by line."""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import text

from marketsync.ledger.gateway import Ledger
from marketsync.ledger.types import micros
from marketsync.ledger.vault import Vault
from marketsync.ledger.verify import verify
from tests.system.oracle import Oracle
from tests.system.retail import Retail
from tests.system.shops import Shops, Shown

SHOWN = 12  # problems of one kind that are told
QUIET = timedelta(seconds=6)  # several order pulls


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything that is compared. ``corrections``: (channel, order id) that cannot be stored."""

    ledger: str
    key: str
    retail: Retail
    shops: Shops
    oracle: Oracle
    sink: Path
    reports: Path
    corrections: Sequence[tuple[str, str]]


@dataclass(slots=True)
class Report:
    numbers: dict[str, int | float] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.problems


class _Rows:
    """The ledger's rows, read once."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.orders = {
            (row.channel, row.channel_order_id): row
            for row in self.select(
                "SELECT o.*, c.name AS channel FROM sales_order o JOIN channel c ON c.id = o.channel_id"
            )
        }
        self.lines: dict[int, dict[str, Any]] = defaultdict(dict)
        for row in self.select("SELECT * FROM order_line"):
            self.lines[row.order_id][row.channel_line_id] = row

    def select(self, sql: str, **values: object) -> Sequence[Any]:
        return self._ledger.read_now(lambda conn: conn.execute(text(sql), values).all())

    def one(self, sql: str) -> int:
        return int(self.select(sql)[0][0] or 0)


def _open(scene: Scene) -> Ledger:
    return Ledger(scene.ledger, Vault(scene.key))


def unsettled(scene: Scene) -> list[str]:
    """What still waits for something: empty once everything is done."""
    ledger = _open(scene)
    try:
        rows = _Rows(ledger)
        waits = {
            "offers are due": "SELECT COUNT(*) FROM offer WHERE due_at IS NOT NULL",
            "batches are open": "SELECT COUNT(*) FROM push_batch WHERE closed_at IS NULL",
            "commands wait": "SELECT COUNT(*) FROM order_command WHERE state IN ('due', 'sent')",
            "deliveries wait": "SELECT COUNT(*) FROM delivery WHERE state <> 'delivered'",
            # What we tell a channel, that it was shipped say, comes back with a later pull as a revision of the order.
            "orders have just changed": f"SELECT COUNT(*) FROM order_event WHERE at > {micros(datetime.now(UTC) - QUIET)}",
        }
        found = [f"{path.name} lies in the watched folder" for path in scene.reports.glob("*.json")]
        found += [f"{count} {what}" for what, sql in waits.items() if (count := rows.one(sql))]
        found += _orders(scene, rows)[:1] + _shelves(scene, rows)[:1]
        return found
    finally:
        ledger.close()


def judge(scene: Scene, *, kills: int, seconds: float) -> Report:
    """Compare everything, once the daemon has stopped."""
    report, ledger = Report(), _open(scene)
    try:
        rows = _Rows(ledger)
        for check in (_orders, _refused, _sink, _unmapped, _shelves, _commands, _oversold, _no_price, _reports):
            report.problems += _some(check(scene, rows))
        found = ledger.read_now(lambda conn: verify(conn, ledger.vault, datetime.now(UTC)))
        report.problems += _some([f"ledger verify: {one.check}: {one.what}" for one in found])
        report.problems += _some([f"oracle: {violation}" for violation in scene.oracle.violations])
        report.numbers = _numbers(scene, rows, kills=kills, seconds=seconds)
    finally:
        ledger.close()
    return report


def _some(problems: Sequence[str]) -> list[str]:
    more = [f"... and {len(problems) - SHOWN} like it"] if len(problems) > SHOWN else []
    return [*problems[:SHOWN], *more]


def _numbers(scene: Scene, rows: _Rows, *, kills: int, seconds: float) -> dict[str, int | float]:
    oracle, counts = scene.oracle, scene.retail.counts
    return {
        "lines": counts.lines,
        "invoices": counts.invoices,
        "kills": kills,
        **{name.replace(" ", "_"): number for name, number in sorted(scene.shops.counts.items())},
        "cancellations_played": counts.cancellations["played"],
        "cancellations_without_purchase": counts.cancellations["not after a purchase"],
        "corrections_refused": len(scene.corrections),
        "orders_stored": len(rows.orders),
        "held_for_a_person": rows.one("SELECT COUNT(*) FROM order_command WHERE state = 'held'"),
        "deliveries": sum(1 for _ in scene.sink.iterdir()),
        "stock_writes": oracle.writes,
        "raises": oracle.raises,
        "violations": len(oracle.violations),
        "oversold": rows.one("SELECT SUM(oversold) FROM order_line"),
        "oversold_by_oracle": sum(oracle.oversold().values()),
        "oversold_known_for_long": len(oracle.avoidable),
        "faults": sum(scene.shops.faults().values()),
        "seconds": round(seconds, 1),
    }


# ---------------------------------------------------------------------------------------------------------- orders


def _orders(scene: Scene, rows: _Rows) -> list[str]:
    """Every order that was bought is in the ledger once, as the channel has it now."""
    problems = [
        f"{channel} {order_id} is in the ledger, and nobody bought it"
        for channel, order_id in rows.orders.keys() - scene.shops.bought.keys()
    ]
    for channel, order_id in scene.shops.bought:
        row = rows.orders.get((channel, order_id))
        if row is None:
            problems.append(f"{channel} {order_id} was bought and is not in the ledger")
            continue
        order = scene.shops.order(channel, order_id)
        kept = rows.lines[row.id]
        if len(kept) != len(order.lines):
            problems.append(f"{channel} {order_id} has {len(order.lines)} lines, the ledger {len(kept)}")
            continue
        problems += _lines(channel, order, kept)
        if order.payment not in {None, row.payment}:
            problems.append(f"{channel} {order_id}: payment {order.payment}, in the ledger {row.payment}")
        if order.acknowledged is False or bool(order.acknowledged) > bool(row.acknowledged):
            problems.append(f"{channel} {order_id} was never acknowledged, or the ledger does not know it")
    return problems


def _lines(channel: str, order: Any, kept: Mapping[str, Any]) -> Iterator[str]:
    for line in order.lines:
        stored = kept[line.line_id]
        there = (line.sku, line.quantity, line.cancelled, line.shipped, line.amount.minor)
        here = (stored.channel_sku, stored.ordered, stored.cancelled, stored.shipped, stored.amount_minor)
        if there != here:
            yield f"{channel} {order.order_id}, line {line.line_id}: {there} on the channel, {here} in the ledger"


def _refused(scene: Scene, rows: _Rows) -> list[str]:
    """What cannot be stored is an issue each, and no order."""
    sql = "SELECT scope, sku FROM issue WHERE code = 'unstorable_order' AND closed_at IS NULL"
    told = {(row.scope.partition(":")[2], row.sku.removeprefix("order:")) for row in rows.select(sql)}
    wanted = set(scene.corrections)
    return [f"{name} cannot be stored and was not raised" for name in sorted(wanted - told)] + [
        f"{name} was raised as unstorable" for name in sorted(told - wanted)
    ]


_FILE = re.compile(r"([a-z]+)-(.+)-r(\d+)\.json")


def _sink(scene: Scene, rows: _Rows) -> list[str]:
    """Every paid order is in the sink in its newest revision, under one key, and nothing else is."""
    newest: dict[tuple[str, str], int] = {}
    keys: dict[tuple[str, str], set[str]] = defaultdict(set)
    problems = []
    for path in sorted(scene.sink.iterdir()):
        match = _FILE.fullmatch(path.name)
        if match is None:
            problems.append(f"the sink holds {path.name}")
            continue
        name = (match[1], match[2])
        newest[name] = max(newest.get(name, 0), int(match[3]))
        keys[name].add(json.loads(path.read_bytes())["key"])
    asked = {row.order_id for row in rows.select("SELECT order_id FROM delivery")}
    for name, row in rows.orders.items():
        if row.id not in asked and row.fulfilment == "cancelled":
            continue  # off before it was first read: there is nothing that the seller's system should know
        if newest.get(name) != row.revision:
            problems.append(f"{name}: revision {row.revision} in the ledger, {newest.get(name)} in the sink")
            continue
        document = json.loads((scene.sink / f"{name[0]}-{name[1]}-r{row.revision}.json").read_bytes())
        problems += _document(name, document, rows.lines[row.id])
        if keys[name] != {row.key}:
            problems.append(f"{name} has the keys {keys[name]} in the sink, {row.key} in the ledger")
    return problems + [f"{name} is in the sink and not in the ledger" for name in newest.keys() - rows.orders.keys()]


def _document(name: tuple[str, str], document: Mapping[str, Any], lines: Mapping[str, Any]) -> Iterator[str]:
    told = {
        line["line_id"]: (line["sku"], line["ordered"], line["cancelled"], line["shipped"])
        for line in document["lines"]
    }
    kept = {n: (line.channel_sku, line.ordered, line.cancelled, line.shipped) for n, line in lines.items()}
    if told != kept:
        yield f"{name}: the sink's newest revision differs from the ledger: {sorted(told.items() ^ kept.items())[:2]}"
    unmapped = any(line.components is None for line in lines.values())
    if document["marks"]["unmapped"] != unmapped:
        yield f"{name}: marked unmapped {document['marks']['unmapped']}, and its lines say {unmapped}"
    if document["buyer"] is None:
        yield f"{name} was delivered without its buyer"


def _unmapped(scene: Scene, rows: _Rows) -> list[str]:
    """Lines of unknown codes are stored without stock and raised, those of known codes never are."""
    sql = (
        "SELECT c.name AS channel, l.channel_sku AS sku FROM order_line l JOIN sales_order o ON o.id = l.order_id"
        " JOIN channel c ON c.id = o.channel_id WHERE l.components IS NULL"
    )
    if rows._ledger.sqlite is False:
        sql = sql.replace("l.components IS NULL", "(l.components IS NULL OR l.components = 'null')")
    unmapped = [(row.channel, row.sku) for row in rows.select(sql)]
    wanted = scene.shops.counts["unknown lines bought"]
    problems = [] if len(unmapped) == wanted else [f"{len(unmapped)} lines are unmapped, {wanted} were bought"]
    sql = "SELECT scope, sku FROM issue WHERE code = 'unmapped_line' AND closed_at IS NULL"
    raised = {(row.scope.partition(":")[2], row.sku) for row in rows.select(sql)}
    problems += [f"{name} is unmapped and was not raised" for name in sorted(set(unmapped) - raised)]
    return problems + [
        f"{name[1]} of {name[0]} is unmapped" for name in unmapped if name[1] not in scene.retail.unknown
    ]


# ---------------------------------------------------------------------------------------------------------- offers


def _shelves(scene: Scene, rows: _Rows) -> list[str]:
    """Every channel shows what was derived, and of stock what the oracle says."""
    problems = []
    for channel in scene.shops.sandboxes:
        shelf = scene.shops.shelf(channel)
        sql = (
            "SELECT o.sku, o.listing_content, o.price_content, o.stock_quantity FROM offer o"
            " JOIN channel c ON c.id = o.channel_id WHERE c.name = :channel"
        )
        offers = {row.sku: row for row in rows.select(sql, channel=channel)}
        for sku, row in offers.items():
            shown = shelf.get(sku)
            if shown is None:
                problems.append(f"{channel}: {sku} is not on the shelf")
                continue
            problems += _offer(scene, channel, shown, row)
        wanted = {sku for sku, item in scene.retail.items.items() if item.price is not None}
        wanted |= set(scene.oracle.packs.get(channel, {}))
        problems += [f"{channel}: {sku} has no offer" for sku in sorted(wanted - offers.keys())]
        strange = shelf.keys() - offers.keys() - scene.retail.unknown
        problems += [f"{channel}: nobody knows {sku}" for sku in sorted(strange)]
    return problems


def _offer(scene: Scene, channel: str, shown: Shown, row: Any) -> Iterator[str]:
    listing, price = _parsed(row.listing_content), _parsed(row.price_content)
    right = scene.oracle.shows(channel, row.sku)
    if not shown.quantity == row.stock_quantity == right:
        yield f"{channel}: {row.sku} shows {shown.quantity} pieces, derived are {row.stock_quantity}, right are {right}"
    if shown.title not in {None, " ".join(listing["title"].split())}:
        yield f"{channel}: {row.sku} is called {shown.title!r}, derived is {listing['title']!r}"
    if shown.price != (price["amount"]["minor"], price["amount"]["currency"]):
        yield f"{channel}: {row.sku} costs {shown.price}, derived is {price['amount']}"


def _parsed(content: Any) -> Any:
    return json.loads(content) if isinstance(content, str | bytes) else content


# ---------------------------------------------------------------------------------------------------------- the rest


def _commands(scene: Scene, rows: _Rows) -> list[str]:
    """Everything that was to be told was told once; what nobody can know waits for a person, and really never happened."""
    sql = (
        "SELECT c.kind, c.state, c.code, c.key, ch.name AS channel, o.channel_order_id AS name FROM order_command c"
        " JOIN sales_order o ON o.id = c.order_id JOIN channel ch ON ch.id = o.channel_id WHERE c.state <> 'done'"
    )
    raised = {
        (row.scope.partition(":")[2], row.sku.removeprefix("order:"))
        for row in rows.select("SELECT scope, sku FROM issue WHERE code = 'cancel_held' AND closed_at IS NULL")
    }
    return [
        f"command {row.kind} {row.key}: {row.state} ({row.code})"
        for row in rows.select(sql)
        if not (_waits_for_a_person(scene, row) and (row.channel, row.name) in raised)
    ]


def _waits_for_a_person(scene: Scene, row: Any) -> bool:
    """A cancellation that a kill may have cut off is never sent again by itself. This one the market never got."""
    if (row.kind, row.state) != ("cancel", "held"):
        return False
    return scene.shops.never_cancelled(row.channel, row.key)


def _oversold(scene: Scene, rows: _Rows) -> list[str]:
    """The engine counts as oversold, item by item, what the oracle saw."""
    counted: Counter[str] = Counter()
    for row in rows.select("SELECT components, oversold FROM order_line WHERE oversold > 0"):
        (item,) = _parsed(row.components)
        counted[item] += row.oversold
    seen = scene.oracle.oversold()
    return [
        f"{sku} was oversold by {seen.get(sku, 0)} pieces, the ledger counts {counted[sku]}"
        for sku in sorted(counted.keys() | seen.keys())
        if counted[sku] != seen.get(sku, 0)
    ]


def _no_price(scene: Scene, rows: _Rows) -> list[str]:
    """Items without a price are raised."""
    wanted = {sku for sku, item in scene.retail.items.items() if item.price is None}
    raised = {row.sku for row in rows.select("SELECT DISTINCT sku FROM issue WHERE code = 'no_price'")}
    return [f"{sku} has no price and was not raised" for sku in sorted(wanted - raised)]


def _reports(scene: Scene, _rows: _Rows) -> list[str]:
    """What the warehouse reported was taken, all of it."""
    left = [f"{path.name} was never taken" for path in sorted(scene.reports.glob("*.json"))]
    return left + [f"{path.name} was refused" for path in sorted(scene.reports.glob("failed/*.json"))]
