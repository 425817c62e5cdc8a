"""What a running daemon may go on with, what a reload changes, and the listing map as a CSV."""

import pytest

from marketsync.adapter.errors import ConfigError
from marketsync.config.diff import diff
from marketsync.config.loader import load
from tests.unit.config_writing import ADAPTERS, loaded, told, write

WHOLE = """
    accounts:
      m: {adapter: shop, credentials: {token: t}}
    sources:
      pim: {file: a.csv, owns: [content, price]}
    channels:
      a: {account: m, stock: {buffer: 1}}
      b: {account: m, settings: {storefront: b}}
      c: {adapter: shop, credentials: {token: own}}
    sinks:
      erp: {folder: orders}
      hook: {webhook: "https://x", secret: s}
"""


def test_a_mistake_in_one_channel_leaves_the_others_usable(tmp_path):
    result = loaded(tmp_path, WHOLE.replace("buffer: 1", "buffer: x"))
    assert ["b", "c"] == list(result.config.channels)
    assert ({"a"}, frozenset()) == (result.broken_channels, result.broken_sinks)
    with pytest.raises(ConfigError) as refused:
        result.whole()
    assert result.problems == refused.value.problems


def test_a_mistake_in_an_account_takes_its_own_channels_with_it_and_no_other(tmp_path):
    result = loaded(tmp_path, WHOLE.replace("{token: t}", "{}"))
    assert (["c"], ["c"]) == (list(result.config.channels), list(result.config.accounts))
    assert {"a", "b"} == result.broken_channels


def test_a_broken_channel_takes_the_account_that_it_brought_along(tmp_path):
    result = loaded(tmp_path, WHOLE.replace("{token: own}", "{token: own}, price: 7"))
    assert (["a", "b"], ["m"]) == (list(result.config.channels), list(result.config.accounts))


def test_a_mistake_in_a_sink_leaves_everything_else_usable(tmp_path):
    result = loaded(tmp_path, WHOLE.replace(", secret: s", ""))
    assert (["a", "b", "c"], ["erp"]) == (list(result.config.channels), list(result.config.sinks))
    assert {"hook"} == result.broken_sinks


def test_a_missing_secret_breaks_only_the_channel_that_needs_it(tmp_path):
    result = loaded(tmp_path, WHOLE.replace("token: own", 'token: "${env:NOPE}"'))
    assert ["a", "b"] == list(result.config.channels)


def test_a_name_twice_breaks_only_that_channel(tmp_path):
    result = loaded(
        tmp_path,
        "    include: b.yaml" + WHOLE,
        b_yaml="channels: {b: {account: m, settings: {storefront: b}}, d: {account: m, settings: {storefront: d}}}\n",
    )
    assert (["a", "c", "d"], {"b"}) == (list(result.config.channels), result.broken_channels)


@pytest.mark.parametrize(
    "mistake",
    [
        ("owns: [content, price]", "owns: [contents]"),
        ("    sinks:", "    metrics: x\n    sinks:"),
        ("    sinks:", "    sinks: ["),
        ("    sinks:", "    unknown: 1\n    sinks:"),
    ],
)
def test_a_mistake_that_concerns_everything_leaves_nothing_usable(tmp_path, mistake):
    result = loaded(tmp_path, WHOLE.replace(*mistake))
    assert None is result.config
    with pytest.raises(ConfigError):
        result.over(loaded(tmp_path, WHOLE).whole())


def test_a_reload_keeps_broken_channels_and_sinks_as_they_were(tmp_path):
    old = loaded(tmp_path, WHOLE).whole()
    changed = WHOLE.replace("buffer: 1", "buffer: x").replace(
        "b: {account: m, settings: {storefront: b}}", "b: {account: m, settings: {storefront: b}, keep_buyers: 5d}"
    )
    result = loaded(tmp_path, changed.replace(", secret: s", "").replace("{token: own}", "{tokn: own}"))
    new = result.over(old)
    assert (old.channels["a"], old.channels["c"]) == (new.channels["a"], new.channels["c"])
    assert (old.accounts["c"], old.sinks["hook"]) == (new.accounts["c"], new.sinks["hook"])
    assert 5 == new.buyers_kept("b").days
    assert 90 == new.buyers_kept("a").days
    assert ("b",) == diff(old, new).changed_channels


def test_the_same_files_are_no_change(tmp_path):
    old, new = loaded(tmp_path, WHOLE).whole(), loaded(tmp_path, WHOLE).whole()
    assert not diff(old, new)


