"""The exports of Shopify and WooCommerce: the real files with the numbers that stand in them, and what they do not show."""

from collections import Counter
from datetime import UTC, datetime

import pytest

from marketsync.adapter.money import Money
from marketsync.sources.api import SourceError
from tests.unit.sources_reading import opened, problems, read, rows

CDN = "https://burst.shopifycdn.com/photos/"
WOO = "https://woocommercecore.mystagingwebsite.com/wp-content/uploads/2017/12/"


def euros(item):
    return str(item.values["price"])


def test_shopifys_apparel_is_22_variants_of_20_products(data_dir):
    records = read(data_dir / "shopify-apparel.csv", make_skus=True)
    items = rows(records)
    assert ([], 22) == (problems(records), len(items))
    tops = ["classic-varsity-top-small", "classic-varsity-top-medium", "classic-varsity-top-large"]
    assert tops == [sku for sku in items if items[sku].values.get("parent") == "classic-varsity-top"]
    assert [{"Size": "Small"}, {"Size": "Medium"}, {"Size": "Large"}] == [items[sku].values["options"] for sku in tops]
    assert {"Classic Varsity Top"} == {items[sku].values["title"] for sku in tops}
    assert {(f"{CDN}casual-fashion-woman_925x.jpg",)} == {items[sku].values["images"] for sku in tops}
    assert [3, 4, 5] == [items[sku].row for sku in tops]
    assert Counter({"50.00 EUR": 7, "60.00 EUR": 5, "80.00 EUR": 3, "30.00 EUR": 2, "65.00 EUR": 2, "70.00 EUR": 2,
                    "75.00 EUR": 1}) == Counter(map(euros, items.values()))  # fmt: skip
    assert {1} == {item.stock["main"] for item in items.values()}
    assert {"partners-demo"} == {item.values["brand"] for item in items.values()}
    assert not any({"weight_grams", "reference_price"} & item.values.keys() for item in items.values())
    assert "options" not in items["ocean-blue-shirt"].values
    assert "parent" not in items["ocean-blue-shirt"].values


def test_shopifys_jewellery_is_23_variants_of_20_products(data_dir):
    records = read(data_dir / "shopify-jewelery.csv", make_skus=True, currency="USD")
    items = rows(records)
    assert ([], 23) == (problems(records), len(items))
    blue, black = items["chain-bracelet-blue"], items["chain-bracelet-black"]
    assert {"Color": "Blue"} == blue.values["options"]
    assert (Money(4299, "USD"), Money(4499, "USD")) == (blue.values["price"], blue.values["reference_price"])
    assert [{"main": 1}, {"main": 0}] == [blue.stock, black.stock]
    # The variant's own picture stands first, then those of the product in their positions.
    assert (f"{CDN}navy-blue-chakra-bracelet_925x.jpg", f"{CDN}7-chakra-bracelet_925x.jpg") == blue.values["images"]
    assert (f"{CDN}7-chakra-bracelet_925x.jpg", f"{CDN}navy-blue-chakra-bracelet_925x.jpg") == black.values["images"]
    # Picture rows are no variants: 4 and 3 pictures, 1 row each that is an item.
    assert 4 == len(items["origami-crane-necklace"].values["images"])
    assert 3 == len(items["boho-earrings"].values["images"])
    assert 3 == len(items["leather-anchor-gold"].values["images"])
    assert 28 == items["boho-earrings"].values["weight_grams"]
    assert [sku for sku, item in items.items() if "weight_grams" in item.values] == ["boho-earrings"]
    assert (Money(5500, "USD"), Money(8500, "USD")) == (
        items["leather-anchor-silver"].values["price"], items["leather-anchor-silver"].values["reference_price"],
    )  # fmt: skip
    assert ("Bracelet", ("Anchor", "Gold", "Leather", "Silver")) == (
        items["leather-anchor-gold"].values["category"], items["leather-anchor-gold"].values["tags"],
    )  # fmt: skip
    assert 17 == sum("reference_price" in item.values for item in items.values())
    assert 980_74 == sum(item.values["price"].minor for item in items.values())
    assert {"gemstone", "chain-bracelet", "leather-anchor", None} == {i.values.get("parent") for i in items.values()}


def test_without_make_skus_every_variant_that_has_none_is_named(data_dir):
    records = read(data_dir / "shopify-jewelery.csv")
    assert {} == rows(records)
    assert {("Variant SKU", "no_sku", "", False)} == {problem[1:] for problem in problems(records)}
    assert 23 == len(problems(records))
    assert "make_skus: true" in records[0].message


