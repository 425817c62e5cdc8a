"""Where sources are read: files and patterns, the web, databases; and when there is nothing new."""

import asyncio
import base64
import os
import sqlite3
from datetime import UTC, datetime

import httpx
import pytest

from marketsync.adapter.money import Money
from marketsync.sources.api import Previous, SourceError, SourceSettings, open_source
from marketsync.sources.file import FileSource
from marketsync.sources.http import HttpSource
from marketsync.sources.sql import SqlSource
from marketsync.testing.clock import TurnedClock
from tests.unit.sources_reading import problems, rows

CLOCK = TurnedClock(datetime(2026, 3, 1, 12, tzinfo=UTC))
TABLE = "sku,price,stock\nA,9.99,5\nB,1.50,0\n"
OWNS = ["price", "stock"]


def source(tmp_path, file="a.csv", **settings):
    return FileSource("pim", SourceSettings(file=file, **{"owns": OWNS, **settings}), tmp_path, CLOCK)


def taken(snapshot):
    try:
        return list(snapshot.records)
    finally:
        snapshot.close()


def opened(source_, previous=None):
    return asyncio.run(source_.open(previous))


def kept(snapshot):
    return Previous(snapshot.checksum, snapshot.marks)


def written(path, content, *, at=datetime(2026, 3, 1, 11, tzinfo=UTC)):
    path.write_text(content)
    os.utime(path, (at.timestamp(), at.timestamp()))


def test_a_files_export_time_is_when_it_was_written(tmp_path):
    written(tmp_path / "a.csv", TABLE)
    snapshot = opened(source(tmp_path))
    assert datetime(2026, 3, 1, 11, tzinfo=UTC) == snapshot.exported
    assert CLOCK.now() == snapshot.read
    assert ["A", "B"] == list(rows(taken(snapshot)))


def test_a_file_from_the_future_counts_as_written_when_it_was_read(tmp_path):
    written(tmp_path / "a.csv", TABLE, at=datetime(2027, 1, 1, tzinfo=UTC))
    snapshot = opened(source(tmp_path))
    assert CLOCK.now() == snapshot.exported
    snapshot.close()


def test_an_untouched_file_is_not_read_again_and_a_touched_one_has_the_same_checksum(tmp_path):
    written(tmp_path / "a.csv", TABLE)
    first = opened(source(tmp_path))
    first.close()
    assert opened(source(tmp_path), kept(first)) is None
    later = datetime(2026, 3, 1, 11, 30, tzinfo=UTC)
    written(tmp_path / "a.csv", TABLE, at=later)
    touched = opened(source(tmp_path), kept(first))
    touched.close()
    assert (first.checksum, later) == (touched.checksum, touched.exported)
    written(tmp_path / "a.csv", TABLE.replace("9.99", "9.98"), at=later)
    changed = opened(source(tmp_path), kept(touched))
    assert changed is None  # the same size and time: nothing tells that it changed
    written(tmp_path / "a.csv", TABLE.replace("9.99", "10.99"), at=later)
    changed = opened(source(tmp_path), kept(touched))
    changed.close()
    assert first.checksum != changed.checksum


def test_other_settings_read_the_same_bytes_anew_under_another_checksum(tmp_path):
    written(tmp_path / "a.csv", TABLE)
    first = opened(source(tmp_path))
    first.close()
    second = opened(source(tmp_path, currency="PLN"), kept(first))
    second.close()
    assert first.checksum != second.checksum


def test_the_files_of_a_pattern_are_one_snapshot_in_the_order_of_their_names(tmp_path):
    (tmp_path / "exports").mkdir()
    written(tmp_path / "exports" / "b.csv", "sku;price;stock\nC;2,50;1\na;1,00;1\n")
    written(tmp_path / "exports" / "a.csv", TABLE, at=datetime(2026, 3, 1, 9, tzinfo=UTC))
    written(tmp_path / "exports" / "notes.txt", "no catalogue")
    snapshot = opened(source(tmp_path, "exports/*.csv"))
    records = taken(snapshot)
    assert ["A", "B", "C"] == list(rows(records))
    assert [(3, "sku", "case_twin", "a", False)] == problems(records)
    assert records[-1].message.startswith("b.csv: ")
    assert datetime(2026, 3, 1, 9, tzinfo=UTC) == snapshot.exported
    with pytest.raises(SourceError, match=r"exports/\*\.xml: there is no such file"):
        opened(source(tmp_path, "exports/*.xml"))


