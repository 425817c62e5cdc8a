"""Open issues: what a person should look at, once per (scope, SKU, code), with first and last seen."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, text

from marketsync.ledger.sql import among, listed


@dataclass(frozen=True, slots=True)
class IssueRow:
    """``scope`` is "channel:NAME", "source:NAME", "sink:NAME" or "account:NAME"; ``place`` file:row:column.

    ``reason``: the channel's own code, where it refused something.
    """

    scope: str
    code: str
    message: str
    sku: str = ""
    hint: str = ""
    place: str = ""
    reason: str = ""


_RAISE = text(
    """
    INSERT INTO issue (scope, sku, code, reason, message, hint, place, count, first_seen, last_seen, closed_at)
    VALUES (:scope, :sku, :code, :reason, :message, :hint, :place, 1, :now, :now, NULL)
    ON CONFLICT (scope, sku, code) DO UPDATE SET
        reason = excluded.reason, message = excluded.message, hint = excluded.hint, place = excluded.place,
        last_seen = excluded.last_seen,
        first_seen = CASE WHEN issue.closed_at IS NULL THEN issue.first_seen ELSE excluded.first_seen END,
        count = CASE WHEN issue.closed_at IS NULL THEN issue.count + 1 ELSE 1 END,
        closed_at = NULL
    """
)


def raise_issues(conn: Connection, issues: Iterable[IssueRow], now: int) -> None:
    """Open issues, or see open ones again. ``now`` in microseconds since 1970."""
    rows = {
        (i.scope, i.sku, i.code): {
            "scope": i.scope, "sku": i.sku, "code": i.code, "message": i.message[:1000], "hint": i.hint[:500],
            "place": i.place, "reason": i.reason[:200], "now": now,
        }
        for i in issues
    }  # fmt: skip
    if rows:
        conn.execute(_RAISE, [rows[key] for key in sorted(rows)])


def close_issues(conn: Connection, scope: str, code: str, skus: Sequence[str] | None, now: int) -> int:
    """Close the open issues of a scope and code ("" any): for these SKUs, or all of them. Returns how many."""
    where = "scope = :scope AND (:code = '' OR code = :code) AND closed_at IS NULL"
    values: dict[str, object] = {"scope": scope, "code": code, "now": now}
    if skus is not None:
        where += " AND " + among(conn, "sku", "skus")
        values["skus"] = listed(conn, skus)
    return conn.execute(text(f"UPDATE issue SET closed_at = :now WHERE {where}"), values).rowcount


def close_unseen(conn: Connection, scope: str, codes: Sequence[str], since: int, now: int) -> int:
    """Close the issues of a scope that the run begun at ``since`` did not see again."""
    return conn.execute(
        text(
            "UPDATE issue SET closed_at = :now WHERE scope = :scope AND closed_at IS NULL AND last_seen < :since AND "
            + among(conn, "code", "codes")
        ),
        {"scope": scope, "since": since, "now": now, "codes": listed(conn, codes)},
    ).rowcount
