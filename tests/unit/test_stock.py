"""Pieces are the sum of what moved them, each movement counts once, and a source's figure means what its owner says."""

from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from marketsync.adapter.api import Fulfilment
from marketsync.domain.ownership import FallsAt, LocationPolicy, Owner
from marketsync.ledger.stock import Movement, apply_figures, book, levels, recount, release_fallen
from tests.order_desk import START, Desk, later, line, order

LEDGER = LocationPolicy()
SHIPMENT = LocationPolicy(Owner.SOURCE, FallsAt.SHIPMENT, "erp")
NEVER = LocationPolicy(Owner.SOURCE, FallsAt.NEVER, "erp")
ORDER = LocationPolicy(Owner.SOURCE, FallsAt.ORDER, "erp")
SHOP = LocationPolicy(Owner.CHANNEL, None, "de")


def seconds(count: float):
    return START + timedelta(seconds=count)


@pytest.fixture
def desk(ledger_url):
    desk = Desk(ledger_url)
    yield desk
    assert [] == desk.problems()
    desk.close()


def figures(desk: Desk, policy: LocationPolicy, at: float, *rows, snapshot: int = 1) -> set[str]:
    told = [(sku, "main", figure, before) for sku, figure, before in rows]

    def run(conn):
        return apply_figures(conn, told, policy, exported=seconds(at), read=seconds(at + 1), snapshot_id=snapshot)

    return desk.write(run)


def release(desk: Desk, at: float, source: str = "erp") -> set[str]:
    return desk.write(lambda conn: release_fallen(conn, source, "main", exported=seconds(at), read=seconds(at + 1)))


def told_by(desk: Desk, source: str, *skus: str) -> None:
    sql = text("INSERT INTO source_item (source, sku, hash) VALUES (:source, :sku, :hash)")
    desk.write(lambda conn: conn.execute(sql, [{"source": source, "sku": sku, "hash": bytes(16)} for sku in skus]))


def test_a_movement_of_a_known_reference_is_skipped_and_moves_nothing(desk):
    move = Movement("A", "main", 5, "opening", "ref", START)
    assert {"A"} == desk.write(lambda conn: book(conn, [move, move]))
    assert set() == desk.write(lambda conn: book(conn, [move]))
    assert (5, 0) == desk.level("A")
    assert [(5,)] == desk.rows("SELECT SUM(delta) FROM stock_movement")


def test_two_movements_of_one_reference_cannot_stand_in_the_ledger(desk):
    desk.write(lambda conn: book(conn, [Movement("A", "main", 5, "opening", "ref", START)]))
    sql = "INSERT INTO stock_movement (sku, location, delta, kind, reference, at) SELECT sku, location, delta, kind, reference, at FROM stock_movement"
    with pytest.raises(IntegrityError):
        desk.write(lambda conn: conn.execute(text(sql)))


def test_levels_tell_pieces_by_location_and_when_their_figure_was_read(desk):
    figures(desk, SHIPMENT, 10, ("A", 7, None))
    desk.write(lambda conn: book(conn, [Movement("A", "other", 2, "opening", "x", START)]))
    found = desk.ledger.read_now(lambda conn: levels(conn, ["A", "B"]))
    assert ["A"] == list(found)
    assert (7, 0, seconds(11)) == (
        found["A"]["main"].on_hand,
        found["A"]["main"].reserved,
        found["A"]["main"].figure_at,
    )
    assert (2, None) == (found["A"]["other"].on_hand, found["A"]["other"].figure_at)


def test_the_ledgers_own_stock_opens_with_the_first_figure_and_ignores_the_others(desk):
    assert {"A"} == figures(desk, LEDGER, 10, ("A", 7, None))
    assert set() == figures(desk, LEDGER, 20, ("A", 99, 7), snapshot=2)
    assert (7, 0) == desk.level("A")
    assert [("opening", 7)] == desk.rows("SELECT kind, delta FROM stock_movement")


def test_only_a_recount_changes_the_ledgers_own_stock_and_it_beats_a_later_opening(desk):
    assert {"A"} == desk.write(lambda conn: recount(conn, "A", "main", 3, seconds(5)))
    assert set() == figures(desk, LEDGER, 10, ("A", 7, None))
    assert (3, 0) == desk.level("A")
    assert set() == desk.write(lambda conn: recount(conn, "A", "main", 3, seconds(6)))


def test_a_sources_figure_is_on_hand_whatever_was_there(desk):
    figures(desk, SHIPMENT, 10, ("A", 7, None))
    assert {"A"} == figures(desk, SHIPMENT, 20, ("A", 4, 7), snapshot=2)
    assert (4, 0) == desk.level("A")


def test_a_chunk_that_is_applied_again_after_a_crash_changes_nothing(desk):
    for policy in (NEVER, SHIPMENT):
        figures(desk, policy, 10, ("A", 7, None), snapshot=1)
        figures(desk, policy, 10, ("A", 7, None), snapshot=1)
        assert (7, 0) == desk.level("A")


def test_of_a_figure_that_never_falls_only_the_change_is_booked(desk):
    desk.stock.locations["main"] = NEVER
    figures(desk, NEVER, 0, ("A", 10, None))
    desk.write(lambda conn: conn.execute(text("INSERT INTO item (sku, content) VALUES ('A', '{}')")))
    first = order("1", line("A", 3), at=1)
    desk.store(first)
    desk.store(later(first, lines={"l-A": {"shipped": 3}}, fulfilment=Fulfilment.SHIPPED))
    assert (7, 0) == desk.level("A")
    figures(desk, NEVER, 100, ("A", 12, 10), snapshot=2)  # two more came; it knows nothing of the three we sold
    assert (9, 0) == desk.level("A")
    figures(desk, NEVER, 200, ("A", 12, None), snapshot=3)  # its memory is gone: the movements still know it said 12
    assert (9, 0) == desk.level("A")


