"""Commands: what a channel must do once is sent once.

The intent is committed before the call. Where no answer says what became of it, the command is looked up; where that
tells nothing, acknowledgements and shipments are sent again under the same key, refunds and cancellations wait for a
person.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any

from marketsync.adapter.api import (
    AcknowledgesOrders,
    CancelsOrders,
    CommandResult,
    LooksUpCommands,
    RefundsOrders,
    Result,
    ShipsOrders,
)
from marketsync.adapter.errors import (
    AdapterError,
    ChannelBlocked,
    ItemRefused,
    OutcomeUnknown,
    RateLimited,
    Retryable,
    UnexpectedReply,
)
from marketsync.adapter.spec import Operation
from marketsync.ledger.commands import CommandEnd, CommandRow, due_commands, end_commands, intend, next_command
from marketsync.ledger.gateway import Rank
from marketsync.ledger.order_context import Stored
from marketsync.ledger.types import moment
from marketsync.sync.live import House, LiveAccount
from marketsync.sync.order_context import count, order_context

KINDS = ("acknowledge", "cancel", "ship", "refund")  # what is told first
CAPABILITY: Mapping[str, Any] = {
    "acknowledge": AcknowledgesOrders,
    "cancel": CancelsOrders,
    "ship": ShipsOrders,
    "refund": RefundsOrders,
}
SENT_AGAIN = frozenset({"acknowledge", "ship"})  # twice is harmless at worst: money moves in neither
BACKOFF = tuple(timedelta(seconds=s) for s in (10, 30, 60, 300, 900, 3600))
LOOK_UP_AFTER = timedelta(seconds=30)  # a request that was given up may still be under way
AT_ONCE = 100
SHORT_WAIT = 1.0  # seconds: longer waits become the next run


@dataclass(slots=True)
class CommandReport:
    """What a run did: commands by (kind, state). ``again_in``: seconds until something wants to be sent or looked up."""

    counts: dict[tuple[str, str], int] = field(default_factory=dict)
    stored: Stored = field(default_factory=Stored)
    again_in: float | None = None
    error: AdapterError | None = None

    @property
    def totals(self) -> dict[str, int]:
        return {f"{kind} {state}": number for (kind, state), number in self.counts.items()}


async def run_commands(house: House, account: LiveAccount) -> CommandReport:
    """Send what is due to the account's active channels, and look up what nobody knows. Raises LedgerError."""
    run = _Run(house, account)
    for kind in KINDS:
        await run.work(kind)
    if run.report.again_in is None:
        due = await house.ledger.read(partial(next_command, account_id=account.id))
        if due is not None:
            run.report.again_in = max(1.0, (moment(due) - house.clock.now()).total_seconds())
    return run.report


