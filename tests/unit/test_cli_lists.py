"""What the command line shows of a ledger: tables as they are printed, JSON with keys that stay."""

import pytest
from sqlalchemy import text

from tests.unit.cli_running import at_a_shell


@pytest.fixture
def cli(tmp_path, monkeypatch, capsys):
    with at_a_shell(tmp_path, monkeypatch, capsys, rows=True) as cli:
        yield cli


@pytest.fixture
def fresh(tmp_path, monkeypatch, capsys):
    with at_a_shell(tmp_path, monkeypatch, capsys, rows=False) as cli:
        yield cli


STATUS = """\
channel    state      offers      due  oldest  in flight     parked     held  drifted  orders read  oversold  trouble
bazaar     observing       1        0  -               0          0        0        0  -                   0  new
rialto-de  active          5  1 price  3 min           1  1 listing  1 price        0  60 s                1  push: the channel is down
rialto-fr  paused          1        0  -               0          0        0        0  60 s                0  stocktaking; lines of no known item: 1

source  exported  rows  problems  trouble
pim     2 h          7         1  products.csv: cut off

sink  waiting  oldest  delivered  trouble
erp         2  60 min          1  503

To look at: open issues: 2 (`marketsync issues`), holds: 1, commands that may have happened: 1 (`marketsync commands`)
"""
OFFERS = """\
channel    sku         price  price shown  stock  stock shown  state                      since   read back
bazaar     A       19.99 EUR            -      5            5  clean                      -       60 min
rialto-de  A       19.99 EUR            -      5            5  clean                      -       60 min
rialto-de  B       19.99 EUR            -      5            -  in flight, unknown: stock  2 min   -
rialto-de  DUE     19.99 EUR            -      5            5  due (price)                3 min   -
rialto-de  HELD    19.99 EUR            -      5            5  held: price                60 min  -
rialto-de  PARKED  19.99 EUR            -      5            -  parked: listing            60 min  -
rialto-fr  C       19.99 EUR            -      5            5  clean                      -       -
"""
ORDERS = """\
placed            channel    order  payment  fulfilment  pieces      total  ship by           to look at
2026-03-10 11:00  rialto-fr  FR-1   paid     open             2  39.98 EUR  -                 a line of no known item, sinks that wait for it: 1
2026-03-10 11:00  rialto-de  DE-3   paid     shipped          1  39.98 EUR  -                 -
2026-03-10 11:00  rialto-de  DE-2   pending  open             1  39.98 EUR  -                 -
2026-03-10 11:00  rialto-de  DE-1   paid     open             3  39.98 EUR  2026-03-11 13:00  1 oversold, sinks that wait for it: 1
"""
ORDER = """\
order DE-1 of rialto-de, key 1:DE-1, revision 2
placed 2026-03-10 11:00, stored 2026-03-10 11:01, ship by 2026-03-11 13:00
paid, open, total 39.98 EUR, buyer sealed
to look at: 1 oversold, sinks that wait for it: 1

line  sku  title  items  ordered  cancelled  shipped  returned  reserved     amount
1     A    The A  1 x A        3          1        0         0         2  39.98 EUR

sink  state  revision  delivered  next try          error
erp   due           2          1  2026-03-10 13:01  503

command      number  state  tries  created           told
acknowledge       2  due        0  2026-03-10 12:00  -

at                event     message
2026-03-10 11:00  received  received with 1 lines
2026-03-10 12:00  oversold  line 1: 1 pieces were not there
"""
ISSUES = """\
of         sku     code             what                        what to do       where             times  since   last
pim        C       negative_stock   the stock is -3             correct the row  products.csv:7:4      3  24 h    60 min
rialto-de  PARKED  refused_listing  E17: the title is too long  shorten it       -                     1  60 min  60 min
"""
RUNS = """\
started           task    of         reason    outcome  took  counts             error
2026-03-10 12:59  orders  rialto     interval  running  -     -                  -
2026-03-10 12:59  push    rialto-de  sale      failed   2 s   batches 1          the channel is down
2026-03-10 12:00  ingest  pim        interval  done     60 s  rows 3, changed 1  -
"""


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("status", STATUS),
        ("offers", OFFERS),
        ("orders", ORDERS),
        ("order DE-1", ORDER),
        ("issues", ISSUES),
        ("runs", RUNS),
    ],
    ids=lambda value: value.split()[0],
)
def test_a_pipe_gets_a_plain_table_with_times_in_the_zone_of_the_configuration(cli, command, expected):
    assert expected == cli.good(*command.split())


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("status", "no channel has been seen yet: run `marketsync sync` or `marketsync run`\n\nNothing to look at.\n"),
        ("offers", "no such offers\n"),
        ("orders", "no such orders\n"),
        ("issues", "no open issues\n"),
        ("runs", "no runs yet\n"),
        ("ledger verify", "the ledger is well\n"),
    ],
)
def test_of_an_empty_ledger_it_says_so(fresh, command, expected):
    assert expected == fresh.good(*command.split())


def test_the_keys_of_the_status_document_stay(cli):
    found = cli.json("status")
    assert ["now", "channels", "sources", "sinks", "buckets", "tokens", "issues", "holds", "commands_held"] == list(
        found
    )
    channel = found["channels"][1]
    assert [
        "channel", "account", "state", "why", "aspects", "offers", "due", "in_flight", "oldest_unsent", "dirty", "unknown",
        "parked", "held", "drifted", "orders_pulled", "oversold", "unmapped_lines", "error",
    ] == list(channel)  # fmt: skip
    assert {"listing": 0, "price": 1, "stock": 0} == channel["due"]
    assert "2026-03-10T11:57:00Z" == channel["oldest_unsent"]
    assert {"task": "push", "message": "the channel is down"} == channel["error"]
    assert [("rialto", "feeds")] == [(one["account"], one["bucket"]) for one in found["buckets"]]
    assert "secret" not in str(found["tokens"])


