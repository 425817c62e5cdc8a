"""A channel as the source of its own stock: the shop is master, what it shows is read and never echoed back to it."""

from hashlib import blake2b

from marketsync.adapter.api import ReadsOffers
from marketsync.adapter.clock import Clock
from marketsync.adapter.errors import AdapterError
from marketsync.domain.item import SourceRow
from marketsync.sources.api import Previous, Snapshot, SourceError
from marketsync.sync.live import LiveChannel


class ChannelSource:
    """Reads the stock that a channel shows, as figures at one location."""

    def __init__(self, name: str, channel: LiveChannel, location: str, clock: Clock) -> None:
        self._name, self._channel, self._location, self._clock = name, channel, location, clock

    async def open(self, previous: Previous | None) -> Snapshot | None:  # noqa: ARG002 (a channel has no marks)
        """What the channel shows now. Raises SourceError where it cannot be read."""
        if not isinstance(self._channel.adapter, ReadsOffers):
            raise SourceError(f"source {self._name}: the channel {self._channel.name} cannot be read")
        began, digest = self._clock.now(), blake2b(digest_size=16)
        rows: list[SourceRow] = []
        try:
            async for seen in self._channel.adapter.offers():
                if seen.stock is not None:
                    pieces = max(0, seen.stock.quantity)
                    rows.append(SourceRow(sku=seen.sku, row=len(rows) + 1, stock={self._location: pieces}))
        except AdapterError as error:
            raise SourceError(f"source {self._name}: the channel {self._channel.name}: {error.message}") from error
        for row in sorted(rows, key=lambda row: row.sku):
            digest.update(f"{row.sku}\0{row.stock[self._location]}\n".encode())
        return Snapshot(
            exported=began, read=began, checksum=digest.hexdigest(), records=iter(rows), format="channel",
            header=("sku", "stock"), marks={}, close=lambda: None,
        )  # fmt: skip
