"""What `explain`, `prices`, `parked` and `retry` print: one screen, and documents with keys that stay."""

import pytest
from sqlalchemy import text

from marketsync.ledger import tables
from tests.integration.ledger_rows import DAY, HOUR, NOW, put
from tests.unit.cli_running import at_a_shell


@pytest.fixture
def cli(tmp_path, monkeypatch, capsys):
    with at_a_shell(tmp_path, monkeypatch, capsys, rows=True) as cli:
        yield cli


def add(cli, *rows):
    with cli.ledger() as ledger:
        ledger.write_now(lambda conn: [put(conn, row) for row in rows])


def change(cli, sql):
    with cli.ledger() as ledger:
        ledger.write_now(lambda conn: conn.execute(text(sql)))


def test_one_screen_tells_steps_holds_refusals_and_what_the_channel_shows(cli):
    out = cli.good("explain", "HELD", "rialto-de")
    assert "HELD on rialto-de, channel id R6" == out.splitlines()[0]
    rows = [tuple(part for part in line.split("  ") if part) for line in out.splitlines()]
    told = {(row[0], row[1].strip()): tuple(part.strip() for part in row[2:]) for row in rows if len(row) > 3}
    assert ("The HELD", "template {title}") == told["listing", "title"]
    assert ("hold 1", "price_change: 80 % lower; since 2026-03-10 12:00") == told["price", "held"]
    assert ("5", "main 5") == told["stock", "on hand"]
    assert ("held", "-") == told["price", "state"]
    assert "failed: products.csv: cut off" in out
    assert 40 > len(out.splitlines()), "one screen"


def test_without_a_channel_every_channel_is_told_with_the_reason(cli):
    change(cli, "UPDATE offer SET price_acked = price_desired")
    code, out, err = cli("explain", "PARKED")
    assert (0, "") == (code, err)
    assert "refused" in out
    assert "E17: the title is too long" in out
    code, out, err = cli("explain", "A")
    assert ["bazaar", "rialto-de"] == sorted({line.split()[0] for line in out.splitlines()[1:]})
    assert "every step: marketsync explain A bazaar\n" == err


def test_the_keys_of_the_document_stay(cli):
    (one,) = cli.json("explain", "HELD", "rialto-de")["explanations"]
    assert ["channel", "sku", "at", "item", "components", "channel_id", "excluded", "sources", "overrides", "live",
            "not_kept", "aspects"] == list(one)  # fmt: skip
    assert ["listing", "price", "stock"] == list(one["aspects"])
    price = one["aspects"]["price"]
    assert ["state", "not_yet", "steps", "derived", "desired", "override", "hold", "refused", "known", "shows",
            "since", "seen", "read", "notes", "sent"] == list(price)  # fmt: skip
    assert ("held", "price_change", 1) == (price["state"], price["hold"]["guard"], price["hold"]["id"])


def test_an_earlier_time_tells_what_was_live_and_what_is_not_kept(cli):
    add(cli, tables.PriceHistory(channel_id=1, sku="A", live_from=NOW - 9 * DAY, minor=1999, currency="EUR"))
    out = cli.good("explain", "A", "rialto-de", "--at", "2d")
    assert "A on rialto-de, channel id R1, at 2026-03-08 13:00" == out.splitlines()[0]
    assert "19.99 EUR  from 2026-03-01 13:00" in out
    assert "the journal begins 2026-03-09 12:00 UTC" in out.splitlines()[-1]


@pytest.mark.parametrize(
    ("code", "command", "expected"),
    [
        (1, "explain NOBODY", "nobody knows NOBODY: no source names it, and no channel offers it"),
        (1, "explain A nowhere", "there is no channel nowhere: there are bazaar, rialto-de, rialto-fr"),
        (2, "explain A rialto-de --at 2027-01-01", "nobody knows what will be: name an earlier time"),
        (2, "explain A rialto-de --at soon", "'soon' is no time"),
        (1, "prices A", "A has had no price on any channel that a channel acknowledged: check the SKU"),
        (1, "retry --channel nowhere", "there is no channel nowhere"),
    ],
)
def test_what_is_not_there_is_told_in_one_sentence(cli, code, command, expected):
    assert expected in cli.bad(code, *command.split())


def test_prices_tells_the_lowest_of_the_30_days_before_the_present_one(cli):
    rows = [(60, 2500, None), (20, 1999, None), (9, 2500, None), (0.5, 2500, 2200)]
    add(cli, *[
        tables.PriceHistory(channel_id=1, sku="A", live_from=NOW - ago * DAY, minor=minor, currency="EUR", sale_minor=sale)
        for ago, minor, sale in rows
    ])  # fmt: skip
    out = cli.good("prices", "A", "rialto-de")
    assert ["rialto-de", "2026-03-10", "01:00", "now", "22.00", "EUR", "25.00", "EUR"] == out.splitlines()[1].split()
    assert (
        "rialto-de: 22.00 EUR since 2026-03-10 01:00; the lowest price of the 30 days before it was 19.99 EUR"
        == out.splitlines()[-1]
    )
    (one,) = cli.json("prices", "A")["channels"]
    assert {"minor": 1999, "currency": "EUR"} == one["lowest_before"]["price"]
    assert (4, "rialto-de") == (len(one["periods"]), one["channel"])


def test_parked_offers_are_listed_by_reason_and_retry_frees_them(cli):
    add(cli, tables.Issue(id=50, scope="channel:rialto-de", sku="DUE", code="refused_price", reason="E8", message="E8: no",
                          first_seen=NOW - HOUR, last_seen=NOW))  # fmt: skip
    change(cli, "UPDATE offer SET price_parked = price_desired WHERE sku = 'DUE'")
    listing, price = cli.json("parked")["parked"]
    assert (("listing", ["PARKED"]), ("price", "E8", "no")) == (
        (listing["aspect"], listing["skus"]), (price["aspect"], price["reason"], price["message"]),
    )  # fmt: skip
    code, out, _ = cli("parked")
    assert 0 == code
    assert "change what makes its price: it is sent again by itself" in out
    assert "sent again: 1 x price\n" == cli.good("retry", "--reason", "E8")
    assert {"freed": {"listing": 1, "price": 0, "stock": 0}} == cli.json("retry")
    assert "nothing of that is parked\n" == cli.good("retry")
    assert "nothing is parked\n" == cli.good("parked")
