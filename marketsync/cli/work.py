"""What does the work: the daemon, one round by hand, purging."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from marketsync.cli.output import busy, document, line, note, printable, span, table
from marketsync.cli.session import session

if TYPE_CHECKING:
    from marketsync.config.models import Config
    from marketsync.sync.work import TaskSummary

FAILED = 1
GOOD = frozenset({"done", "waiting"})


def register(app: typer.Typer) -> None:
    app.command()(run)
    app.command()(sync)
    app.command()(purge)


def run() -> None:
    """Run the daemon until SIGTERM or Ctrl-C."""
    session.whole_config()  # told plainly, before anything logs
    from marketsync.daemon.run import run_daemon  # noqa: PLC0415

    raise typer.Exit(asyncio.run(run_daemon(session.path, log_format=session.log_format, traces=session.verbose)))


def sync(
    channel: Annotated[list[str] | None, typer.Option(help="Only this channel; may be repeated.")] = None,
    task: Annotated[list[str] | None, typer.Option(help="Only this task, such as ingest, push, orders; may be repeated.")] = None,
) -> None:  # fmt: skip
    """Do what is due once, and exit: for cron. The daemon must not be running on a SQLite ledger."""
    config = session.whole_config()
    make_ledger()
    for warning in session.load().warnings:
        note(f"{warning} (a warning)")
    with busy("starting") as tell:
        summaries = asyncio.run(_sync(config, channel or [], task or [], tell))
    if session.json:
        document({"tasks": summaries})
    else:
        rows = [
            (one.task, one.owner.partition(":")[2] or one.owner, one.outcome, counted(one.counts), span(one.seconds),
             one.error)
            for one in summaries if one.counts or one.outcome != "done"
        ]  # fmt: skip
        table(("task", "of", "outcome", "counts", "took", "error"), rows, empty="nothing was to be done")
    if any(one.outcome not in GOOD for one in summaries):
        raise typer.Exit(FAILED)


async def _sync(config: "Config", channels: list[str], tasks: list[str], tell: object) -> "list[TaskSummary]":
    from marketsync.daemon.once import sync_once  # noqa: PLC0415

    async with session.house(config, lock=True) as house:
        return await sync_once(house, channels, tasks, tell)  # type: ignore[arg-type]  # busy() yields it


def make_ledger() -> None:
    """A ledger that is not there yet is made; one that is older is not touched unasked."""
    from marketsync.ledger import migrate  # noqa: PLC0415

    if migrate.current(session.url) is None:
        migrate.upgrade(session.url)


def counted(counts: object) -> str:
    """Counts of a run in one cell."""
    return ", ".join(f"{name} {value}" for name, value in dict(counts).items())  # type: ignore[call-overload]


def purge() -> None:
    """Delete journals and buyers whose time is over, and fold old stock movements. The daemon does it by itself."""
    from marketsync.ledger import purge as purging  # noqa: PLC0415

    config = session.config()
    with session.ledger() as ledger, busy("purging"):
        rows = asyncio.run(purging.purge(ledger, session.clock.now(), config.retention.journals))
    if session.json:
        document({"deleted": rows})
        return
    table(("table", "rows deleted"), sorted(rows.items()), right=("rows deleted",), empty="nothing was old enough")
    line(printable(f"{sum(rows.values())} rows"))
