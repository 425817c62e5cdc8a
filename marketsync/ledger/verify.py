"""What must always hold in a ledger, each as one query that finds only what contradicts it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from sqlalchemy import Connection, Row, text

from marketsync.adapter.errors import LedgerError
from marketsync.domain.content import ABSENT, UNKNOWN
from marketsync.ledger.outbox import ASPECTS, BITS, DUE_AT, LANE, on
from marketsync.ledger.stock import check_stock
from marketsync.ledger.types import micros
from marketsync.ledger.vault import Vault

LISTED = 1_000  # differences per check; a ledger that has more is not repaired by reading them
SENT_FOR = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Difference:
    """``check`` is the invariant's name, ``what`` a sentence that names the row and what is wrong with it."""

    check: str
    what: str


def verify(conn: Connection, vault: Vault, now: datetime) -> list[Difference]:
    """Prove every invariant. Empty where all hold; of each check at most ``LISTED`` differences are told."""
    found: list[Difference] = []
    for check, lines in _all(conn, vault, now):
        told = [Difference(check, line) for line in islice(lines, LISTED)]
        if next(lines, None) is not None:
            told.append(Difference(check, f"and more: only {LISTED} are listed"))
        found += told
    return found


def _all(conn: Connection, vault: Vault, now: datetime) -> Iterator[tuple[str, Iterator[str]]]:
    values = {"absent": ABSENT, "unknown": UNKNOWN, "yesterday": micros(now - SENT_FOR)}
    yield "stock", iter(check_stock(conn))
    for check, (sql, sentence) in (_CHECKS | _unique()).items():
        yield check, _lines(conn, _spelled(conn, sql), sentence, values)
    yield "sealed", _sealed(conn, vault)


def _lines(conn: Connection, sql: str, sentence: str, values: Mapping[str, Any]) -> Iterator[str]:
    used = {name: value for name, value in values.items() if f":{name}" in sql}
    for row in conn.execute(text(f"{sql} LIMIT {LISTED + 1}"), used):
        yield sentence.format(*row)


def _spelled(conn: Connection, sql: str) -> str:
    """The query in the dialect's own spelling of what is inside a JSON column."""
    if conn.dialect.name == "sqlite":
        return sql.replace("COMPONENTS", "json_each(l.components)").replace("PIECES", "c.value")
    sql = sql.replace("COMPONENTS", "jsonb_each_text(l.components)").replace("PIECES", "CAST(c.value AS BIGINT)")
    return on(conn.dialect.name, sql)


_OPEN = "(l.ordered - l.cancelled - l.shipped)"
_OURS = "l.fulfilled_by = 'merchant' AND l.components IS NOT NULL"
_OFFER = "SELECT ch.name, o.sku{} FROM offer o JOIN channel ch ON ch.id = o.channel_id WHERE "

_STUCK = " OR ".join(f"((managed & {BITS[a]}) <> 0 AND {a}_acked = :unknown)" for a in ASPECTS)
_PARKED = " AND ".join(f"({a}_parked IS NULL OR {a}_parked = :unknown)" for a in ASPECTS)
_SHORT = " OR ".join(
    f"LENGTH({a}_{state}) <> 16 OR {a}_{state} IS NULL" for a in ASPECTS for state in ("desired", "acked", "seen")
)
_DESIRED_UNKNOWN = " OR ".join(f"{a}_desired = :unknown" for a in ASPECTS)

