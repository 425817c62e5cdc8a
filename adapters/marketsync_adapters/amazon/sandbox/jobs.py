"""Feeds and reports: documents behind links that expire, jobs that take their time, reports that come packed."""

import gzip
from collections import deque
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import orjson

from marketsync.adapter.api import Clock
from marketsync_adapters.amazon.sandbox.items import Issue, Items
from marketsync_adapters.amazon.sandbox.rules import Refused, Rules
from marketsync_adapters.amazon.sandbox.shown import stamp

A_MESSAGE = timedelta(milliseconds=20)


@dataclass(slots=True)
class Document:
    document_id: str
    content_type: str = ""
    content: bytes = b""
    packed: bool = False
    link_until: datetime | None = None


@dataclass(slots=True)
class Job:
    """A feed or a report."""

    job_id: str
    kind: str
    created: datetime
    done_at: datetime
    body: Mapping[str, Any]
    state: str = "IN_QUEUE"
    result: str = ""  # the document that came out


@dataclass(slots=True)
class Jobs:
    rules: Rules
    clock: Clock
    items: Items
    documents: dict[str, Document] = field(default_factory=dict)
    feeds: dict[str, Job] = field(default_factory=dict)
    reports: dict[str, Job] = field(default_factory=dict)
    ends: str = "DONE"  # how the next feeds end: DONE, FATAL (half of it is applied) or CANCELLED
    _recent: deque[datetime] = field(default_factory=deque)

    # ---------------------------------------------------------------- documents

    def new_document(self, content_type: str = "", content: bytes = b"", *, packed: bool = False) -> Document:
        document = Document(f"amzn1.tortuga.{len(self.documents) + 1}", content_type, content, packed)
        self.documents[document.document_id] = document
        return self.link(document.document_id)

    def link(self, document_id: str) -> Document:
        """A document with a fresh link to it."""
        document = self.documents.get(document_id)
        if document is None:
            raise Refused(404, "NotFound", "The document does not exist.")
        document.link_until = self.clock.now() + self.rules.link_life
        return document

    def behind(self, document_id: str) -> Document | None:
        """What lies behind a link; None once it has expired."""
        document = self.documents.get(document_id)
        fresh = document is not None and document.link_until is not None and document.link_until > self.clock.now()
        return document if fresh else None

    # ---------------------------------------------------------------- feeds

    def submit(self, body: Mapping[str, Any], *, apply: bool = True) -> Job:
        now = self.clock.now()
        document = self.documents.get(str(body.get("inputFeedDocumentId")))
        if document is None or not document.content:
            raise Refused(400, "InvalidInput", "The input feed document is not uploaded.")
        while self._recent and self._recent[0] <= now - self.rules.feed_window:
            self._recent.popleft()
        if len(self._recent) >= self.rules.feeds_per_window:
            raise Refused(429, "QuotaExceeded", "You exceeded your quota for the requested resource.")
        self._recent.append(now)
        job = Job(f"{50_000 + len(self.feeds)}", str(body["feedType"]), now, now + self.rules.feed_time, body)
        self.feeds[job.job_id] = job
        self.items.later(job.done_at, lambda: self._process(job, document, apply=apply))
        return job

    def feed(self, feed_id: str) -> Job:
        self.items.settle()
        if feed_id not in self.feeds:
            raise Refused(404, "NotFound", "The feed does not exist.")
        return self.feeds[feed_id]

    def _process(self, job: Job, document: Document, *, apply: bool) -> None:
        job.state = self.ends
        if job.state == "CANCELLED":
            return
        feed = orjson.loads(document.content)
        messages = feed["messages"]
        if len(messages) > self.rules.feed_messages:
            job.state = "FATAL"
            return
        if job.state == "FATAL":
            messages = messages[: len(messages) // 2]
        began = self.clock.now()
        issues = [issue for message in messages for issue in self._message(message, apply=apply)]
        self._spread({message["sku"] for message in messages}, began)
        if job.state == "FATAL":
            return
        invalid = len({issue["messageId"] for issue in issues})
        report = {
            "header": {"sellerId": feed["header"]["sellerId"], "version": "2.0", "feedId": job.job_id},
            "issues": issues,
            "summary": {
                "errors": len(issues),
                "warnings": 0,
                "messagesProcessed": len(messages),
                "messagesAccepted": len(messages) - invalid,
                "messagesInvalid": invalid,
            },
        }
        job.result = self.new_document("application/json", gzip.compress(orjson.dumps(report)), packed=True).document_id

    def _spread(self, skus: AbstractSet[str], began: datetime) -> None:
        """A feed is worked off one message after the other: what it made is that far apart."""
        now = self.clock.now()
        made = [item for item in self.items if item.created >= began and item.sku in skus]
        for place, item in enumerate(reversed(made)):
            item.created = now - place * A_MESSAGE

    def _message(self, message: Mapping[str, Any], *, apply: bool) -> list[Issue]:
        sku, kind = message["sku"], message["operationType"]
        check: Callable[[str, Mapping[str, Any]], list[Issue]]
        act: Callable[[str, Mapping[str, Any]], None]
        check, act = (
            (self.items.faults_of_put, self.items.apply_put)
            if kind == "UPDATE"
            else (self.items.faults_of_patch, self.items.apply_patch)
        )
        try:
            issues = check(sku, message)
        except Refused as refused:
            issues = [{"code": refused.code, "severity": "ERROR", "message": refused.message}]
        if not issues and apply:
            act(sku, message)
        return [
            {
                "messageId": message["messageId"],
                "sku": sku,
                "code": issue["code"],
                "severity": "ERROR",
                "message": issue["message"],
            }
            | ({"attributeName": issue["attributeNames"][0]} if issue.get("attributeNames") else {})
            for issue in issues
        ]

    # ---------------------------------------------------------------- reports

    def request(self, body: Mapping[str, Any], write: Callable[[datetime, datetime], bytes]) -> Job:
        now = self.clock.now()
        start = datetime.fromisoformat(body.get("dataStartTime", stamp(now - timedelta(days=1))))
        end = datetime.fromisoformat(body.get("dataEndTime", stamp(now)))
        if start > now or end > now:
            raise Refused(400, "InvalidInput", "The data times lie in the future.")
        job = Job(f"{70_000 + len(self.reports)}", str(body["reportType"]), now, now + self.rules.report_time, body)
        self.reports[job.job_id] = job

        def finish() -> None:
            document = self.new_document("text/tab-separated-values", gzip.compress(write(start, end)), packed=True)
            job.state, job.result = "DONE", document.document_id

        self.items.later(job.done_at, finish)
        return job

    def report(self, report_id: str) -> Job:
        self.items.settle()
        if report_id not in self.reports:
            raise Refused(404, "NotFound", "The report does not exist.")
        return self.reports[report_id]
