"""The short replay on five marketplaces: 300 lines of the real order file, two kills, faults everywhere.

``make replay CHANNELS=real`` plays 5,000 lines, on SQLite and on PostgreSQL.
"""

from pathlib import Path

import pytest

from tests.system.play import Plan
from tests.system.replay_channels import replay_channels


@pytest.mark.timeout(600)
def test_a_morning_of_real_orders_on_five_marketplaces_survives_two_kills(data_dir: Path, tmp_path: Path) -> None:
    """Every purchase once in the ledger and in the sink, every shelf as derived, no raise on stale knowledge."""
    ledger = f"sqlite:///{tmp_path / 'ledger.db'}"
    plan = Plan(data_dir / "online-retail-2010-12.csv", tmp_path, ledger, lines=300, kills=2, pace=0.05)
    report = replay_channels(plan)
    assert [] == report.problems
    # 34 invoices, 3 of them C-invoices.
    assert 31 == report.numbers["invoices_bought"] + report.numbers.get("invoices_sold_out", 0)
    assert report.numbers["orders_stored"] == report.numbers["invoices_bought"]
    assert (2, 0, True) == (report.numbers["kills"], report.numbers["violations"], report.numbers["faults"] > 0)