CHANGES = {
    "a channel's rule": (("buffer: 1", "buffer: 2"), {"changed_channels": ("a",)}),
    "a channel's schedule": (("buffer: 1}", "buffer: 1}, schedule: {orders: 5m}"), {"changed_channels": ("a",)}),
    "the secret of an account": (("token: t", "token: u"), {"changed_channels": ("a", "b")}),
    "the secret of a channel": (("token: own", "token: new"), {"changed_channels": ("c",)}),
    "a new channel": (("c: {adapter", "d: {account: m, settings: {storefront: d}}\n      c: {adapter"), {"added": ("d",)}),
    "a channel less": (("b: {account: m, settings: {storefront: b}}", ""), {"removed": ("b",)}),
    "a channel renamed": (("b: {account", "bb: {account"), {"added": ("bb",), "removed": ("b",)}),
    "what all channels share": (("    sinks:", "    vat: {DE: {standard: 19}}\n    sinks:"), {"changed_channels": ("a", "b", "c")}),
    "a source": (("a.csv", "b.csv"), {"changed_sources": ("pim",)}),
    "another source": (("pim:", "erp: {file: s.csv, owns: stock}\n      pim:"), {"changed_sources": ("erp",)}),
    "a sink less": (('hook: {webhook: "https://x", secret: s}', ""), {"changed_sinks": ("hook",)}),
    "retention": (("    sinks:", "    retention: {journals: 1d}\n    sinks:"), {"retention_changed": True}),
    "a listener": (("    sinks:", "    metrics: 127.0.0.1:1\n    inbound: 127.0.0.1:2\n    sinks:"), {"restart_needed": ("metrics", "inbound")}),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_a_reload_touches_only_what_changed(tmp_path, name):
    (before, after), expected = CHANGES[name]
    assert before in WHOLE
    difference = diff(loaded(tmp_path, WHOLE).whole(), loaded(tmp_path, WHOLE.replace(before, after)).whole())
    nothing = diff(*[loaded(tmp_path, WHOLE).whole()] * 2)
    assert expected == {
        field: getattr(difference, field)
        for field in nothing.__slots__
        if getattr(difference, field) != getattr(nothing, field)
    }


def test_times_without_a_zone_are_read_in_the_zone_of_the_top_level(tmp_path):
    sources = loaded(
        tmp_path,
        """
        time_zone: Europe/Paris
        sources:
          a: {file: a.csv, owns: content}
          b: {file: b.csv, owns: content, time_zone: Asia/Tokyo}
        """,
    ).whole().sources  # fmt: skip
    assert ["Europe/Paris", "Asia/Tokyo"] == [str(source.time_zone) for source in sources.values()]


def test_relative_paths_start_at_the_folder_of_the_main_file_wherever_one_stands(tmp_path, monkeypatch):
    (tmp_path / "conf").mkdir()
    path = write(
        tmp_path / "conf",
        """
        ledger: sqlite:///shop.db?timeout=5
        shipments: in
        sources: {a: {file: "../exports/*.csv", owns: content}, b: {file: /srv/b.csv, owns: price}}
        sinks: {x: {folder: out}}
        """,
    )
    monkeypatch.chdir(tmp_path)
    config = load(path.relative_to(tmp_path), adapters=ADAPTERS).whole()
    assert f"sqlite:///{tmp_path}/conf/shop.db?timeout=5" == config.ledger.get_secret_value()
    assert f"{tmp_path}/conf/in" == config.shipments
    assert f"{tmp_path}/conf/../exports/*.csv" == config.sources["a"].file
    assert "/srv/b.csv" == config.sources["b"].file
    assert f"{tmp_path}/conf/out" == config.sinks["x"].folder


def test_the_ledger_lies_beside_the_file_unless_told_otherwise(tmp_path):
    assert f"sqlite:///{tmp_path}/marketsync.db" == loaded(tmp_path, "").whole().ledger.get_secret_value()
    memory = loaded(tmp_path, "ledger: 'sqlite:///:memory:'").whole().ledger.get_secret_value()
    assert "sqlite:///:memory:" == memory


@pytest.mark.parametrize(
    ("text", "kind", "on_hand"),
    [
        ("file: x", "file", "ledger"),
        ("http: 'https://x/y.csv'", "http", "ledger"),
        ("sql: {url: 'sqlite://', query: select 1}, falls_at: never", "sql", "source"),
        ("channel: c", "channel", "channel"),
    ],
)
def test_who_knows_on_hand_follows_from_what_is_said(tmp_path, text, kind, on_hand):
    channel = "channels: {c: {adapter: shop, credentials: {token: x}}}"
    source = loaded(tmp_path, f"sources: {{a: {{{text}, owns: stock}}}}\n{channel}").whole().sources["a"]
    assert (kind, on_hand) == (source.kind, source.on_hand)
    assert frozenset() == source.owned_fields()


KITS = "channels: {a: {adapter: shop, credentials: {token: x}, listing_map: {file: kits.csv}}}"


def test_the_listing_map_may_be_a_csv(tmp_path):
    (tmp_path / "kits.csv").write_text(
        "\ufeffchannel_sku; sku ;quantity\nKIT;A;2\nKIT;B;\n OLD ;no;1\n\nPACK;012;6\n", "utf-8"
    )
    result = loaded(tmp_path, KITS)
    channel = result.whole().channels["a"]
    assert {"KIT": {"A": 2, "B": 1}, "OLD": {"no": 1}, "PACK": {"012": 6}} == channel.listing_map
    assert tmp_path / "kits.csv" in result.files


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("sku,channel_sku\nA,KIT\n,KIT\n", "kits.csv:3:1: channels.a.listing_map: a row has a channel SKU, a SKU and a quantity, complete it or remove it"),
        ("channel_sku,sku,quantity\nK,A,2\nK,A,1\n", "kits.csv:3:1: channels.a.listing_map.K.A: it stands here twice, keep one row with the whole quantity"),
        ("channel_sku,sku,quantity\nK,A,many\n", "kits.csv:2:1: channels.a.listing_map.K.A: 'many' is no whole number"),
        ("channel_sku,sku,quantity\nK,A,2,3\n", "kits.csv:2:1: channels.a.listing_map: a row has a channel SKU, a SKU and a quantity, complete it or remove it"),
        ("name;sku\nK;A\n", "marketsync.yaml:1:76: channels.a.listing_map.file: the columns of kits.csv are name, sku, they have to be channel_sku, sku, quantity"),
        (None, "marketsync.yaml:1:76: channels.a.listing_map.file: the listing map kits.csv cannot be read: No such file or directory"),
    ],
)  # fmt: skip
def test_a_row_of_the_listing_map_that_cannot_be_used_is_told_with_its_line(tmp_path, content, expected):
    if content is not None:
        (tmp_path / "kits.csv").write_text(content)
    assert [expected] == told(tmp_path, KITS)
