"""Every mistake is told at its place, in a plain sentence, with what to do; all of them at once."""

import pytest

from marketsync.config.loader import load
from tests.unit.config_writing import loaded, told

AT = "marketsync.yaml:"

MISTAKES = [
    ("unknown key with a near one", "kee: 1", ["1:1: kee: there is no such key, did you mean key?"]),
    (
        "unknown key of a section",
        "retention: {zzz: 1d}",
        ["1:13: retention.zzz: there is no such key, known here: buyers, journals"],
    ),
    (
        "unknown key in a rule of the domain",
        "channels:\n  a: {adapter: shop, credentials: {token: x}, price: {endin: .99}}",
        ["2:55: channels.a.price.endin: there is no such key, did you mean ending?"],
    ),
    (
        "unknown key of an adapter's settings",
        "channels:\n  a: {adapter: shop, credentials: {token: x}, settings: {storefrnt: de}}",
        ["2:58: channels.a.settings.storefrnt: there is no such key, did you mean storefront?"],
    ),
    (
        "missing key of an adapter's credentials",
        "accounts:\n  a: {adapter: shop, credentials: {seller: x}}",
        ["2:35: accounts.a.credentials.token: it is missing"],
    ),
    (
        "credentials left out",
        "accounts:\n  a: {adapter: shop}",
        ["2:6: accounts.a.credentials.token: it is missing"],
    ),
    ("missing key", "inbound: {tokens: {}}", ["1:10: inbound.bind: it is missing"]),
    ("empty value", "metrics:", ["1:9: metrics: it is empty, write a value or leave the key out"]),
    ("wrong address", "metrics: 9464", [
        "1:10: metrics: '9464' is no address to listen at: write host and port, such as 127.0.0.1:9464"
    ]),
    ("wrong zone", "time_zone: Europe/Berln", [
        "1:12: time_zone: 'Europe/Berln' is no time zone, write a name such as Europe/Berlin"
    ]),
    ("wrong duration", "retention: {journals: 30}", [
        "1:23: retention.journals: '30' is no duration: write a whole number and its unit, such as 90s, 10m, 2h, 1d or 1w"
    ]),
    ("wrong choice", "sources: {a: {file: x, owns: stock, falls_at: shipmnt}}", [
        "1:47: sources.a.falls_at: 'shipmnt' is not one of order, delivery, shipment, never, did you mean shipment?"
    ]),
    ("wrong choice, none near", "sources: {a: {file: x, owns: price, prices: 7}}", [
        "1:45: sources.a.prices: '7' is not one of gross, net"
    ]),
    ("wrong number", "sources: {a: {file: x, owns: price, priority: high}}", [
        "1:47: sources.a.priority: 'high' is no whole number"
    ]),
    ("wrong truth", "sources: {a: {file: x, owns: price, make_skus: perhaps}}", [
        "1:48: sources.a.make_skus: 'perhaps' is neither yes nor no"
    ]),
    ("too small", "channels: {a: {adapter: shop, credentials: {token: x}, stock: {buffer: -1}}}", [
        "1:72: channels.a.stock.buffer: '-1' is too small, it has to be at least 0"
    ]),
    ("too long", "sources: {a: {file: x, owns: price, delimiter: ';;'}}", [
        "1:48: sources.a.delimiter: ';;' is too long, it takes at most 1 characters"
    ]),
    ("list for text", "shipments: [a]", ["1:12: shipments: a list stands where a text belongs"]),
    ("text for a mapping", "retention: long", [
        "1:12: retention: 'long' stands where a mapping belongs, write key: value lines below the key"
    ]),
    ("text for a list", "channels: {a: {adapter: shop, credentials: {token: x}, stock: {locations: b}}}", [
        "1:75: channels.a.stock.locations: 'b' stands where a list belongs, write [a, b]"
    ]),
    ("nothing owned", "sources: {a: {file: x, owns: []}}", ["1:30: sources.a.owns: it must not be empty"]),
    ("nothing to own", "sources: {a: {file: x, owns: [stok]}}", [
        ("1:31: sources.a.owns[0]: 'stok' is nothing that a source can own:"
        " name content, price, cost, stock, overrides or one field")
    ]),
    ("two doors of a source", "sources: {a: {file: x, http: 'https://x', owns: price}}", [
        "1:14: sources.a: a source reads exactly one of file, http, sql and channel"
    ]),
    ("on hand without its event", "sources: {a: {file: x, owns: stock, on_hand: source}}", [
        "1:14: sources.a: on_hand: source needs falls_at (order, delivery, shipment or never), and only it has one"
    ]),
    ("overrides beside others", "sources: {a: {file: x, owns: [overrides, price]}}", [
        "1:14: sources.a: a source of overrides owns nothing else: give the other fields a source of their own"
    ]),
    ("a channel's stock only", "sources: {a: {channel: c, owns: price}}\nchannels: {c: {adapter: shop, credentials: {token: x}}}", [
        "1:14: sources.a: of a channel only the stock is read: write owns: [stock]"
    ]),
    ("no channel of that name", "sources: {a: {channel: c, owns: stock}}", [
        "1:24: sources.a.channel: there is no channel c"
    ]),
    ("no URL", "sources: {a: {http: ftp://x, owns: price}}", [
        "1:21: sources.a.http: it is no URL, write http:// or https:// and the rest of it"
    ]),
    ("section that is no mapping", "channels: [a, b]", [
        "1:11: channels: it is a mapping of names, write name: and its settings below"
    ]),
    ("bad name", "sinks:\n  Shop DE: {folder: x}", [
        "2:3: sinks.Shop DE: 'Shop DE' is no name, write small letters, digits and single hyphens, at most 64"
    ]),
    ("unknown adapter", "accounts: {a: {adapter: shpo}}", [
        "1:25: accounts.a.adapter: there is no adapter shpo, did you mean shop?"
    ]),
    ("unknown adapter, none near", "channels: {a: {adapter: amazon}}", [
        "1:25: channels.a.adapter: there is no adapter amazon, installed are: shop, twin"
    ]),
    ("adapter that cannot be imported", "channels: {a: {adapter: rotten}}", [
        "1:25: channels.a.adapter: the adapter rotten cannot be imported: no module named lxml"
    ]),
    ("unknown account", "accounts: {main: {adapter: shop, credentials: {token: x}}}\nchannels: {a: {account: mian}}", [
        "2:25: channels.a.account: there is no account mian, did you mean main?"
    ]),
    ("neither account nor adapter", "channels: {a: {}}", [
        "1:15: channels.a: it has no account, name one of accounts, or write adapter and credentials here"
    ]),
    ("account and credentials", ("accounts: {m: {adapter: shop, credentials: {token: x}}}\n"
     "channels: {a: {account: m, credentials: {token: y}}}"), [
        "2:15: channels.a: adapter and credentials belong to the account, write account or these, not both"
    ]),
    ("account of the same name", ("accounts: {m: {adapter: shop, credentials: {token: x}}}\n"
     "channels: {m: {adapter: shop, credentials: {token: y}}}"), [
        "2:25: channels.m.adapter: there is an account m as well, write account: m, or rename one of them"
    ]),
    ("sink with two doors", "sinks: {a: {folder: x, webhook: 'https://x'}}", [
        "1:12: sinks.a: a sink is either a webhook or a folder"
    ]),
    ("webhook without a secret", "sinks: {a: {webhook: 'https://x'}}", [
        "1:12: sinks.a: a webhook and the secret that signs its deliveries belong together"
    ]),
    ("no ledger", "ledger: mysql://x", [
        "1:9: ledger: it is no ledger, write sqlite:///file.db or postgresql://user@host/database"
    ]),
    ("three slashes", "ledger: sqlite:///tmp/no-such.db", [
        "1:9: ledger: with three slashes it lies beside this file, write sqlite:////tmp/no-such.db with four"
    ]),
    ("two listeners at one address", "metrics: 127.0.0.1:9000\ninbound: 127.0.0.1:9000", [
        "2:10: inbound: metrics listens at 127.0.0.1:9000 already, give it a port of its own"
    ]),
    ("wrong rate", "rates: {date: 2026-11-20, GBP: much}", [
        "1:32: rates.GBP: 'much' is no amount: write a number such as 12.34, without thousands separators"
    ]),
    ("no such component count", "channels: {a: {adapter: shop, credentials: {token: x}, listing_map: {K: {A: 0}}}}", [
        "1:77: channels.a.listing_map.K.A: '0' is too small, it has to be at least 1"
    ]),
    ("wrong schedule", "channels: {a: {adapter: shop, credentials: {token: x}, schedule: {orders: 25:00}}}", [
        ("1:75: channels.a.schedule.orders: '25:00' is no schedule: write an interval such as 10m,"
        " a time of day such as 03:15, or a cron line such as 0 6-22 * * mon-fri")
    ]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), [pytest.param(*case[1:], id=case[0]) for case in MISTAKES])
