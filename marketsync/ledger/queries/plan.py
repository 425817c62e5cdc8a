"""What a plan reads: everything that a push would look at, and what became of it on a ledger where it was rehearsed."""

from collections.abc import Iterator, Sequence
from typing import Any

import orjson
from sqlalchemy import Connection, Row, Table, text

from marketsync.adapter.content import Aspect
from marketsync.domain.content import ABSENT, UNKNOWN
from marketsync.domain.limits import BucketState
from marketsync.ledger import tables
from marketsync.ledger.gateway import Ledger
from marketsync.ledger.outbox import RAISES, refresh
from marketsync.ledger.queries import states
from marketsync.ledger.sql import among, listed, many
from marketsync.ledger.types import Document

PAGE = 1_000
_DIFFERS = "(" + " OR ".join(f"{aspect}_desired <> {aspect}_acked" for aspect in Aspect) + ")"
# Texts are compared where both sides are known; elsewhere a plan does without them.
_TEXT = ("listing_content", "listing_acked_content")
_TEXT_COUNTS = (
    "listing_desired <> listing_acked AND listing_acked NOT IN (:absent, :unknown) AND listing_desired <> :absent"
)


def pending(conn: Connection, channel_id: int, skus: Sequence[str] | None) -> int:
    """How many offers of a channel show something else than they should."""
    where, values = _of(conn, channel_id, skus)
    return int(conn.execute(text(f"SELECT COUNT(*) FROM offer WHERE {where} AND {_DIFFERS}"), values).scalar_one())


def copy(
    conn: Connection, scratch: Ledger, channel_id: int, skus: Sequence[str] | None, *, families: bool
) -> Iterator[int]:
    """Copy what a push over this channel would look at to an empty ledger. Yields how many offers a page has.

    ``families``: with every offer come all members of its family.
    """
    for table, where in (
        (tables.Account, "id = (SELECT account_id FROM channel WHERE id = :channel)"),
        (tables.Channel, "id = :channel"),
        (tables.TaskState, "task = 'orders'"),
        (tables.Hold, "state IN ('held', 'rejected')"),
        (tables.Issue, "closed_at IS NULL AND code LIKE 'refused_%'"),
    ):
        for _ in _copied(conn, scratch, table, where, {"channel": channel_id} if ":channel" in where else {}):
            pass
    where, values = _of(conn, channel_id, skus)
    where = f"{where} AND {_DIFFERS}"
    if families:
        family = f"SELECT family FROM offer WHERE {where} AND family IS NOT NULL"
        where = f"channel_id = :channel AND (({where}) OR family IN ({family}))"
    yield from _copied(conn, scratch, tables.Offer, where, values | {"absent": ABSENT, "unknown": UNKNOWN})
    scratch.write_now(_keep_before)


def _of(conn: Connection, channel_id: int, skus: Sequence[str] | None) -> tuple[str, dict[str, Any]]:
    if skus is None:
        return "channel_id = :channel", {"channel": channel_id}
    return f"channel_id = :channel AND {among(conn, 'sku', 'skus')}", {
        "channel": channel_id,
        "skus": listed(conn, skus),
    }


def _copied(conn: Connection, scratch: Ledger, kind: Any, where: str, values: dict[str, Any]) -> Iterator[int]:
    table: Table = kind.__table__
    names = [column.name for column in table.columns]
    chosen = ", ".join(f"CASE WHEN {_TEXT_COUNTS} THEN {name} END" if name in _TEXT else name for name in names)
    found = conn.execution_options(stream_results=True).execute(
        text(f"SELECT {chosen} FROM {table.name} WHERE {where}"), values
    )
    insert = (
        f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({', '.join(f':{name}' for name in names)})"
        " ON CONFLICT DO NOTHING"  # two channels have one account
    )
    for page in found.partitions(PAGE):
        rows = [dict(zip(names, map(_packed, row), strict=True)) for row in page]
        scratch.write_now(lambda to, rows=rows: many(to, insert, rows))  # type: ignore[misc]
        yield len(rows)


def _packed(value: Any) -> Any:
    return orjson.dumps(value).decode() if isinstance(value, dict | list) else value


def make(conn: Connection) -> None:
    """Every table, and one for what offers showed before."""
    tables.Offer.metadata.create_all(conn)
    conn.execute(
        text(
            "CREATE TABLE before (id INTEGER PRIMARY KEY, id_was TEXT, listing_was BLOB, price_was BLOB, stock_was BLOB,"
            " price_old TEXT, stock_old INTEGER, listing_old TEXT)"
        )
    )


def _keep_before(conn: Connection) -> None:
    conn.execute(
        text(
            "INSERT INTO before SELECT id, remote_id, listing_acked, price_acked, stock_acked, price_acked_content,"
            " stock_acked_quantity, listing_acked_content FROM offer WHERE true ON CONFLICT DO NOTHING"
        )
    )


