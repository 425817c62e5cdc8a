"""When the scheduler asks for which task. Ticks only request work; the ledger knows when it was last done."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.base import BaseTrigger

from marketsync.adapter.api import SubscribesWebhooks
from marketsync.adapter.clock import Clock
from marketsync.config.models import Config
from marketsync.config.schedule import Schedule
from marketsync.ledger.tasks import TaskRow
from marketsync.sync.live import House

EVERY_MINUTE = Schedule.parse("1m")
HOURLY = Schedule.parse("1h")
DAILY = Schedule.parse("24h")
NIGHTLY = Schedule.parse("04:20")
SHIPMENTS = Schedule.parse("5s")


@dataclass(frozen=True, slots=True)
class Tick:
    """One line of the timetable."""

    owner: str
    task: str
    schedule: Schedule


class _Trigger(BaseTrigger):  # type: ignore[misc]  # APScheduler brings no types
    """A schedule as APScheduler asks for it."""

    def __init__(self, schedule: Schedule, zone: ZoneInfo, first: datetime) -> None:
        self._schedule, self._zone, self._first = schedule, zone, first

    def get_next_fire_time(self, previous: datetime | None, now: datetime) -> datetime:
        return self._first if previous is None else self._schedule.next_after(max(previous, now), self._zone)


def timetable(house: House) -> Iterator[Tick]:
    """Everything that runs by itself, as the configuration says."""
    config = house.config
    assert config is not None
    for name in house.sources:
        yield Tick(f"source:{name}", "ingest", config.sources[name].every)
    for name, source in config.sources.items():
        if source.kind == "channel":
            yield Tick(f"source:{name}", "ingest", source.every)
    for account in house.accounts.values():
        schedules = [channel.config.schedule for channel in account.channels.values()]
        yield Tick(f"account:{account.name}", "orders", _most_often([s.orders for s in schedules]))
        yield Tick(f"account:{account.name}", "returns", _most_often([s.returns for s in schedules]))
        yield Tick(f"account:{account.name}", "completeness", HOURLY)
        for channel in account.channels.values():
            yield Tick(f"channel:{channel.name}", "reconcile", channel.config.schedule.reconcile)
            yield Tick(f"channel:{channel.name}", "derive", HOURLY)
            yield Tick(f"channel:{channel.name}", "check", DAILY)
            if config.webhook_url(channel.name) and isinstance(channel.adapter, SubscribesWebhooks):
                yield Tick(f"channel:{channel.name}", "subscribe", HOURLY)
    yield from _of_the_house(config)


def _of_the_house(config: Config) -> Iterator[Tick]:
    yield Tick("ledger", "sales", EVERY_MINUTE)
    yield Tick("ledger", "purge", NIGHTLY)
    if config.shipments is not None:
        yield Tick("ledger", "inbound", SHIPMENTS)


def _most_often(schedules: list[Schedule]) -> Schedule:
    """An account's task runs as often as the most impatient of its storefronts wants."""
    return min(schedules, key=lambda s: s.interval or timedelta(days=1))


def first_run(schedule: Schedule, zone: ZoneInfo, state: TaskRow, now: datetime) -> datetime:
    """Soon, where it is overdue or never ran; never later than one interval from now, whatever the clock once said."""
    if schedule.interval is None:
        missed = state.success_at is not None and schedule.next_after(state.success_at, zone) <= now
        return now if missed else schedule.next_after(now, zone)
    if state.success_at is None:
        return now
    return min(now + schedule.interval, max(now, state.success_at + schedule.interval))


class Timetable:
    """Keeps APScheduler's jobs equal to the timetable; a reload touches only the lines that changed."""

    def __init__(self, scheduler: AsyncIOScheduler, clock: Clock, request: Callable[[str, str, str], None]) -> None:
        self._scheduler, self._clock, self._request = scheduler, clock, request
        self._ticks: dict[str, Tick] = {}

    def follow(self, ticks: Iterator[Tick], zone: ZoneInfo, states: dict[tuple[str, str], TaskRow]) -> None:
        """Bring the jobs in line with these ticks."""
        wanted = {f"{tick.owner} {tick.task}": tick for tick in ticks}
        for name in self._ticks.keys() - wanted.keys():
            self._scheduler.remove_job(name)
        for name, tick in wanted.items():
            if self._ticks.get(name) == tick:
                continue
            state = states.get((tick.owner, tick.task), TaskRow())
            first = first_run(tick.schedule, zone, state, self._clock.now())
            self._scheduler.add_job(
                self._tick, _Trigger(tick.schedule, zone, first), args=(tick,), id=name, replace_existing=True
            )
        self._ticks = wanted

    async def _tick(self, tick: Tick) -> None:
        self._request(tick.owner, tick.task, "schedule")


def scheduler() -> AsyncIOScheduler:
    """APScheduler as we need it: a job that was due while the loop was busy runs late rather than never."""
    defaults: dict[str, Any] = {"misfire_grace_time": None, "coalesce": True, "max_instances": 1}
    return AsyncIOScheduler(timezone=UTC, job_defaults=defaults)
