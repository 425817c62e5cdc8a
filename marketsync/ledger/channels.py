"""Accounts and channels as rows: their ids, their states, and who may push."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select, update

from marketsync.ledger.tables import Account, Channel

_ACCOUNT = Account.__table__  # type: ignore[attr-defined]  # SQLModel adds it at run time
_CHANNEL = Channel.__table__  # type: ignore[attr-defined]


@dataclass(frozen=True, slots=True)
class ChannelRow:
    """A channel as the ledger knows it. ``state``: observing, active, paused, blocked or removed."""

    id: int
    name: str
    account: str
    account_id: int
    storefront: str
    state: str
    why: str
    takes: int
    adopted_at: datetime | None
    rules_hash: bytes


def register(
    conn: Connection, accounts: Mapping[str, str], channels: Mapping[str, tuple[str, str]], now: datetime
) -> dict[str, ChannelRow]:
    """Give every configured account (name -> adapter) and channel (name -> account, storefront) its row.

    A new channel observes. A channel that the configuration no longer names is "removed" and gets no pushes; its
    offers and orders stay. One that comes back observes again.
    """
    known = {row.name: row for row in conn.execute(select(_ACCOUNT))}
    for name, adapter in accounts.items():
        if name not in known:
            conn.execute(_ACCOUNT.insert().values(name=name, adapter=adapter, state="active", why="", changed_at=now))
        elif known[name].adapter != adapter:
            conn.execute(update(_ACCOUNT).where(_ACCOUNT.c.name == name).values(adapter=adapter, changed_at=now))
    ids = {row.name: row.id for row in conn.execute(select(_ACCOUNT))}
    rows = {row.name: row for row in conn.execute(select(_CHANNEL))}
    for name, (account, storefront) in channels.items():
        values = {"account_id": ids[account], "storefront": storefront, "changed_at": now}
        if name not in rows:
            conn.execute(
                _CHANNEL.insert().values(name=name, state="observing", why="new", takes=7, rules_hash=b"", **values)
            )
        elif (rows[name].account_id, rows[name].storefront) != (ids[account], storefront):
            # Another account or storefront is another shop: what was adopted there says nothing of this one.
            conn.execute(
                update(_CHANNEL).where(_CHANNEL.c.name == name)
                .values(state="observing", why="its account or storefront changed", adopted_at=None, **values)
            )  # fmt: skip
        elif rows[name].state == "removed":
            set_state(conn, name, "observing", "back in the configuration", now)
    for name, row in rows.items():
        if name not in channels and row.state != "removed":
            set_state(conn, name, "removed", "not in the configuration", now)
    return load(conn)


def load(conn: Connection) -> dict[str, ChannelRow]:
    """Every channel that is not removed, by name."""
    statement = (
        select(_CHANNEL, _ACCOUNT.c.name.label("account"))
        .join(_ACCOUNT, _ACCOUNT.c.id == _CHANNEL.c.account_id)
        .where(_CHANNEL.c.state != "removed")
        .order_by(_CHANNEL.c.name)
    )
    return {
        row.name: ChannelRow(
            row.id, row.name, row.account, row.account_id, row.storefront, row.state, row.why, row.takes,
            row.adopted_at, bytes(row.rules_hash),
        )
        for row in conn.execute(statement)
    }  # fmt: skip


def set_state(conn: Connection, name: str, state: str, why: str, now: datetime) -> bool:
    """Change a channel's state. Returns whether there is such a channel."""
    values = {"state": state, "why": why[:500], "changed_at": now}
    return conn.execute(update(_CHANNEL).where(_CHANNEL.c.name == name).values(**values)).rowcount > 0


def block(conn: Connection, name: str, why: str, now: datetime) -> None:
    """Stop an active channel until a person resumes it."""
    conn.execute(
        update(_CHANNEL)
        .where(_CHANNEL.c.name == name, _CHANNEL.c.state == "active")
        .values(state="blocked", why=why[:500], changed_at=now)
    )


def adopt(conn: Connection, name: str, takes: int, now: datetime) -> None:
    """From now on the channel is ours to write to, for these aspects (bit mask)."""
    conn.execute(
        update(_CHANNEL)
        .where(_CHANNEL.c.name == name)
        .values(state="active", why="", takes=takes, adopted_at=now, changed_at=now)
    )


def keep_rules(conn: Connection, channel_id: int, rules_hash: bytes) -> None:
    """Note with which rules the channel's offers were derived last."""
    conn.execute(update(_CHANNEL).where(_CHANNEL.c.id == channel_id).values(rules_hash=rules_hash))
