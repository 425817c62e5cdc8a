"""What became of a batch: acknowledge, restore, park or leave UNKNOWN, in one transaction per batch of results."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, text

from marketsync.adapter.content import Aspect, PushResult, Result
from marketsync.adapter.errors import NOT_SENT
from marketsync.domain.content import ABSENT, UNKNOWN
from marketsync.ledger import prices
from marketsync.ledger.issues import IssueRow, close_issues, raise_issues
from marketsync.ledger.outbox import BITS, aspects_of, refresh
from marketsync.ledger.sql import among, dig, document, listed, many
from marketsync.ledger.types import Document

Counts = dict[tuple[Aspect, Result], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultsRequest:
    """Results of one batch. ``retry_in`` and ``create_again_in`` are microseconds from ``now``.

    ``complete``: nothing more will come for this batch, what has no result is UNKNOWN. ``receipt`` and ``ask_at`` say
    how to ask for what is still SUBMITTED.
    """

    batch_id: int
    channel: str
    results: Sequence[PushResult]
    now: int
    retry_in: Mapping[int, int]  # attempts so far -> µs
    create_again_in: int
    complete: bool = True
    receipt: str | None = None
    ask_at: int | None = None
    request_id: str = ""


def apply_results(conn: Connection, request: ResultsRequest) -> Counts:
    """Write the results down. Returns how many aspects ended how; SUBMITTED ones stay open."""
    items = _open_items(conn, request.batch_id)
    told = _by_offer(request.results, {row.sku: row for row in items})
    groups: dict[tuple[Aspect, Result], list[Row[Any]]] = {}
    resolved: dict[int, list[int]] = {}
    for row in items:
        bits = 0
        for aspect in aspects_of(row.open_bits):
            said = told.get((row.offer_id, aspect))
            if said is None and not request.complete:
                continue
            result = said.result if said else Result.UNKNOWN
            groups.setdefault((aspect, result), []).append(row)
            if result is not Result.SUBMITTED:
                bits |= BITS[aspect]
        if bits:
            resolved.setdefault(bits, []).append(row.offer_id)
    _remote_ids(conn, items, told)
    for (aspect, result), rows in groups.items():
        _apply(conn, request, aspect, result, rows, told)
    _note(conn, request, items, groups, told)
    _close(conn, request, resolved)
    return {key: len(rows) for key, rows in groups.items()}


def _open_items(conn: Connection, batch_id: int) -> Sequence[Row[Any]]:
    """The items of a batch of which something is still open, in the order they were sent."""
    return conn.execute(
        text(
            """
            SELECT pi.offer_id, o.sku, o.remote_id, pi.withdraw, pi.past_open, pi.results,
                o.listing_attempts, o.price_attempts, o.stock_attempts, o.listing_parked, o.price_parked, o.stock_parked,
                CASE WHEN pi.past_open THEN pi.aspects ELSE pi.aspects & o.open_aspects END AS open_bits
            FROM push_item pi JOIN offer o ON o.id = pi.offer_id
            WHERE pi.batch_id = :batch AND (o.open_batch = :batch OR pi.past_open) ORDER BY pi.position
            """
        ).columns(results=Document),
        {"batch": batch_id},
    ).all()


def _by_offer(results: Sequence[PushResult], rows: Mapping[str, Row[Any]]) -> dict[tuple[int, Aspect], PushResult]:
    return {(rows[r.sku].offer_id, r.aspect): r for r in results if r.sku in rows}


def _remote_ids(
    conn: Connection,
    items: Sequence[Row[Any]],
    told: Mapping[tuple[int, Aspect], PushResult],
) -> None:
    new: dict[int, str] = {}
    known = {row.offer_id: row.remote_id for row in items}
    for (offer_id, _), said in told.items():
        if said.channel_id is not None and said.channel_id != known[offer_id] and said.result is not Result.REJECTED:
            new[offer_id] = said.channel_id
    many(
        conn,
        "UPDATE offer SET remote_id = :remote WHERE id = :id",
        [{"id": offer_id, "remote": remote} for offer_id, remote in sorted(new.items())],
    )


def _apply(
    conn: Connection,
    request: ResultsRequest,
    aspect: Aspect,
    result: Result,
    rows: list[Row[Any]],
    told: Mapping[tuple[int, Aspect], PushResult],
) -> None:
    beside = [row for row in rows if row.past_open]
    inside = [row for row in rows if not row.past_open]
    if beside and result in {Result.RETRY, Result.REJECTED, Result.UNKNOWN}:
        _set(conn, beside, "zero_sent = 0, stock_due = :due", due=request.now + request.retry_in[0])
    if not inside:
        return
    if result is Result.APPLIED:
        _applied(conn, request, aspect, inside)
    elif result is Result.REJECTED:
        _restore(conn, request.batch_id, aspect, inside, f"{aspect}_parked = pi.{aspect}_hash")
        _refused(conn, request, aspect, inside, told)
    elif result is Result.RETRY:
        for stayed in (True, False):  # what never left the house was no attempt
            some = [row for row in inside if (told[row.offer_id, aspect].code in NOT_SENT) is stayed]
            if some:
                tried = "" if stayed else " + 1"
                _restore(conn, request.batch_id, aspect, some, f"{aspect}_attempts = {aspect}_attempts{tried}")
        _later(conn, request, aspect, inside, told)
    elif result is Result.UNKNOWN:
        forget = ", stock_acked_quantity = NULL" if aspect is Aspect.STOCK else ""
        _set(conn, inside, f"{aspect}_acked = :unknown, {aspect}_attempts = {aspect}_attempts + 1{forget}",
             unknown=UNKNOWN)  # fmt: skip
        _later(conn, request, aspect, inside, told)


def _set(conn: Connection, rows: Sequence[Row[Any]], sets: str, **values: Any) -> None:
    ids = listed(conn, [row.offer_id for row in rows])
    conn.execute(text(f"UPDATE offer SET {sets} WHERE {among(conn, 'id', 'ids')}"), {"ids": ids, **values})


def _from_intent(conn: Connection, batch_id: int, rows: Sequence[Row[Any]], sets: str, **values: Any) -> None:
    sql = (
        f"UPDATE offer SET {sets} FROM push_item pi WHERE pi.batch_id = :batch AND pi.offer_id = offer.id AND "
        + among(conn, "offer.id", "ids")
    )
    conn.execute(text(sql), {"batch": batch_id, "ids": listed(conn, [row.offer_id for row in rows]), **values})


def _applied(conn: Connection, request: ResultsRequest, aspect: Aspect, rows: list[Row[Any]]) -> None:
    """Acknowledged is what was in flight, not what is desired: that may have moved on."""
    gone = [row for row in rows if row.withdraw]
    rows = [row for row in rows if not row.withdraw]
    if gone:
        _withdrawn(conn, request, gone)
    if not rows:
        return
    in_flight = "NULL" if aspect is Aspect.LISTING else dig(conn, "pi.content", aspect.value)
    sets = (
        f"{aspect}_acked = pi.{aspect}_hash, {aspect}_acked_at = :now, {aspect}_attempts = 0, {aspect}_parked = NULL,"
        f" proved = proved & {7 - BITS[aspect]}, {aspect}_acked_content ="
        f" CASE WHEN {aspect}_desired = pi.{aspect}_hash THEN {aspect}_content ELSE {in_flight} END"
    )
    if aspect is Aspect.STOCK:
        # Sold while the write was on its way: nobody can know which came last.
        sets = sets.replace("= pi.stock_hash,", "= CASE WHEN forgotten = 1 THEN :unknown ELSE pi.stock_hash END,", 1)
        quantity = dig(conn, "pi.content", "stock", "quantity", number=True)
        sets += f", stock_acked_quantity = CASE WHEN forgotten = 1 THEN NULL ELSE {quantity} END"
        _from_intent(conn, request.batch_id, rows, sets, now=request.now, unknown=UNKNOWN)
    else:
        _from_intent(conn, request.batch_id, rows, sets, now=request.now)
    if aspect is Aspect.PRICE:
        prices.begin(conn, [row.offer_id for row in rows], request.now)
    refused = [row.sku for row in rows if getattr(row, f"{aspect}_parked") is not None]
    if refused:
        close_issues(conn, f"channel:{request.channel}", f"refused_{aspect}", refused, request.now)


def _withdrawn(conn: Connection, request: ResultsRequest, rows: list[Row[Any]]) -> None:
    sets = ["remote_id = NULL", "stock_acked_quantity = NULL"]
    for aspect in BITS:
        sets += [f"{aspect}_acked = :absent", f"{aspect}_seen = :absent", f"{aspect}_acked_content = NULL",
                 f"{aspect}_acked_at = :now", f"{aspect}_parked = NULL", f"{aspect}_attempts = 0"]  # fmt: skip
    _set(conn, rows, ", ".join(sets), absent=ABSENT, now=request.now)
    prices.end(conn, [row.offer_id for row in rows], request.now)


def _restore(conn: Connection, batch_id: int, aspect: Aspect, rows: list[Row[Any]], also: str) -> None:
    before = f"pi.{aspect}_before"
    if aspect is Aspect.STOCK:
        before = "CASE WHEN forgotten = 1 THEN :unknown ELSE pi.stock_before END"
        also += ", stock_acked_quantity = CASE WHEN forgotten = 1 THEN NULL ELSE stock_acked_quantity END"
        _from_intent(conn, batch_id, rows, f"stock_acked = {before}, {also}", unknown=UNKNOWN)
        return
    _from_intent(conn, batch_id, rows, f"{aspect}_acked = {before}, {also}")


def _later(
    conn: Connection,
    request: ResultsRequest,
    aspect: Aspect,
    rows: list[Row[Any]],
    told: Mapping[tuple[int, Aspect], PushResult],
) -> None:
    """Due again after a pause: what the channel asked for, else longer with every attempt."""
    dues = []
    for row in rows:
        said = told.get((row.offer_id, aspect))
        attempts = 0 if said and said.code in NOT_SENT else getattr(row, f"{aspect}_attempts")
        asked = int(said.retry_after.total_seconds() * 1e6) if said and said.retry_after else 0
        pause = max(asked, request.retry_in[min(attempts, max(request.retry_in))])
        lost_create = row.remote_id is None and (said is None or said.result is Result.UNKNOWN)
        dues.append({"id": row.offer_id, "due": request.now + max(pause, request.create_again_in * lost_create)})
    many(conn, f"UPDATE offer SET {aspect}_due = :due WHERE id = :id", dues)


def _refused(
    conn: Connection,
    request: ResultsRequest,
    aspect: Aspect,
    rows: list[Row[Any]],
    told: Mapping[tuple[int, Aspect], PushResult],
) -> None:
    issues = []
    for row in rows:
        said = told[row.offer_id, aspect]
        message = f"{said.code}: {said.message}" if said.code else said.message
        scope = f"channel:{request.channel}"
        told_us = message or "refused without a reason"
        issues.append(IssueRow(scope, f"refused_{aspect}", told_us, row.sku, said.hint, reason=said.code))
    raise_issues(conn, issues, request.now)


def _note(
    conn: Connection,
    request: ResultsRequest,
    items: Sequence[Row[Any]],
    groups: Mapping[tuple[Aspect, Result], Sequence[Row[Any]]],
    told: Mapping[tuple[int, Aspect], PushResult],
) -> None:
    """Keep what became of every aspect that was not simply applied by the first answer."""
    before = {row.offer_id: row.results for row in items if row.results}
    notes: dict[int, dict[str, list[str]]] = {}
    for (aspect, result), rows in groups.items():
        for row in rows:
            said = told.get((row.offer_id, aspect))
            if result is not Result.APPLIED or (said and said.code) or row.offer_id in before:
                note = [result.value, said.code, said.message[:500]] if said else [result.value, "", "no answer"]
                notes.setdefault(row.offer_id, dict(before.get(row.offer_id, {})))[aspect.value] = note
    many(
        conn,
        "UPDATE push_item SET results = :results WHERE batch_id = :batch AND offer_id = :offer",
        [
            {"batch": request.batch_id, "offer": offer_id, "results": document(conn, note)}
            for offer_id, note in sorted(notes.items())
        ],
    )


def _close(conn: Connection, request: ResultsRequest, resolved: Mapping[int, list[int]]) -> None:
    """Free the offers whose op is done, and the batch when nothing of it is open."""
    values: dict[str, Any] = {"batch": request.batch_id, "unknown": UNKNOWN}
    for bits, ids in resolved.items():
        left = f"(open_aspects & {7 - bits})"
        # A zero that went past this op may have been overtaken by it: what is desired by now is sent once more.
        overtaken = f"{left} = 0 AND (zero_sent = 1 OR stock_acked = :unknown)"
        sets = {
            "stock_acked": f"CASE WHEN {overtaken} THEN :unknown ELSE stock_acked END",
            "stock_acked_quantity": f"CASE WHEN {overtaken} THEN NULL ELSE stock_acked_quantity END",
            "open_aspects": left,
            "open_batch": f"CASE WHEN {left} = 0 THEN NULL ELSE open_batch END",
            "zero_sent": f"CASE WHEN {left} = 0 THEN 0 ELSE zero_sent END",
            "forgotten": f"CASE WHEN {left} = 0 THEN 0 ELSE forgotten END",
        }
        chosen = {"ids": listed(conn, ids)}
        where = among(conn, "id", "ids")
        assigned = ", ".join(f"{name} = {value}" for name, value in sets.items())
        conn.execute(text(f"UPDATE offer SET {assigned} WHERE open_batch = :batch AND {where}"), {**values, **chosen})
        conn.execute(text(refresh(conn.dialect.name, where)), chosen)
    still = conn.execute(
        text("SELECT 1 FROM offer WHERE open_batch = :batch LIMIT 1"), {"batch": request.batch_id}
    ).first()
    conn.execute(
        text(
            "UPDATE push_batch SET closed_at = :closed, receipt = COALESCE(:receipt, receipt), ask_at = :ask,"
            " request_id = CASE WHEN :request = '' THEN request_id ELSE :request END WHERE id = :batch"
        ),
        {
            "closed": None if still else request.now, "receipt": request.receipt,
            "ask": request.ask_at if still else None, "request": request.request_id, "batch": request.batch_id,
        },
    )  # fmt: skip
