"""The short replay: 2,000 lines of the real order file, five kills, faults everywhere. ``make replay`` plays it all."""

from pathlib import Path

import pytest

from tests.system.replay import Plan, Stock, replay


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("database", "stock"), [("sqlite", "ledger"), ("postgresql", "source")])
def test_a_day_of_real_orders_survives_five_kills(
    data_dir: Path, tmp_path: Path, request: pytest.FixtureRequest, database: str, stock: Stock
) -> None:
    """Every purchase once in the ledger and in the sink, every shelf as derived, no raise on stale knowledge."""
    sqlite = f"sqlite:///{tmp_path / 'ledger.db'}"
    ledger = sqlite if database == "sqlite" else request.getfixturevalue("postgres_url")
    plan = Plan(data_dir / "online-retail-2010-12.csv", tmp_path, ledger, lines=2_000, kills=5, stock=stock)
    report = replay(plan)
    assert [] == report.problems
    assert (97, 5, 0) == tuple(report.numbers[name] for name in ("invoices", "kills", "violations"))
    # 91 invoices of the first 2,000 lines are no C-invoices; 86 of them hold something that can be bought.
    assert 86 == report.numbers["invoices_bought"] + report.numbers.get("invoices_sold_out", 0)
    assert report.numbers["orders_stored"] == report.numbers["invoices_bought"]
    assert report.numbers["faults"] > 0
