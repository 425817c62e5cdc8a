"""plan and apply on the command line: what they print, what they write, how they end."""

import re

import orjson
import pytest

from marketsync.testing.sandbox import running
from marketsync_adapters.sandbox.market import Market
from tests.integration.ledger_rows import KEY
from tests.unit.cli_running import Cli, at_a_shell


@pytest.fixture
def cli(tmp_path, monkeypatch, capsys):
    with at_a_shell(tmp_path, monkeypatch, capsys, rows=True) as cli:
        yield cli


@pytest.fixture
def shop(tmp_path, monkeypatch, capsys):
    """A folder with a catalogue for a shop that runs, and that was adopted."""
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
        yield cli


def catalogue(cli, *, a):
    (cli.folder / "products.csv").write_text(f"sku,title,price,stock\nA,Apple,{a},5\nB,Berry,9.50,3\n")


def test_pending_changes_end_with_3_and_none_with_0(shop):
    code, out, err = shop("plan")
    assert (3, "") == (code, err)
    assert re.search(r"^shop +A +price +create +- +19\.99 EUR +- +cannot be undone$", out, re.MULTILINE), out
    assert re.search(
        r"^shop +active +6 +listing 2, create 2, cannot be undone 6, price 2, stock 2 ", out, re.MULTILINE
    ), out
    shop.good("sync")
    assert re.search(r"^shop +active +0 +- +- +- +-$", shop.good("plan"), re.MULTILINE)


def test_a_plan_in_a_file_is_applied_once_and_exactly(shop):
    shop.good("sync")
    catalogue(shop, a="15.00")
    shop.good("sync", "--task", "ingest")
    code, out, err = shop("plan", "--out", "plan.json")
    assert (3, "the whole plan is in plan.json: `marketsync apply plan.json` does exactly that\n") == (code, err)
    assert re.search(r"^shop +A +price +update +19\.99 EUR +15\.00 EUR +-4\.99 EUR \(-25\.0 %\) ", out, re.MULTILINE), (
        out
    )
    assert re.search(r"^shop +active +0 ", shop.good("plan", "--aspect", "stock"), re.MULTILINE)
    assert {"counts": {"sent": 1}, "left": [], "errors": {}} == shop.json("apply", "plan.json")
    assert [1500] == [one["price_shown"]["minor"] for one in shop.json("offers", "--sku", "A")["offers"]]


def test_what_changed_since_is_listed_and_ends_with_1(shop):
    shop.good("sync")
    catalogue(shop, a="15.00")
    shop.good("sync", "--task", "ingest")
    shop("plan", "--out", "plan.json")
    catalogue(shop, a="14.00")
    shop.good("sync", "--task", "ingest")
    code, out, _ = shop("apply", "plan.json")
    assert 1 == code
    assert re.search(r"^shop +A +price +changed +it should show something else by now$", out, re.MULTILINE), out


def test_the_json_of_a_plan_is_the_document_that_is_applied(cli):
    code, out, _ = cli("plan", "--json", "--channel", "rialto-de")
    assert 3 == code
    document = orjson.loads(out)
    assert (1, 1, ["rialto-de"]) == (document["marketsync_plan"], document["pending"], document["only"]["channels"])
    assert {
        ("DUE", "", "price"),
        ("HELD", "held", "price"),
        ("PARKED", "refused", "listing"),
        ("B", "in flight", "stock"),
    } <= {(one["sku"], one["waits"], one["aspect"]) for one in document["changes"]}
    code, out, _ = cli("plan", "--json", "--channel", "rialto-de", "--out", "plan.json")
    assert {"file": "plan.json", "pending": 1} == {name: orjson.loads(out)[name] for name in ("file", "pending")}
    assert document["changes"] == orjson.loads((cli.folder / "plan.json").read_bytes())["changes"]


def test_held_and_refused_changes_are_shown_with_their_reason(cli):
    _, out, _ = cli("plan", "--channel", "rialto-de")
    assert re.search(r"^rialto-de +HELD +price .* held +hold 1: 80 % lower$", out, re.MULTILINE), out
    assert re.search(r"^rialto-de +B +stock +unknown +5 .* in flight ", out, re.MULTILINE), out
    assert re.search(r"^rialto-de +PARKED +listing .* refused +E17: the title is too long$", out, re.MULTILINE), out


def test_wrong_usage_and_files_that_are_no_plans_are_told(cli):
    assert "there is no channel x" in cli.bad(1, "plan", "--channel", "x")
    assert "there is no offer NONE: check the SKU" in cli.bad(1, "plan", "--sku", "A", "--sku", "NONE")
    assert "'colour' is not one of" in cli.bad(2, "plan", "--aspect", "colour")
    assert "none.json: No such file" in cli.bad(1, "apply", "none.json")
    (cli.folder / "plan.json").write_text("{}")
    assert "plan.json: this is no plan of this version" in cli.bad(1, "apply", "plan.json")