def test_what_is_no_readable_file_says_so(tmp_path):
    with pytest.raises(SourceError, match=r"a\.csv: there is no such file: check the path"):
        opened(source(tmp_path))
    with pytest.raises(SourceError, match="is no file: name a file, or a pattern"):
        opened(source(tmp_path, "."))
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SourceError, match="is no file"):
        opened(source(tmp_path, "pipe"))


def test_a_file_that_is_replaced_while_it_is_read_is_read_to_its_end(tmp_path):
    written(tmp_path / "a.csv", TABLE)
    snapshot = opened(source(tmp_path))
    written(tmp_path / "new.csv", "sku,price,stock\nZ,1,1\n")
    (tmp_path / "new.csv").replace(tmp_path / "a.csv")
    assert ["A", "B"] == list(rows(taken(snapshot)))


def test_a_file_that_is_written_while_it_is_read_is_no_snapshot(tmp_path):
    written(tmp_path / "a.csv", TABLE)
    snapshot = opened(source(tmp_path))
    with (tmp_path / "a.csv").open("a") as file:
        file.write("C,1.00,1\n")
    with pytest.raises(SourceError, match="is being written: export to another name and rename it"):
        taken(snapshot)


def test_sources_are_found_by_their_entry_points(tmp_path):
    for kind, settings in (
        (FileSource, {"file": "a.csv"}),
        (HttpSource, {"http": "https://shop.example/feed.xml"}),
        (SqlSource, {"sql": {"url": "sqlite://", "query": "select 1"}}),
    ):
        assert kind is type(open_source("pim", SourceSettings(owns=OWNS, **settings), tmp_path, CLOCK))
    with pytest.raises(SourceError, match="no installed package offers to read 'channel'"):
        open_source("shop", SourceSettings(owns=["stock"], channel="shop-de"), tmp_path, CLOCK)


def served(tmp_path, handler, **http):
    settings = SourceSettings(http={"url": "https://shop.example/feed.csv?key=secret", **http}, owns=OWNS)
    return HttpSource("web", settings, tmp_path, CLOCK, transport=httpx.MockTransport(handler))


def test_a_download_is_asked_for_only_if_it_changed(tmp_path):
    asked = []

    def handler(request):
        asked.append({name: request.headers.get(name) for name in ("authorization", "if-none-match", "x-shop")})
        if request.headers.get("if-none-match") == '"1"':
            return httpx.Response(304)
        headers = {"etag": '"1"', "last-modified": "Sun, 01 Mar 2026 10:30:00 GMT"}
        return httpx.Response(200, text=TABLE, headers=headers)

    source_ = served(tmp_path, handler, user="me", password="p", headers={"X-Shop": "7"})
    first = opened(source_)
    assert ["A", "B"] == list(rows(taken(first)))
    assert datetime(2026, 3, 1, 10, 30, tzinfo=UTC) == first.exported
    assert opened(source_, kept(first)) is None
    login = "Basic " + base64.b64encode(b"me:p").decode()
    assert [
        {"authorization": login, "if-none-match": None, "x-shop": "7"},
        {"authorization": login, "if-none-match": '"1"', "x-shop": "7"},
    ] == asked


def test_a_download_without_a_date_counts_as_exported_when_it_was_asked_for(tmp_path):
    snapshot = opened(served(tmp_path, lambda _: httpx.Response(200, text=TABLE)))
    snapshot.close()
    assert CLOCK.now() == snapshot.exported


@pytest.mark.parametrize("status", [401, 404, 500])
def test_a_refused_download_says_so_without_the_secret_in_its_address(tmp_path, status):
    with pytest.raises(SourceError, match=r"shop\.example/feed\.csv") as refused:
        opened(served(tmp_path, lambda _: httpx.Response(status)))
    assert "secret" not in str(refused.value)


def test_a_download_beyond_the_limit_is_refused(tmp_path):
    with pytest.raises(SourceError, match="is larger than 1,048,576 bytes"):
        opened(served(tmp_path, lambda _: httpx.Response(200, content=bytes(2 << 20)), max_size=1))


def test_a_login_page_instead_of_a_feed_is_refused(tmp_path):
    with pytest.raises(SourceError, match="web: is a web page and no feed: check the address and the login"):
        opened(served(tmp_path, lambda _: httpx.Response(200, text="<html>Log in</html>")))


