"""`ledger verify` finds every kind of damage, and nothing in a ledger that is well."""

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import text

from marketsync.ledger import tables, verify
from marketsync.ledger.types import micros
from marketsync.ledger.vault import Vault
from tests.integration.ledger_rows import DAY, HOUR, KEY, NOW, open_ledger, put, shop

UNKNOWN = "ffffffffffffffffffffffffffffffff"


@pytest.fixture
def ledger(ledger_url):
    ledger = open_ledger(ledger_url)
    ledger.write_now(lambda conn: shop(conn, ledger.vault))
    yield ledger
    ledger.close()


def _hash(ledger, hexed):
    return f"X'{hexed}'" if ledger.sqlite else f"'\\x{hexed}'::bytea"


def _verify(ledger, *changes, vault=None):
    for change in changes:
        ledger.write_now(lambda conn, change=change: conn.execute(text(change)))
    return ledger.read_now(lambda conn: verify.verify(conn, vault or ledger.vault, NOW))


def test_a_ledger_that_is_well_has_no_differences(ledger):
    assert [] == _verify(ledger)


def test_an_empty_ledger_is_well(ledger_url):
    ledger = open_ledger(ledger_url)
    assert [] == _verify(ledger)
    ledger.close()


CORRUPTIONS = {
    "on hand that its movements do not add up to": (
        "UPDATE stock_level SET on_hand = 6 WHERE sku = 'B'", "stock", "stock of B at main: on hand is 6"),
    "reserved that its reservations do not add up to": (
        "UPDATE stock_level SET reserved = 9 WHERE sku = 'A'", "stock", "stock of A at main: reserved is 9"),
    "an unmarked order with a line that is no item": (
        "UPDATE sales_order SET unmapped = NOT unmapped WHERE id = 4", "unmapped", "order FR-1"),
    "a delivery of a revision that the order never had": (
        "UPDATE delivery SET revision = 7 WHERE order_id = 1", "delivered", "order DE-1 for erp: revision 1 delivered, 7"),
    "a delivery that counts as delivered and is due": (
        "UPDATE delivery SET next_attempt = 1 WHERE order_id = 3", "delivered", "order DE-3 for erp"),
    "a command that was sent the day before yesterday": (
        f"UPDATE order_command SET state = 'sent', next_attempt = {micros(NOW - 2 * DAY)} WHERE id = 2",
        "commands", "command 2, acknowledge order DE-1: it is sent"),
    "a command that is due at no time": (
        "UPDATE order_command SET next_attempt = NULL WHERE id = 2", "commands", "command 2"),
    "an offer in the wrong lane": (
        "UPDATE offer SET lane = 2 WHERE sku = 'DUE'", "due", "DUE on rialto-de: lane 2 instead of 4"),
    "a dirty offer that is not due": (
        "UPDATE offer SET due_at = NULL WHERE sku = 'DUE'", "due", "DUE on rialto-de: lane 4 instead of 4, due at None"),
    "a clean offer that is due": (
        "UPDATE offer SET due_at = 5 WHERE sku = 'C'", "due", "C on rialto-fr: lane 9 instead of 9, due at 5"),
    "an offer on the channel without an item": (
        "DELETE FROM item WHERE sku = 'C'", "item", "C on rialto-fr: it is on the channel, and there is no item C"),
    "an op of a batch that is closed": (
        "UPDATE push_batch SET closed_at = 1 WHERE id = 1", "open batch", "B on rialto-de: it waits for batch 1"),
    "an op of a batch that does not carry it": (
        "DELETE FROM push_item WHERE batch_id = 1", "open batch", "B on rialto-de: it waits for batch 1"),
    "open aspects without an open op": (
        "UPDATE offer SET open_aspects = 3 WHERE sku = 'C'", "open aspects", "C on rialto-fr: its open aspects are 3"),
    "an acknowledged stock of an unknown one": (
        ("UPDATE offer SET stock_acked = {unknown}, stock_acked_quantity = 3, lane = 2, due_at = 0, stock_due = 0"
        " WHERE sku = 'C'"), "acknowledged stock", "C on rialto-fr: its acknowledged stock is unknown and yet 3"),
    "a hash that is too short": (
        "UPDATE offer SET listing_seen = {short} WHERE sku = 'C'", "hashes", "C on rialto-fr"),
    "an order line that holds nothing": (
        "DELETE FROM reservation WHERE line_id = 2", "held",
        "order DE-2, line 1: 2 pieces of A are still to be sent, and nothing is reserved"),
    "a line that holds more than was sold": (
        "UPDATE reservation SET quantity = 9 WHERE line_id = 5", "held too much", "order FR-1, line 2: 9 pieces of A"),
    "a line that holds what it is not made of": (
        "UPDATE reservation SET sku = 'B' WHERE line_id = 5", "held too much", "order FR-1, line 2: 1 pieces of B"),
}  # fmt: skip


