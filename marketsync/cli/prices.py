"""What was live at which price, and the lowest price before a reduction."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from marketsync.adapter.errors import MarketsyncError
from marketsync.cli.lists import Limit, check_channel
from marketsync.cli.output import at, document, line, note, table
from marketsync.cli.session import session

if TYPE_CHECKING:
    from sqlalchemy import Connection


def register(app: typer.Typer) -> None:
    app.command()(prices)


def prices(
    sku: Annotated[str, typer.Argument(metavar="SKU", help="As the channel has it.")],
    channel: Annotated[str | None, typer.Argument(metavar="[CHANNEL]", help="Only on this channel.")] = None,
    days: Annotated[int, typer.Option(min=1, max=3650, help="The lowest price of so many days; EU law wants 30.")] = 30,
    limit: Limit = 20,
) -> None:
    """Show what was live at which price, and the lowest price before the present one (EU: of 30 days)."""
    found = session.read(lambda conn: _look(conn, sku, channel, days, session.clock.now()))
    if session.json:
        document({"sku": sku, "days": days, "channels": found})
        return
    table(
        ("channel", "from", "to", "price", "instead of"),
        [
            (one["channel"], at(period.begins), at(period.ends) if period.ends else "now", period.price,
             period.instead_of)
            for one in found
            for period in reversed(one["periods"][-limit:])
        ],
        right=("price", "instead of"),
    )  # fmt: skip
    line()
    for one in found:
        line(_sentence(one, days))
    if any(len(one["periods"]) > limit for one in found):
        note(f"only the last {limit} of each channel are listed: --limit shows more")


def _look(conn: "Connection", sku: str, channel: str | None, days: int, now: datetime) -> list[dict[str, Any]]:
    from marketsync.ledger.prices import channels_with, live_at, lowest, periods  # noqa: PLC0415

    check_channel(conn, channel)
    known = {name: id_ for name, id_ in channels_with(conn, sku).items() if channel in (None, name)}
    if not known:
        where = f"on {channel}" if channel else "on any channel"
        raise MarketsyncError(f"{sku} has had no price {where} that a channel acknowledged: check the SKU")
    found = []
    for name, channel_id in known.items():
        live = live_at(conn, channel_id, sku, now)
        before = live.begins if live is not None else now
        found.append({
            "channel": name,
            "live": live,
            "lowest_before": lowest(conn, channel_id, sku, before, days),
            "lowest_until_now": lowest(conn, channel_id, sku, now, days),
            "periods": periods(conn, channel_id, sku),
        })  # fmt: skip
    return found


def _sentence(one: dict[str, Any], days: int) -> str:
    live, before = one["live"], one["lowest_before"]
    if live is None:
        return f"{one['channel']}: no price is live"
    start = f"{one['channel']}: {live.price} since {at(live.begins)}"
    if before is None:
        return f"{start}; no price of the {days} days before it is known"
    part = "" if before.whole else f" (known only since {at(before.known_from)})"
    return f"{start}; the lowest price of the {days} days before it was {before.price}{part}"
