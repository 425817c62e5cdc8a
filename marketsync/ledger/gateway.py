"""The async door to the synchronous ledger: a ranked queue of write transactions, and reader threads.

A function given to ``write`` runs in one transaction on a worker thread; nothing is awaited inside it. SQLite has one
writer, PostgreSQL several, half of which take no bulk work. A cancelled caller still waits for its own write: what it
did is known either way.
"""

import asyncio
import itertools
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError, OperationalError

from marketsync.adapter.errors import Busy, LeaseLost
from marketsync.ledger.engine import is_sqlite, read_engine, write_engine
from marketsync.ledger.vault import Vault

T = TypeVar("T")
LAST = 99  # the rank of the job that ends a worker, behind all others
CONFLICT_TRIES = 6
POSTGRES_CONFLICTS = {"40001", "40P01"}  # serialization failure, deadlock


class Rank(IntEnum):
    """Who goes first: an order's commit never waits behind an import."""

    ORDERS = 0
    RESULTS = 1
    BULK = 2


@dataclass(frozen=True, slots=True)
class Fence:
    """A lease (PostgreSQL): a write under it fails with LeaseLost once another worker has taken it."""

    account: str
    task: str
    owner: str
    epoch: int


@dataclass(order=True)
class _Job:
    rank: int
    order: int
    run: Callable[[Connection], Any] = field(compare=False)
    future: "Future[Any]" = field(compare=False)
    fence: Fence | None = field(compare=False, default=None)


@dataclass(slots=True)
class WriteStats:
    """What the queue has done, for the metrics."""

    written: dict[int, int] = field(default_factory=lambda: dict.fromkeys(Rank, 0))
    seconds: dict[int, float] = field(default_factory=lambda: dict.fromkeys(Rank, 0.0))
    waiting: dict[int, int] = field(default_factory=lambda: dict.fromkeys(Rank, 0))
    conflicts: int = 0


class Ledger:
    """One ledger, open. ``write`` and ``read`` from asyncio, ``write_now`` and ``read_now`` from a thread."""

    def __init__(self, url: str, vault: Vault) -> None:
        self.url = url
        self.vault = vault
        self.sqlite = is_sqlite(url)
        self.stats = WriteStats()
        self.fence: Fence | None = None  # under which every write of this process stands
        writers = 1 if self.sqlite else 4
        self._write_engine: Engine = write_engine(url, connections=writers)
        self._read_engine: Engine = read_engine(url)
        self._jobs: queue.PriorityQueue[_Job] = queue.PriorityQueue()
        self._urgent: queue.PriorityQueue[_Job] = self._jobs if self.sqlite else queue.PriorityQueue()
        self._order = itertools.count()
        self._readers = ThreadPoolExecutor(max_workers=3, thread_name_prefix="ledger-read")
        self._threads = [self._worker(number) for number in range(writers)]

    def _worker(self, number: int) -> "tuple[threading.Thread, queue.PriorityQueue[_Job]]":
        jobs = self._jobs if number % 2 else self._urgent  # on SQLite both are the same queue
        thread = threading.Thread(target=self._work, args=(jobs,), name=f"ledger-write-{number}", daemon=True)
        thread.start()
        return thread, jobs

    # ------------------------------------------------------------------ writing

    async def write(self, run: Callable[[Connection], T], rank: Rank = Rank.RESULTS, fence: Fence | None = None) -> T:
        """Run one write transaction. Raises what ``run`` raises (rolled back), LeaseLost, or Busy."""
        future = asyncio.wrap_future(self._submit(run, rank, fence))
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            while not future.done():
                try:
                    await asyncio.shield(future)
                except asyncio.CancelledError:
                    continue
                except BaseException:  # noqa: BLE001, S110 (the write's own error yields to the cancellation)
                    pass
            raise

    def write_now(self, run: Callable[[Connection], T], rank: Rank = Rank.RESULTS, fence: Fence | None = None) -> T:
        """The same from a thread."""
        return self._submit(run, rank, fence).result()

    def _submit(self, run: Callable[[Connection], T], rank: Rank, fence: Fence | None) -> "Future[T]":
        future: Future[T] = Future()
        self.stats.waiting[rank] += 1
        job = _Job(rank, next(self._order), run, future, fence or self.fence)
        (self._jobs if rank is Rank.BULK else self._urgent).put(job)
        return future

    def _work(self, jobs: "queue.PriorityQueue[_Job]") -> None:
        while True:
            job = jobs.get()
            if job.rank == LAST:
                return
            started = time.perf_counter()
            try:
                result = self._run(job)
            except BaseException as error:  # noqa: BLE001 (handed to the caller)
                job.future.set_exception(error)
            else:
                job.future.set_result(result)
            finally:
                self.stats.waiting[job.rank] -= 1
                self.stats.written[job.rank] += 1
                self.stats.seconds[job.rank] += time.perf_counter() - started

    def _run(self, job: _Job) -> Any:
        for attempt in itertools.count(1):
            try:
                with self._write_engine.begin() as connection:
                    if job.fence and not self.sqlite:
                        _check(connection, job.fence)
                    return job.run(connection)
            except DBAPIError as error:
                if _conflict(error) and attempt < CONFLICT_TRIES:
                    self.stats.conflicts += 1
                    time.sleep(0.01 * 2**attempt)
                    continue
                raise _named(error) from error
        raise AssertionError

    # ------------------------------------------------------------------ reading

    async def read(self, run: Callable[[Connection], T]) -> T:
        """Run one read transaction on a reader thread."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, self.read_now, run)

    def read_now(self, run: Callable[[Connection], T]) -> T:
        try:
            with self._read_engine.begin() as connection:
                return run(connection)
        except OperationalError as error:
            raise _named(error) from error

    # ------------------------------------------------------------------ the end

    def close(self) -> None:
        """Finish what is queued, then close. Idempotent."""
        for thread, jobs in self._threads:
            if thread.is_alive():
                jobs.put(_Job(LAST, next(self._order), _nothing, Future()))
        for thread, _ in self._threads:
            thread.join()
        self._readers.shutdown(wait=True)
        self._write_engine.dispose()
        self._read_engine.dispose()


def _nothing(_connection: Connection) -> None:
    return None


def _check(connection: Connection, fence: Fence) -> None:
    row = connection.execute(
        text("SELECT owner, epoch FROM lease WHERE account = :account AND task = :task FOR SHARE"),
        {"account": fence.account, "task": fence.task},
    ).first()
    if row is None or (row.owner, row.epoch) != (fence.owner, fence.epoch):
        message = f"{fence.task} of {fence.account} is run by another worker now"
        raise LeaseLost(message)


def _conflict(error: DBAPIError) -> bool:
    return getattr(error.orig, "sqlstate", None) in POSTGRES_CONFLICTS


def _named(error: DBAPIError) -> Exception:
    said = str(error.orig)
    if "database is locked" in said or "lock timeout" in said:
        return Busy("the ledger is locked by another process: is a backup or a second marketsync running?")
    return error