HEADER = (
    "Handle,Title,Body (HTML),Vendor,Type,Tags,Published,Option1 Name,Option1 Value,Option2 Name,Option2 Value,"
    "Variant SKU,Variant Grams,Variant Inventory Tracker,Variant Inventory Qty,Variant Price,Variant Compare At Price,"
    "Variant Taxable,Variant Barcode,Image Src,Image Position,Gift Card,Variant Image,Cost per item,Status\n"
)


def shopify(path, *lines, **settings):
    return read(path / "s.csv", HEADER + "".join(f"{line}\n" for line in lines), **settings)


def test_shopify_what_is_not_for_sale_is_skipped_with_its_reason(tmp_path):
    records = shopify(
        tmp_path,
        "voucher,Voucher,,,,,true,Amount,10,,,V10,0,,5,10,,true,,,,true,,,active",
        "voucher,,,,,,,,20,,,V20,0,,5,20,,true,,,,,,,",
        "draft,Draft,,,,,true,Title,Default Title,,,D,0,,5,10,,true,,,,false,,,draft",
        "hidden,Hidden,,,,,false,Title,Default Title,,,H,0,,5,10,,true,,,,false,,,active",
        "good,Good,,,,,true,Title,Default Title,,,G,0,,5,10,,true,,,,false,,,active",
    )
    assert [
        (2, "Gift Card", "not_sellable", "", False), (4, "Status", "not_sellable", "", False),
        (5, "Published", "not_sellable", "", False),
    ] == problems(records)  # fmt: skip
    assert ["G"] == list(rows(records))


def test_shopify_a_variant_tells_its_own_price_cost_tax_code_and_weight(tmp_path):
    records = shopify(
        tmp_path,
        "shirt,Shirt,<p>Soft</p>,ACME,Shirts,\"b, a\",TRUE,Colour,Red,Size,L,'S-RL,250,shopify,3,1299.00,1299.00,true,'4006381333931,https://x/2.jpg,2,FALSE,,4.20,active",
        "shirt,,,,,,,,Red,,XL,S-RX,260,shopify,-2,12.50,15,false,,https://x/1.jpg,1,,https://x/r.jpg,0,",
        "shirt,,,,,,,,Blue,,L,S-RL,260,shopify,1,12.50,15,false,,,,,,,",
        owns=["content", "price", "cost", "stock"],
    )
    assert [(3, "Variant Inventory Qty", "negative_stock", "S-RX", True),
            (4, "Variant SKU", "duplicate_sku", "S-RL", False)] == problems(records)  # fmt: skip
    first, second = rows(records).values()
    assert {
        "title": "Shirt", "description": "<p>Soft</p>", "brand": "ACME", "gtin": "4006381333931", "category": "Shirts",
        "tags": ("b", "a"), "parent": "shirt", "options": {"Colour": "Red", "Size": "L"},
        "images": ("https://x/1.jpg", "https://x/2.jpg"), "weight_grams": 250, "price": Money(129900, "EUR"),
        "gross": True, "cost": Money(420, "EUR"), "cost_gross": False,
    } == first.values  # fmt: skip
    assert ("none", Money(1500, "EUR"), {"main": 0}) == (
        second.values["tax_class"], second.values["reference_price"], second.stock,
    )  # fmt: skip
    assert ("https://x/r.jpg", "https://x/1.jpg", "https://x/2.jpg") == second.values["images"]


def test_shopify_made_skus_that_meet_are_reported(tmp_path):
    records = shopify(
        tmp_path,
        "cup,Cup,,,,,true,Size,½ l / XL,,,,0,,1,1,,true,,,,,,,",
        "cup,,,,,,,,½ L XL,,,,0,,1,1,,true,,,,,,,",
        make_skus=True,
    )
    assert ["cup-½-l-xl"] == list(rows(records))
    assert [(3, "Variant SKU", "duplicate_sku", "cup-½-l-xl", False)] == problems(records)


def test_shopify_rows_of_a_product_that_begins_elsewhere_are_refused(tmp_path):
    records = shopify(tmp_path, "lost,,,,,,,,L,,,L1,0,,1,1,,true,,,,,,,", ",No handle,,,,,,,,,,N1,0,,1,1,,true,,,,,,,")
    assert [(2, "Title", "bad_row", "", False), (3, "Handle", "bad_row", "", False)] == problems(records)


def test_shopify_a_stock_source_reads_only_stock_under_the_same_skus(data_dir):
    records = read(data_dir / "shopify-jewelery.csv", owns=["stock"], make_skus=True, location="berlin")
    assert ({"berlin": 0}, {}) == (rows(records)["gemstone-purple"].stock, rows(records)["gemstone-purple"].values)
    with pytest.raises(SourceError, match="has no column 'Cost per item', but the source owns cost"):
        read(data_dir / "shopify-jewelery.csv", owns=["cost"])