def sold_and_shipped(desk: Desk, pieces: int = 2) -> None:
    """An order stored at 10 s and shipped at 20 s, of a source that fell to 10 before."""
    told_by(desk, "erp", "A", "B")
    figures(desk, SHIPMENT, 0, ("A", 10, None), ("B", 10, None))
    desk.write(lambda conn: conn.execute(text("INSERT INTO item (sku, content) VALUES ('A', '{}')")))
    desk.stock.locations["main"] = SHIPMENT
    desk.now = seconds(10)
    first = order("1", line("A", pieces), at=5)
    desk.store(first)
    desk.now = seconds(20)
    desk.store(later(first, lines={"l-A": {"shipped": pieces}}, fulfilment=Fulfilment.SHIPPED))


def test_a_shipped_piece_stays_reserved_until_a_snapshot_that_was_exported_later(desk):
    sold_and_shipped(desk)
    assert (10, 2) == desk.level("A")
    figures(desk, SHIPMENT, 15, ("A", 10, 10), snapshot=2)  # exported before the shipment: it cannot know
    assert (10, 2) == desk.level("A")
    figures(desk, SHIPMENT, 20, ("A", 10, 10), snapshot=3)  # at the same moment: it may not know
    assert (10, 2) == desk.level("A")
    figures(desk, SHIPMENT, 21, ("A", 8, 10), snapshot=4)
    assert (8, 0) == desk.level("A")


def test_open_pieces_stay_reserved_whatever_a_source_tells(desk):
    sold_and_shipped(desk)
    desk.store(order("2", line("A", 3), at=30))
    figures(desk, SHIPMENT, 100, ("A", 8, 10), snapshot=2)
    assert (8, 3) == desk.level("A")


def test_a_fall_in_an_unchanged_figure_is_released_too_but_only_by_the_source_that_tells_the_sku(desk):
    sold_and_shipped(desk)
    assert set() == release(desk, 20)
    assert set() == release(desk, 30, source="other")
    assert (10, 2) == desk.level("A")
    assert {"A"} == release(desk, 30)
    assert (10, 0) == desk.level("A")
    assert set() == release(desk, 30)


def test_a_second_parcel_keeps_the_first_one_reserved_until_both_are_known(desk):
    told_by(desk, "erp", "A")
    figures(desk, SHIPMENT, 0, ("A", 10, None))
    desk.items(B=0)
    desk.stock.locations["main"] = SHIPMENT
    desk.write(lambda conn: conn.execute(text("INSERT INTO item (sku, content) VALUES ('A', '{}')")))
    first = order("1", line("A", 2), at=5)
    for at, shipped in ((10, 0), (20, 1), (40, 2)):
        desk.now = seconds(at)
        desk.store(later(first, at, lines={"l-A": {"shipped": shipped}}))
    release(desk, 30)
    assert (10, 2) == desk.level("A")
    release(desk, 41)
    assert (10, 0) == desk.level("A")


def test_where_a_figure_falls_at_the_order_a_later_snapshot_releases_it(desk):
    figures(desk, ORDER, 0, ("A", 10, None))
    desk.write(lambda conn: conn.execute(text("INSERT INTO item (sku, content) VALUES ('A', '{}')")))
    desk.stock.locations["main"] = ORDER
    desk.now = seconds(10)
    first = order("1", line("A", 2), at=5)
    desk.store(first)
    figures(desk, ORDER, 9, ("A", 10, 10), snapshot=2)
    assert (10, 2) == desk.level("A")
    figures(desk, ORDER, 11, ("A", 8, 10), snapshot=3)
    assert (8, 0) == desk.level("A")
    desk.store(later(first, lines={"l-A": {"shipped": 2}}, fulfilment=Fulfilment.SHIPPED))
    assert (8, 0) == desk.level("A")


def test_a_shop_that_keeps_the_stock_lowers_it_for_its_own_sales_and_not_for_others(desk):
    figures(desk, SHOP, 0, ("A", 10, None))
    desk.write(lambda conn: conn.execute(text("INSERT INTO item (sku, content) VALUES ('A', '{}')")))
    desk.stock.locations["main"] = SHOP
    desk.now = seconds(10)
    desk.store(order("own", line("A", 1), at=5), storefront="de")
    other = order("other", line("A", 2), at=5)
    desk.store(other, storefront="fr")
    assert (10, 3) == desk.level("A")
    figures(desk, SHOP, 20, ("A", 9, 10), snapshot=2)  # it sold one itself
    assert (9, 2) == desk.level("A")
    desk.store(later(other, lines={"l-A": {"shipped": 2}}), storefront="fr")
    assert (7, 0) == desk.level("A")


def test_the_check_tells_every_level_that_is_not_the_sum_of_its_parts(ledger_url):
    desk = Desk(ledger_url)
    desk.items(A=5, B=5)
    desk.store(order("1", line("A", 2)))
    assert [] == desk.problems()
    for sql in (
        "UPDATE stock_level SET on_hand = 6 WHERE sku = 'A'",
        "UPDATE stock_level SET reserved = 1 WHERE sku = 'B'",
        "UPDATE reservation SET fallen = 3, fell_at = 1 WHERE sku = 'A'",
    ):
        desk.write(lambda conn, sql=sql: conn.execute(text(sql)))
    assert [
        "stock of A at main: on hand is 6, its movements sum up to 5",
        "stock of B at main: reserved is 1, its reservations sum up to 0",
        "stock of A at main: a reservation holds 2 pieces of which 3 have fallen",
    ] == desk.problems()
    desk.close()
