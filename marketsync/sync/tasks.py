"""What the engine can be asked to do: one function per task, named as in the list of runs."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from sqlalchemy import Row

from marketsync.adapter.api import ConfirmsPushes, PushesOffers, ReadsOffers, SubscribesWebhooks
from marketsync.adapter.content import Aspect
from marketsync.adapter.errors import ChannelBlocked, MarketsyncError
from marketsync.ledger import channels as channel_store
from marketsync.ledger import desired, offers, snapshots
from marketsync.ledger.gateway import Rank
from marketsync.ledger.order_context import Stored
from marketsync.ledger.outbox import BITS
from marketsync.ledger.purge import purge
from marketsync.ledger.types import micros
from marketsync.sinks.api import SinkError
from marketsync.sync import commands, completeness, confirm, deliver, derive, ingest, orders, push, reconcile, returns
from marketsync.sync.adopt import manage
from marketsync.sync.guard import judge
from marketsync.sync.live import House, LiveAccount, LiveChannel
from marketsync.sync.work import Done, Task, Work

SWEEP = 250
UNREAD_WAIT = 5.0  # seconds between two looks whether every source was read


async def _ingest(work: Work, owner: str, _run_id: int) -> Done:
    plan = work.house.sources[owner.partition(":")[2]]
    report = await ingest.ingest(work.house, plan)
    done = Done(report.totals)
    for name in report.derived.changed:
        done.then(f"channel:{name}", "push")
    return done


async def _derive(work: Work, owner: str, _run_id: int) -> Done:
    """Sale prices that start or end, rules that changed, offers that left long enough ago."""
    house, channel = work.house, work.channel(owner)
    row = await work.row(channel)
    channel.rules.take(row.takes)
    changed = await manage(house, channel)
    if row.rules_hash != channel.rules.hash:
        house.runs.add(owner)
        try:
            changed += await _sweep(house, channel)
        finally:
            house.runs.discard(owner)
        await judge(house)
    changed += await _withdraw(house, channel)
    done = Done({"offers": changed})
    if changed:
        done.then(owner, "push")
    return done


async def _sweep(house: House, channel: LiveChannel) -> int:
    """Derive every offer of a channel anew, a page per transaction; a crash begins again."""
    changed, after, now = 0, "", house.clock.now()
    while True:
        derived, after = await house.ledger.write(
            partial(derive.sweep, rules=channel.rules, after=after, limit=SWEEP, order=house.order, now=now), Rank.BULK
        )
        changed += sum(derived.changed.values())
        if not after:
            break
    while True:
        count, after = await house.ledger.write(
            partial(derive.sweep_orphans, rules=channel.rules, after=after, limit=SWEEP, now=now), Rank.BULK
        )
        changed += count
        if not after:
            break
    await house.ledger.write(partial(channel_store.keep_rules, channel_id=channel.id, rules_hash=channel.rules.hash))
    return changed


async def _withdraw(house: House, channel: LiveChannel) -> int:
    wait = channel.config.withdraw_after
    if wait is None:
        return 0
    now = house.clock.now()
    count = 0
    while True:
        ids = await house.ledger.write(
            partial(desired.withdraw_left, channel_id=channel.id, before=micros(now - wait), now=micros(now), limit=SWEEP),
            Rank.BULK,
        )  # fmt: skip
        count += len(ids)
        if len(ids) < SWEEP:
            return count


async def _sales(work: Work, _owner: str, _run_id: int) -> Done:
    """Items whose sale price has just started or ended."""
    house, done, changed = work.house, Done(), 0
    while True:
        now = house.clock.now()
        derived, items = await house.ledger.write(
            partial(derive.derive_due, channels=house.rules, order=house.order, now=now, limit=SWEEP), Rank.BULK
        )
        for name, count in derived.changed.items():
            changed += count
            done.then(f"channel:{name}", "push")
        if items < SWEEP:
            break
    done.counts = {"offers": changed}
    return done


async def _push(work: Work, owner: str, run_id: int) -> Done:
    channel = work.channel(owner)
    if not isinstance(channel.adapter, PushesOffers) or (await work.row(channel)).state != "active":
        return Done()
    unread = await _unread(work.house)
    report = await push.push(work.house, channel, run_id=run_id, allowed=_lowers if unread else None)
    done = Done(report.totals, error=report.error)
    if unread:
        done.then(owner, "push", UNREAD_WAIT)
    if report.wants_pull:
        done.then(f"account:{channel.account.name}", "orders")
    if report.again_in is not None:
        done.then(owner, "push", report.again_in)
    elif report.error is None:
        due = await work.house.ledger.read(partial(offers.next_due, channel_id=channel.id))
        now = micros(work.house.clock.now())
        if due is not None and due > now:
            done.then(owner, "push", (due - now) / 1e6)
    ask = await work.house.ledger.read(partial(offers.next_ask, channel_id=channel.id))
    if ask is not None:
        done.then(owner, "confirm", max(0.01, (ask - micros(work.house.clock.now())) / 1e6))
    return done


async def _unread(house: House) -> bool:
    """Whether a source was never read: an override, a price or a stock that it tells may be missing."""
    unread = await house.ledger.read(partial(snapshots.unread, sources=house.unread)) if house.unread else []
    house.unread = tuple(unread)
    return bool(unread)


def _lowers(row: Row[Any]) -> int:
    """What may leave before every source was read once: withdrawals, and stock that falls on what is listed."""
    if row.withdraws:
        return BITS[Aspect.LISTING]
    return BITS[Aspect.STOCK] if row.remote_id is not None and not row.raises else 0


async def _confirm(work: Work, owner: str, _run_id: int) -> Done:
    channel = work.channel(owner)
    if not isinstance(channel.adapter, ConfirmsPushes):
        return Done()
    report = await confirm.confirm(work.house, channel)
    done = Done(report.totals)
    if report.again_in is not None:
        done.then(owner, "confirm", max(0.01, report.again_in))
    if report.counts:
        done.then(owner, "push")
    return done


async def _reconcile(work: Work, owner: str, _run_id: int) -> Done:
    channel = work.channel(owner)
    if not isinstance(channel.adapter, ReadsOffers):
        return Done()
    row = await work.row(channel)
    report = await reconcile.reconcile(work.house, channel, observing=row.state == "observing")
    done = Done(report.totals)
    if report.drifted or report.lower or report.missing:
        done.then(f"account:{channel.account.name}", "orders")
        done.then(owner, "push")
    return done


async def _orders(work: Work, owner: str, _run_id: int) -> Done:
    account = work.account(owner)
    pulled = await orders.pull_orders(work.house, account)
    resolved = await orders.resolve_lines(work.house, account)
    pulled.stored.add(resolved)
    done = _after_orders(work.house, account, pulled.stored, pulled.totals)
    for channel in account.channels.values():
        # Stock that waited for this pull may be raised now.
        done.then(f"channel:{channel.name}", "push")
    return done


def _after_orders(house: House, account: LiveAccount, stored: Stored, totals: Mapping[str, int]) -> Done:
    """What stored orders, returns or commands make necessary at once."""
    done = Done(totals)
    for name in sorted(stored.push):
        done.then(f"channel:{name}", "push")
    if stored.commands:
        done.then(f"account:{account.name}", "commands")
    if stored.deliveries and house.config is not None:
        for sink in house.config.sinks:
            done.then(f"sink:{sink}", "deliver")
    return done


async def _returns(work: Work, owner: str, _run_id: int) -> Done:
    account = work.account(owner)
    pulled = await returns.pull_returns(work.house, account)
    return _after_orders(work.house, account, pulled.stored, pulled.totals)


async def _commands(work: Work, owner: str, _run_id: int) -> Done:
    account = work.account(owner)
    report = await commands.run_commands(work.house, account)
    done = _after_orders(work.house, account, report.stored, report.totals)
    done.error = report.error
    if report.again_in is not None:
        done.then(owner, "commands", report.again_in)
    return done


async def _completeness(work: Work, owner: str, _run_id: int) -> Done:
    gap = await completeness.check_completeness(work.house, work.account(owner))
    done = Done(gap.totals if gap.missing else {})
    if gap.missing:
        done.then(owner, "orders")
    return done


async def _deliver(work: Work, owner: str, _run_id: int) -> Done:
    name = owner.partition(":")[2]
    report = await deliver.deliver(work.house, name, work.house.sinks[name])
    done = Done(report.totals)
    if report.error:
        done.error = SinkError(report.error, retryable=True)
    if report.again_in is not None:
        done.then(owner, "deliver", report.again_in)
    return done


async def _check(work: Work, owner: str, _run_id: int) -> Done:
    """Who are we logged in as? A refusal blocks the channel before a write meets it."""
    channel = work.channel(owner)
    said = await channel.adapter.check()
    work.house.log.info("logged in", channel=channel.name, account=said)
    return Done()


async def _subscribe(work: Work, owner: str, _run_id: int) -> Done:
    """Keep the channel's webhooks coming. Trouble with them is told and blocks nothing: orders are pulled all the same."""
    channel = work.channel(owner)
    if not isinstance(channel.adapter, SubscribesWebhooks):
        return Done()
    try:
        changed = await channel.adapter.subscribe()
    except ChannelBlocked as error:
        raise MarketsyncError(f"the webhooks cannot be kept: {error}") from error
    if changed:
        work.house.log.info("webhooks changed", channel=channel.name, webhooks=list(changed))
    return Done({"webhooks": len(changed)})


async def _purge(work: Work, _owner: str, _run_id: int) -> Done:
    house = work.house
    assert house.config is not None
    rows = await purge(house.ledger, house.clock.now(), house.config.retention.journals)
    house.metrics.purged(rows)
    return Done(rows)


TASKS: Mapping[str, Task] = {
    "ingest": _ingest,
    "derive": _derive,
    "sales": _sales,
    "push": _push,
    "confirm": _confirm,
    "reconcile": _reconcile,
    "orders": _orders,
    "returns": _returns,
    "commands": _commands,
    "completeness": _completeness,
    "deliver": _deliver,
    "purge": _purge,
    "check": _check,
    "subscribe": _subscribe,
}
