"""The heartbeat: every few seconds it looks at what became due by itself, or by another process's hand."""

from datetime import datetime, timedelta
from functools import partial

from sqlalchemy import Connection, text

from marketsync.ledger import channels as channel_store
from marketsync.ledger import offers
from marketsync.ledger.types import micros
from marketsync.sync.dispatcher import Dispatcher
from marketsync.sync.live import House
from marketsync.telemetry.metrics import Metrics

EVERY = 2.0  # seconds


class Beat:
    """Asks for the pushes, commands and deliveries that are due; notices channels that a person adopted or paused."""

    def __init__(self, house: House, dispatcher: Dispatcher, metrics: Metrics) -> None:
        self._house, self._dispatcher, self._metrics = house, dispatcher, metrics
        self._states: dict[str, tuple[str, int]] = {}
        self.last: datetime | None = None

    async def go_on(self) -> None:
        """Beat for ever; the daemon cancels it at the end."""
        while True:
            try:
                await self.beat()
            except Exception:
                self._house.log.exception("the heartbeat failed")
            await self._house.clock.sleep(EVERY)

    async def beat(self) -> None:
        due = await self._house.ledger.read(partial(_due, house=self._house))
        for owner, task in due.asks:
            self._dispatcher.request(owner, task, "due")
        for name, state in due.states.items():
            if name in self._states and self._states[name] != state:
                self._house.log.info("a channel's state changed", channel=name, state=state[0])
                self._dispatcher.request(f"channel:{name}", "derive", "state changed")
            self._states[name] = state
        for account in self._house.accounts.values():
            self._account(account)
        self._metrics.beat()
        self.last = self._house.clock.now()

    def _account(self, account: object) -> None:
        http = getattr(account, "http", None)
        limiter, breaker = getattr(http, "limiter", None), getattr(http, "breaker", None)
        if limiter is not None and breaker is not None:
            self._metrics.account_state(
                account.name,  # type: ignore[attr-defined]
                breaker=breaker.state,
                fill=limiter.snapshot(),
                blocked=limiter.blocked(),
                quotas=limiter.quotas(),
            )

    def fresh(self, within: timedelta) -> bool:
        """Whether the last beat is recent: what the watchdog asks."""
        return self.last is not None and self._house.clock.now() - self.last <= within


class _Due:
    def __init__(self) -> None:
        self.asks: list[tuple[str, str]] = []
        self.states: dict[str, tuple[str, int]] = {}


def _due(conn: Connection, house: House) -> _Due:
    now, found = micros(house.clock.now()), _Due()
    for name, row in channel_store.load(conn).items():
        found.states[name] = (row.state, row.takes)
        if name not in house.channels or row.state != "active":
            continue
        due = offers.next_due(conn, row.id)
        if due is not None and due <= now:
            found.asks.append((f"channel:{name}", "push"))
        ask = offers.next_ask(conn, row.id)
        if ask is not None and ask <= now:
            found.asks.append((f"channel:{name}", "confirm"))
    commands = text("SELECT 1 FROM order_command WHERE account_id = :account AND next_attempt <= :now LIMIT 1")
    for account in house.accounts.values():
        if conn.execute(commands, {"account": account.id, "now": now}).first():
            found.asks.append((f"account:{account.name}", "commands"))
    deliveries = text("SELECT 1 FROM delivery WHERE sink = :sink AND next_attempt <= :now LIMIT 1")
    assert house.config is not None
    for sink in house.config.sinks:
        if conn.execute(deliveries, {"sink": sink, "now": now}).first():
            found.asks.append((f"sink:{sink}", "deliver"))
    return found