@pytest.mark.parametrize("damage", CORRUPTIONS)
def test_damage_is_found_and_named(ledger, damage):
    change, check, sentence = CORRUPTIONS[damage]
    change = change.replace("{unknown}", _hash(ledger, UNKNOWN)).replace("{short}", _hash(ledger, "abcd"))
    found = _verify(ledger, change)
    assert [sentence] == [line.what[: len(sentence)] for line in found if line.check == check]


def test_an_offer_of_which_nothing_will_ever_be_known_is_found(ledger):
    """Withdrawn according to its listing, still on the channel by its id, its price unknown: no rule makes that due."""
    change = (
        f"UPDATE offer SET listing_desired = {_hash(ledger, '0' * 32)}, listing_acked = {_hash(ledger, '0' * 32)},"
        f" price_acked = {_hash(ledger, UNKNOWN)} WHERE sku = 'C'"
    )
    assert ["stuck"] == [line.check for line in _verify(ledger, change)]


def test_an_order_that_a_sink_never_got_is_found(ledger):
    """A sink that takes orders before and after this one was never asked to take it."""
    later = tables.SalesOrder(
        id=9, account_id=1, channel_id=1, channel_order_id="DE-9", key="1:DE-9", payment="paid", fulfilment="open",
        placed_at=NOW - HOUR, updated_at=NOW - HOUR, stored_at=NOW - 1.5 * HOUR, currency="EUR", has_address=True, content_hash=b"a" * 16,
    )  # fmt: skip
    line = tables.OrderLine(id=9, order_id=9, channel_line_id="1", channel_sku="A", components={}, ordered=1)
    ledger.write_now(lambda conn: (put(conn, later), put(conn, line)))
    expected = "order DE-9 is paid and has an address, and erp was never asked to take it"
    assert [("not delivered", expected)] == [(line.check, line.what) for line in _verify(ledger)]


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ("order_command", "order_command refund:1 is there 2 times"),
        ("stock_movement", "stock_movement opening:main:B is there 2 times"),
    ],
)
def test_a_key_that_is_there_twice_is_found_also_where_its_index_is_lost(ledger, table, told):
    column, value = ("key", "refund:1") if table == "order_command" else ("reference", "opening:main:B")
    found = _verify(
        ledger,
        f"CREATE TABLE copy AS SELECT * FROM {table}",
        f"DROP TABLE {table}",
        f"ALTER TABLE copy RENAME TO {table}",
        f"INSERT INTO {table} SELECT * FROM {table} WHERE {column} = '{value}'",
    )
    assert [told] == [line.what for line in found if line.check == f"unique {table}"]


def test_what_the_key_does_not_open_is_named_and_not_shown(ledger):
    found = _verify(ledger, vault=Vault(Fernet.generate_key().decode()))
    assert [
        "the buyer of order DE-1 cannot be opened with this key",
        "the buyer of order DE-3 cannot be opened with this key",
        "the token of account rialto cannot be opened with this key",
    ] == [line.what for line in found]
    assert [] == _verify(ledger, vault=Vault(Fernet.generate_key().decode(), KEY))


def test_of_very_many_differences_the_first_are_listed(ledger, monkeypatch):
    monkeypatch.setattr(verify, "LISTED", 2)
    found = _verify(ledger, "UPDATE offer SET open_aspects = 1 WHERE open_batch IS NULL")
    told = [line.what for line in found if line.check == "open aspects"]
    assert 3 == len(told)
    assert "and more: only 2 are listed" == told[-1]
