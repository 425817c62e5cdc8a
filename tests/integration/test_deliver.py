"""Deliveries: every order reaches every sink, at least once per revision, and nothing that fails is dropped."""

import hashlib
import hmac
import json
from dataclasses import dataclass
from datetime import timedelta

import pytest

from marketsync.adapter.api import Fulfilment
from marketsync.adapter.errors import OutcomeUnknown, Unavailable, UnexpectedReply
from marketsync.sinks.api import SinkError, SinkOrder
from marketsync.sinks.folder import FolderSink, file_name
from marketsync.sinks.webhook import WebhookSink
from marketsync.sync.deliver import deliver
from marketsync.testing.clock import TurnedClock
from tests.order_desk import BUYER, later, line, order
from tests.order_house import Silent, play

SINK = "sinks:\n  erp: {folder: out}\n"


class Erp:
    """A sink that answers as a test says: None takes, an error refuses."""

    def __init__(self, *answers) -> None:
        self.answers = list(answers)
        self.got: list[SinkOrder] = []

    async def deliver(self, order: SinkOrder) -> None:
        answer = self.answers.pop(0) if self.answers else None
        self.got.append(order)
        if answer is not None:
            raise answer


def later_please() -> SinkError:
    return SinkError("the webhook answered 503", retryable=True)


def never() -> SinkError:
    return SinkError("the webhook answered 422", retryable=False)


def deliveries(shop):
    return shop.rows("SELECT revision, delivered, state, attempts FROM delivery ORDER BY order_id")


def issues(shop):
    return shop.rows("SELECT scope, sku FROM issue WHERE closed_at IS NULL AND code = 'delivery_refused'")


def play_sink(test, tmp_path, ledger_url, *orders):
    async def started(shop):
        shop.items(A=100)
        shop.store(*orders)
        await test(shop)

    play(started, tmp_path, ledger_url, Silent(), tail=SINK)


FIRST = order("1", line("A", 2, title="Ä lamp", tax_rate="19"))


def test_an_order_arrives_once_in_each_of_its_revisions_under_one_key(tmp_path, ledger_url):
    erp = Erp()

    async def test(shop):
        assert {"delivered": 1} == (await deliver(shop.house, "erp", erp)).totals
        assert {} == (await deliver(shop.house, "erp", erp)).totals
        shop.store(later(FIRST, cancel_requested=True))
        await deliver(shop.house, "erp", erp)
        assert [("shop:1", 1), ("shop:1", 2)] == [(got.key, got.revision) for got in erp.got]
        assert [False, True] == [json.loads(got.document)["cancel_requested"] for got in erp.got]
        assert [(2, 2, "delivered", 0)] == deliveries(shop)

    play_sink(test, tmp_path, ledger_url, FIRST)


def test_the_document_says_everything_of_an_order(tmp_path, ledger_url):
    erp = Erp()
    strange = order("2", line("?", 1), at=1)

    async def test(shop):
        await deliver(shop.house, "erp", erp)
        document, unknown = (json.loads(got.document) for got in erp.got)
        money = {"minor": 2000, "currency": "EUR", "decimal": "20.00"}
        assert {
            "schema": 1, "key": "shop:1", "revision": 1, "account": "shop", "channel": "shop", "order_id": "1",
            "placed_at": "2026-03-01T12:00:00+00:00", "updated_at": "2026-03-01T12:00:00+00:00", "ship_by": None,
            "payment": "paid", "fulfilment": "open", "cancel_requested": False, "currency": "EUR", "total": money,
            "shipping": None, "billing": None,
            "marks": {"unmapped": False, "fulfilled_by_channel": False, "before_adoption": False},
        } == {name: value for name, value in document.items() if name not in {"lines", "buyer"}}  # fmt: skip
        assert BUYER.street == document["buyer"]["street"]
        assert [
            {
                "line_id": "l-A", "sku": "A", "title": "Ä lamp", "components": [{"sku": "A", "quantity": 1}],
                "fulfilled_by": "merchant", "unit_ids": [], "ordered": 2, "cancelled": 0, "shipped": 0, "returned": 0,
                "refunded": 0, "amount": money, "gross": True, "tax": None, "tax_rate": "19", "discount": None,
                "discount_paid_by": "seller", "fees": None,
            }
        ] == document["lines"]  # fmt: skip
        assert unknown["marks"]["unmapped"]
        assert unknown["lines"][0]["components"] is None

    play_sink(test, tmp_path, ledger_url, FIRST, strange)


def test_a_sink_that_is_down_is_tried_again_for_ever_less_and_less_often(tmp_path, ledger_url):
    erp = Erp(*(later_please() for _ in range(8)))

    async def test(shop):
        waits = []
        for _ in range(8):
            report = await deliver(shop.house, "erp", erp)
            assert {"failed": 1} == report.totals
            assert {} == (await deliver(shop.house, "erp", erp)).totals
            waits.append(report.again_in)
            shop.clock.advance(report.again_in)
        assert [5, 30, 120, 600, 1800, 3600, 3600, 3600] == waits
        assert {"delivered": 1} == (await deliver(shop.house, "erp", erp)).totals
        assert [(1, 1, "delivered", 0)] == deliveries(shop)

    play_sink(test, tmp_path, ledger_url, FIRST)


def test_a_sink_that_fails_three_times_in_a_row_gets_no_more_in_this_run(tmp_path, ledger_url):
    erp = Erp(*(later_please() for _ in range(50)))

    async def test(shop):
        assert {"failed": 3} == (await deliver(shop.house, "erp", erp)).totals
        assert 3 == len(erp.got)

    play_sink(test, tmp_path, ledger_url, *(order(f"{n}", line("A"), at=n) for n in range(30)))