def test_a_mistake_is_told_where_it_stands_and_with_what_to_do(tmp_path, text, expected):
    assert [AT + line for line in expected] == told(tmp_path, text)


RULES = [
    (
        "location that no source has",
        """
        sources: {erp: {file: x, owns: stock, location: berlin}}
        channels: {a: {adapter: shop, credentials: {token: x}, stock: {locations: [berlin, berln]}}}
        """,
        ["2:84: channels.a.stock.locations[1]: no source has a location berln, did you mean berlin?"],
    ),
    (
        "stock of one location kept in two ways",
        """
        sources:
          erp: {file: x, owns: stock, falls_at: shipment}
          feed: {file: y, owns: stock}
        """,
        [
            (
                "3:9: sources.feed.location: the source erp keeps the stock of main in another way,"
                " give both the same on_hand and falls_at, or this one a location of its own"
            )
        ],
    ),
    (
        "price in a currency without a rate",
        """
        sources: {pim: {file: x, owns: price}}
        channels: {a: {adapter: shop, credentials: {token: x}, price: {currency: GBP, floor: 3 PLN}}}
        """,
        [
            (
                "2:74: channels.a.price.currency: the source pim is in EUR, the channel in GBP,"
                " and there is no exchange rate of EUR, add EUR under rates"
            ),
            (
                "2:86: channels.a.price.floor: floor is in PLN, the channel in GBP,"
                " and there is no exchange rate of PLN, add PLN under rates"
            ),
        ],
    ),
    (
        "rate of the other currency missing",
        """
        rates: {date: 2026-11-20, base: EUR, PLN: 4.2}
        sources: {pim: {file: x, owns: price}}
        channels: {a: {adapter: shop, credentials: {token: x}, price: {currency: GBP}}}
        """,
        [
            (
                "3:74: channels.a.price.currency: the source pim is in EUR, the channel in GBP,"
                " and there is no exchange rate of GBP, add GBP under rates"
            ),
        ],
    ),
    (
        "net prices on a channel that shows gross ones, no country",
        """
        sources: {pim: {file: x, owns: price, prices: net}}
        channels: {a: {adapter: shop, credentials: {token: x}}}
        """,
        [
            (
                "2:15: channels.a.price.country: VAT is needed, the source pim tells net amounts and the channel shows"
                " gross prices, write the country whose VAT applies, such as country: DE"
            )
        ],
    ),
    (
        "a country without its VAT",
        """
        sources: {pim: {file: x, owns: [price, cost]}}
        channels: {a: {adapter: shop, credentials: {token: x}, price: {country: DE}}}
        """,
        [
            (
                "2:73: channels.a.price.country: the VAT of DE is needed, the floor from the costs of the source pim depends"
                " on it, add vat: {DE: {standard: ...%}}"
            )
        ],
    ),
    (
        "one storefront as two channels",
        """
        accounts: {m: {adapter: shop, credentials: {token: x}}}
        channels:
          a: {account: m}
          b: {account: m, settings: {storefront: main}}
        """,
        [
            (
                "4:29: channels.b.settings: it is the same storefront of m as a,"
                " name another storefront in settings, or keep one of the two channels"
            )
        ],
    ),
    (
        "storefronts that share one quantity",
        """
        accounts: {m: {adapter: twin, credentials: {token: x}}}
        channels:
          a: {account: m, stock: {buffer: 2, show_at_most: 5}}
          b: {account: m, stock: {buffer: 1, show_at_most: 5}, settings: {storefront: b}}
          c: {account: m, stock: {buffer: 2, show_at_most: 5}, settings: {storefront: c}}
        """,
        [
            (
                "4:26: channels.b.stock: it shares one quantity with a, and they differ in buffer,"
                " give all storefronts of the account the same stock rules"
            )
        ],
    ),
]


