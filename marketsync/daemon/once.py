"""Everything that is due, once: for cron, and for whoever wants to see it happen."""

from collections.abc import Callable, Iterable, Sequence

from marketsync.adapter.errors import MarketsyncError
from marketsync.daemon.inbound import TASKS
from marketsync.sync.live import House
from marketsync.sync.push import recover
from marketsync.sync.work import TaskSummary, Work

# In the order in which one makes the next necessary. Pushing comes twice: what confirmations free leaves at once.
ORDER = ("inbound", "ingest", "sales", "derive", "orders", "returns", "push", "confirm", "push", "commands", "deliver")
PATIENCE = 600.0  # seconds that a run waits for limits and for jobs of the channel
ROUND = 30.0  # a longer wait is left to the next run


class UnknownTask(MarketsyncError):
    """There is no task of this name."""


async def sync_once(
    house: House, channels: Sequence[str], tasks: Sequence[str], progress: Callable[[str], None]
) -> list[TaskSummary]:
    """Do what is due for these channels (none named: all) and tasks (none named: the usual ones), then return.

    Each task runs until nothing is left that would be ready within half a minute. ``progress`` hears what begins.
    Raises MarketsyncError for a name that does not exist.
    """
    for name in channels:
        if name not in house.channels:
            raise MarketsyncError(f"there is no channel {name}: name one of {', '.join(sorted(house.channels))}")
    for task in tasks:
        if task not in TASKS:
            raise UnknownTask(f"there is no task {task}: name one of {', '.join(sorted(TASKS))}")
    run = _Once(house, frozenset(channels or house.channels), progress)
    for channel in house.channels.values():
        await recover(house, channel)
    for task in [task for task in ORDER if not tasks or task in tasks] + [t for t in tasks if t not in ORDER]:
        for owner in run.owners(task):
            await run.until_done(owner, task)
    return run.summaries


class _Once:
    """Runs tasks one after the other; instead of dispatching what follows, it remembers how long to wait."""

    def __init__(self, house: House, channels: frozenset[str], progress: Callable[[str], None]) -> None:
        self.house, self.channels, self.progress = house, channels, progress
        self.summaries: list[TaskSummary] = []
        self.work = Work(house, TASKS)
        self.work.dispatcher = self
        self._again: dict[tuple[str, str], float] = {}

    def request(self, owner: str, task: str, reason: str) -> None:
        self.later(owner, task, 0.0, reason)

    def later(self, owner: str, task: str, seconds: float, reason: str) -> None:  # noqa: ARG002 (the Dispatcher's signature)
        known = self._again.get((owner, task))
        self._again[owner, task] = seconds if known is None else min(known, seconds)

    def owners(self, task: str) -> Iterable[str]:
        house = self.house
        assert house.config is not None
        if task == "ingest":
            return [f"source:{name}" for name in house.sources]
        if task in {"orders", "returns", "commands", "completeness"}:
            return [f"account:{a.name}" for a in house.accounts.values() if self.channels & a.channels.keys()]
        if task in {"push", "confirm", "derive", "reconcile", "check", "subscribe"}:
            return [f"channel:{name}" for name in house.channels if name in self.channels]
        if task == "deliver":
            return [f"sink:{name}" for name in house.config.sinks]
        return ["ledger"]

    async def until_done(self, owner: str, task: str) -> None:
        waited = 0.0
        while True:
            self.progress(f"{task} {owner.partition(':')[2] or owner}")
            self._again.pop((owner, task), None)
            summary = await self.work.summary(owner, task, "by hand")
            self.summaries.append(summary)
            again = self._again.get((owner, task))
            if summary.outcome == "failed" or again is None or again > ROUND or waited + again > PATIENCE:
                return
            if again == 0.0 and not summary.counts:
                return  # asked for by another task, and there is nothing to do
            waited += again
            await self.house.clock.sleep(again)
