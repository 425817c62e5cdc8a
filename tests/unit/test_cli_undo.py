"""undo, pinned and release on the command line: what they show, when they ask, how they end."""

import re

import pytest

from marketsync.testing.sandbox import running
from marketsync_adapters.sandbox.market import Market
from tests.integration.ledger_rows import KEY
from tests.unit.cli_running import Cli


@pytest.fixture
def shop(tmp_path, monkeypatch, capsys):
    """A shop that shows A at 19.99, and since the last run at 15.00."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MARKETSYNC_CONFIG", raising=False)
    cli = Cli(tmp_path, capsys)
    catalogue(cli, a="19.99")
    with running(Market()) as sandbox:
        (tmp_path / "marketsync.yaml").write_text(
            f"key: {KEY}\nledger: sqlite:///ledger.db\n"
            "sources: {pim: {file: products.csv, owns: [content, price, stock], currency: EUR}}\n"
            "channels:\n  shop:\n    adapter: sandbox\n    credentials: {api_key: sandbox-key}\n"
            f"    settings: {{base_url: '{sandbox.url}', limits: false}}\n    price: {{currency: EUR}}\n"
        )
        cli.good("sync")
        cli.good("adopt", "shop", "--yes")
        cli.good("sync")
        catalogue(cli, a="15.00")
        cli.good("sync")
        yield cli


def catalogue(cli, *, a):
    (cli.folder / "products.csv").write_text(f"sku,title,price,stock\nA,Apple,{a},5\nB,Berry,9.50,3\n")


def live(cli):
    return [one["price_shown"]["minor"] for one in cli.json("offers", "--sku", "A")["offers"]]


def test_an_undo_is_shown_first_and_ends_with_3_until_somebody_agrees(shop):
    code, out, err = shop("undo", "--sku", "A")
    assert (3, "") == (code, err)
    assert re.search(r"^shop +A +price +15\.00 EUR +15\.00 EUR +19\.99 EUR +20", out, re.MULTILINE), out
    assert out.endswith("nothing was changed: repeat it with --yes\n")
    shop.good("sync")
    assert ([1500], "nothing is pinned\n") == (live(shop), shop.good("pinned"))


def test_what_was_put_back_stays_until_it_is_released_and_says_who_and_why(shop):
    told = shop.good("undo", "--channel", "shop", "--yes", "--why", "a typo", "--by", "ann")
    assert re.match(r"run \d+, push of channel:shop, began ", told), told
    assert told.endswith("1 put back, and kept so until `marketsync release`; stock was not touched\n"), told
    shop.good("sync")
    assert [1999] == live(shop)
    (pin,) = shop.json("pinned")["pinned"]
    assert ("shop", "A", "price", "ann", "a typo", 1999) == (
        pin["channel"], pin["sku"], pin["aspect"], pin["who"], pin["reason"], pin["content"]["amount"]["minor"],
    )  # fmt: skip
    assert pin["since"].endswith("Z")
    _, out, err = shop("pinned", "--sku", "A")
    assert re.search(r"^shop +A +price +19\.99 EUR +\d+ s +ann +a typo$", out, re.MULTILINE), out
    assert "marketsync release" in err
    assert re.search(r"put back +19\.99 EUR +a typo, by ann$", shop.good("explain", "A", "shop"), re.MULTILINE)
    assert {"released": [{"channel": "shop", "sku": "A", "aspect": "price"}]} == shop.json("release", "--all")
    shop.good("sync")
    assert [1500] == live(shop)


def test_the_json_tells_prices_as_money_and_what_was_done(shop):
    told = shop.json("undo", "--sku", "A", "--yes")
    assert (1, []) == (told["put_back"], told["left"])
    assert [(1500, 1999)] == [(one["shows"]["minor"], one["back"]["minor"]) for one in told["back"]]
    again = shop.json("undo", "--sku", "A", "--yes")
    assert (None, []) == (again["put_back"], again["back"])


def test_nothing_to_put_back_ends_with_0(shop):
    assert "there is nothing to put back" in shop.good("undo", "--sku", "B", "--before", "0s")


def test_wrong_usage_of_an_undo_is_told(shop):
    assert "name a --run, a --channel or a --sku" in shop.bad(2, "undo")
    assert "a run has its own time" in shop.bad(2, "undo", "--run", "1", "--before", "1h")
    assert "nobody knows what will be" in shop.bad(2, "undo", "--sku", "A", "--before", "2999-01-01")
    assert "there is no run 999" in shop.bad(1, "undo", "--run", "999")
    assert "there is no channel x" in shop.bad(1, "undo", "--channel", "x")
    assert "there is no offer C" in shop.bad(1, "undo", "--sku", "C")
    assert "say --all" in shop.bad(2, "release")