@pytest.mark.parametrize(("text", "expected"), [pytest.param(*case[1:], id=case[0]) for case in RULES])
def test_rules_that_do_not_fit_together_are_told(tmp_path, text, expected):
    assert [AT + line for line in expected] == told(tmp_path, text)


def test_storefronts_with_quantities_of_their_own_may_differ(tmp_path):
    assert [] == told(
        tmp_path,
        """
        accounts: {m: {adapter: shop, credentials: {token: x}}}
        channels:
          a: {account: m, stock: {buffer: 2}}
          b: {account: m, stock: {buffer: 1}, settings: {storefront: b}}
        """,
    )


def test_all_mistakes_of_all_files_are_told_at_once_in_their_order(tmp_path):
    assert [
        "a.yaml:2:16: channels.b.adapter: there is no adapter nope, installed are: shop, twin",
        (
            "a.yaml:2:22: channels.b.colour: there is no such key, known here: account, adapter, assortment, credentials,"
            " guards, keep_buyers, listing, listing_map, orders, price, schedule, settings, stock, withdraw_after"
        ),
        "marketsync.yaml:2:10: metrics: 'x' is no address to listen at: write host and port, such as 127.0.0.1:9464",
        "marketsync.yaml:3:25: channels.a.adapter: there is no adapter gone, installed are: shop, twin",
        "marketsync.yaml:3:47: channels.a.stock.buffer: 'two' is no whole number",
    ] == told(
        tmp_path,
        """
        include: a.yaml
        metrics: x
        channels: {a: {adapter: gone, stock: {buffer: two}}}
        """,
        a_yaml="channels:\n  b: {adapter: nope, colour: red}\n",
    )


