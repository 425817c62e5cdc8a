"""What the command line does to a ledger: small writes that a running daemon notices."""

import pytest
from sqlalchemy import text

from marketsync.ledger.lock import DaemonLock
from marketsync.ledger.queries import orders
from marketsync.ledger.verify import verify
from tests.integration.ledger_rows import NOW
from tests.unit.cli_running import at_a_shell


@pytest.fixture
def cli(tmp_path, monkeypatch, capsys):
    """A daemon owns the ledger all the time."""
    with at_a_shell(tmp_path, monkeypatch, capsys, rows=True) as cli:
        lock = DaemonLock(f"sqlite:///{tmp_path}/ledger.db")
        yield cli
        lock.release()
        with cli.ledger() as ledger:
            assert [] == ledger.read_now(lambda conn: verify(conn, ledger.vault, NOW))


def _rows(cli, sql):
    with cli.ledger() as ledger:
        return [tuple(row) for row in ledger.read_now(lambda conn: conn.execute(text(sql)).all())]


def _write(cli, sql):
    with cli.ledger() as ledger:
        ledger.write_now(lambda conn: conn.execute(text(sql)))


# ------------------------------------------------------------------ channels


def test_every_channel_is_paused_at_once_and_resumed_as_it_was(cli):
    before = {one["channel"]: one["before"] for one in cli.json("pause", "--all", "--why", "wrong prices")["channels"]}
    assert {"paused"} == {row[0] for row in _rows(cli, "SELECT state FROM channel WHERE state <> 'removed'")}
    after = {one["channel"]: one["state"] for one in cli.json("resume", "--all")["channels"]}
    assert before.keys() == after.keys()
    assert all(state in {"active", "observing"} for state in after.values())


def test_a_channel_is_paused_with_a_reason_and_resumed(cli):
    assert "rialto-de was active and is paused\n" == cli.good("pause", "rialto-de", "--why", "stocktaking")
    assert [("paused", "stocktaking")] == _rows(cli, "SELECT state, why FROM channel WHERE name = 'rialto-de'")
    assert "rialto-de is paused: nothing to change\n" == cli.good("pause", "rialto-de")
    assert {"channel": "rialto-de", "before": "paused", "state": "active", "changed": True} == cli.json(
        "resume", "rialto-de"
    )


def test_a_channel_that_was_never_adopted_goes_back_to_watching(cli):
    cli.good("pause", "bazaar")
    assert "bazaar was paused and is observing\n" == cli.good("resume", "bazaar")


def test_a_blocked_channel_is_resumed(cli):
    _write(cli, "UPDATE channel SET state = 'blocked', why = 'no consent' WHERE name = 'rialto-de'")
    assert "rialto-de was blocked and is active\n" == cli.good("resume", "rialto-de")


def test_a_channel_nobody_knows_is_named_with_those_there_are(cli):
    for command in (
        ["pause", "x"],
        ["resume", "x"],
        ["resync", "x"],
        ["offers", "--channel", "x"],
        ["orders", "--channel", "x"],
    ):
        assert "marketsync: there is no channel x: there are bazaar, rialto-de, rialto-fr\n" == cli.bad(1, *command)
    assert "there is no channel x: there are rialto-de, rialto-fr, bazaar" in cli.bad(1, "adopt", "x")


def test_everything_of_a_channel_is_sent_again_but_what_is_in_flight(cli):
    assert {"channel": "rialto-de", "offers": 4} == cli.json("resync", "rialto-de")
    due = _rows(cli, "SELECT sku FROM offer WHERE channel_id = 1 AND due_at IS NOT NULL ORDER BY sku")
    assert [("A",), ("DUE",), ("HELD",), ("PARKED",)] == due
    assert [] == _rows(cli, "SELECT sku FROM offer WHERE channel_id <> 1 AND due_at IS NOT NULL")


def test_some_of_a_channel_is_sent_again_or_nothing_where_one_is_unknown(cli):
    assert "rialto-de has no offer NONE: nothing was changed" in cli.bad(
        1, "resync", "rialto-de", "--sku", "A", "--sku", "NONE"
    )
    assert [("DUE",)] == _rows(cli, "SELECT sku FROM offer WHERE due_at IS NOT NULL")
    code, out, err = cli("resync", "rialto-fr", "--sku", "C")
    assert (0, "1 offers of rialto-fr are sent again\n", "rialto-fr is paused: they leave once it is active\n") == (
        code,
        out,
        err,
    )


# ------------------------------------------------------------------ orders


def _commands(cli, order):
    with cli.ledger() as ledger:
        (found,) = ledger.read_now(lambda conn: orders.find(conn, order))
    return [(one.kind, one.state) for one in found.commands]


