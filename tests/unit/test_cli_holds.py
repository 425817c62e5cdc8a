"""``holds``, ``approve`` and ``reject``: what a guard stopped, and who decided what became of it."""

import pytest
from sqlalchemy import text

from marketsync.adapter.content import Aspect
from marketsync.ledger import holds
from marketsync.ledger.holds import Stopped
from marketsync.ledger.types import micros
from tests.integration.ledger_rows import NOW
from tests.unit.cli_running import at_a_shell

TOLD = "the price moves by +60.0 %, from 10.00 EUR to 16.00 EUR"


@pytest.fixture
def cli(tmp_path, monkeypatch, capsys):
    """Two prices are held, one reading of a source, and the prices of a whole run on rialto-fr."""
    with at_a_shell(tmp_path, monkeypatch, capsys, rows=True) as cli:
        with cli.ledger() as ledger:
            ledger.write_now(_stop)
        yield cli


def _stop(conn):
    at, ids = micros(NOW), _ids(conn, "rialto-de")
    conn.execute(text("UPDATE offer SET held = 0"))
    conn.execute(text("DELETE FROM hold"))
    first, second = sorted(ids)[:2]
    holds.stop(
        conn, "rialto-de",
        [Stopped(ids[sku], sku, Aspect.PRICE, 2, b"now", "price_change", TOLD, {"new": 1600, "currency": "EUR"})
         for sku in (first, second)],
        at,
    )  # fmt: skip
    holds.stop_whole(conn, "shrunk", "12 rows, 40 before", {}, b"file", at, source="pim")
    holds.set_bits(conn, dict.fromkeys(_ids(conn, "rialto-fr").values(), 16))
    holds.stop_whole(conn, "prices_moved", "all of them", {}, b"run", at, channel="rialto-fr", aspect=Aspect.PRICE)


def _ids(conn, channel):
    sql = "SELECT o.sku, o.id FROM offer o JOIN channel c ON c.id = o.channel_id WHERE c.name = :c"
    return {row.sku: row.id for row in conn.execute(text(sql), {"c": channel})}


def _bits(cli, channel):
    sql = f"SELECT held FROM offer o JOIN channel c ON c.id = o.channel_id WHERE c.name = '{channel}' ORDER BY o.sku"
    with cli.ledger() as ledger:
        return [row[0] for row in ledger.read_now(lambda conn: conn.execute(text(sql)).all())]


def test_holds_are_listed_whole_runs_first_with_their_numbers(cli):
    found = cli.json("holds")["holds"]
    assert ["shrunk", "prices_moved", "price_change", "price_change"] == [one["guard"] for one in found]
    assert {"new": 1600, "currency": "EUR"} == found[2]["details"]
    code, out, err = cli("holds", "--channel", "rialto-de")
    assert (0, 2) == (code, out.count(TOLD))
    assert "marketsync approve HOLD" in err


def test_one_hold_is_approved_with_who_and_why_and_its_offer_is_free(cli):
    number = cli.json("holds", "--channel", "rialto-de")["holds"][0]["id"]
    assert [2, 2] == _bits(cli, "rialto-de")[:2]
    assert f"hold {number}, price_change of" in cli.good(
        "approve", str(number), "--why", "new price list", "--by", "ann"
    )
    assert [0, 2] == _bits(cli, "rialto-de")[:2]
    (kept,) = cli.json("holds", "--state", "approved")["holds"]
    assert ("ann", "new price list", number) == (kept["decided_by"], kept["reason"], kept["id"])


def test_what_is_rejected_stays_held_and_is_asked_about_no_more(cli):
    number = cli.json("holds", "--channel", "rialto-de")["holds"][0]["id"]
    cli.good("reject", str(number), "--why", "a typo")
    assert [2, 2] == _bits(cli, "rialto-de")[:2]
    assert 1 == len(cli.json("holds", "--channel", "rialto-de")["holds"])


def test_approving_a_run_frees_everything_that_waited_for_its_verdict(cli):
    assert {16} == set(_bits(cli, "rialto-fr"))
    cli.good("approve", "--channel", "rialto-fr")
    assert {0} == set(_bits(cli, "rialto-fr"))


def test_a_reading_of_a_source_that_is_approved_is_applied_at_the_next_one(cli):
    code, out, err = cli("approve", "--guard", "shrunk", "--why", "half the range was sold off")
    assert (0, True) == (code, "shrunk of pim: approved" in out)
    assert "applied at its next reading" in err


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("approve",), 2, "name holds by their numbers"),
        (("approve", "999"), 1, "there is no hold 999: `marketsync holds` lists them"),
    ],
)
def test_a_wrong_choice_is_one_clear_sentence(cli, arguments, code, says):
    assert says in cli.bad(code, *arguments)


def test_what_was_decided_is_not_decided_twice(cli):
    number = str(cli.json("holds", "--channel", "rialto-de")["holds"][0]["id"])
    cli.good("approve", number)
    assert f"hold {number} is approved: nothing was decided" in cli.bad(1, "reject", number)
