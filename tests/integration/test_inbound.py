"""What the seller's side reports is taken once, checked against the order, and becomes commands, stock and refunds."""

import json
import os

import pytest

from marketsync.adapter.api import CommandResult, Fulfilment, Result
from marketsync.ledger import channels
from marketsync.sync.commands import run_commands
from marketsync.sync.inbound import take, take_folder
from marketsync.web.documents import read_documents
from tests.order_desk import later, line, order
from tests.order_house import Silent, play

FIRST = order("1", line("A", 3, unit_ids=("u1", "u2", "u3")), line("B", 1), acknowledged=True)
RESTOCK = "orders: {restock_on: [cancel, return]}"


class Market(Silent):
    def __init__(self) -> None:
        self.told = []

    async def ship(self, command):
        self.told.append(command)
        return CommandResult(result=Result.APPLIED)

    cancel = refund = ship


def document(kind: str, **values):
    values = {"key": "k", "channel": "shop", "order": "1", **values}
    return read_documents(kind, json.dumps(values).encode())[0]


async def send(shop, kind: str, **values):
    accepted = await take(shop.house, kind, document(kind, **values))
    return accepted.result, accepted.message


def play_one(test, tmp_path, ledger_url, market=None):
    async def started(shop):
        shop.items(A=10, B=10)
        shop.store(FIRST)
        await test(shop)

    play(started, tmp_path, ledger_url, market or Market(), extra=RESTOCK)


def commands(shop):
    return shop.rows("SELECT kind, key, state FROM order_command ORDER BY id")


def test_a_shipment_becomes_one_command_with_everything_the_channel_needs(tmp_path, ledger_url):
    market = Market()

    async def test(shop):
        lines = [{"sku": "A", "quantity": 2}]
        told = {"lines": lines, "carrier": "DHL", "tracking": "123", "shipped_at": "2026-03-01T12:30:00+01:00"}
        assert ("accepted", "") == await send(shop, "shipments", **told)
        assert ("duplicate", "") == await send(shop, "shipments", **told)
        await run_commands(shop.house, shop.account)
        assert 1 == len(market.told)
        sent = market.told[0]
        assert ("1", "DHL", "123", "2026-03-01T11:30:00+00:00") == (
            sent.order_id, sent.carrier, sent.tracking, sent.shipped_at.isoformat(),
        )  # fmt: skip
        assert [("l-A", 2, ("u1", "u2"))] == [(part.line_id, part.quantity, part.unit_ids) for part in sent.lines]
        assert (8, 1) == shop.level("A")
        assert ("duplicate", "") == await send(shop, "shipments", **told)

    play_one(test, tmp_path, ledger_url, market)


def test_a_shipment_without_lines_is_all_that_is_open(tmp_path, ledger_url):
    market = Market()

    async def test(shop):
        await send(shop, "shipments", lines=[{"line": "l-A", "quantity": 1}])
        assert "accepted" == (await send(shop, "shipments", key="rest"))[0]
        await run_commands(shop.house, shop.account)
        parts = [[(part.line_id, part.quantity, part.unit_ids) for part in sent.lines] for sent in market.told]
        assert [[("l-A", 1, ("u1",))], [("l-A", 2, ("u2", "u3")), ("l-B", 1, ())]] == parts
        assert ("refused", "order 1 has no open pieces") == await send(shop, "shipments", key="more")

    play_one(test, tmp_path, ledger_url, market)


def test_never_more_is_shipped_or_cancelled_than_is_open_whatever_is_still_under_way(tmp_path, ledger_url):
    async def test(shop):
        assert "accepted" == (await send(shop, "shipments", lines=[{"sku": "A", "quantity": 2}]))[0]
        refused = ("refused", "line l-A (A) of order 1 has 1 open pieces, not 2")
        assert refused == await send(shop, "cancellations", key="c", lines=[{"sku": "A", "quantity": 2}])
        assert refused == await send(
            shop, "shipments", key="d", lines=[{"sku": "A", "quantity": 1}, {"line": "l-A", "quantity": 1}]
        )
        # The channel tells of the shipment before the command's own result: it counts once.
        shop.store(later(FIRST, lines={"l-A": {"shipped": 2}}, fulfilment=Fulfilment.PARTLY_SHIPPED))
        assert 1 == len(commands(shop))

    play_one(test, tmp_path, ledger_url)


