"""What comes in: webhooks of channels, and what the seller's side reports over HTTP or in the watched folder."""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path

from marketsync.adapter.api import ReceivesWebhooks, WebhookCall
from marketsync.sync.dispatcher import Dispatcher
from marketsync.sync.inbound import take, take_folder
from marketsync.sync.live import House
from marketsync.sync.tasks import TASKS as SYNC_TASKS
from marketsync.sync.work import Done, Task, Work
from marketsync.web.documents import Document, read_documents
from marketsync.web.inbound import DocumentResult, UnknownChannel

REMEMBERED = 10_000  # deliveries of webhooks; a replay of an older one only costs a look
OWNERS: Mapping[str, str] = {"orders": "account", "returns": "account", "reconcile": "channel"}


class Desk:
    """Takes webhooks and documents for a house."""

    def __init__(self, house: House, dispatcher: Callable[[], Dispatcher | None]) -> None:
        self._house, self._dispatcher = house, dispatcher
        self._seen: OrderedDict[tuple[str, str], None] = OrderedDict()

    async def webhook(self, channel: str, call: WebhookCall) -> None:
        """Contents are never believed: a notice only makes us look. Raises UnknownChannel and AuthRefused."""
        live = self._house.channels.get(channel)
        if live is None or not isinstance(live.adapter, ReceivesWebhooks):
            raise UnknownChannel(f"there is no channel {channel} that takes webhooks")
        dispatcher = self._dispatcher()
        for notice in live.adapter.webhook(call):
            if dispatcher is None or (notice.id and self._replayed(channel, notice.id)):
                continue
            kind = OWNERS.get(notice.task, "account")
            owner = f"{kind}:{channel if kind == 'channel' else live.account.name}"
            dispatcher.request(owner, notice.task if notice.task in OWNERS else "orders", "webhook")

    def _replayed(self, channel: str, notice: str) -> bool:
        key = (channel, notice)
        if key in self._seen:
            return True
        self._seen[key] = None
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        return False

    async def document(self, kind: str, document: Document) -> DocumentResult:
        """Take a shipment, cancellation or return; what it asks of the channel leaves at once. Raises LedgerError."""
        accepted = await take(self._house, kind, document)
        dispatcher = self._dispatcher()
        if dispatcher is not None and accepted.stored is not None:
            channel = self._house.channels[document.channel]
            dispatcher.request(f"account:{channel.account.name}", "commands", kind)
            for name in accepted.stored.push:
                dispatcher.request(f"channel:{name}", "push", kind)
        return DocumentResult(accepted.result, accepted.message)


async def _folder(work: Work, _owner: str, _run_id: int) -> Done:
    """Take what lies in the watched folder."""
    house = work.house
    assert house.config is not None
    if house.config.shipments is None:
        return Done()
    taken = await take_folder(house, Path(house.config.shipments), read_documents)
    done = Done(taken.totals)
    for account in sorted(taken.accounts):
        done.then(f"account:{account}", "commands")
    for channel in sorted(taken.channels):
        done.then(f"channel:{channel}", "push")
    return done


TASKS: Mapping[str, Task] = {**SYNC_TASKS, "inbound": _folder}
