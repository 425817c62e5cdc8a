"""Whatever a file contains, it gives records and problems, or one SourceError: never another exception."""

import time
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from marketsync.domain.item import FIELD_GROUPS, RowProblem, SourceRow
from marketsync.sources.api import SourceError
from tests.unit.sources_reading import problems, read, rows

EVERYTHING = ["content", "price", "cost", "stock"]
HEADER = (
    "sku,title,description,brand,ean,category,tags,condition,parent,image1,image2,video,weight_kg,size,price,sale_price,"
    "sale_from,sale_to,uvp,cost,tax_class,stock,availability,currency,prices.b2b,stock.berlin,attributes.A,texts.de.title"
)
WIDTH = HEADER.count(",") + 1
CODES = {
    "no_sku", "duplicate_sku", "case_twin", "bad_price", "negative_stock", "bad_stock", "bad_date", "bad_number",
    "not_sellable", "bad_row",
}  # fmt: skip
nasty = st.one_of(
    st.text(max_size=30),
    st.sampled_from(
        ["1.234", "-1", "1e999", "NaN", "9" * 200, "€", "1,-", "2026-13-01", "0001-01-01", "9999-12-31T23:59-23:59", "\x1f",
         "=1+1", '"', "\u202e", "＄5", "١٢", "0.0000000001", "https://x/a b", "😀"]
    ),
)  # fmt: skip
slow = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)


def check(records):
    """What the engine relies on of every record."""
    fields = frozenset().union(*FIELD_GROUPS.values())
    for record in records:
        if isinstance(record, RowProblem):
            assert record.code in CODES
            assert record.message
            assert record.row >= 1
        else:
            assert isinstance(record, SourceRow)
            assert record.sku == record.sku.strip() != ""
            assert record.values.keys() <= fields
            assert all(isinstance(pieces, int) and pieces >= 0 for pieces in record.stock.values())
            for name in ("price", "sale_price", "reference_price", "cost"):
                assert name not in record.values or record.values[name].minor >= (name != "cost")
            assert not any("\0" in text for text in record.values.values() if isinstance(text, str))


@slow
@given(content=st.one_of(st.binary(max_size=400), st.text(max_size=200).map(str.encode)), prefix=st.sampled_from(
    [b"", b"sku,price,stock\n", b"\xef\xbb\xbfsku;price;stock\r\n", b"\xff\xfe", b"PK\x03\x04", b'{"sku": ', b"<rss><item>", b"sep=;\n"]
))  # fmt: skip
def test_any_bytes_give_records_or_one_source_error(tmp_path, content, prefix):
    with suppress(SourceError):
        check(read(tmp_path / "a", prefix + content, owns=["price", "stock"]))


@slow
@given(table=st.lists(st.lists(nasty, min_size=WIDTH, max_size=WIDTH), min_size=1, max_size=4))
def test_any_cells_give_records_whose_other_fields_are_used(tmp_path, table):
    def quoted(cell):
        return '"' + cell.replace('"', '""').replace("\ud800", "") + '"'

    lines = [HEADER] + [",".join(map(quoted, [f"S{n}", *row[1:]])) for n, row in enumerate(table)]
    content = "\n".join(lines).encode("utf-8", "replace")
    records = read(tmp_path / "a.csv", content, owns=EVERYTHING)
    check(records)
    if not any("\0" in cell for row in table for cell in row):
        assert [f"S{n}" for n in range(len(table))] == list(rows(records))


@slow
@given(texts=st.lists(st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20),
                      min_size=1, max_size=8), ending=st.sampled_from(["\n", "\r\n"]))  # fmt: skip
def test_texts_that_are_quoted_rightly_come_back_as_they_were(tmp_path, texts, ending):
    lines = ["sku;title;price;stock"] + [
        f'S{n};"{t.replace(chr(34), chr(34) * 2)}";1,00;1' for n, t in enumerate(texts)
    ]
    records = read(tmp_path / "a.csv", ending.join(lines).encode())
    assert [] == problems(records)
    assert [text.strip() for text in texts] == [item.values["title"] for item in rows(records).values()]


@pytest.mark.parametrize("line", ['S{n},"open,1,1\n', 'S{n},a"b,1,1\n', 'S{n},"a"b,1,1\n', '"S{n},x,1,1\n'])
def test_thousands_of_forgotten_quotes_do_not_make_reading_slow(tmp_path, line):
    """Reading goes on at the next line, so the work stays in proportion to the file (30,000 rows: well below 10 s)."""
    content = "sku,title,price,stock\n" + "".join(line.format(n=n) for n in range(30_000))
    began = time.perf_counter()
    records = read(tmp_path / "a.csv", content)
    assert 30_000 == len(records)
    assert time.perf_counter() - began < 10