def free(conn: Connection, account: str, now: int) -> None:
    """As if nothing waited for its schedule or an order pull any more: what a first push would change in the end."""
    conn.execute(text("UPDATE offer SET listing_due = 0, price_due = 0, stock_due = 0"))
    conn.execute(
        text(
            "INSERT INTO task_state (owner, task, pulled_from, failures, error) VALUES (:owner, 'orders', :pulled, 0, '')"
            " ON CONFLICT (owner, task) DO UPDATE SET pulled_from = excluded.pulled_from"
        ),
        {"owner": f"account:{account}", "pulled": now + 1},
    )
    conn.execute(text(refresh("sqlite", "1 = 1")))


# ---------------------------------------------------------------------------------------------- what was rehearsed

_OLD_AND_NEW = """
    c.name AS channel, o.sku, o.item_sku, o.price_content AS price_new, o.stock_quantity AS stock_new,
    o.listing_content AS listing_new, b.*"""
_DOCUMENTS = ("price_new", "price_old", "listing_new", "listing_old")

_CHANGES = f"""
    SELECT pi.aspects, pi.withdraw, pi.listing_hash, pi.price_hash, pi.stock_hash, pb.operation, {_OLD_AND_NEW}
    FROM offer o JOIN before b ON b.id = o.id JOIN channel c ON c.id = o.channel_id
        JOIN push_item pi ON pi.offer_id = o.id JOIN push_batch pb ON pb.id = pi.batch_id
    ORDER BY c.name, o.sku, pb.id
    """

_FLAGS = ", ".join(
    f"{states.dirty(aspect)} AS {aspect}_dirty, {states.parked(aspect)} AS {aspect}_refused, {aspect}_desired AS {aspect}_hash"
    for aspect in Aspect
)
_WAITING = f"""
    SELECT o.held, o.managed, o.open_batch, o.due_at, o.lane, o.remote_id, o.fulfilled_by, o.listing_due, o.price_due,
        o.stock_due, o.raises, {", ".join(f"{a}_dirty, {a}_refused, {a}_hash" for a in Aspect)}, {_OLD_AND_NEW}
    FROM (SELECT *, {RAISES} AS raises, {_FLAGS} FROM offer) o
        JOIN before b ON b.id = o.id JOIN channel c ON c.id = o.channel_id
    WHERE (o.remote_id IS NOT NULL OR o.listing_desired <> :absent) AND (listing_dirty OR price_dirty OR stock_dirty)
    ORDER BY c.name, o.sku
    """


def changes(conn: Connection) -> Iterator[Row[Any]]:
    """Every op that was sent where the push was rehearsed, with what the offer showed before, by channel and SKU."""
    statement = text(_CHANGES).columns(**dict.fromkeys(_DOCUMENTS, Document))
    yield from conn.execution_options(stream_results=True).execute(statement)


def waiting(conn: Connection) -> Iterator[Row[Any]]:
    """Every offer that still shows something else than it should, with what it waits for."""
    statement = text(_WAITING).columns(**dict.fromkeys(_DOCUMENTS, Document))
    yield from conn.execution_options(stream_results=True).execute(statement, {"absent": ABSENT})


def holds(conn: Connection, *, numbered: bool) -> dict[tuple[str, str | None, str | None], str]:
    """What open holds say, by channel, SKU and aspect: those of a whole run have no SKU.

    ``numbered``: with the number by which a person decides; a hold that is only rehearsed has none.
    """
    sql = "SELECT id, channel, sku, aspect, message, state FROM hold WHERE channel IS NOT NULL ORDER BY id"
    return {
        (row.channel, row.sku, row.aspect): _hold(row) if numbered else row.message for row in conn.execute(text(sql))
    }


def held_sources(conn: Connection) -> dict[str, str]:
    """Sources whose last reading is held, and why: what it would change is not known before it is approved."""
    sql = "SELECT id, source, message, state FROM hold WHERE source IS NOT NULL AND sku IS NULL ORDER BY id"
    return {row.source: _hold(row) for row in conn.execute(text(sql))}


def _hold(row: Row[Any]) -> str:
    return f"{'rejected ' if row.state == 'rejected' else ''}hold {row.id}: {row.message}"


def refusals(conn: Connection) -> dict[tuple[str, str, str], str]:
    """What channels said of offers that they refused, by channel, SKU and aspect."""
    rows = conn.execute(text("SELECT scope, sku, code, message FROM issue"))
    return {(row.scope.partition(":")[2], row.sku, row.code.removeprefix("refused_")): row.message for row in rows}


def buckets(conn: Connection, account: str) -> dict[str, BucketState]:
    """How far the stored limits of an account are used."""
    sql = "SELECT bucket, tat, blocked_until, learned, used, window_start FROM rate_bucket WHERE account = :account"
    return {
        row.bucket: BucketState(row.tat, row.blocked_until, row.learned, row.used, row.window_start)
        for row in conn.execute(text(sql), {"account": account})
    }
