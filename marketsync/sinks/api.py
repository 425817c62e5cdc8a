"""A sink takes orders: what it is given, and how it says that it could not take one."""

from dataclasses import dataclass
from typing import Protocol

from marketsync.adapter.errors import MarketsyncError


@dataclass(frozen=True, slots=True)
class SinkOrder:
    """One revision of an order. ``key`` is the same for all its revisions; ``document`` is JSON in UTF-8."""

    key: str
    revision: int
    channel: str
    order_id: str
    document: bytes


class SinkError(MarketsyncError):
    """The sink did not take an order. ``retryable``: it may take the same later; else a person has to look."""

    def __init__(self, message: str, *, retryable: bool) -> None:
        super().__init__(message)
        self.retryable = retryable


class Sink(Protocol):
    """Where orders are delivered. The same revision may come twice: the key and the revision make that harmless."""

    async def deliver(self, order: SinkOrder) -> None:
        """Take one revision; when this returns, it is safe there. Raises ``SinkError``."""
        ...
