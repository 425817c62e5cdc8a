"""Workbooks, JSON lines and XML feeds."""

import tracemalloc
from datetime import UTC, datetime

import pytest

from marketsync.adapter.money import Money
from marketsync.sources import xlsx_format
from marketsync.sources.api import SourceError
from tests.unit.sources_reading import opened, problems, read, rows, write_xlsx


def test_a_workbooks_numbers_keep_their_decimals_whatever_their_texts_do(tmp_path):
    table = [
        [],
        ["SKU", "Titel", "Preis", "Gewicht (kg)", "Bestand", "EAN"],
        ["A", "<![CDATA[<b>eins</b>]]>", 1.234, 0.125, 7, 4006381333931],
        [4711, "zwei", "9,99", 1.5, 3.0, "'0400638133393"],
        [],
        ["C", "drei", "1.234", 1, "x", None],
    ]
    path = tmp_path / "a.xlsx"
    write_xlsx(path, table)
    records = read(path)
    items = rows(records)
    assert (Money(123, "EUR"), 125, {"main": 7}, "4006381333931", 3) == (
        items["A"].values["price"], items["A"].values["weight_grams"], items["A"].stock, items["A"].values["gtin"],
        items["A"].row,
    )  # fmt: skip
    assert (Money(999, "EUR"), {"main": 3}) == (items["4711"].values["price"], items["4711"].stock)
    # A point in one cell, a comma in another: what "1.234" means stays open.
    assert [(6, "Preis", "bad_price", "C", True), (6, "Bestand", "bad_stock", "C", True)] == problems(records)


def test_a_workbook_is_known_by_its_first_bytes_and_its_sheet_by_name(tmp_path):
    path = tmp_path / "export.csv"
    write_xlsx(path, [["sku", "price", "stock"], ["A", 1, 2]], sheet="Stock & prices".replace("&", "and"))
    snapshot = opened(path, sheet="Stock and prices")
    assert ("xlsx", ("sku", "price", "stock")) == (snapshot.format, snapshot.header)
    snapshot.close()
    with pytest.raises(SourceError, match="has no sheet 'Prices'; its sheets are Stock and prices"):
        read(path, sheet="Prices")


def test_a_workbook_that_unpacks_beyond_the_limit_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    path = tmp_path / "bomb.xlsx"
    write_xlsx(path, [["sku"], ["A"]], padding=8 << 20)
    monkeypatch.setattr(xlsx_format, "LARGEST", 4 << 20)
    monkeypatch.setattr(xlsx_format.CalamineWorkbook, "from_filelike", None)  # nothing is to be opened
    assert path.stat().st_size < 1 << 20
    with pytest.raises(SourceError, match=r"bomb\.xlsx: unpacks to 8 MiB, more than 4"):
        read(path)