def test_woocommerces_samples_are_21_items_of_25_rows(data_dir):
    snapshot = opened(data_dir / "woocommerce-sample-products.csv", owns=["content", "price"])
    records = list(snapshot.records)
    snapshot.close()
    items = rows(records)
    assert ("woocommerce", 21) == (snapshot.format, len(items))
    assert [
        (24, "Type", "not_sellable", "logo-collection", False), (25, "Type", "not_sellable", "wp-pennant", False),
    ] == problems(records)  # fmt: skip
    assert {
        "woo-vneck-tee": ["woo-vneck-tee-red", "woo-vneck-tee-green", "woo-vneck-tee-blue"],
        "woo-hoodie": ["woo-hoodie-red", "woo-hoodie-green", "woo-hoodie-blue", "woo-hoodie-blue-logo"],
    } == {
        parent: [sku for sku, item in items.items() if item.values.get("parent") == parent]
        for parent in ("woo-vneck-tee", "woo-hoodie")
    }
    assert {
        "woo-hoodie-with-logo": "45.00", "woo-tshirt": "18.00", "woo-beanie": "20.00", "woo-belt": "65.00",
        "woo-cap": "18.00", "woo-sunglasses": "90.00", "woo-hoodie-with-pocket": "45.00",
        "woo-hoodie-with-zipper": "45.00", "woo-long-sleeve-tee": "25.00", "woo-polo": "20.00", "woo-album": "15.00",
        "woo-single": "3.00", "woo-vneck-tee-red": "20.00", "woo-vneck-tee-green": "20.00",
        "woo-vneck-tee-blue": "15.00", "woo-hoodie-red": "45.00", "woo-hoodie-green": "45.00",
        "woo-hoodie-blue": "45.00", "Woo-tshirt-logo": "18.00", "Woo-beanie-logo": "20.00",
        "woo-hoodie-blue-logo": "45.00",
    } == {sku: euros(item).removesuffix(" EUR") for sku, item in items.items()}  # fmt: skip
    assert {
        "woo-beanie": 1800, "woo-belt": 5500, "woo-cap": 1600, "woo-hoodie-with-pocket": 3500, "woo-single": 200,
        "woo-hoodie-red": 4200, "Woo-beanie-logo": 1800,
    } == {sku: item.values["sale_price"].minor for sku, item in items.items() if "sale_price" in item.values}  # fmt: skip
    # 0.5 lbs, 1.5 lbs of the parents; 2 and 0.2 lbs of their own; a download weighs nothing.
    assert [227, 680, 907, 91, None] == [
        items[sku].values.get("weight_grams")
        for sku in ("woo-vneck-tee-red", "woo-hoodie-blue-logo", "woo-hoodie-with-logo", "woo-beanie", "woo-album")
    ]


def test_woocommerces_variations_have_their_options_and_their_parents_content(data_dir):
    items = rows(read(data_dir / "woocommerce-sample-products.csv", owns=["content", "price"]))
    red = items["woo-vneck-tee-red"].values
    assert ({"Color": "Red"}, "Clothing > Tshirts", "V-Neck T-Shirt - Red") == (
        red["options"], red["category"], red["title"],
    )  # fmt: skip
    assert "attributes" not in red
    assert (f"{WOO}vneck-tee-2.jpg", f"{WOO}vnech-tee-green-1.jpg", f"{WOO}vnech-tee-blue-1.jpg") == red["images"]
    assert {"Color": "Blue", "Logo": "Yes"} == items["woo-hoodie-blue-logo"].values["options"]
    assert f"{WOO}hoodie-with-logo-2.jpg" == items["woo-hoodie-blue-logo"].values["images"][0]
    assert {"Color": "Gray"} == items["woo-hoodie-with-pocket"].values["attributes"]


def test_woocommerces_stock_that_nobody_counts_is_reported_for_each_item(data_dir):
    records = read(data_dir / "woocommerce-sample-products.csv", owns=["stock"])
    told = [problem for problem in problems(records) if problem[2] == "bad_stock"]
    assert (21, {("Stock", True)}) == (len(told), {(column, usable) for _, column, _, _, usable in told})
    assert {()} == {tuple(item.stock) for item in rows(records).values()}


WOO_HEADER = (
    "ID,Type,SKU,Name,Published,Description,Date sale price starts,Date sale price ends,Tax status,Tax class,In stock?,"
    "Stock,Weight (kg),Sale price,Regular price,Categories,Tags,Images,Parent,Attribute 1 name,Attribute 1 value(s)\n"
)


def woo(path, *lines, **settings):
    return read(path / "w.csv", "\ufeff" + WOO_HEADER + "".join(f"{line}\n" for line in lines), **settings)