def test_a_cancellation_releases_once_the_channel_has_taken_it(tmp_path, ledger_url):
    market = Market()

    async def test(shop):
        assert (
            "accepted" == (await send(shop, "cancellations", lines=[{"sku": "A", "quantity": 2}], reason="broken"))[0]
        )
        assert (10, 3) == shop.level("A")
        await run_commands(shop.house, shop.account)
        assert ["broken"] == [sent.reason for sent in market.told]
        assert (10, 1) == shop.level("A")

    play_one(test, tmp_path, ledger_url, market)


def test_a_return_restocks_once_and_refunds_what_it_says(tmp_path, ledger_url):
    market = Market()
    part = {"sku": "A", "quantity": 1, "sellable": True, "refund": {"amount": "9.50", "currency": "EUR"}}

    async def test(shop):
        shop.store(later(FIRST, lines={"l-A": {"shipped": 3}}))
        assert (7, 0) == shop.level("A")
        assert "accepted" == (await send(shop, "returns", lines=[part]))[0]
        assert "duplicate" == (await send(shop, "returns", lines=[part]))[0]
        assert (8, 0) == shop.level("A")
        await run_commands(shop.house, shop.account)
        assert [950] == [line.amount.minor for sent in market.told for line in sent.lines]

    play_one(test, tmp_path, ledger_url, market)


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (
            "shipments",
            {"order": "9"},
            "there is no order 9 of shop: check the id; if it is new, wait for the next pull",
        ),
        ("shipments", {"channel": "x"}, "there is no channel x: there are shop"),
        ("shipments", {"lines": [{"sku": "Z", "quantity": 1}]}, "order 1 has no line Z: it has A, B"),
        ("shipments", {"lines": [{"line": "l-Z", "quantity": 1}]}, "order 1 has no line l-Z: it has l-A, l-B"),
        ("shipments", {"lines": [{"line": "l-A", "sku": "B", "quantity": 1}]}, "line l-A of order 1 is A, not B"),
        ("shipments", {"lines": [{"sku": "A", "quantity": 4}]}, "line l-A (A) of order 1 has 3 open pieces, not 4"),
        ("returns", {"lines": [{"sku": "A", "quantity": 4}]}, "of line l-A of order 1 only 3 pieces were sold"),
        (
            "returns",
            {"lines": [{"sku": "A", "quantity": 1, "refund": {"amount": "1", "currency": "USD"}}]},
            "order 1 was paid in EUR: refund it in EUR, not USD",
        ),
        (
            "returns",
            {"lines": [{"sku": "A", "quantity": 1, "refund": {"amount": "31", "currency": "EUR"}}]},
            "line l-A of order 1 cost 30.00 EUR: 31.00 EUR cannot be refunded",
        ),
    ],
)
def test_what_does_not_fit_the_order_is_refused_and_says_why(tmp_path, ledger_url, kind, values, message):
    async def test(shop):
        assert ("refused", message) == await send(shop, kind, **values)
        assert [] == commands(shop)
        assert [(0,)] == shop.rows("SELECT COUNT(*) FROM shipment")

    play_one(test, tmp_path, ledger_url)


def test_a_key_that_was_used_for_something_else_is_refused(tmp_path, ledger_url):
    async def test(shop):
        await send(shop, "shipments", lines=[{"sku": "A", "quantity": 1}])
        for kind, quantity in (("shipments", 2), ("cancellations", 1)):
            result, message = await send(shop, kind, lines=[{"sku": "A", "quantity": quantity}])
            assert "refused" == result
            assert "key k was used for another document" in message
        assert 1 == len(commands(shop))

    play_one(test, tmp_path, ledger_url)


def test_two_lines_of_one_sku_have_to_be_told_apart(tmp_path, ledger_url):
    async def test(shop):
        shop.store(order("2", line("A", 1, line_id="x"), line("A", 1, line_id="y")))
        _, message = await send(shop, "shipments", order="2", lines=[{"sku": "A", "quantity": 1}])
        assert "order 2 has several lines of A: name one of the lines x, y" == message

    play_one(test, tmp_path, ledger_url)