def test_a_shipment_becomes_a_command_once_however_often_it_is_told(cli):
    first = cli.json("ship", "DE-1", "--tracking", "T1", "--carrier", "DHL", "--line", "A:1")
    assert "accepted" == first["result"]
    assert {"key": first["key"], "result": "duplicate"} == cli.json(
        "ship", "DE-1", "--tracking", "T1", "--carrier", "DHL", "--line", "1:1"
    )
    assert [("acknowledge", "due"), ("ship", "due")] == _commands(cli, "DE-1")
    assert (
        "accepted"
        == cli.json("ship", "DE-1", "--tracking", "T1", "--carrier", "DHL", "--line", "A:1", "--key", "second")[
            "result"
        ]
    )


def test_without_lines_all_that_is_open_is_shipped(cli):
    cli.good("ship", "DE-1", "--tracking", "T1")
    payload = _rows(cli, "SELECT json_extract(payload, '$.lines[0].quantity') FROM order_command WHERE kind = 'ship'")
    assert [(2,)] == payload


def test_more_than_is_open_is_refused(cli):
    assert "line 1 (A) of order DE-1 has 2 open pieces, not 3" in cli.bad(
        1, "ship", "DE-1", "--tracking", "T1", "--line", "1:3"
    )
    assert [("acknowledge", "due")] == _commands(cli, "DE-1")


def test_a_cancellation_becomes_a_command(cli):
    assert "cancellations of order DE-2: taken under key mine\n" == cli.good(
        "cancel", "DE-2", "--reason", "broken", "--key", "mine"
    )
    assert [("cancel", "due")] == _commands(cli, "DE-2")


def test_goods_that_came_back_are_noted(cli):
    cli.good("return", "DE-3", "--line", "A:1", "--broken", "--reason", "scratched")
    assert [("A", 1, "received", 0)] == _rows(cli, "SELECT channel_sku, quantity, state, sellable FROM return_item")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["ship", "DE-9", "--tracking", "T"], "there is no order DE-9: check the id"),
        (["ship", "DE-1", "--tracking", "T", "--line", "NOPE:1"], "order DE-1 has no line NOPE:1: it has 1 (A)"),
        (["ship", "DE-1", "--tracking", "T" * 600], "tracking: "),
        (["return", "FR-1", "--line", "2:5", "--broken"], "of line 2 of order FR-1 only 1 pieces were sold"),
        (["refund", "DE-3", "--line", "1:1", "--amount", "20", "--reason", "x"], "line 1 cost 19.99 EUR: 20.00 EUR cannot be refunded"),
    ],
)  # fmt: skip
def test_what_cannot_be_taken_is_refused_with_the_reason(cli, arguments, told):
    assert told in cli.bad(1, *arguments)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["ship", "DE-1"], "Missing option '--tracking'"),
        (["ship", "DE-1", "--tracking", "T", "--line", "A:x"], "'x' is no number of pieces"),
        (["ship", "DE-1", "--tracking", "T", "--line", "A:0"], "'0' is no number of pieces"),
        (["return", "DE-3", "--line", "A:1"], "Missing option '--sellable"),
        (["refund", "DE-3", "--line", "1:1", "--amount", "1.999", "--reason", "x"], "is no amount in EUR"),
        (["refund", "DE-3", "--line", "1:1", "--amount", "-1", "--reason", "x"], "is no amount in EUR"),
        (["refund", "DE-3", "--line", "1:1", "--amount", "NaN", "--reason", "x"], "is no amount in EUR"),
        (["recount", "B", "main", "many"], "Invalid value for 'COUNT'"),
        (["orders", "--state", "lost"], "lost is not one of pending, paid"),
        (["orders", "--since", "soon"], "'soon' is no time"),
        (["orders", "--limit", "0"], "--limit"),
        (["offers", "--due", "--parked"], "--due and --parked exclude each other"),
        (["offers", "--after", "A"], "write CHANNEL/SKU"),
        (["adopt", "bazaar", "--take", "prices"], "'prices': write one or more of listing, price, stock"),
        (["adopt", "bazaar", "--take", ","], "write one or more of"),
        (["ledger"], "Missing command"),
        (["status", "--log-format", "xml"], "xml is not one of auto, json, text"),
    ],
)  # fmt: skip
def test_wrong_usage_ends_with_2_and_says_what_is_expected(cli, arguments, told):
    assert told in cli.bad(2, *arguments)


def test_money_goes_back_once_however_often_it_is_asked_for(cli):
    again = ("refund", "DE-3", "--line", "A:1", "--amount", "5", "--reason", "scratched")
    assert "accepted" == cli.json(*again)["result"]
    assert "said before" in cli.good(*again)
    assert [("acknowledge", "done"), ("refund", "held"), ("refund", "due")] == _commands(cli, "DE-3")


