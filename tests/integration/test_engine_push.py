"""From a catalogue to what a marketplace shows, on real ledgers, through the sandbox."""

from pathlib import Path

from tests.engine import engine, play, sandboxes, write_config

CATALOGUE = "sku,title,price,stock\nA,Apple,1.00,5\nB,Berry,2.00,0\nC,Cherry,3.00,70\n"


def shown(market) -> dict[str, tuple[str, str, int]]:
    return {
        offer.sku: (offer.listing["title"], offer.price["amount"], offer.quantity)
        for offer in market.shelf
        if offer.price is not None and offer.quantity is not None
    }


def config(folder: Path, ledger: str, *names: str, extra: str = "") -> Path:
    (folder / "catalogue.csv").write_text(CATALOGUE)
    source = "sources:\n  pim: {file: catalogue.csv, owns: [content, price, stock]}\n"
    return write_config(folder, ledger, source + sandboxes(*names, extra=extra))


def test_everything_in_the_catalogue_reaches_an_adopted_channel(tmp_path: Path, ledger_url: str) -> None:
    async def run() -> None:
        async with engine(config(tmp_path, ledger_url, "one", "two", extra="stock: {show_at_most: 50}")) as e:
            await e.activate()
            await e.settle(60)
            await e.settle(60)
            expected = {"A": ("Apple", "1.00", 5), "B": ("Berry", "2.00", 0), "C": ("Cherry", "3.00", 50)}
            assert {"one": expected, "two": expected} == {name: shown(m) for name, m in e.markets.items()}

    play(run)
