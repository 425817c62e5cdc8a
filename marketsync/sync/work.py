"""One run of one task: started, done, its errors judged, written down, and what it makes necessary asked for."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from sqlalchemy import Connection

from marketsync.adapter.errors import MarketsyncError
from marketsync.ledger import channels as channel_store
from marketsync.ledger import tasks
from marketsync.ledger.channels import ChannelRow
from marketsync.ledger.issues import IssueRow, close_issues, raise_issues
from marketsync.ledger.types import micros
from marketsync.sync.dispatcher import Dispatcher
from marketsync.sync.live import House, LiveAccount, LiveChannel
from marketsync.sync.verdict import Verdict, verdict

TASK_ISSUES = ("consent_expired", "auth_refused", "account_suspended", "blocked", "unexpected_reply", "task_failed")


@dataclass(slots=True)
class Done:
    """What a run did, and which other work it makes necessary: (owner, task, seconds from now)."""

    counts: Mapping[str, int] = field(default_factory=dict)
    follow: list[tuple[str, str, float]] = field(default_factory=list)
    error: BaseException | None = None

    def then(self, owner: str, task: str, seconds: float = 0.0) -> None:
        self.follow.append((owner, task, seconds))


@dataclass(frozen=True, slots=True)
class TaskSummary:
    """How a run ended."""

    owner: str
    task: str
    outcome: str
    counts: Mapping[str, int]
    error: str
    seconds: float


Task = Callable[["Work", str, int], Awaitable[Done]]  # (work, owner, run id)


class Work:
    """Runs tasks on a house. ``dispatcher`` gets what follows from them."""

    def __init__(self, house: House, tasks: Mapping[str, Task]) -> None:
        self.house = house
        self.tasks = tasks
        self.dispatcher: Dispatcher | None = None
        self.summaries: Callable[[TaskSummary], None] | None = None

    async def run(self, owner: str, task: str, reason: str) -> None:
        """Run one task; every error of it is judged, counted and written down here."""
        summary = await self.summary(owner, task, reason)
        if self.summaries is not None:
            self.summaries(summary)

    async def summary(self, owner: str, task: str, reason: str) -> TaskSummary:
        house = self.house
        run = self.tasks[task]
        state = await house.ledger.read(partial(tasks.load, owner=owner, task=task))
        now = house.clock.now()
        if state.not_before is not None and state.not_before > now and reason != "by hand":
            wait = (state.not_before - now).total_seconds()
            self._later(owner, task, wait, reason)
            return TaskSummary(owner, task, "waiting", {}, state.error, 0.0)
        began = house.clock.monotonic()
        run_id = await house.ledger.write(partial(tasks.start_run, owner=owner, task=task, reason=reason, now=now))
        try:
            done = await run(self, owner, run_id)
        except asyncio.CancelledError:
            await self._finish(owner, task, run_id, Done(), Verdict("interrupted", None))
            raise
        except MarketsyncError as error:
            done = Done(error=error)
        except Exception as error:
            house.log.exception("a task failed", owner=owner, task=task)
            done = Done(error=error)
        judged = None if done.error is None else verdict(done.error, state.failures, house.clock.now())
        await self._finish(owner, task, run_id, done, judged, had=state)
        seconds = house.clock.monotonic() - began
        outcome = "done" if judged is None else judged.outcome
        house.metrics.task_ran(owner.partition(":")[2] or owner, task, outcome, seconds)
        for to, what, after in done.follow:
            self._later(to, what, after, f"after {task} of {owner}")
        if judged is not None and judged.again is not None:
            self._later(owner, task, judged.again.total_seconds(), "again")
        return TaskSummary(owner, task, outcome, dict(done.counts), str(done.error or ""), seconds)

    def _later(self, owner: str, task: str, seconds: float, reason: str) -> None:
        if self.dispatcher is None:
            return
        if seconds > 0:
            self.dispatcher.later(owner, task, seconds, reason)
        else:
            self.dispatcher.request(owner, task, reason)

    async def _finish(
        self,
        owner: str,
        task: str,
        run_id: int,
        done: Done,
        judged: Verdict | None,
        had: tasks.TaskRow | None = None,
    ) -> None:
        house, now = self.house, self.house.clock.now()
        outcome = "done" if judged is None else judged.outcome
        error = _told(done.error)
        again = None if judged is None or judged.again is None else now + judged.again
        failed_before = had is not None and bool(had.error)

        def write(conn: Connection) -> None:
            counts = {name: count for name, count in done.counts.items() if count}
            tasks.finish_run(conn, run_id, owner, task, outcome, counts, now, error=error, not_before=again)
            if judged is not None:
                self._judged(conn, owner, task, judged, error)
            elif not counts:
                tasks.drop_run(conn, run_id)
            if judged is None and failed_before:
                for code in TASK_ISSUES:
                    close_issues(conn, owner, code, [task], micros(now))

        await house.ledger.write(write)
        if done.error is not None and not failed_before:
            house.log.warning("a task began to fail", owner=owner, task=task, outcome=outcome, problem=error)
        elif judged is None and failed_before:
            house.log.info("a task works again", owner=owner, task=task)

    def _judged(self, conn: Connection, owner: str, task: str, judged: Verdict, error: str) -> None:
        now = self.house.clock.now()
        if judged.code and judged.outcome != "waiting":
            raise_issues(conn, [IssueRow(owner, judged.code, f"{task}: {error}", task, judged.hint)], micros(now))
        if judged.blocks:
            for channel in self._channels_of(owner):
                channel_store.block(conn, channel.name, error, now)

    def _channels_of(self, owner: str) -> list[LiveChannel]:
        kind, _, name = owner.partition(":")
        if kind == "account" and name in self.house.accounts:
            return list(self.house.accounts[name].channels.values())
        return [self.house.channels[name]] if kind == "channel" and name in self.house.channels else []

    # ------------------------------------------------------------------ helpers of the tasks

    def channel(self, owner: str) -> LiveChannel:
        return self.house.channels[owner.partition(":")[2]]

    def account(self, owner: str) -> LiveAccount:
        return self.house.accounts[owner.partition(":")[2]]

    async def row(self, channel: LiveChannel) -> ChannelRow:
        rows = await self.house.ledger.read(channel_store.load)
        return rows[channel.name]


def _told(error: BaseException | None) -> str:
    if error is None:
        return ""
    return str(error) if isinstance(error, MarketsyncError) else f"{type(error).__name__}"