def test_nothing_is_told_to_a_channel_that_is_only_watched(cli):
    _write(cli, "UPDATE channel SET state = 'observing', adopted_at = NULL WHERE name = 'rialto-de'")
    assert "rialto-de only observes: adopt it first" in cli.bad(1, "ship", "DE-1", "--tracking", "T")
    assert "rialto-de only observes: adopt it first" in cli.bad(
        1, "refund", "DE-3", "--line", "1:1", "--amount", "5", "--reason", "x"
    )


# ------------------------------------------------------------------ commands that may have happened


def test_what_may_have_happened_is_listed_with_what_to_do(cli):
    assert (
        "number  channel    order  command  pieces  amount  since   tries  what is known\n"
        "     3  rialto-de  DE-3   refund   -            -  60 min      1  no answer\n"
    ) == cli("commands")[1]
    assert "marketsync decide NUMBER --done" in cli("commands")[2]
    (one,) = cli.json("commands", "--channel", "rialto-de")["commands"]
    assert (3, "rialto", "DE-3", "refund") == tuple(one[name] for name in ("id", "account", "order", "kind"))
    assert "no held commands\n" == cli.good("commands", "--channel", "rialto-fr")


@pytest.mark.parametrize(("decision", "state"), [("--done", "done"), ("--again", "due")])
def test_a_person_decides_a_held_command_once_and_by_name(cli, decision, state):
    told = cli.json("decide", "3", decision, "--by", "ada", "--why", "I looked")
    assert {"command": 3, "channel": "rialto-de", "order": "DE-3", "kind": "refund", "state": state, "by": "ada"} == {
        name: value for name, value in told.items() if name != "at"
    }
    assert ("refund", state) in _commands(cli, "DE-3")
    ((message,),) = _rows(
        cli, "SELECT json_extract(details, '$.message') FROM order_event WHERE kind = 'command_decided'"
    )
    assert message.startswith("refund, command 3: ")
    assert message.endswith(", says ada: I looked")
    assert f"command 3 (refund of order DE-3) is {state}, not held" in cli.bad(1, "decide", "3", decision)


def test_who_decides_is_named_after_the_machines_user(cli, monkeypatch):
    monkeypatch.setattr("getpass.getuser", lambda: "grace")
    assert "command 3, refund of order DE-3: done\n" == cli.good("decide", "3", "--done")
    ((by,),) = _rows(cli, "SELECT json_extract(details, '$.by') FROM order_event WHERE kind = 'command_decided'")
    assert "grace" == by


def test_only_what_is_held_is_decided(cli):
    assert "there is no command 99: `marketsync commands` lists those to decide" in cli.bad(1, "decide", "99", "--done")
    assert "command 2 (acknowledge of order DE-1) is due, not held" in cli.bad(1, "decide", "2", "--again")
    assert "Missing option '--done" in cli.bad(2, "decide", "3")


# ------------------------------------------------------------------ counting


def test_a_count_moves_the_stock_and_makes_its_offers_due(cli):
    assert {"sku": "A", "location": "main", "before": 7, "now": 12, "channels": ["bazaar", "rialto-de"]} == cli.json(
        "recount", "A", "main", "12"
    )
    assert [(12,)] == _rows(cli, "SELECT on_hand FROM stock_level WHERE sku = 'A'")
    assert [(7,)] == _rows(cli, "SELECT stock_quantity FROM offer WHERE sku = 'A' AND channel_id = 1")
    assert {"channels": [], "before": 12} == {
        k: v for k, v in cli.json("recount", "A", "main", "12").items() if k in ("channels", "before")
    }


def test_a_count_where_nothing_is_kept_is_refused(cli):
    assert "B is not kept at cellar: it is kept at main" in cli.bad(1, "recount", "B", "cellar", "1")
    assert "NONE is not kept at main: it is kept nowhere" in cli.bad(1, "recount", "NONE", "main", "1")


def test_a_count_is_refused_where_a_source_says_how_many_there_are(cli):
    config = (cli.folder / "marketsync.yaml").read_text()
    (cli.folder / "marketsync.yaml").write_text(
        config.replace("price, stock]", "price, stock], falls_at: shipment, on_hand: source")
    )
    assert "pim says how many lie at main: correct the figure there" in cli.bad(1, "recount", "B", "main", "1")


def test_purging_tells_what_it_deleted(cli):
    assert {"deleted": {"buyer": 1, "issue": 1}} == cli.json("purge")
    assert "nothing was old enough\n0 rows\n" == cli.good("purge")