def test_woocommerce_a_variation_finds_its_parent_by_id_behind_it_and_in_any_order(tmp_path):
    records = woo(
        tmp_path,
        '45,variation,T-R,Tee red,1,,,,taxable,parent,1,4,,,"10,50",,,https://x/r.jpg,id:44,Size,L',
        '46,"variation, virtual",T-B,Tee blue,1,Own,,,taxable,,0,,"0,3",,"10,50",,,,T,Size,',
        '44,variable,T,Tee,1,Soft,,,taxable,reduced-rate,1,,"0,25",,,"Shirts, Shirts > Tees\\, soft","a, b",https://x/p.jpg,,Size,"L, M"',
        "47,variation,T-X,Lost,1,,,,taxable,,1,1,,,5,,,,id:99,,",
    )
    assert [(5, "Parent", "bad_row", "T-X", True)] == problems(records)
    items = rows(records)
    assert {
        "title": "Tee red", "description": "Soft", "brand": "", "category": "Shirts > Tees, soft", "tags": ("a", "b"),
        "parent": "T", "options": {"Size": "L"}, "images": ("https://x/r.jpg", "https://x/p.jpg"), "weight_grams": 250,
        "price": Money(1050, "EUR"), "gross": True, "tax_class": "reduced-rate",
    } == items["T-R"].values  # fmt: skip
    assert ("Own", 300, {"main": 0}) == (
        items["T-B"].values["description"], items["T-B"].values["weight_grams"], items["T-B"].stock,
    )  # fmt: skip
    assert "options" not in items["T-B"].values


def test_woocommerce_sale_dates_are_days_of_the_site(tmp_path):
    records = woo(
        tmp_path,
        "1,simple,A,A,1,,2026-03-01,2026-03-31,taxable,,1,5,,8,10,,,,,,",
        "2,simple,B,B,1,,2026-03-01 08:00:00,someday,taxable,,1,5,,8,10,,,,,,",
        time_zone="Europe/Berlin",
    )
    assert [(3, "Date sale price ends", "bad_date", "B", True)] == problems(records)
    sale = rows(records)["A"].values
    assert datetime(2026, 2, 28, 23, tzinfo=UTC) == sale["sale_starts"]
    assert datetime(2026, 3, 31, 21, 59, 59, tzinfo=UTC) == sale["sale_ends"]
    assert "sale_price" not in rows(records)["B"].values


def test_woocommerce_what_is_not_for_sale_is_skipped_with_its_reason(tmp_path):
    records = woo(
        tmp_path,
        "1,simple,A,A,0,,,,taxable,,1,5,,,10,,,,,,",
        "2,simple,B,B,-1,,,,taxable,,1,5,,,10,,,,,,",
        "3,variable,C,C,0,,,,taxable,,1,,,,,,,,,,",
        "4,variation,C1,C1,1,,,,taxable,,1,5,,,10,,,,C,,",
        "5,subscription,D,D,1,,,,taxable,,1,5,,,10,,,,,,",
        "6,simple,,E,1,,,,taxable,,1,5,,,10,,,,,,",
        "7,simple,F,F,1,,,,none,,1,'-3,,,10,,,,,,",
        "8,simple,G,G,1,,,,taxable,,1,parent,,,10,,,,,,",
    )
    assert [
        (2, "Published", "not_sellable", "A", False), (3, "Published", "not_sellable", "B", False),
        (5, "Parent", "not_sellable", "C1", False), (6, "Type", "not_sellable", "D", False),
        (7, "SKU", "no_sku", "", False), (8, "Stock", "negative_stock", "F", True), (9, "Stock", "bad_stock", "G", True),
    ] == problems(records)  # fmt: skip
    assert ("none", {"main": 0}) == (rows(records)["F"].values["tax_class"], rows(records)["F"].stock)


def test_an_export_is_read_as_a_plain_table_where_the_user_maps_its_columns(data_dir):
    records = read(data_dir / "woocommerce-sample-products.csv", columns={"price": "Regular price"}, owns=["price"])
    assert "woo-hoodie" in rows(records)


def test_online_retail_is_a_plain_table_with_every_oddity_named(data_dir):
    """28,492 order lines as if they were a catalogue: the first line of a code is its item."""
    columns = {"sku": "StockCode", "title": "Description", "price": "UnitPrice", "stock": "Quantity"}
    records = read(data_dir / "online-retail-2010-12.csv", columns=columns, currency="GBP")
    items = rows(records)
    assert 2557 == len(items)
    codes = Counter(code for _, _, code, _, _ in problems(records))
    assert {"duplicate_sku": 25807, "case_twin": 128, "negative_stock": 52, "bad_price": 43} == codes
    assert 28_492 == len(items) + codes["duplicate_sku"] + codes["case_twin"]
    assert (Money(255, "GBP"), {"main": 6}, 2) == (
        items["85123A"].values["price"], items["85123A"].stock, items["85123A"].row,
    )  # fmt: skip
