"""One request to Shopify and its reply: GraphQL out, data in, and what it cost told to the bucket."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

from marketsync.adapter.api import ChannelHttp
from marketsync.adapter.errors import OutcomeUnknown, Unavailable, UnexpectedReply
from marketsync_adapters.shopify.documents import PATH, Document
from marketsync_adapters.shopify.errors import POINTS

T = TypeVar("T")

DEEPEST: Final = 20_000  # Shopify ends a walk through pages after 25,000 objects

Data = Mapping[str, Any]


class Client:
    def __init__(self, http: ChannelHttp) -> None:
        self._http = http

    async def ask(self, operation: str, document: Document, variables: Data, *, cost: float | None = None) -> Data:
        """The data of a reply. ``cost``: the points of this request, where they are not those of the whole document.

        What a door or a command looks up first goes under its own operation: so it uses the slot that was reserved.
        Raises ``AdapterError``; what ``userErrors`` say is the caller's business.
        """
        try:
            reply = await self._http.request(
                operation,
                "POST",
                PATH,
                json={"query": document.text, "variables": variables},
                cost=document.cost if cost is None else cost,
            )
        except OutcomeUnknown as error:
            if document.text.startswith("mutation"):
                raise
            raise Unavailable(  # a question changes nothing, whatever became of it
                error.message, retry_after=error.retry_after, code=error.code, evidence=error.evidence
            ) from error
        body = reply.json()
        self._learn(body)
        data = body.get("data")
        if not isinstance(data, dict):
            raise UnexpectedReply(f"Shopify answered {operation!r} without data", code="no_data")
        return data

    async def walk(
        self, operation: str, document: Document, variables: Data, find: Callable[[Data], Data | None]
    ) -> AsyncIterator[Data]:
        """The entries of all pages of a connection; ``find`` takes it out of the data (None: there is none)."""
        after: str | None = None
        while True:
            connection = find(await self.ask(operation, document, {**variables, "after": after}))
            if connection is None:
                return
            for node in connection["nodes"]:
                yield node
            if not connection["pageInfo"]["hasNextPage"]:
                return
            after = connection["pageInfo"]["endCursor"]

    def _learn(self, body: Data) -> None:
        """What Shopify says of its bucket is truer than what we counted."""
        status = ((body.get("extensions") or {}).get("cost") or {}).get("throttleStatus")
        if status:
            self._http.learn(
                POINTS,
                available=float(status["currentlyAvailable"]),
                capacity=float(status["maximumAvailable"]),
                restore=float(status["restoreRate"]),
            )


async def whole(entries: AsyncIterator[T]) -> list[T]:
    return [entry async for entry in entries]


def chunks(entries: Sequence[T], size: int) -> list[Sequence[T]]:
    return [entries[start : start + size] for start in range(0, len(entries), size)]