_CHECKS: dict[str, tuple[str, str]] = {
    # ------------------------------------------------------------------ what order lines hold
    "held": (
        f"""
        SELECT o.channel_order_id, l.channel_line_id, c.key, {_OPEN} * PIECES FROM order_line l
        JOIN sales_order o ON o.id = l.order_id, COMPONENTS AS c
        WHERE {_OURS} AND {_OPEN} > 0 AND o.payment <> 'failed'
            AND NOT EXISTS (SELECT 1 FROM reservation r WHERE r.line_id = l.id AND r.sku = c.key)
        ORDER BY l.id, c.key""",
        "order {0}, line {1}: {3} pieces of {2} are still to be sent, and nothing is reserved for them",
    ),
    "held too much": (
        """
        SELECT o.channel_order_id, l.channel_line_id, r.sku, r.quantity, l.ordered - l.cancelled FROM reservation r
        JOIN order_line l ON l.id = r.line_id JOIN sales_order o ON o.id = l.order_id
        LEFT JOIN COMPONENTS AS c ON c.key = r.sku
        WHERE r.quantity > 0 AND (l.fulfilled_by <> 'merchant' OR c.key IS NULL
            OR r.quantity > (l.ordered - CASE WHEN l.cancelled > l.ordered THEN l.ordered ELSE l.cancelled END) * PIECES)
        ORDER BY l.id, r.sku""",
        "order {0}, line {1}: {3} pieces of {2} are reserved for {4} sold",
    ),
    "unmapped": (
        """
        SELECT o.channel_order_id FROM sales_order o WHERE o.unmapped <> EXISTS
            (SELECT 1 FROM order_line l WHERE l.order_id = o.id AND l.components IS NULL) ORDER BY o.id""",
        "order {0}: its mark and its lines disagree on whether all of them are mapped",
    ),
    # ------------------------------------------------------------------ orders on their way
    "delivered": (
        """
        SELECT o.channel_order_id, d.sink, d.delivered, d.revision, o.revision FROM delivery d
        JOIN sales_order o ON o.id = d.order_id
        WHERE d.revision <> o.revision OR d.delivered > d.revision
            OR (d.state = 'delivered') <> (d.delivered = d.revision) OR (d.state = 'delivered') <> (d.next_attempt IS NULL)
        ORDER BY o.id, d.sink""",
        "order {0} for {1}: revision {2} delivered, {3} to deliver, {4} stored; its state and times do not fit these",
    ),
    "not delivered": (
        """
        SELECT o.channel_order_id, s.sink FROM sales_order o
        JOIN (SELECT sink, MIN(since) AS first, MAX(since) AS last FROM delivery GROUP BY sink) AS s
            ON o.stored_at >= s.first AND o.stored_at < s.last
        WHERE o.payment = 'paid' AND o.has_address AND o.fulfilment <> 'cancelled' AND NOT o.before_adoption
            AND EXISTS (SELECT 1 FROM order_line l WHERE l.order_id = o.id AND l.fulfilled_by = 'merchant')
            AND EXISTS (SELECT 1 FROM order_line l WHERE l.order_id = o.id AND l.cancelled < l.ordered)
            AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.order_id = o.id AND d.sink = s.sink)
        ORDER BY o.id, s.sink""",
        "order {0} is paid and has an address, and {1} was never asked to take it",
    ),
    "commands": (
        """
        SELECT c.id, c.kind, o.channel_order_id, c.state FROM order_command c JOIN sales_order o ON o.id = c.order_id
        JOIN channel ch ON ch.id = o.channel_id
        WHERE (c.state IN ('due', 'sent') AND c.next_attempt IS NULL)
            OR (c.state NOT IN ('due', 'sent') AND c.next_attempt IS NOT NULL)
            OR (c.state = 'sent' AND c.next_attempt < :yesterday AND ch.state = 'active') ORDER BY c.id""",
        "command {0}, {1} order {2}: it is {3}, and its next attempt is not at a time that fits this",
    ),
    # ------------------------------------------------------------------ offers
    "due": (
        _OFFER.format(f", o.lane, {LANE}, o.due_at, {DUE_AT}")
        + f"o.lane <> {LANE} OR COALESCE(o.due_at, -1) <> COALESCE({DUE_AT}, -1) ORDER BY o.id",
        "{1} on {0}: lane {2} instead of {3}, due at {4} instead of {5}",
    ),
    "item": (
        _OFFER.format(", o.item_sku")
        + """o.remote_id IS NOT NULL AND o.left_at IS NULL AND ch.state <> 'removed'
            AND NOT EXISTS (SELECT 1 FROM item i WHERE i.sku = o.item_sku) ORDER BY o.id""",
        "{1} on {0}: it is on the channel, and there is no item {2}",
    ),
    "open batch": (
        _OFFER.format(", o.open_batch")
        + """o.open_batch IS NOT NULL AND NOT EXISTS (SELECT 1 FROM push_batch b
            JOIN push_item p ON p.batch_id = b.id AND p.offer_id = o.id
            WHERE b.id = o.open_batch AND b.closed_at IS NULL AND b.channel_id = o.channel_id) ORDER BY o.id""",
        "{1} on {0}: it waits for batch {2}, which is closed or does not carry it",
    ),
    "open aspects": (
        _OFFER.format(", o.open_aspects") + "(o.open_batch IS NULL) <> (o.open_aspects = 0) ORDER BY o.id",
        "{1} on {0}: its open aspects are {2}, which does not fit whether an op is open",
    ),
    "stuck": (
        _OFFER.format("")
        + f"""o.open_batch IS NULL AND o.due_at IS NULL AND o.held = 0 AND o.remote_id IS NOT NULL
            AND o.fulfilled_by = 'merchant' AND {_PARKED} AND ({_STUCK}) ORDER BY o.id""",
        "{1} on {0}: nobody knows what the channel shows, and nothing will find it out",
    ),
    "acknowledged stock": (
        _OFFER.format(", o.stock_acked_quantity")
        + "o.stock_acked = :unknown AND o.open_batch IS NULL AND o.stock_acked_quantity IS NOT NULL ORDER BY o.id",
        "{1} on {0}: its acknowledged stock is unknown and yet {2}",
    ),
    "hashes": (
        _OFFER.format("") + f"{_SHORT} OR {_DESIRED_UNKNOWN} ORDER BY o.id",
        "{1} on {0}: one of its hashes is none, or it is desired to be unknown",
    ),
}


_SPACED = " || ' ' || "


def _unique() -> dict[str, tuple[str, str]]:
    """Keys on which everything rests, proved from the rows: an index that is damaged does not keep them."""
    keys = {
        "sales_order": ("account_id", "channel_order_id"),
        "order_line": ("order_id", "channel_line_id"),
        "offer": ("channel_id", "sku"),
        "stock_movement": ("reference",),
        "reservation": ("line_id", "sku"),
        "order_command": ("key",),
    }
    return {
        f"unique {table}": (
            (
                f"SELECT {_SPACED.join(columns)}, COUNT(*) FROM {table} GROUP BY {', '.join(columns)}"
                " HAVING COUNT(*) > 1 ORDER BY 1"
            ),
            f"{table} {{0}} is there {{1}} times",
        )
        for table, columns in keys.items()
    }


def _sealed(conn: Connection, vault: Vault) -> Iterator[str]:
    """Rows that the key does not open."""
    queries: dict[str, Callable[[Row[Any]], str]] = {
        "SELECT b.sealed, o.channel_order_id FROM buyer b JOIN sales_order o ON o.id = b.order_id ORDER BY b.order_id":
            lambda row: f"the buyer of order {row.channel_order_id} cannot be opened with this key",
        "SELECT sealed, account FROM oauth_token ORDER BY account":
            lambda row: f"the token of account {row.account} cannot be opened with this key",
    }  # fmt: skip
    for sql, sentence in queries.items():
        with conn.execution_options(yield_per=LISTED).execute(text(sql)) as rows:
            for row in rows:
                try:
                    vault.open(bytes(row.sealed))
                except LedgerError:
                    yield sentence(row)
