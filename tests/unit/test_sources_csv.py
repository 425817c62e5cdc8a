"""CSV in its dialects, and which row and column a problem is reported under."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketsync.adapter.money import Money
from marketsync.domain.item import OverrideRow
from marketsync.sources.api import SourceError
from marketsync.sources.seen import Seen, Sighting
from tests.unit.sources_reading import opened, overrides, problems, read, rows

TABLE = "Artikelnummer;Titel;Preis;Bestand\nA1;Schöne Größe;1.234,56;7\nB2;Zürich;9,99;0\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "latin-1", "utf-16"])
def test_the_encoding_is_found_over_the_whole_file(tmp_path, encoding):
    """Also where the first letter that tells it stands behind a megabyte of ASCII."""
    padding = "".join(f"P{n};Plain {'x' * 60};1,50;1\n" for n in range(20_000))
    header, first, second = TABLE.splitlines(keepends=True)
    items = rows(read(tmp_path / "a.csv", (header + padding + first + second).encode(encoding)))
    assert ("Schöne Größe", "Zürich") == (items["A1"].values["title"], items["B2"].values["title"])
    assert 20_002 == len(items)


def test_an_encoding_that_windows_1252_does_not_have_is_latin_1(tmp_path):
    items = rows(read(tmp_path / "a.csv", "sku,title,price,stock\nA,é\x81,1,1\n".encode("latin-1")))
    assert "é\x81" == items["A"].values["title"]


def test_a_broken_byte_in_utf_8_costs_its_row_and_not_the_umlauts_of_all_others(tmp_path):
    content = TABLE.encode() + b"C3;br\xffken;1,00;1\n" + "D4;Öl;1,00;1\n".encode()
    records = read(tmp_path / "a.csv", content)
    assert [(4, "", "bad_row", "", False)] == problems(records)
    assert "Öl" == rows(records)["D4"].values["title"]


def test_an_encoding_that_was_set_and_is_wrong_fails_with_the_place(tmp_path):
    with pytest.raises(SourceError, match=r"a\.csv: near line 1: the text is not in utf-8"):
        read(tmp_path / "a.csv", TABLE.encode("cp1252"), encoding="utf-8")


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_the_delimiter_is_found_though_texts_are_full_of_the_others(tmp_path, delimiter, end):
    lines = [
        delimiter.join(("sku", "title", "price", "stock")),
        delimiter.join(("A", '"one, two; three | four\tfive"', "1.50", "3")),
        delimiter.join(("B", '"1;2;3;4,5,6"', "2.50", "4")),
    ]
    items = rows(read(tmp_path / "a.csv", end.join(lines)))
    assert ("one, two; three | four\tfive", {"main": 3}) == (items["A"].values["title"], items["A"].stock)
    assert Money(250, "EUR") == items["B"].values["price"]


def test_excels_own_note_of_the_delimiter_is_obeyed(tmp_path):
    records = read(tmp_path / "a.csv", "sep=|\nsku|price|stock\nA|1.50|x\n")
    assert [(3, "stock", "bad_stock", "A", True)] == problems(records)


@pytest.mark.parametrize("delimiter", ['"', "\n", " "])
def test_a_delimiter_that_cannot_be_one_is_refused(tmp_path, delimiter):
    with pytest.raises(SourceError, match="cannot stand between cells"):
        read(tmp_path / "a.csv", TABLE, delimiter=delimiter)


def test_rows_are_physical_lines_though_texts_break_over_lines(tmp_path):
    content = (
        'sku,title,price,stock\r\nA,"one\r\ntwo\r\nthree",1.00,1\r\n\r\nB,x,bad,1\r\nC,"a ""quoted"" word",1.00,-2\r\n'
    )
    records = read(tmp_path / "a.csv", content)
    assert [(6, "price", "bad_price", "B", True), (7, "stock", "negative_stock", "C", True)] == problems(records)
    items = rows(records)
    assert ("one\r\ntwo\r\nthree", 2) == (items["A"].values["title"], items["A"].row)
    assert ('a "quoted" word', {"main": 0}) == (items["C"].values["title"], items["C"].stock)


def test_a_forgotten_quote_costs_one_row(tmp_path):
    content = 'sku,title,price,stock\nA,"forgotten,1.00,1\nB,b,1.00,1\nC,"c, c",1.00,1\nD,d,1.00,1\nE,5" pipe,1.00,1\n'
    records = read(tmp_path / "a.csv", content)
    assert [(2, "", "bad_row", "", False)] == problems(records)
    assert ["B", "C", "D", "E"] == list(rows(records))


def test_a_quote_that_is_never_closed_costs_one_row(tmp_path):
    records = read(tmp_path / "a.csv", 'sku,title,price,stock\nA,a,1,1\nB,"b,1,1\nC,c,1,1\nD,d,1,1\n')
    assert [(3, "", "bad_row", "", False)] == problems(records)
    assert ["A", "C", "D"] == list(rows(records))


def test_a_row_with_more_or_fewer_columns_is_refused_and_empty_ones_are_passed_over(tmp_path):
    records = read(tmp_path / "a.csv", "sku,title,price,stock\nA,a,1.00\nB,b,1,00,1\n,,,\n\nC,c,1.00,1,,\nD,d,1.00,1\n")
    assert [(2, "", "bad_row", "", False), (3, "", "bad_row", "", False)] == problems(records)
    assert ["C", "D"] == list(rows(records))


def test_rows_that_cannot_be_used_are_named_and_the_others_go_on(tmp_path):
    content = (
        "sku,title,price,stock\n"
        ",no sku,1.00,1\n"
        "A,first,1.00,1\n"
        "A,again,2.00,2\n"
        "a,twin,2.00,2\n"
        "B,no price,gratis,3\n"
        "C,free,0.00,4\n"
        "D,half,1.00,2.5\n"
        "E,no figure,1.00,\n"
        "F,good,1.00,5\n"
    )
    records = read(tmp_path / "a.csv", content)
    assert [
        (2, "sku", "no_sku", "", False),
        (4, "sku", "duplicate_sku", "A", False),
        (5, "sku", "case_twin", "a", False),
        (6, "price", "bad_price", "B", True),
        (7, "price", "bad_price", "C", True),
        (8, "stock", "bad_stock", "D", True),
        (9, "stock", "bad_stock", "E", True),
    ] == problems(records)
    items = rows(records)
    assert ["A", "B", "C", "D", "E", "F"] == list(items)
    assert ("first", {"main": 1}) == (items["A"].values["title"], items["A"].stock)
    assert ("price" in items["B"].values, items["B"].stock) == (False, {"main": 3})
    assert {} == items["D"].stock


def test_ambiguous_prices_follow_the_rest_of_their_column(tmp_path):
    points = rows(read(tmp_path / "a.csv", "sku;price;weight (kg);stock\nA;1.234;0,5;1\nB;9.99;1,234;1\n"))
    assert (Money(123, "EUR"), 500, 1234) == (
        points["A"].values["price"], points["A"].values["weight_grams"], points["B"].values["weight_grams"],
    )  # fmt: skip
    commas = rows(read(tmp_path / "b.csv", "sku;price;stock\nA;1.234;1\nB;9,99;1.234.567\nC;1,00;2.345\n"))
    assert Money(123400, "EUR") == commas["A"].values["price"]
    assert {"main": 2345} == commas["C"].stock


def test_a_price_that_stays_ambiguous_is_reported_until_the_user_decides(tmp_path):
    content = "sku;price;stock\nA;1.234;1\nB;5;1\n"
    records = read(tmp_path / "a.csv", content)
    assert [(2, "price", "bad_price", "A", True)] == problems(records)
    assert "decimal:" in records[0].message
    mixed = read(tmp_path / "b.csv", "sku;price;stock\nA;1.234;1\nB;9,99;1\nC;9.99;1\n")
    assert [(2, "price", "bad_price", "A", True)] == problems(mixed)
    assert Money(123400, "EUR") == rows(read(tmp_path / "a.csv", content, decimal=","))["A"].values["price"]
    assert Money(123, "EUR") == rows(read(tmp_path / "a.csv", content, decimal="."))["A"].values["price"]


def test_columns_are_known_in_english_and_german_with_their_units(tmp_path):
    content = (
        "ARTIKEL-NR.;Bezeichnung;Beschreibung;Hersteller;EAN;Warengruppe;Schlagworte;Bild1;Bild2;Gewicht (kg);Größe;"
        "Farbe;Preis (GBP);UVP;Aktionspreis;Angebot von;Angebot bis;Einkaufspreis;Lagerbestand;Steuerklasse;Egal\n"
        "A;Hose;lang;Muster;4006381333931;Garten > Beete;a|b;https://x/1.jpg;https://x/2.jpg;1,25;L;rot;10,50;12;9,50;"
        "01.03.2026;31.03.2026;3,25;4;reduced;?\n"
    )
    item = rows(
        read(tmp_path / "a.csv", content, owns=["content", "price", "cost", "stock"], time_zone="Europe/Berlin")
    )["A"]
    assert {
        "title": "Hose", "description": "lang", "brand": "Muster", "gtin": "4006381333931",
        "category": "Garten > Beete", "tags": ("a", "b"), "images": ("https://x/1.jpg", "https://x/2.jpg"),
        "weight_grams": 1250, "attributes": {"Größe": "L", "Farbe": "rot"}, "price": Money(1050, "GBP"), "gross": True,
        "reference_price": Money(1200, "EUR"), "sale_price": Money(950, "EUR"),
        "sale_starts": datetime(2026, 2, 28, 23, tzinfo=UTC), "sale_ends": datetime(2026, 3, 31, 21, 59, 59, tzinfo=UTC),
        "cost": Money(325, "EUR"), "cost_gross": False, "tax_class": "reduced",
    } == item.values  # fmt: skip
    assert {"main": 4} == item.stock


def test_colour_and_size_tell_the_variants_of_a_parent_apart(tmp_path):
    item = rows(read(tmp_path / "a.csv", "sku,parent_sku,color,size,price,stock\nA-1,A,red,L,1.00,1\n"))["A-1"]
    assert ("A", {"color": "red", "size": "L"}) == (item.values["parent"], item.values["options"])
    assert "attributes" not in item.values


def test_columns_are_mapped_by_hand_also_to_parts_of_fields(tmp_path):
    columns = {
        "sku": "Code", "title": "Name 1", "prices.b2b": "P2", "attributes.Colour": "Col", "stock.berlin": "BER",
        "stock.bonn": "BON", "texts.de.title": "Name DE", "options.Size": "Sz", "price": "P1",
    }  # fmt: skip
    content = "code,Name 1,P1,P2,Col,BER,BON,Name DE,Sz,title\nA,one,1.00,0.90,red,3,4,eins,L,other\n"
    item = rows(read(tmp_path / "a.csv", content, columns=columns))["A"]
    assert {"berlin": 3, "bonn": 4} == item.stock
    assert {
        "title": "one", "price": Money(100, "EUR"), "prices": {"b2b": Money(90, "EUR")}, "gross": True,
        "attributes": {"Colour": "red"}, "texts": {"de": {"title": "eins"}}, "options": {"Size": "L"},
    } == item.values  # fmt: skip


def test_a_mapping_that_fits_nothing_names_the_nearest(tmp_path):
    with pytest.raises(
        SourceError, match=r"a\.csv: columns: price: the source has no column 'Preiss', did you mean 'Preis'"
    ):
        read(tmp_path / "a.csv", TABLE, columns={"price": "Preiss"})
    with pytest.raises(SourceError, match=r"columns: 'prise' is no field, did you mean 'price'"):
        read(tmp_path / "a.csv", TABLE, columns={"prise": "Preis"})


@pytest.mark.parametrize(("owns", "missing"), [("stock", "stock"), ("price", "price"), ("cost", "cost")])
def test_a_source_that_lacks_what_it_owns_is_refused(tmp_path, owns, missing):
    with pytest.raises(SourceError, match=f"no column is the {missing}: name it under"):
        read(tmp_path / "a.csv", "sku,title\nA,a\n", owns=[owns])
    with pytest.raises(SourceError, match="no column is the sku"):
        read(tmp_path / "a.csv", "code x,price,stock,cost\nA,1,1,1\n", owns=[owns])


def test_two_columns_of_one_name_are_refused(tmp_path):
    with pytest.raises(SourceError, match="both column 'Price' and column 'price' are the price"):
        read(tmp_path / "a.csv", "sku,Price,price,stock\nA,1,2,3\n")


def test_only_what_the_source_owns_is_told(tmp_path):
    content = "sku,title,price,cost,stock\nA,a,not read,1.00,5\n"
    stock = read(tmp_path / "a.csv", content, owns=["stock"], location="berlin")
    assert ({}, {"berlin": 5}) == (stock[0].values, stock[0].stock)
    cost = read(tmp_path / "a.csv", content, owns=["cost"], costs="gross")
    assert ({"cost": Money(100, "EUR"), "cost_gross": True}, {}) == (cost[0].values, cost[0].stock)
    title = read(tmp_path / "a.csv", content, owns=["title"])
    assert ({"title": "a"}, {}) == (title[0].values, title[0].stock)


def test_a_currency_column_holds_for_its_row(tmp_path):
    records = read(tmp_path / "a.csv", "sku,price,currency,stock\nA,5,chf,1\nB,5,XYZ,1\nC,5,,1\n")
    assert [(3, "currency", "bad_price", "B", True)] == problems(records)
    items = rows(records)
    assert (Money(500, "CHF"), None, Money(500, "EUR")) == tuple(items[sku].values.get("price") for sku in "ABC")


def test_a_sale_of_which_a_part_cannot_be_read_is_no_sale(tmp_path):
    content = (
        "sku,price,sale price,sale from,sale to,stock\n"
        "A,5,4,2026-03-01,someday,1\nB,5,x,2026-03-01,,1\nC,5,4,2026-03-02,2026-03-01,1\nD,5,4,,,1\n"
    )
    records = read(tmp_path / "a.csv", content)
    assert [
        (2, "sale to", "bad_date", "A", True), (3, "sale price", "bad_price", "B", True), (4, "", "bad_date", "C", True),
    ] == problems(records)  # fmt: skip
    assert ["D"] == [sku for sku, item in rows(records).items() if any("sale" in name for name in item.values)]


def test_a_weight_column_without_a_unit_is_reported_once(tmp_path):
    records = read(tmp_path / "a.csv", "sku,weight,price,stock\nA,5,1,1\nB,6,1,1\nC,7 kg,1,1\n")
    assert [(2, "weight", "bad_number", "A", True)] == problems(records)
    assert 7000 == rows(records)["C"].values["weight_grams"]


def test_cells_that_look_like_formulas_or_markup_are_text(tmp_path):
    cells = [
        "=cmd|' /C calc'!A0",
        "+1+1",
        "@SUM(A1)",
        "<script>alert(1)</script>",
        "{title.__class__}",
        "'; DROP TABLE item",
    ]
    content = "sku\ttitle\tprice\tstock\n" + "".join(f"S{n}\t{cell}\t1.00\t1\n" for n, cell in enumerate(cells))
    assert cells == [item.values["title"] for item in rows(read(tmp_path / "a.csv", content)).values()]


def test_a_nul_character_that_no_database_stores_costs_its_row(tmp_path):
    records = read(tmp_path / "a.csv", "sku,title,price,stock\nA,a\0b,1,1\nB,b,1,1\n")
    assert [(2, "", "bad_row", "", False)] == problems(records)
    assert ["B"] == list(rows(records))


@pytest.mark.parametrize("content", ["", "   \n\n", "\ufeff"])
def test_an_empty_file_is_no_snapshot(tmp_path, content):
    with pytest.raises(SourceError, match=r"a\.csv: is empty"):
        read(tmp_path / "a.csv", content)


def test_a_header_without_rows_is_a_snapshot_without_records(tmp_path):
    assert [] == read(tmp_path / "a.csv", "sku,title,price,stock\n")


def test_overrides_are_read_with_their_end_and_never_pinned_for_ever_by_mistake(tmp_path):
    content = (
        "channel;sku;field;value;reason;until\n"
        "shop-de;A;price;9,99;promise;31.03.2026\n"
        ";B;title;New;;\n"
        "shop-de;A;price;8,99;;\n"
        "shop-de;C;price;1;;whenever\n"
        "shop-de;;price;1;;\n"
        "shop-de;D;;1;;\n"
        "shop-fr;A;price;7;;\n"
    )
    records = read(tmp_path / "a.csv", content, owns=["overrides"])
    assert [
        OverrideRow(
            channel="shop-de", sku="A", field="price", value="9,99", row=2, reason="promise",
            until=datetime(2026, 3, 31, 23, 59, 59, tzinfo=UTC),
        ),
        OverrideRow(channel="*", sku="B", field="title", value="New", row=3),
        OverrideRow(channel="shop-fr", sku="A", field="price", value="7", row=8),
    ] == overrides(records)  # fmt: skip
    assert [
        (4, "sku", "duplicate_sku", "A", False), (5, "until", "bad_date", "C", False), (6, "sku", "no_sku", "", False),
        (7, "field", "bad_row", "D", False),
    ] == problems(records)  # fmt: skip


def test_the_export_time_is_that_of_a_column_and_older_rows_keep_their_figure(tmp_path):
    content = (
        "sku,stock,exported_at\nA,5,2026-03-01T12:30:00+01:00\nB,6,2026-03-01T12:30:00+01:00\n"
        "C,7,2026-03-01T12:29:00+01:00\nD,8,\n"
    )
    path = tmp_path / "a.csv"
    path.write_text(content)
    snapshot = opened(path, owns=["stock"])
    records = list(snapshot.records)
    snapshot.close()
    assert datetime(2026, 3, 1, 11, 30, tzinfo=UTC) == snapshot.exported
    assert [(4, "exported_at", "bad_date", "C", True), (5, "exported_at", "bad_date", "D", True)] == problems(records)
    assert [{"main": 5}, {"main": 6}, {}, {}] == [item.stock for item in rows(records).values()]


def test_an_export_from_the_future_is_refused_because_it_would_release_what_was_sold_since(tmp_path):
    with pytest.raises(SourceError, match=r"1\.0 hours from now: set `time_zone:`"):
        read(tmp_path / "a.csv", "sku,stock,exported_at\nA,5,2026-03-01 13:00\n", owns=["stock"])


@given(keys=st.lists(st.text(alphabet="aAbBß1", max_size=4), max_size=200))
def test_keys_are_recognised_again_also_in_another_case(keys):
    seen, exact, folded = Seen(), dict[str, str](), set[str]()
    for key in keys:
        fold = key.casefold()
        wanted = Sighting.NEW if fold not in folded else Sighting.AGAIN if exact[fold] == key else Sighting.TWIN
        assert wanted is seen.add(key)
        folded.add(fold)
        exact.setdefault(fold, key)


def test_keys_stay_known_while_their_table_grows():
    seen = Seen()
    assert {Sighting.NEW} == {seen.add(f"SKU-{n}") for n in range(20_000)}
    assert {Sighting.AGAIN} == {seen.add(f"SKU-{n}") for n in range(20_000)}
    assert {Sighting.TWIN} == {seen.add(f"sku-{n}") for n in range(20_000)}


def test_memory_stays_flat_while_a_large_file_is_read(tmp_path: Path):
    """Beside the keys (32 bytes each), nothing grows with the rows."""
    import tracemalloc

    path = tmp_path / "a.csv"
    with path.open("w") as file:
        file.write("sku,title,price,stock\n")
        file.writelines(f"SKU-{n},{'title ' * 50},{n % 90}.99,{n % 7}\n" for n in range(40_000))
    snapshot = opened(path)
    tracemalloc.start()
    count = sum(1 for _ in snapshot.records)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    snapshot.close()
    assert 40_000 == count
    assert peak < 6 * 2**20 < path.stat().st_size
