"""Pieces: never more than there are, never below none; kits and listing maps; the raise rule."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from marketsync.domain.availability import StockRules, available, kit, shown, spread
from marketsync.domain.listing_map import Component, ListingMap, resolve
from marketsync.domain.raising import raise_blocked

ANY = (0, 10**9)
LOCATIONS = st.dictionaries(st.sampled_from(["berlin", "aachen", "lyon"]), st.integers(-5, 50))
RULES = st.builds(
    StockRules,
    locations=st.lists(st.sampled_from(["berlin", "aachen", "rome"]), unique=True).map(tuple),
    buffer=st.integers(0, 10),
    percentage=st.integers(0, 100).map(str),
    show_at_most=st.none() | st.integers(0, 30),
    minimum=st.integers(0, 5),
)


def test_available_is_on_hand_less_reserved_less_buffer():
    assert available({"berlin": 10, "aachen": 5}, {"aachen": 2}, StockRules(buffer=3)) == 10


def test_only_the_locations_of_the_rules_count():
    on_hand, reserved = {"berlin": 10, "aachen": 5}, {"aachen": 9}
    assert available(on_hand, reserved, StockRules(locations=("berlin",))) == 10


def test_what_is_oversold_at_one_location_is_taken_from_the_others():
    assert available({"berlin": 10, "aachen": 1}, {"aachen": 4}, StockRules()) == 7


@pytest.mark.parametrize(
    ("keys", "pieces", "expected"),
    [
        ({}, 500, 500),
        ({"show_at_most": 50}, 500, 50),
        ({"show_at_most": 50}, 49, 49),
        ({"percentage": "50%"}, 7, 3),
        ({"percentage": "33.3%"}, 10, 3),
        ({"minimum": 3}, 2, 0),
        ({"minimum": 3}, 3, 3),
        ({"show_at_most": 2, "minimum": 3}, 9, 0),
    ],
)
def test_the_rules_decide_what_of_it_is_shown(keys, pieces, expected):
    assert shown(pieces, StockRules.model_validate(keys), ANY) == expected


def test_the_bounds_of_the_channel_hold():
    assert shown(500, StockRules(), (0, 99)) == 99
    assert shown(1, StockRules(), (2, 99)) == 0


@given(LOCATIONS, LOCATIONS, RULES, st.tuples(st.integers(0, 3), st.integers(3, 99)))
def test_nothing_is_shown_that_is_not_free(on_hand, reserved, rules, bounds):
    pieces = available(on_hand, reserved, rules)
    chosen = rules.locations or {*on_hand, *reserved}
    free = sum(on_hand.get(name, 0) - reserved.get(name, 0) for name in chosen)
    assert 0 <= shown(pieces, rules, bounds) <= pieces <= max(0, free - rules.buffer)


@given(LOCATIONS, RULES, st.integers(0, 60))
def test_fewer_pieces_never_show_more(on_hand, rules, fewer):
    pieces = available(on_hand, {}, rules)
    assert shown(max(0, pieces - fewer), rules, ANY) <= shown(pieces, rules, ANY)


@given(st.dictionaries(st.sampled_from(["berlin", "aachen"]), st.integers(0, 50)), RULES)
def test_the_parts_at_the_locations_add_up_to_what_is_shown(on_hand, rules):
    quantity = shown(available(on_hand, {}, rules), rules, ANY)
    parts = spread(quantity, on_hand, {}, rules)
    assert sum(parts.values()) == quantity
    assert all(part <= on_hand.get(location, 0) for location, part in parts.items())


def test_pieces_are_spread_in_the_order_of_the_rules():
    rules = StockRules(locations=("berlin", "aachen"))
    assert spread(7, {"aachen": 9, "berlin": 6}, {"berlin": 1}, rules) == {"berlin": 5, "aachen": 2}


def test_a_kit_shows_its_scarcest_component():
    assert kit([(10, 1), (7, 2)]) == 3
    assert kit([(10, 1), (0, 1)]) == 0
    assert kit([(-3, 2)]) == 0
    assert kit([]) == 0


@pytest.mark.parametrize(
    "keys", [{"buffer": -1}, {"show_at_most": -1}, {"percentage": "101%"}, {"percentage": "-1%"}, {"bufer": 1}]
)
def test_impossible_stock_rules_are_refused(keys):
    with pytest.raises(ValidationError):
        StockRules.model_validate(keys)


MAP = {
    "HOSE-2PACK": (Component("HOSE", 2),),
    "GARDEN-SET": (Component("HOSE"), Component("CAN", 2)),
    "CAN-OLD": (Component("CAN"),),
    "CAN-NEW": (Component("CAN"),),
}


def test_a_channel_sku_that_nobody_mapped_stands_for_itself():
    assert resolve("HOSE", MAP) == (Component("HOSE"),)
    assert resolve("HOSE-2PACK", MAP) == (Component("HOSE", 2),)


def test_a_sale_touches_every_offer_that_shares_the_item():
    listings = ListingMap(MAP)
    assert listings.selling("HOSE") == ("HOSE", "HOSE-2PACK", "GARDEN-SET")
    assert listings.selling("SPADE") == ("SPADE",)


def test_a_renamed_item_is_not_offered_under_its_own_sku():
    listings = ListingMap(MAP)
    assert listings.selling("CAN") == ("GARDEN-SET", "CAN-OLD", "CAN-NEW")
    assert (listings.own("CAN"), listings.own("HOSE")) == (False, True)


def test_a_renamed_item_keeps_its_own_sku_where_the_map_says_so():
    listings = ListingMap({**MAP, "CAN": (Component("CAN"),)})
    assert listings.selling("CAN") == ("GARDEN-SET", "CAN-OLD", "CAN-NEW", "CAN")


def test_a_mapped_sku_never_stands_for_the_item_of_the_same_spelling():
    listings = ListingMap({"CAN": (Component("HOSE", 3),)})
    assert listings.selling("CAN") == ()
    assert listings.selling("HOSE") == ("HOSE", "CAN")


@given(st.dictionaries(st.sampled_from("ABCD"), st.lists(st.sampled_from("ABCD"), min_size=1, max_size=3, unique=True)))
def test_both_directions_of_the_map_agree(names):
    listings = ListingMap({sku: tuple(Component(name) for name in parts) for sku, parts in names.items()})
    for sku in "ABCD":
        assert all(sku in {part.sku for part in listings.components(offer)} for offer in listings.selling(sku))
    for offer in names:
        assert all(offer in listings.selling(part.sku) for part in listings.components(offer))


def test_a_map_entry_needs_pieces():
    with pytest.raises(ValueError, match="0 pieces of A make no offer"):
        Component("A", 0)
    with pytest.raises(ValueError, match="stands for nothing"):
        ListingMap({"X": ()})


NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def minutes(count):
    return None if count is None else NOON + timedelta(minutes=count)


@pytest.mark.parametrize(
    ("pull", "snapshot", "read_back", "blocked"),
    [
        (None, None, None, "no complete order pull of this account yet"),
        (-5, -6, -7, None),
        (-5, None, None, None),
        (-5, -5, None, "the last order pull began before the source was read"),
        (-5, -4, None, "the last order pull began before the source was read"),
        (-5, -6, -5, "the last order pull began before the channel was read back"),
        (-10, -20, None, None),
        (-11, -20, None, "the last order pull is too old"),
    ],
)
def test_a_raise_needs_a_fresh_pull_that_began_after_all_it_rests_on(pull, snapshot, read_back, blocked):
    reason = raise_blocked(
        pull_began=minutes(pull),
        snapshot_read=minutes(snapshot),
        read_back=minutes(read_back),
        pull_max_age=timedelta(minutes=10),
        now=NOON,
    )
    assert reason == blocked