def test_an_order_that_a_sink_refuses_is_an_issue_does_not_stop_the_others_and_is_not_dropped(tmp_path, ledger_url):
    erp = Erp(never())
    second = order("2", line("A"), at=1)

    async def test(shop):
        assert {"delivered": 1, "refused": 1} == (await deliver(shop.house, "erp", erp)).totals
        assert [("sink:erp", "order:1")] == issues(shop)
        assert [(1, 0, "failed", 1), (1, 1, "delivered", 0)] == deliveries(shop)
        shop.clock.advance(timedelta(hours=6).total_seconds())
        assert {"delivered": 1} == (await deliver(shop.house, "erp", erp)).totals
        assert [] == issues(shop)

    play_sink(test, tmp_path, ledger_url, FIRST, second)


def test_a_new_revision_of_a_refused_order_is_due_at_once(tmp_path, ledger_url):
    erp = Erp(never())

    async def test(shop):
        await deliver(shop.house, "erp", erp)
        shop.store(later(FIRST, fulfilment=Fulfilment.CANCELLED))
        assert {"delivered": 1} == (await deliver(shop.house, "erp", erp)).totals

    play_sink(test, tmp_path, ledger_url, FIRST)


def test_a_kill_after_the_sink_took_an_order_delivers_the_same_revision_again(tmp_path, ledger_url):
    class Killed(BaseException):
        pass

    erp = Erp(Killed())

    async def test(shop):
        with pytest.raises(Killed):
            await deliver(shop.house, "erp", erp)
        await deliver(shop.house, "erp", erp)
        assert erp.got[0] == erp.got[1], "key, revision and document are the same: the sink can tell"

    play_sink(test, tmp_path, ledger_url, FIRST)


def test_many_orders_all_arrive(tmp_path, ledger_url):
    erp = Erp()

    async def test(shop):
        assert {"delivered": 45} == (await deliver(shop.house, "erp", erp)).totals
        assert 45 == len({got.order_id for got in erp.got})

    play_sink(test, tmp_path, ledger_url, *(order(f"{n}", line("A"), at=n) for n in range(45)))


# ------------------------------------------------------------------ the sinks themselves

ORDER = SinkOrder("shop:1", 3, "shop-de", "1", b'{"a":1}')


@dataclass
class Answer:
    status: int


def webhook(answer, requests):
    async def send(url, body, headers, _seconds):
        requests.append((url, body, headers))
        if isinstance(answer, BaseException):
            raise answer
        return Answer(answer)

    return WebhookSink("https://erp.example/orders", "s3cret", TurnedClock(), send)


async def _deliver(sink, order=ORDER):
    await sink.deliver(order)


def run(coroutine):
    import asyncio

    asyncio.run(coroutine)


def test_a_webhook_gets_the_document_signed_so_that_nobody_else_can_make_one():
    requests = []
    run(webhook(204, requests).deliver(ORDER))
    url, body, headers = requests[0]
    assert ("https://erp.example/orders", b'{"a":1}') == (url, body)
    assert ("shop:1", "3", "application/json") == (
        headers["Marketsync-Key"], headers["Marketsync-Revision"], headers["Content-Type"],
    )  # fmt: skip
    signed = headers["Marketsync-Timestamp"].encode() + b"." + body
    assert hmac.new(b"s3cret", signed, hashlib.sha256).hexdigest() == headers["Marketsync-Signature"]
    assert "1772366400" == headers["Marketsync-Timestamp"]


def test_ids_that_no_header_may_hold_are_written_in_characters_that_one_may():
    requests = []
    run(webhook(200, requests).deliver(SinkOrder("shop:é\n1%", 1, "shop", "é", b"{}")))
    assert "shop:%C3%A9%0A1%25" == requests[0][2]["Marketsync-Key"]


@pytest.mark.parametrize(
    ("answer", "retryable"),
    [
        (500, True), (503, True), (302, True), (408, True), (409, True), (429, True), (400, False), (401, False),
        (404, False), (422, False), (Unavailable("no route"), True), (OutcomeUnknown("no reply"), True),
        (UnexpectedReply("no address"), False),
    ],
)  # fmt: skip
def test_what_a_webhook_answers_says_whether_it_may_take_the_same_later(answer, retryable):
    with pytest.raises(SinkError) as raised:
        run(webhook(answer, []).deliver(ORDER))
    assert retryable == raised.value.retryable


def test_a_folder_gets_one_whole_file_per_revision(tmp_path):
    sink = FolderSink(tmp_path / "new" / "folder")
    run(sink.deliver(ORDER))
    run(sink.deliver(ORDER))
    assert ["shop-de-1-r3.json"] == [path.name for path in (tmp_path / "new" / "folder").iterdir()]
    assert ORDER.document == (tmp_path / "new" / "folder" / "shop-de-1-r3.json").read_bytes()


def test_no_order_id_leaves_the_folder_or_takes_anothers_name():
    names = [
        file_name(SinkOrder("k", 1, "c", name, b"")) for name in ("../../etc/x", "a/b", "a_b", "x" * 300, "é", "è", ".")
    ]
    assert len(names) == len(set(names))
    assert all("/" not in name and len(name) < 150 for name in names)


def test_a_folder_that_cannot_be_written_is_tried_again(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SinkError, match="cannot be written") as raised:
        run(FolderSink(tmp_path / "file" / "sub").deliver(ORDER))
    assert raised.value.retryable
