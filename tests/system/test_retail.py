"""What the real order file holds: the replay is judged by these numbers, so they are pinned here."""

from collections import Counter
from pathlib import Path

import pytest

from tests.system.retail import Retail, read_retail


@pytest.fixture(scope="module")
def whole(data_dir: Path) -> Retail:
    return read_retail(data_dir / "online-retail-2010-12.csv")


def test_every_line_is_of_one_kind(whole):
    """28,492 lines of 1,275 invoices; each is bought, refused, not playable or a cancellation."""
    assert (28_492, 1_275) == (whole.counts.lines, whole.counts.invoices)
    expected = {"product": 27_766, "unknown code": 220, "never priced": 21, "correction": 67, "cancellation": 418}
    assert Counter(expected) == whole.counts.kinds
    assert 28_492 == sum(expected.values())


def test_every_invoice_is_bought_refused_cancelling_or_not_playable(whole):
    """1,034 are bought, 67 are refused, 156 cancel, and 18 hold nothing but items that never had a price."""
    bought = {purchase.invoice for purchase in whole.purchases}
    refused = {invoice for invoice, _, _ in whole.corrections}
    assert (1_034, 67, 156) == (len(bought), len(refused), whole.counts.cancelled_invoices)
    assert 18 == 1_275 - 1_034 - 67 - 156


def test_few_cancellations_follow_a_purchase_of_the_file(whole):
    """Of 418 lines 108 follow a purchase of the same customer with as many pieces left; 12 concern a scarce item."""
    assert {"played": 108, "not after a purchase": 310} == whole.counts.cancellations
    played = [part for purchase in whole.purchases for part in purchase.cancelled]
    assert (108, 46, 49) == (len(played), len({c.invoice for c in played}), len({c.of for c in played}))


def test_the_catalogue_has_one_spelling_of_each_code(whole):
    """2,547 items, 27 of them without any price; the other 48 spellings and 8 codes of no product stay unknown."""
    assert (2_547, 27) == (len(whole.items), sum(item.price is None for item in whole.items.values()))
    assert len(whole.items) == len({sku.upper() for sku in whole.items})
    assert {"POST", "DOT", "M", "C2", "BANK CHARGES", "AMAZONFEE"} <= whole.unknown
    spellings = {code for code in whole.unknown if code.upper() in {sku.upper() for sku in whole.items}}
    assert (48, 56) == (len(spellings), len(whole.unknown))


def test_the_fifty_best_sellers_are_scarce(whole):
    """Of the scarce items there is less than buyers want, of the others more."""
    assert 50 == len(whole.scarce)
    assert all((item.opening < item.sold) == item.scarce for item in whole.items.values())
    assert (185, 113) == (whole.counts.zero_prices, whole.counts.empty_titles)