def test_a_channel_that_only_observes_is_told_nothing(tmp_path, ledger_url):
    async def test(shop):
        shop.ledger.write_now(lambda conn: conn.exec_driver_sql("UPDATE channel SET adopted_at = NULL"))
        result, message = await send(shop, "shipments")
        assert ("refused", True) == (result, "adopt it first" in message)

    play_one(test, tmp_path, ledger_url)


# ------------------------------------------------------------------ the watched folder


def put(folder, name: str, content: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(content)
    os.utime(folder / name, (0, 0))


def test_files_are_taken_moved_and_harmless_when_they_come_again(tmp_path, ledger_url):
    folder = tmp_path / "in"
    csv = "channel;order;key;sku;quantity;tracking\nshop;1;p1;A;1;T1\nshop;1;p1;B;1;T1\nshop;1;p2;A;2;T2\n"

    async def test(shop):
        put(folder, "shipments-1.csv", csv)
        put(
            folder,
            "returns.json",
            json.dumps({"key": "r", "channel": "shop", "order": "1", "lines": [{"sku": "A", "quantity": 1}]}),
        )
        taken = await take_folder(shop.house, folder, read_documents)
        assert {"files": 2, "accepted": 3} == taken.totals
        assert {"shop"} == taken.accounts
        assert ["returns.json", "shipments-1.csv"] == sorted(path.name for path in (folder / "done").iterdir())
        assert [("ship", "ship:shop:1:p1", "due"), ("ship", "ship:shop:1:p2", "due")] == commands(shop)
        put(folder, "shipments-1.csv", csv)
        assert {"files": 1, "duplicate": 2} == (await take_folder(shop.house, folder, read_documents)).totals
        assert 3 == len(list((folder / "done").iterdir())), "the second file does not replace the first"
        assert 2 == len(commands(shop))

    play_one(test, tmp_path, ledger_url)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("parcels.json", "{}", "parcels.json: the name says nothing of what it holds, begin it with shipments"),
        ("shipments.json", "{", "shipments.json: is no JSON"),
        (
            "shipments.csv",
            "channel,order,key,sku,quantity\nshop,1,k,A,many\n",
            "line 2, column quantity: 'many' is no number",
        ),
        ("shipments.csv", "channel,order,key\nshop,1,k,A\n", "line 2: has 4 cells, the first line names 3"),
        ("shipments.csv", "channel,order,key,colour\nshop,1,k,red\n", "colour: is not a field"),
        (
            "shipments.json",
            '{"key": "k", "channel": "shop", "order": "9"}',
            "order 9, key k: there is no order 9 of shop",
        ),
    ],
)
def test_a_file_that_cannot_be_taken_is_moved_aside_with_the_reason(tmp_path, ledger_url, name, content, said):
    folder = tmp_path / "in"

    async def test(shop):
        put(folder, name, content)
        assert 1 == (await take_folder(shop.house, folder, read_documents)).failed
        assert [name, f"{name}.txt"] == sorted(path.name for path in (folder / "failed").iterdir())
        assert said in (folder / "failed" / f"{name}.txt").read_text()
        assert [] == commands(shop)

    play_one(test, tmp_path, ledger_url)


def test_a_file_that_may_still_be_written_and_other_files_are_left_alone(tmp_path, ledger_url):
    folder = tmp_path / "in"

    async def test(shop):
        for name in ("shipments.json", ".shipments.json", "notes.txt"):
            put(folder, name, "{}")
        at = shop.clock.now().timestamp()
        os.utime(folder / "shipments.json", (at, at))
        assert {} == (await take_folder(shop.house, folder, read_documents)).totals
        assert {} == (await take_folder(shop.house, folder / "none", read_documents)).totals

    play_one(test, tmp_path, ledger_url)


def test_a_paused_channel_takes_reports_and_is_told_later(tmp_path, ledger_url):
    market = Market()

    async def test(shop):
        shop.ledger.write_now(lambda conn: channels.set_state(conn, "shop", "paused", "test", shop.clock.now()))
        assert "accepted" == (await send(shop, "shipments"))[0]
        await run_commands(shop.house, shop.account)
        assert [] == market.told
        shop.ledger.write_now(lambda conn: channels.set_state(conn, "shop", "active", "", shop.clock.now()))
        await run_commands(shop.house, shop.account)
        assert 1 == len(market.told)

    play_one(test, tmp_path, ledger_url, market)