def test_the_keys_of_the_lists_stay(cli):
    offer = cli.json("offers", "--sku", "DUE")["offers"][0]
    assert [
        "channel", "sku", "item_sku", "channel_id", "fulfilled_by", "due", "lane", "in_flight", "dirty", "unknown", "parked",
        "held", "drifted", "price", "price_shown", "stock", "stock_shown", "since", "seen", "left",
    ] == list(offer)  # fmt: skip
    assert {"minor": 1999, "currency": "EUR"} == offer["price"]
    assert [
        "id", "channel", "account", "order_id", "key", "revision", "payment", "fulfilment", "placed", "ship_by", "total",
        "pieces", "oversold", "cancel_requested", "unmapped", "before_adoption", "undelivered",
    ] == list(cli.json("orders")["orders"][0])  # fmt: skip
    assert [
        "order", "stored", "updated", "acknowledged", "shipping", "buyer", "lines", "events", "deliveries", "commands",
        "returns",
    ] == list(cli.json("order", "DE-1"))  # fmt: skip
    assert [
        "id", "scope", "sku", "code", "message", "hint", "place", "count", "first_seen", "last_seen",
    ] == list(cli.json("issues")["issues"][0])  # fmt: skip
    assert [
        "id", "owner", "task", "reason", "started", "seconds", "outcome", "counts", "error",
    ] == list(cli.json("runs")["runs"][0])  # fmt: skip


@pytest.mark.parametrize("state", ["due", "dirty", "unknown", "parked", "held", "drifted"])
def test_offers_are_filtered_by_state(cli, state):
    expected = {"due": ["DUE"], "dirty": ["B", "DUE", "HELD", "PARKED"], "unknown": ["B"], "parked": ["PARKED"],
                "held": ["HELD"], "drifted": []}  # fmt: skip
    assert expected[state] == [offer["sku"] for offer in cli.json("offers", f"--{state}")["offers"]]


def test_a_long_list_says_how_to_go_on(cli):
    code, out, err = cli("offers", "--limit", "2")
    assert (0, 3, "there may be more: --after rialto-de/A\n") == (code, len(out.splitlines()), err)
    rest = cli.json("offers", "--limit", "5", "--after", "rialto-de/A")
    assert (["B", "DUE", "HELD", "PARKED", "C"], "rialto-fr/C") == ([o["sku"] for o in rest["offers"]], rest["next"])
    assert 3 == cli.json("orders", "--limit", "2")["next"]
    assert (["DE-2", "DE-1"], None) == (
        [o["order_id"] for o in cli.json("orders", "--before", "3")["orders"]], cli.json("orders", "--before", "3")["next"]
    )  # fmt: skip


@pytest.mark.parametrize(
    ("since", "expected"),
    [
        ("1h", 0),
        ("3h", 4),
        ("2026-03-10T11:00", 4),
        ("2026-03-10T11:01", 0),
        ("2026-03-10", 4),
        ("2026-03-10T10:00:00Z", 4),
    ],
)
def test_orders_are_found_by_a_time_in_the_configurations_zone_or_how_long_ago(cli, since, expected):
    assert expected == len(cli.json("orders", "--since", since)["orders"])


def test_nobody_learns_who_bought(cli):
    for command in (["order", "DE-1"], ["order", "DE-1", "--json"], ["orders", "--json"]):
        assert "Ada" not in cli.good(*command)


def test_what_a_channel_or_file_says_cannot_steer_the_terminal(cli):
    with cli.ledger() as ledger:
        evil = {"evil": "\x1b]0;owned\x07 \x1b[31mred"}
        ledger.write_now(lambda conn: conn.execute(text("UPDATE order_line SET title = :evil WHERE id = 1"), evil))
    out = cli.good("order", "DE-1")
    assert "\x1b" not in out
    assert "\x07" not in out
    assert "�]0;owned� �[31mred" in out


def test_an_order_that_is_there_twice_has_to_be_named_with_its_channel(cli):
    with cli.ledger() as ledger:
        sql = "UPDATE sales_order SET channel_order_id = 'DE-1', account_id = 2 WHERE id = 4"
        ledger.write_now(lambda conn: conn.execute(text(sql)))
    assert "order DE-1 is there on rialto-de, rialto-fr: say which by --channel" in cli.bad(1, "order", "DE-1")
    assert "key 1:FR-1" in cli.good("order", "DE-1", "--channel", "rialto-fr")


def test_damage_is_told_line_by_line_and_ends_with_1(cli):
    with cli.ledger() as ledger:
        ledger.write_now(lambda conn: conn.execute(text("UPDATE stock_level SET on_hand = 6 WHERE sku = 'B'")))
    code, out, err = cli("ledger", "verify")
    assert (1, "") == (code, err)
    assert ["stock: stock of B at main: on hand is 6, its movements sum up to 5", "1 differences"] == out.splitlines()
    code, out, _ = cli("ledger", "verify", "--json")
    assert 1 == code
    assert '"check": "stock"' in out


def test_reading_works_beside_a_daemon_and_writes_nothing(cli):
    from marketsync.ledger.lock import DaemonLock

    lock = DaemonLock(f"sqlite:///{cli.folder}/ledger.db")
    with cli.ledger() as ledger:
        ledger.write_now(lambda conn: conn.execute(text("UPDATE offer SET lane = lane WHERE id = 1")))
        before = (cli.folder / "ledger.db").read_bytes()
        for command in ("status", "offers", "orders", "order DE-1", "issues", "runs", "ledger verify"):
            cli.good(*command.split())
        assert before == (cli.folder / "ledger.db").read_bytes()
    lock.release()
