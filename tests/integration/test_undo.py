"""Undo: what was live before comes back, on the channel and in the face of the guards; stock is never touched."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from marketsync.adapter.errors import MarketsyncError
from marketsync.ledger import pins
from marketsync.ledger.queries.undo import last_push
from marketsync.sync import undo
from marketsync.sync.undo import Asked, Found
from tests.engine import Engine, engine, play
from tests.integration.engine_acts import shown
from tests.integration.test_guards import approve, feed, held, many, prices, running, well

OFF = "guards: {price_change: off, prices_moved: off}\n"


def rows(price: str = "10.00", pieces: int = 5, count: int = 40) -> dict[str, tuple[str, int, str]]:
    """Goods whose cost is no floor: it is below a hundredth of the price."""
    return dict.fromkeys(many(count=count), (price, pieces, "0.05"))


def look(e: Engine, **asked: Any) -> Found:
    return e.house.ledger.read_now(partial(undo.look, house=e.house, asked=Asked(**asked)))


async def undone(e: Engine, **asked: Any) -> Found:
    """Look, put everything back that can be, and let it leave."""
    found = look(e, **asked)
    assert len(found.back) == await undo.put_back(e.house, found.back, "ann", "a wrong feed")
    await e.settle(30)
    return found


async def released(e: Engine) -> None:
    await undo.release(e.house, e.house.ledger.read_now(pins.listing))
    await e.settle(30)


def last_run(e: Engine, task: str, owner: str) -> int:
    sql = "SELECT MAX(id) FROM task_run WHERE task = :task AND owner = :owner"
    return int(str(e.rows(sql, task=task, owner=owner)[0][0]))


def figures(e: Engine) -> Any:
    """All that the ledger knows of stock."""
    return (
        e.rows("SELECT sku, location, on_hand, reserved FROM stock_level ORDER BY 1, 2"),
        e.rows("SELECT id, sku, delta, kind FROM stock_movement ORDER BY 1"),
        e.rows("SELECT sku, stock_quantity, stock_desired, stock_acked FROM offer ORDER BY 1"),
    )


def test_an_hour_of_wrong_prices_that_a_person_let_through_is_undone(tmp_path: Path, ledger_url: str) -> None:
    """-99 % approved by mistake: putting it back is +9900 %, which no guard would let pass by itself."""

    async def scene() -> None:
        async with running(tmp_path, ledger_url, rows()) as e:
            quiet = e.clock.now()
            await feed(e, tmp_path, rows("0.10"))
            assert {"10.00"} == prices(e)
            await approve(e)
            assert {"0.10"} == prices(e)
            e.clock.advance(3600)
            e.markets["one"].buy([("S000", 2)])
            await e.settle(120)
            before = figures(e)
            found = await undone(e, channel="one", before=quiet)
            assert [] == list(found.left)
            assert {"10.00"} == prices(e)
            assert before == figures(e)
            assert [] == held(e)
            # The feed is still wrong, and does nothing as long as the prices are pinned.
            await feed(e, tmp_path, rows("0.09"))
            assert ({"10.00"}, []) == (prices(e), held(e))
            # Released, what is still wrong is a change like every other.
            await released(e)
            assert {"10.00"} == prices(e)
            assert {("price_change", f"S{n:03d}") for n in range(40)} == set(held(e))
            await feed(e, tmp_path, rows("11.00"))
            await approve(e)
            assert ({"11.00"}, []) == (prices(e), held(e))
            well(e)

    play(scene)


def test_a_run_is_undone_where_it_sent_something_and_nowhere_else(tmp_path: Path, ledger_url: str) -> None:
    async def scene() -> None:
        async with running(tmp_path, ledger_url, rows(), OFF) as e:
            await feed(e, tmp_path, rows() | {"S000": ("11.00", 5, "0.05")})
            await feed(e, tmp_path, rows() | {"S000": ("11.00", 5, "0.05"), "S001": ("1.00", 9, "0.05")})
            wrong = e.house.ledger.read_now(partial(last_push, channel_id=e.house.channels["one"].id))
            await feed(e, tmp_path, rows() | {"S001": ("1.00", 9, "0.05"), "S002": ("12.00", 5, "0.05")})
            found = await undone(e, run=wrong)
            assert ["S001"] == [one.sku for one in found.back]
            # S000 fell back to 10.00 by a later run, S002 was changed by one: neither is of this run.
            assert [("10.00", 5), ("10.00", 9), ("12.00", 5)] == [shown(e, f"S00{n}") for n in range(3)]
            well(e)

    play(scene)


def test_the_run_of_a_source_is_undone_on_every_price_that_changed_since(tmp_path: Path, ledger_url: str) -> None:
    async def scene() -> None:
        async with running(tmp_path, ledger_url, rows(), OFF) as e:
            await feed(e, tmp_path, rows("3.00", 4))
            wrong = last_run(e, "ingest", "source:pim")
            assert ({"3.00"}, {4}) == (prices(e), {offer.quantity for offer in e.markets["one"].shelf})
            await undone(e, run=wrong)
            assert ({"10.00"}, {4}) == (prices(e), {offer.quantity for offer in e.markets["one"].shelf})

    play(scene)


def test_without_a_time_the_last_change_is_undone_once(tmp_path: Path, ledger_url: str) -> None:
    """A second undo would bring back what the first one took away."""

    async def scene() -> None:
        async with running(tmp_path, ledger_url, rows(), OFF) as e:
            await feed(e, tmp_path, rows("11.00"))
            await feed(e, tmp_path, rows("12.00"))
            await undone(e, skus=("S003",))
            assert (("11.00", 5), ("12.00", 5)) == (shown(e, "S003"), shown(e, "S004"))
            again = await undone(e, skus=("S003",))
            assert ([undo.PINNED], ()) == ([one.why for one in again.left], again.back)
            assert ("11.00", 5) == shown(e, "S003")
            await undone(e, channel="one")  # its last run sent the price of S003 back
            assert ("11.00", 5) == shown(e, "S003")

    play(scene)


def test_what_was_not_there_and_what_has_left_is_told_and_not_put_back(tmp_path: Path, ledger_url: str) -> None:
    async def scene() -> None:
        async with running(tmp_path, ledger_url, rows(), OFF) as e:
            quiet = e.clock.now()
            await feed(e, tmp_path, rows("11.00", count=39) | {"NEW": ("9.00", 3, "0.05")})
            found = await undone(e, channel="one", before=quiet)
            assert {("NEW", undo.NEW)} == {(one.sku, one.why) for one in found.left}
            assert (("9.00", 3), ("10.00", 5)) == (shown(e, "NEW"), shown(e, "S000"))
            assert ("10.00", 0) == shown(e, "S039")  # out of the source: stock zero, and no undo fills it

    play(scene)


def test_a_text_comes_back_only_while_the_newer_one_has_not_arrived(tmp_path: Path, ledger_url: str) -> None:
    async def scene() -> None:
        async with running(tmp_path, ledger_url, rows(), OFF) as e:
            quiet = e.clock.now()
            titles = "sku,title,price,stock,cost\n" + "".join(f"{sku},Wrong {sku},10.00,5,0.05\n" for sku in rows())
            (tmp_path / "catalogue.csv").write_text(titles)
            await e.run("source:pim", "ingest")
            assert (40, 0) == tuple(map(len, (look(e, channel="one", before=quiet).back, look(e, skus=("S000",)).back)))
            assert 40 == len((await undone(e, channel="one", before=quiet)).back)
            await e.settle(60)
            assert {f"Item {sku}" for sku in rows()} == {offer.listing["title"] for offer in e.markets["one"].shelf}
            await released(e)
            assert {f"Wrong {sku}" for sku in rows()} == {offer.listing["title"] for offer in e.markets["one"].shelf}
            left = look(e, channel="one", before=quiet).left
            assert (40, {undo.TEXT}) == (len(left), {one.why for one in left})
            well(e)

    play(scene)


def test_a_held_correction_passes_when_the_undo_means_the_same(tmp_path: Path, ledger_url: str) -> None:
    """The feed is right again, but +9900 % is held: the undo lets exactly that go."""

    async def scene() -> None:
        async with running(tmp_path, ledger_url, rows()) as e:
            quiet = e.clock.now()
            await feed(e, tmp_path, rows("0.10"))
            await approve(e)
            await feed(e, tmp_path, rows("10.00"))
            assert ({"0.10"}, 41) == (prices(e), len(held(e)))
            await undone(e, channel="one", before=quiet)
            assert {"10.00"} == prices(e)
            await e.settle(60)
            assert [] == held(e)

    play(scene)


def test_a_sale_comes_back_with_its_times(tmp_path: Path, ledger_url: str) -> None:
    async def scene() -> None:
        async with running(tmp_path, ledger_url, rows(count=2), OFF) as e:
            header = "sku,title,price,stock,cost,sale_price,sale_starts,sale_ends"
            ends = e.clock.now().replace(year=e.clock.now().year + 1).isoformat()
            line = "S000,Item S000,{},5,0.05,{}," + e.clock.now().isoformat() + "," + ends + "\n"
            (tmp_path / "catalogue.csv").write_text(f"{header}\n" + line.format("10.00", "8.00"))
            await e.settle(90)
            await approve(e)
            (sale,) = [offer.price for offer in e.markets["one"].shelf if offer.sku == "S000"]
            (tmp_path / "catalogue.csv").write_text(f"{header}\n" + line.format("9.00", "1.00"))
            await e.settle(90)
            (wrong,) = [offer.price for offer in e.markets["one"].shelf if offer.sku == "S000"]
            assert wrong != sale
            await undone(e, skus=("S000",))
            assert [sale] == [offer.price for offer in e.markets["one"].shelf if offer.sku == "S000"]

    play(scene)


@pytest.mark.parametrize(("struck", "shown_struck"), [("15.00", "15.00"), ("9.00", None)], ids=["above", "below"])
def test_the_struck_through_price_of_now_stays_where_it_is_above_what_comes_back(
    tmp_path: Path, ledger_url: str, struck: str, shown_struck: str | None
) -> None:
    """That of then is not kept: ``price_history`` knows what a buyer paid."""

    async def scene() -> None:
        async with running(tmp_path, ledger_url, rows(count=2), OFF) as e:
            config = tmp_path / "marketsync.yaml"
            config.write_text(config.read_text().replace("{country: DE}", "{country: DE, reference: true}"))
        async with engine(config, markets=e.markets, clock=e.clock) as e:
            header = "sku,title,price,stock,cost,reference_price\n"
            (tmp_path / "catalogue.csv").write_text(f"{header}S000,Item S000,3.00,5,0.05,{struck}\n")
            await e.settle(90)
            await approve(e)
            assert ("3.00", 5) == shown(e, "S000")
            await undone(e, skus=("S000",))
            (price,) = [offer.price for offer in e.markets["one"].shelf if offer.sku == "S000"]
            assert ("10.00", shown_struck) == (price["amount"], price.get("reference"))

    play(scene)


def test_a_pin_and_an_override_of_a_source_never_replace_each_other(tmp_path: Path, ledger_url: str) -> None:
    """The wrong price came from the overrides: put back, it stays put back while they are read again and again."""

    async def scene() -> None:
        async with running(tmp_path, ledger_url, rows(), OFF) as e:
            config = tmp_path / "marketsync.yaml"
            text = config.read_text().replace("sources:\n", "sources:\n  fixes: {file: fixes.csv, owns: [overrides]}\n")
            config.write_text(text)
        fixes = tmp_path / "fixes.csv"
        fixes.write_text("channel,sku,field,value,reason,until\n*,S000,price,99.00 EUR,typo,\n")
        async with engine(config, markets=e.markets, clock=e.clock) as e:
            await e.settle(60)
            assert ("99.00", 5) == shown(e, "S000")
            await undone(e, skus=("S000",))
            fixes.write_text(fixes.read_text().replace("99.00", "98.00"))
            await e.settle(60)
            assert ("10.00", 5) == shown(e, "S000")
            assert [("one", "pinned_price"), ("*", "price")] == e.rows("SELECT channel, field FROM override ORDER BY 2")
            await released(e)
            assert ("98.00", 5) == shown(e, "S000")

    play(scene)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"run": 999_999}, "there is no run 999999"),
        ({"channel": "two"}, "there is no channel two: there are one"),
    ],
)
def test_what_cannot_be_undone_at_all_is_told(
    tmp_path: Path, ledger_url: str, asked: dict[str, Any], told: str
) -> None:
    async def scene() -> None:
        async with running(tmp_path, ledger_url, rows(count=2)) as e:
            with pytest.raises(MarketsyncError, match=told):
                look(e, **asked)
            e.markets["one"].buy([("S000", 1)])
            await e.settle(120)
            with pytest.raises(MarketsyncError, match="it changed no prices"):
                look(e, run=last_run(e, "orders", "account:one"))

    play(scene)