@pytest.fixture
def database(tmp_path):
    path = tmp_path / "erp.db"
    with sqlite3.connect(path) as connection:
        connection.executescript(
            "create table stock (sku text, on_hand, price, title text, exported_at text);"
            "insert into stock values ('A', 5, 1.234, 'Ü; \"q\"' || char(10) || 'x', '2026-03-01 12:30'),"
            "('B', -1, '9,99', null, '2026-03-01 12:30'), ('C', 2.5, 5, 'nul' || char(0), '2026-03-01 12:30'),"
            "('D', '3', 1234.5, 'it''s 12:30 :x', '2026-03-01 12:30');"
        )
    connection.close()
    return f"sqlite:///{path}"


def sql(tmp_path, url, query, **settings):
    told = {"owns": ["title", "price", "stock"], "time_zone": "Europe/Berlin", **settings}
    return SqlSource("erp", SourceSettings(sql={"url": url, "query": query}, **told), tmp_path, CLOCK)


def test_the_rows_of_a_query_are_records_with_exact_numbers(tmp_path, database):
    snapshot = opened(sql(tmp_path, database, "select * from stock where title is null or title <> ':x 12:30'"))
    records = taken(snapshot)
    items = rows(records)
    assert ("sql", datetime(2026, 3, 1, 11, 30, tzinfo=UTC)) == (snapshot.format, snapshot.exported)
    assert [(2, "on_hand", "negative_stock", "B", True), (3, "", "bad_row", "", False)] == problems(records)
    assert (Money(123, "EUR"), 'Ü; "q"\nx', {"main": 5}) == (
        items["A"].values["price"], items["A"].values["title"], items["A"].stock,
    )  # fmt: skip
    assert (Money(999, "EUR"), "") == (items["B"].values["price"], items["B"].values["title"])
    assert ("it's 12:30 :x", Money(123450, "EUR"), 4) == (
        items["D"].values["title"], items["D"].values["price"], items["D"].row,
    )  # fmt: skip


def test_the_checksum_of_a_query_tells_whether_any_row_differs(tmp_path, database):
    query = "select sku, on_hand, price from stock where sku in ('A', 'D')"
    first, again = opened(sql(tmp_path, database, query)), opened(sql(tmp_path, database, query))
    with sqlite3.connect(database.removeprefix("sqlite:///")) as connection:
        connection.execute("update stock set on_hand = 6 where sku = 'A'")
    connection.close()
    changed = opened(sql(tmp_path, database, query))
    for snapshot in (first, again, changed):
        snapshot.close()
    assert first.checksum == again.checksum != changed.checksum


@pytest.mark.parametrize(
    ("url", "query", "message"),
    [
        ("{database}", "select * from nowhere", "source erp: the query fails: no such table: nowhere"),
        ("{database}", "select sku, x'ff00' as title, 1 as price, 1 as stock from stock", "a column holds bytes"),
        ("{database}", "select title from stock", "erp: no column is the sku"),
        ("not a url hunter2", "select 1", "it is no SQLAlchemy URL; write it such as"),
        ("oracle+nosuch://u:hunter2@h/d", "select 1", "the database address cannot be used"),
        ("postgresql+psycopg://u:hunter2@127.0.0.1:1/d", "select 1", "the query fails: connection"),
    ],
)
def test_a_query_that_cannot_be_run_says_why_without_the_password(tmp_path, database, url, query, message):
    with pytest.raises(SourceError, match=message) as refused:
        opened(sql(tmp_path, url.format(database=database), query))
    assert "hunter2" not in str(refused.value)


def test_a_query_runs_on_postgresql_with_its_own_colons_and_percents(tmp_path, postgres_url):
    query = (
        "select 'A-' || n as sku, n::int as stock, (n / 8.0)::numeric(12, 3) as price, 'a%b :c 12:30' as title "
        "from generate_series(1, 2500) n where 'ab' like 'a%' order by n"
    )
    records = taken(opened(sql(tmp_path, postgres_url, query)))
    items = rows(records)
    assert ([], 2500) == (problems(records), len(items))
    assert (Money(13, "EUR"), {"main": 2500}, "a%b :c 12:30") == (
        items["A-1"].values["price"], items["A-2500"].stock, items["A-2500"].values["title"],
    )  # fmt: skip
