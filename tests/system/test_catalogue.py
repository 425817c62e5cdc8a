"""Real exports of Shopify and WooCommerce, through ``marketsync sync``, to a marketplace on a socket."""

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta

import pytest

from marketsync.testing.sandbox import RunningSandbox, running
from marketsync_adapters.sandbox.market import Market
from marketsync_adapters.sandbox.rules import Rules
from tests.engine import write_config
from tests.system.command import marketsync, told

CDN = "https://burst.shopifycdn.com/photos/"
WOO = "https://woocommercecore.mystagingwebsite.com/wp-content/uploads/2017/12/"


@pytest.fixture
def shop() -> Iterator[RunningSandbox]:
    rules = Rules(limits={}, job_time=timedelta(milliseconds=50), storefronts={"main": "EUR", "us": "USD"})
    with running(Market(rules)) as sandbox:
        yield sandbox


def synced(folder, shop, sources, *, storefront="main", currency="EUR"):
    """The shelf by SKU after a first sync, and the open issues; a second sync changes nothing."""
    channel = (
        "channels:\n  shop:\n    adapter: sandbox\n    credentials: {api_key: sandbox-key}\n"
        f"    settings: {{base_url: '{shop.url}', storefront: {storefront}, limits: false}}\n"
        f"    price: {{currency: {currency}, reference: true}}\n"
    )
    config = write_config(folder, f"sqlite:///{folder / 'ledger.db'}", sources + channel)
    marketsync(config, "migrate")
    marketsync(config, "adopt", "shop", "--yes")
    marketsync(config, "sync")
    writes = shop.call(lambda market: market.shelf._writes)
    marketsync(config, "sync")
    assert writes == shop.call(lambda market: market.shelf._writes)
    assert marketsync(config, "ledger", "verify")
    shelf = shop.call(lambda market: {offer.sku: offer.document() for offer in market.shelf})
    return shelf, told(config, "issues")


def prices(shelf):
    return Counter(offer["price"]["amount"] for offer in shelf.values())


def stocks(shelf):
    return Counter(offer["stock"]["quantity"] for offer in shelf.values())


def test_shopifys_apparel_is_on_the_channel_variant_by_variant(tmp_path, shop, data_dir):
    """22 variants of 20 products; the file has no SKUs, so they are made of handle and options."""
    source = (
        f"sources:\n  pim: {{file: '{data_dir}/shopify-apparel.csv', owns: [content, price, stock], make_skus: true}}\n"
    )
    shelf, issues = synced(tmp_path, shop, source)
    assert (22, Counter({1: 22})) == (len(shelf), stocks(shelf))
    expected = {"50.00": 7, "60.00": 5, "80.00": 3, "30.00": 2, "65.00": 2, "70.00": 2, "75.00": 1}
    assert Counter(expected) == prices(shelf)
    tops = {
        sku: offer["listing"] for sku, offer in shelf.items() if offer["listing"]["family"] == "classic-varsity-top"
    }
    assert {
        "classic-varsity-top-small": {"Size": "Small"},
        "classic-varsity-top-medium": {"Size": "Medium"},
        "classic-varsity-top-large": {"Size": "Large"},
    } == {sku: listing["options"] for sku, listing in tops.items()}
    assert {f"{CDN}casual-fashion-woman_925x.jpg"} == {
        image for listing in tops.values() for image in listing["images"]
    }
    shirt = shelf["ocean-blue-shirt"]["listing"]
    assert ("Ocean Blue Shirt", "partners-demo", "", {}) == (
        shirt["title"], shirt["brand"], shirt["family"], shirt["options"],
    )  # fmt: skip
    assert all(offer["on_sale"] for offer in shelf.values())
    assert [] == issues["issues"]


def test_shopifys_jewellery_keeps_its_reference_prices_and_pictures(tmp_path, shop, data_dir):
    """23 variants of 20 products in dollars; picture rows are pictures, not variants; one variant is sold out."""
    source = (
        f"sources:\n  pim: {{file: '{data_dir}/shopify-jewelery.csv', owns: [content, price, stock], make_skus: true,"
        " currency: USD}\n"
    )
    shelf, issues = synced(tmp_path, shop, source, storefront="us", currency="USD")
    assert 23 == len(shelf)
    assert {"USD"} == {offer["price"]["currency"] for offer in shelf.values()}
    assert 980_74 == sum(int(offer["price"]["amount"].replace(".", "")) for offer in shelf.values())
    assert 17 == sum("reference" in offer["price"] for offer in shelf.values())
    blue, black = shelf["chain-bracelet-blue"], shelf["chain-bracelet-black"]
    assert ({"amount": "42.99", "currency": "USD", "reference": "44.99"}, 1, True) == (
        blue["price"], blue["stock"]["quantity"], blue["on_sale"],
    )  # fmt: skip
    assert (0, False) == (black["stock"]["quantity"], black["on_sale"])
    assert [f"{CDN}navy-blue-chakra-bracelet_925x.jpg", f"{CDN}7-chakra-bracelet_925x.jpg"] == blue["listing"]["images"]
    assert (4, 3, 3) == tuple(
        len(shelf[sku]["listing"]["images"])
        for sku in ("origami-crane-necklace", "boho-earrings", "leather-anchor-gold")
    )
    assert {"gemstone", "chain-bracelet", "leather-anchor", ""} == {
        offer["listing"]["family"] for offer in shelf.values()
    }
    assert 28 == shelf["boho-earrings"]["listing"]["weight_grams"]
    assert [] == issues["issues"]