class _Run:
    def __init__(self, house: House, account: LiveAccount) -> None:
        self.house, self.account = house, account
        self.report = CommandReport()

    @property
    def stopped(self) -> bool:
        return self.report.error is not None

    async def work(self, kind: str) -> None:
        """Everything of one kind that is due, until the limits or an error stop it."""
        while not self.stopped:
            now = self.house.clock.now()
            read = partial(due_commands, account_id=self.account.id, kind=kind, now=now, limit=AT_ONCE)
            rows = await self.house.ledger.read(read)
            lost = [row for row in rows if row.state == "sent"]
            if lost:
                await self._look_up(lost)
            due = [row for row in rows if row.state == "due"]
            if not rows or self.stopped or (due and not await self._send(kind, due)):
                return

    # ---------------------------------------------------------------- sending

    async def _send(self, kind: str, rows: Sequence[CommandRow]) -> bool:
        """Send these, in batches where the channel takes them. False where the limits say to wait."""
        if not isinstance(self.account.adapter, CAPABILITY[kind]):
            message = f"{self.account.spec.title} cannot be told to {kind} orders through its API"
            await self._end([CommandEnd(row, "rejected", code="not_possible", message=message) for row in rows])
            return True
        operation = _operation(self.account, kind)
        size = operation.batch if operation is not None and kind == "acknowledge" else 1
        for start in range(0, len(rows), size):
            if operation is not None and not await self._slot(operation):
                return False
            try:
                if not await self._tell(kind, operation, rows[start : start + size]):
                    return False
            finally:
                if operation is not None:
                    await self.account.http.release(operation.name)
        return True

    async def _tell(self, kind: str, operation: Operation | None, rows: Sequence[CommandRow]) -> bool:
        """The intent, the call, its results. False where this kind has to wait, or the run is over."""
        look_up = self.house.clock.now() + LOOK_UP_AFTER + (operation.timeout if operation else timedelta(0))
        batch = await self.house.ledger.write(partial(intend, rows=rows, look_up=look_up), Rank.RESULTS)
        return await self._call(kind, batch)

    async def _slot(self, operation: Operation) -> bool:
        """Reserve one call; False where the wait is too long to wait here."""
        while True:
            wait = await self.account.http.reserve(operation.name)
            if wait <= 0:
                return True
            if wait > SHORT_WAIT:
                self._again(wait)
                return False
            await self.house.clock.sleep(wait)

    async def _call(self, kind: str, rows: Sequence[CommandRow]) -> bool:
        """One call and its results. False where this kind has to wait, or the run is over."""
        try:
            results = await self._told(kind, rows)
        except ItemRefused as error:
            if len(rows) > 1:  # one of them is refused: each for itself
                return all([await self._call(kind, [row]) for row in rows])
            results = [CommandResult(result=Result.REJECTED, code=error.code, message=error.message)]
        except OutcomeUnknown as error:
            return await self._stop(rows, Result.UNKNOWN, error)
        except RateLimited as error:
            await self._retry(rows, error)
            self._again((error.retry_after or BACKOFF[0]).total_seconds())
            return False
        except (Retryable, ChannelBlocked) as error:
            return await self._stop(rows, Result.RETRY, error)
        except AdapterError as error:
            return await self._stop(rows, Result.UNKNOWN, error)
        except Exception as error:
            self.house.log.exception("adapter failed", account=self.account.name, operation=kind)
            said = UnexpectedReply(f"the adapter failed: {type(error).__name__}", evidence=str(error)[:500])
            return await self._stop(rows, Result.UNKNOWN, said)
        missing = [CommandResult(result=Result.UNKNOWN, message="the channel gave no result")] * (
            len(rows) - len(results)
        )
        ends = [self._ended(row, result) for row, result in zip(rows, [*results, *missing], strict=False)]
        await self._end(ends)
        return True

    async def _told(self, kind: str, rows: Sequence[CommandRow]) -> Sequence[CommandResult]:
        adapter = self.account.adapter
        if kind == "acknowledge":
            assert isinstance(adapter, AcknowledgesOrders)
            return await adapter.acknowledge([row.command for row in rows])
        return [await getattr(adapter, kind)(rows[0].command)]

    async def _retry(self, rows: Sequence[CommandRow], error: Retryable) -> None:
        """Certainly nothing happened."""
        now = self.house.clock.now()
        waits = [max(error.retry_after or timedelta(0), _backoff(row)) for row in rows]
        await self._end(
            [
                CommandEnd(row, "due", next_attempt=now + wait, code=error.code, message=error.message)
                for row, wait in zip(rows, waits, strict=True)
            ]
        )

    async def _stop(self, rows: Sequence[CommandRow], result: Result, error: AdapterError) -> bool:
        """The channel is in trouble: the run ends, these are known to be open or unknown."""
        told = CommandResult(result=result, code=error.code, message=error.message)
        await self._end([self._ended(row, told) for row in rows])
        self.report.error = error
        return False

    def _again(self, seconds: float) -> None:
        self.report.again_in = seconds if self.report.again_in is None else min(self.report.again_in, seconds)

    # ---------------------------------------------------------------- results

    def _ended(self, row: CommandRow, result: CommandResult) -> CommandEnd:
        now = self.house.clock.now()
        told = partial(CommandEnd, row, reference=result.reference, code=result.code, message=result.message)
        match result.result:
            case Result.APPLIED:
                return told(state="done")
            case Result.REJECTED:
                return told(state="rejected")
            case Result.RETRY:
                return told(state="due", next_attempt=now + _backoff(row))
        if isinstance(self.account.adapter, LooksUpCommands):
            return told(state="sent", next_attempt=now + LOOK_UP_AFTER)
        operation = _operation(self.account, row.kind)
        if row.kind in SENT_AGAIN and operation is not None and operation.idempotent:
            return told(state="due", next_attempt=now + _backoff(row))
        return told(state="held")

    async def _look_up(self, rows: Sequence[CommandRow]) -> None:
        adapter = self.account.adapter
        for row in rows:
            if not isinstance(adapter, LooksUpCommands):
                await self._end([self._ended(row, CommandResult(result=Result.UNKNOWN, message="no answer came"))])
                continue
            try:
                found = await adapter.command_result(row.kind, row.command)
            except AdapterError as error:
                later = self.house.clock.now() + LOOK_UP_AFTER
                await self._end([CommandEnd(row, "sent", next_attempt=later, code=error.code, message=error.message)])
                self.report.error = error
                return
            await self._end([self._found(row, found)])

    def _found(self, row: CommandRow, found: CommandResult | None) -> CommandEnd:
        """What a look-up says. No trace: what moves money is not sent again by itself, it may show up later."""
        if found is not None and found.result is not Result.RETRY:
            return self._ended(row, found)
        if row.kind in SENT_AGAIN or found is not None:
            return CommandEnd(row, "due", next_attempt=self.house.clock.now(), message="no trace of it on the channel")
        return CommandEnd(row, "held", message="no answer came, and the channel has no trace of it")

    async def _end(self, ends: Sequence[CommandEnd]) -> None:
        stored = await self.house.ledger.write(
            lambda conn: end_commands(conn, ends, order_context(conn, self.house, self.account)), Rank.ORDERS
        )
        count(self.house, stored)
        self.report.stored.add(stored)
        for end in ends:
            key = (end.row.kind, end.state)
            self.report.counts[key] = self.report.counts.get(key, 0) + 1
            if end.row.kind == "refund" and end.state == "done":
                for line in end.row.command.lines:
                    if line.amount is not None:
                        self.house.metrics.refunded(end.row.channel, line.amount)


def _operation(account: LiveAccount, kind: str) -> Operation | None:
    return next((operation for operation in account.spec.operations if operation.name == kind), None)


def _backoff(row: CommandRow) -> timedelta:
    return BACKOFF[min(max(row.attempts - 1, 0), len(BACKOFF) - 1)]