def test_a_missing_key_for_the_ledger_is_told(tmp_path):
    path = tmp_path / "m.yaml"
    path.write_text("time_zone: UTC\n")
    assert [f"{path}:1:1: key: it is missing"] == [str(p) for p in load(path, adapters={}).problems]


def test_a_key_that_encrypts_nothing_is_told_without_repeating_it(tmp_path):
    path = tmp_path / "m.yaml"
    path.write_text("key: correcthorse\n")
    expected = "it is no key, `marketsync init` makes one: 44 characters, the last one ="
    assert [f"{path}:1:6: key: {expected}"] == [str(p) for p in load(path, adapters={}).problems]


def test_a_right_configuration_has_no_problems_and_the_adapters_own_types(tmp_path):
    config = loaded(
        tmp_path,
        """
        channels:
          a:
            adapter: shop
            credentials: {token: geheim}
            settings: {premium: on, page_size: 012}
        """,
    ).whole()
    assert ("a", "shop", None) == (
        config.channels["a"].account,
        config.channels["a"].adapter,
        config.channels["a"].credentials,
    )
    assert (True, 12) == (config.channels["a"].settings.premium, config.channels["a"].settings.page_size)
    assert "geheim" == config.accounts["a"].credentials.token.get_secret_value()
    assert ("a",) == config.channels_of("a")