def test_woocommerces_samples_take_their_stock_from_a_second_source(tmp_path, shop, data_dir):
    """21 items of 25 rows: two rows are containers of variations, two are not for sale and are named."""
    skus = [
        "woo-hoodie-with-logo", "woo-tshirt", "woo-beanie", "woo-belt", "woo-cap", "woo-sunglasses",
        "woo-hoodie-with-pocket", "woo-hoodie-with-zipper", "woo-long-sleeve-tee", "woo-polo", "woo-album", "woo-single",
        "woo-vneck-tee-red", "woo-vneck-tee-green", "woo-vneck-tee-blue", "woo-hoodie-red", "woo-hoodie-green",
        "woo-hoodie-blue", "Woo-tshirt-logo", "Woo-beanie-logo", "woo-hoodie-blue-logo",
    ]  # fmt: skip
    rows = [f"{sku},{number}" for number, sku in enumerate(skus, 3)]
    (tmp_path / "stock.csv").write_text("\n".join(["sku,stock", *rows]) + "\n")
    source = (
        f"sources:\n  pim: {{file: '{data_dir}/woocommerce-sample-products.csv', owns: [content, price]}}\n"
        "  warehouse: {file: stock.csv, owns: [stock]}\n"
    )
    shelf, issues = synced(tmp_path, shop, source)
    assert set(skus) == shelf.keys()
    assert {sku: number for number, sku in enumerate(skus, 3)} == {
        sku: offer["stock"]["quantity"] for sku, offer in shelf.items()
    }
    assert {
        "45.00": 7, "18.00": 3, "20.00": 5, "65.00": 1, "90.00": 1, "25.00": 1, "15.00": 2, "3.00": 1,
    } == prices(shelf)  # fmt: skip
    assert {
        "woo-beanie": "18.00", "woo-belt": "55.00", "woo-cap": "16.00", "woo-hoodie-with-pocket": "35.00",
        "woo-single": "2.00", "woo-hoodie-red": "42.00", "Woo-beanie-logo": "18.00",
    } == {sku: offer["price"]["sale"] for sku, offer in shelf.items() if "sale" in offer["price"]}  # fmt: skip
    red, logo = shelf["woo-vneck-tee-red"]["listing"], shelf["woo-hoodie-blue-logo"]["listing"]
    assert ("woo-vneck-tee", {"Color": "Red"}, "Clothing > Tshirts", 227) == (
        red["family"], red["options"], red["category"], red["weight_grams"],
    )  # fmt: skip
    assert [f"{WOO}vneck-tee-2.jpg", f"{WOO}vnech-tee-green-1.jpg", f"{WOO}vnech-tee-blue-1.jpg"] == red["images"]
    assert ("woo-hoodie", {"Color": "Blue", "Logo": "Yes"}) == (logo["family"], logo["options"])
    assert [
        ("source:pim", "not_sellable", "logo-collection", "row 24, column Type"),
        ("source:pim", "not_sellable", "wp-pennant", "row 25, column Type"),
    ] == sorted((i["scope"], i["code"], i["sku"], i["place"]) for i in issues["issues"])


def test_rows_without_a_sku_are_issues_with_row_and_column(tmp_path, shop, data_dir):
    """Without ``make_skus`` no row of the jewellery file can be used: each variant is named, nothing is on the channel."""
    source = f"sources:\n  pim: {{file: '{data_dir}/shopify-jewelery.csv', owns: [content, price, stock]}}\n"
    shelf, issues = synced(tmp_path, shop, source)
    assert {} == shelf
    assert (23, {"no_sku"}, {"Variant SKU"}) == (
        len(issues["issues"]),
        {issue["code"] for issue in issues["issues"]},
        {issue["place"].partition("column ")[2] for issue in issues["issues"]},
    )
