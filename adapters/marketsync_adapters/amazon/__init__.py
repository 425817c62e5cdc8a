"""Amazon through the Selling Partner API: offers by PATCH, PUT and feed, orders, shipments.

``spec`` is the adapter as data, ``client`` requests and replies; ``mapping``, ``written``, ``feeds``, ``orders`` and
``errors`` are pure, ``reading`` walks the searches. ``sandbox`` is an Amazon of our own, which the adapter never sees.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import ClassVar

from marketsync.adapter.api import (
    AdapterContext,
    AdapterSpec,
    Command,
    CommandLine,
    CommandResult,
    OfferOp,
    OrderCursor,
    OrderPage,
    PushOutcome,
    Receipt,
    Result,
    Seen,
)
from marketsync.adapter.errors import ChannelBlocked, ItemRefused, Unavailable
from marketsync_adapters.amazon import feeds, orders
from marketsync_adapters.amazon.client import Client, Document, stamp
from marketsync_adapters.amazon.errors import first_error, refusals, refused
from marketsync_adapters.amazon.mapping import Terms, patch_out, put_out
from marketsync_adapters.amazon.reading import Reader
from marketsync_adapters.amazon.spec import SPEC, Credentials, Settings
from marketsync_adapters.amazon.written import FIRST_LOOK, Written, submitted

__all__ = ["AmazonAdapter", "Credentials", "Settings"]

FEED_FIRST_LOOK = timedelta(seconds=30)
FEED_LOOK = timedelta(minutes=1)
REPORT_LOOK = timedelta(minutes=2)
OPEN_STATES = frozenset({"IN_QUEUE", "IN_PROGRESS"})


class AmazonAdapter:
    spec: ClassVar[AdapterSpec] = SPEC

    def __init__(self, settings: Settings, context: AdapterContext) -> None:
        self._settings = settings
        self._market = settings.market
        self._clock = context.clock
        self._storefronts = tuple(context.storefronts) or (settings.market.id,)
        self._terms = Terms(
            settings.market, handling_days=settings.handling_days, shipping_group=settings.shipping_group
        )
        self._client = Client(context.http, settings.seller_id, (settings.market.id,), settings.issue_language)
        self._reader = Reader(self._client, settings.market, fba_stock=settings.read_fba_stock)

    async def check(self) -> str:
        for one in await self._client.participations():
            if one["marketplace"]["id"] == self._market.id:
                if not one["participation"]["isParticipating"]:
                    break
                closed = ", listings suspended or on holiday" if one["participation"]["hasSuspendedListings"] else ""
                name, currency = one["marketplace"]["name"], one["marketplace"]["defaultCurrencyCode"]
                return f"{one['storeName']} on {name} ({self._settings.marketplace}, {currency}{closed})"
        message = f"the account does not sell on Amazon {self._settings.marketplace}: correct the marketplace"
        raise ChannelBlocked(message, code="not_participating")

    async def aclose(self) -> None:
        """Nothing is held open."""

    # ---------------------------------------------------------------- offers

    async def push(self, operation: str, ops: Sequence[OfferOp]) -> PushOutcome:
        if operation in {"feed", "feed_create"}:
            return await self._push_feed(operation, ops)
        (op,) = ops
        creates = operation == "put"
        try:
            submission = await self._submit(operation, op)
        except ItemRefused as error:
            return PushOutcome(results=refused(op, error))
        if submission is None:  # withdrawn, and was not there
            return PushOutcome(results=[replace(one, result=Result.APPLIED) for one in submitted(op)])
        request_id = str(submission.get("submissionId", ""))
        if submission["status"] == "INVALID":
            issues = submission.get("issues") or ()
            return PushOutcome(results=refusals(op.sku, op.changed, issues, creates=creates), request_id=request_id)
        written = Written.of(op, self._clock.now(), created=creates)
        return PushOutcome(results=submitted(op), receipt=written.token, ask_after=FIRST_LOOK, request_id=request_id)

    async def confirm(self, receipt: Receipt) -> PushOutcome:
        if receipt.operation in {"feed", "feed_create"}:
            return await self._confirm_feed(receipt)
        written = Written.read(receipt.token)
        if written is None or not receipt.ops:
            return PushOutcome(results=feeds.everything(asked=receipt.ops, result=Result.UNKNOWN))
        (sku, aspects), now = receipt.ops[0], self._clock.now()
        results = written.judge(sku, aspects, await self._client.item(sku), self._market, now)
        if all(one.result is not Result.SUBMITTED for one in results):
            return PushOutcome(results=results)
        return PushOutcome(results=results, receipt=receipt.token, ask_after=written.look_again(now))

    async def offers(self, skus: Sequence[str] | None = None) -> AsyncIterator[Seen]:
        async for seen in self._reader.all() if skus is None else self._reader.some(skus):
            yield seen

    async def _submit(self, operation: str, op: OfferOp) -> Document | None:
        match operation:
            case "put":
                return await self._client.put(op.sku, put_out(op, self._terms))
            case "patch":
                return await self._client.patch(op.sku, patch_out(op, self._terms))
            case "withdraw":
                return await self._client.delete(op.sku)
        raise ValueError(f"{operation!r} is no door for pushes")

    async def _push_feed(self, operation: str, ops: Sequence[OfferOp]) -> PushOutcome:
        settings, creates = self._settings, operation == "feed_create"
        content, unwritten = feeds.feed_out(
            ops, settings.seller_id, self._terms, settings.issue_language, creates=creates
        )
        if not content:
            return PushOutcome(results=unwritten)
        document = await self._client.create_feed_document()
        await self._client.upload(document["url"], content)
        feed_id, request_id = await self._client.create_feed(operation, document["feedDocumentId"])
        told = {one.sku for one in unwritten}
        taken = [one for op in ops if op.sku not in told for one in submitted(op)]
        return PushOutcome(
            results=[*unwritten, *taken],
            receipt=feeds.token_of(feed_id, len(ops)),
            ask_after=FEED_FIRST_LOOK,
            request_id=request_id,
        )

    async def _confirm_feed(self, receipt: Receipt) -> PushOutcome:
        feed_id, batch = feeds.feed_of(receipt.token)
        feed = await self._client.feed(feed_id)
        state = "" if feed is None else feed["processingStatus"]
        if state in OPEN_STATES:
            return PushOutcome(results=(), receipt=receipt.token, ask_after=FEED_LOOK)
        if feed is not None and state == "DONE" and feed.get("resultFeedDocumentId"):
            document = await self._client.feed_document(feed["resultFeedDocumentId"])
            report = await self._client.download("feed_download", document)
            creates = receipt.operation == "feed_create"
            return PushOutcome(results=feeds.results_in(report, receipt.ops, batch, creates=creates))
        # Cancelled before it began; else FATAL or forgotten, of which some, all or nothing may have been applied.
        result = Result.RETRY if state == "CANCELLED" else Result.UNKNOWN
        issue = {"code": state, "message": f"feed {feed_id} ended {state or 'unknown to Amazon'}"}
        return PushOutcome(results=feeds.everything(asked=receipt.ops, result=result, issue=issue))

    # ---------------------------------------------------------------- orders

    async def orders(self, cursor: OrderCursor) -> OrderPage:
        since = cursor.since or self._clock.now() - SPEC.max_order_age
        window = {"lastUpdatedAfter": stamp(since)}
        documents, following = await self._client.orders(window, self._storefronts, page=cursor.page)
        return OrderPage(orders=[orders.order_in(one) for one in documents if orders.is_ours(one)], next_page=following)

    async def order_ids(self, placed_from: datetime, placed_to: datetime) -> Sequence[str]:
        """From Amazon's report of all orders. Raises ``Unavailable`` while that report is being prepared.

        A report that covers the window is looked for before one is asked for. It reaches up to now, and the engine
        counts up to the order overlap before now: the next call, minutes later, still finds it.
        """
        known = await self._client.reports([orders.ALL_ORDERS], ["DONE", *sorted(OPEN_STATES)])
        fit = orders.covering(known, placed_from, placed_to)
        if not fit:
            window = {"dataStartTime": stamp(placed_from), "dataEndTime": stamp(self._clock.now())}
            report_id = await self._client.create_report(orders.ALL_ORDERS, self._storefronts, **window)
            fit = [await self._client.report(report_id)]
        done = next((report for report in fit if report.get("reportDocumentId")), None)
        if done is None:
            message = "Amazon is preparing the report of all orders: they are counted when it is there"
            raise Unavailable(message, retry_after=REPORT_LOOK, code="report_pending")
        document = await self._client.report_document(done["reportDocumentId"])
        return orders.order_ids_in(await self._client.download("report_download", document), placed_from, placed_to)

    async def ship(self, command: Command) -> CommandResult:
        market = command.extra.get("marketplace_id", "")
        if not command.lines or not market:
            document = await self._client.order(command.order_id)
            if document is None:
                return _rejected("order_not_found", "Amazon has no such order")
            lines = tuple(
                CommandLine(line_id=line, sku=sku, quantity=pieces) for line, sku, pieces in orders.open_items(document)
            )
            command = replace(command, lines=command.lines or lines)
            market = str(document["salesChannel"].get("marketplaceId", ""))
        if not command.lines:
            return _rejected("nothing_open", "every piece of this order is shipped or cancelled")
        reference = orders.package_reference(command.key)
        package = orders.package_out(command, self._clock.now(), self._settings.carriers, reference)
        reply = await self._client.confirm_shipment(
            command.order_id, {"marketplaceId": market, "packageDetail": package}
        )
        if reply.status >= 400:
            return _rejected(*first_error(reply))
        return CommandResult(result=Result.APPLIED, reference=reference)

    async def command_result(self, kind: str, command: Command) -> CommandResult | None:
        if kind != "ship":
            return None
        document = await self._client.order(command.order_id)
        reference = orders.package_reference(command.key)
        if document is None or not orders.has_package(document, reference):
            return None
        return CommandResult(result=Result.APPLIED, reference=reference)


def _rejected(code: str, message: str) -> CommandResult:
    return CommandResult(result=Result.REJECTED, code=code, message=message)