@pytest.mark.parametrize("damage", [lambda whole: whole[: len(whole) // 2], lambda whole: b"PK\x03\x04" + b"\0" * 200])
def test_a_workbook_that_is_cut_off_is_no_snapshot(tmp_path, damage):
    path = tmp_path / "a.xlsx"
    write_xlsx(path, [["sku"], ["A"]])
    with pytest.raises(SourceError, match=r"a\.xlsx: is no"):
        read(path, damage(path.read_bytes()))


def test_json_lines_are_read_with_nested_objects_and_lists(tmp_path):
    content = (
        '{"sku": "A", "title": "eins", "price": 1.234, "prices": {"b2b": "0.90"}, "stock": {"berlin": 3, "bonn": 0},'
        ' "images": ["https://x/1,2.jpg", "https://x/2.jpg"], "tags": ["a, b", "c"],'
        ' "attributes": {"Colour": "red"}, "texts": {"de": {"title": "Eins"}}, "sale_price": null}\n'
        "\n"
        '{"sku": 12, "price": 5, "stock": 1}\n'
        "not json\n"
        "[1]\n"
        '{"sku": "B", "title": "nul\\u0000", "price": 5, "stock": 1}\n'
        '{"sku": "C", "price": true, "stock": 1.5}\n'
    )
    records = read(tmp_path / "a.jsonl", content)
    item = rows(records)["A"]
    assert {
        "title": "eins", "price": Money(123, "EUR"), "prices": {"b2b": Money(90, "EUR")}, "gross": True,
        "images": ("https://x/1,2.jpg", "https://x/2.jpg"), "tags": ("a, b", "c"), "attributes": {"Colour": "red"},
        "texts": {"de": {"title": "Eins"}},
    } == item.values  # fmt: skip
    assert ({"berlin": 3, "bonn": 0}, {"main": 1}) == (item.stock, rows(records)["12"].stock)
    assert [
        (4, "", "bad_row", "", False), (5, "", "bad_row", "", False), (6, "", "bad_row", "", False),
        (7, "price", "bad_price", "C", True), (7, "stock", "bad_stock", "C", True),
    ] == problems(records)  # fmt: skip


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('[{"sku": "A"}]', "is one JSON array: write JSON lines"),
        ('{"sku": "A", "price": 1, "stock": 1}\n{"sku": "B", "pri', r"a\.jsonl:2: is cut off here"),
        ('{"title": "x", "price": 1, "stock": 1}\n', "no column is the sku"),
        ("{}\n", "holds no items"),
    ],
)
def test_json_that_is_no_snapshot_says_why(tmp_path, content, message):
    with pytest.raises(SourceError, match=message):
        read(tmp_path / "a.jsonl", content)


def test_a_deeply_nested_document_is_text_and_no_stack_overflow(tmp_path):
    deep = '{"a":' * 900 + "1" + "}" * 900
    records = read(tmp_path / "a.jsonl", f'{{"sku": "A", "price": 1, "stock": 1, "x": {deep}}}\n')
    assert ["A"] == list(rows(records))


RSS = """<?xml version="1.0" encoding="UTF-8"?>
<rss version="2.0" xmlns:g="http://base.google.com/ns/1.0">
<channel>
<title>Shop</title><link>https://shop.example</link>
<item>
  <title>ignored</title>
  <g:id>TV-55</g:id><g:title>TV &amp; remote</g:title><g:description><![CDATA[<b>Big</b>]]></g:description>
  <g:brand>ACME</g:brand><g:gtin>4006381333931</g:gtin><g:condition>new</g:condition>
  <g:google_product_category>404</g:google_product_category><g:product_type>TV &gt; LED</g:product_type>
  <g:image_link>https://x/1.jpg</g:image_link>
  <g:additional_image_link>https://x/2.jpg</g:additional_image_link>
  <g:additional_image_link>https://x/3.jpg</g:additional_image_link>
  <g:price>1,299.00 EUR</g:price><g:sale_price>999.00 EUR</g:sale_price>
  <g:sale_price_effective_date>2026-03-01T00:00+0100/2026-03-08T23:59+0100</g:sale_price_effective_date>
  <g:item_group_id>TV</g:item_group_id><g:color>black</g:color><g:size>55"</g:size>
  <g:shipping_weight>12.5 kg</g:shipping_weight><g:availability>in_stock</g:availability><g:quantity>4</g:quantity>
  <g:cost_of_goods_sold>800 EUR</g:cost_of_goods_sold>
  <g:shipping><g:country>DE</g:country><g:price>4.95 EUR</g:price></g:shipping>
</item>
<item><g:id>GONE</g:id><g:price>5 GBP</g:price><g:availability>out of stock</g:availability></item>
<item><g:id>MANY</g:id><g:price>5 GBP</g:price><g:availability>in stock</g:availability></item>
<item><g:title>no id</g:title></item>
</channel>
</rss>
"""


def test_a_merchant_feed_is_read_with_its_sale_group_and_pictures(tmp_path):
    records = read(tmp_path / "feed.xml", RSS, owns=["content", "price", "cost", "stock"])
    items = rows(records)
    assert {
        "title": "TV & remote", "description": "<b>Big</b>", "brand": "ACME", "gtin": "4006381333931",
        "condition": "new", "category": "TV > LED", "images": ("https://x/1.jpg", "https://x/2.jpg", "https://x/3.jpg"),
        "price": Money(129900, "EUR"), "gross": True, "sale_price": Money(99900, "EUR"),
        "sale_starts": datetime(2026, 2, 28, 23, tzinfo=UTC), "sale_ends": datetime(2026, 3, 8, 22, 59, tzinfo=UTC),
        "parent": "TV", "options": {"color": "black", "size": '55"'}, "weight_grams": 12500,
        "cost": Money(80000, "EUR"), "cost_gross": False,
    } == items["TV-55"].values  # fmt: skip
    assert [{"main": 4}, {"main": 0}, {}] == [item.stock for item in items.values()]
    assert Money(500, "GBP") == items["GONE"].values["price"]
    assert [(3, "availability", "bad_stock", "MANY", True), (4, "", "no_sku", "", False)] == problems(records)


def test_an_atom_feed_is_read_and_its_own_ids_are_not_the_skus(tmp_path):
    feed = (
        '<feed xmlns="http://www.w3.org/2005/Atom" xmlns:g="http://base.google.com/ns/1.0"><id>tag:shop</id>'
        "<entry><id>urn:1</id><g:id>A</g:id><title>One</title><g:price>9,99 EUR</g:price><g:quantity>1</g:quantity></entry></feed>"
    )
    items = rows(read(tmp_path / "feed.xml", feed))
    assert ("One", Money(999, "EUR")) == (items["A"].values["title"], items["A"].values["price"])


def test_a_feed_that_is_cut_off_fails_with_its_line(tmp_path):
    with pytest.raises(SourceError, match=r"feed\.xml:15:\d+: the feed is cut off or damaged here"):
        read(tmp_path / "feed.xml", RSS[: RSS.index("<g:item_group_id>") + 5])


def test_a_large_feed_that_is_cut_off_gives_records_and_then_fails(tmp_path):
    item = "<item><g:id>S{}</g:id><g:price>9.99 EUR</g:price><g:quantity>1</g:quantity></item>\n"
    head = '<rss xmlns:g="http://base.google.com/ns/1.0"><channel>\n'
    (tmp_path / "feed.xml").write_text(head + "".join(item.format(n) for n in range(5000)) + "<item><g:id>cut")
    snapshot = opened(tmp_path / "feed.xml")
    with pytest.raises(SourceError, match=r"feed\.xml:5002:"):
        list(snapshot.records)
    snapshot.close()


def test_entities_are_refused(tmp_path):
    bomb = (
        '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;">]>'
        "<rss><channel><item><id>&b;</id></item></channel></rss>"
    )
    with pytest.raises(SourceError, match="defines entities, which is refused"):
        read(tmp_path / "feed.xml", bomb)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<!DOCTYPE html><html><body>Please log in</body></html>", "is a web page and no feed"),
        (b"\x1f\x8b\x08\x00abc", "is compressed: unpack it"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "is an old .xls: save it as .xlsx"),
        (b"<catalog><thing>1</thing></catalog>", "holds no items"),
    ],
)
def test_what_is_no_catalogue_is_recognised(tmp_path, content, message):
    with pytest.raises(SourceError, match=message):
        read(tmp_path / "a.csv", content)


def test_memory_stays_flat_while_a_feed_is_read(tmp_path):
    item = "<item><g:id>S{}</g:id><g:description>{}</g:description><g:price>9.99 EUR</g:price><g:quantity>1</g:quantity></item>\n"
    with (tmp_path / "feed.xml").open("w") as file:
        file.write('<rss xmlns:g="http://base.google.com/ns/1.0"><channel>\n')
        file.writelines(item.format(n, "text " * 200) for n in range(10_000))
        file.write("</channel></rss>")
    snapshot = opened(tmp_path / "feed.xml")
    tracemalloc.start()
    count = sum(1 for _ in snapshot.records)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    snapshot.close()
    assert 10_000 == count
    assert peak < 3 * 2**20 < (tmp_path / "feed.xml").stat().st_size
