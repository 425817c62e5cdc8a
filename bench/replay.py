"""``make replay``: a month of real orders over three marketplaces while the daemon is killed again and again.

``CHANNELS=real``: the first orders of that month over Kaufland, Amazon, eBay, Shopify and WooCommerce at once, by their
sandboxes, whose waiting times and rates are lifted as ``tests/system/markets`` says. The stock is the ledger's there.

Environment: CHANNELS (sandbox or real), LINES (all 28,492; real: 5,000), KILLS (50; real: 10), LEDGER (sqlite,
postgresql or both), STOCK (ledger, source or both), SEED (1), PACE (seconds between two buyers), MARKETSYNC_DATA (where online-retail-2010-12.csv is). ``--json`` prints one
document instead of a table. Exits 1 where ledger, sink and marketplaces differ in anything, or the oracle objects.
"""

import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from marketsync.testing.postgres import shared_server  # noqa: E402 - the path above comes first
from tests.system.judge import Report  # noqa: E402
from tests.system.replay import Plan, Stock, replay  # noqa: E402
from tests.system.replay_channels import replay_channels  # noqa: E402

BOTH: Mapping[str, tuple[str, ...]] = {"ledger": ("sqlite", "postgresql"), "stock": ("ledger", "source")}
CHOICES: Mapping[str, tuple[str, ...]] = {**BOTH, "channels": ("sandbox", "real")}


def main() -> int:
    as_json = "--json" in sys.argv[1:]
    console = Console(stderr=as_json)
    data = Path(os.environ.get("MARKETSYNC_DATA") or ROOT / "../shared/data").resolve() / "online-retail-2010-12.csv"
    if not data.is_file():
        console.print(f"there is no {data}: MARKETSYNC_DATA names the folder that has it")
        return 2
    reports: dict[str, Report] = {}
    real = _chosen("channels", os.environ.get("CHANNELS", "sandbox")) == ("real",)
    for ledger in _chosen("ledger", os.environ.get("LEDGER", "both")):
        for stock in ("ledger",) if real else _chosen("stock", os.environ.get("STOCK", "both")):
            name = f"{ledger}, stock of the {stock}"
            console.print(f"[bold]{name}[/bold]")
            reports[name] = _play(data, ledger, stock, console, real=real)
            for problem in reports[name].problems:
                console.print(f"  [red]{problem}[/red]", highlight=False, soft_wrap=True)
    if as_json:
        print(json.dumps({n: {"ok": r.ok, "numbers": r.numbers, "problems": r.problems} for n, r in reports.items()}))
    else:
        console.print(_table(reports))
    return 0 if all(report.ok for report in reports.values()) else 1


def _chosen(what: str, value: str) -> tuple[str, ...]:
    choices = CHOICES[what]
    if value == "both" and what in BOTH:
        return choices
    if value not in choices:
        raise SystemExit(f"{what.upper()}={value}: write {', '.join(choices)}{' or both' if what in BOTH else ''}")
    return (value,)


def _play(data: Path, ledger: str, stock: str, console: Console, *, real: bool) -> Report:
    lines = os.environ.get("LINES") or ("5000" if real else None)
    chosen: Stock = "source" if stock == "source" else "ledger"
    with tempfile.TemporaryDirectory(prefix="marketsync-replay-") as folder, _ledger(ledger, Path(folder)) as url:
        plan = Plan(
            csv=data,
            folder=Path(folder),
            ledger=url,
            lines=int(lines) if lines else None,
            kills=int(os.environ.get("KILLS") or (10 if real else 50)),
            stock=chosen,
            seed=int(os.environ.get("SEED", "1")),
            pace=float(os.environ.get("PACE", "0.12")),
            tell=lambda said: console.print(f"  {said}"),
        )
        return replay_channels(plan) if real else replay(plan)


@contextmanager
def _ledger(kind: str, folder: Path) -> Iterator[str]:
    if kind == "sqlite":
        yield f"sqlite:///{folder / 'ledger.db'}"
        return
    with ExitStack() as leaves:
        server = leaves.enter_context(shared_server(f"replay-{os.getpid()}"))
        yield server.url(leaves.enter_context(server.database()))


def _table(reports: Mapping[str, Report]) -> Table:
    table = Table("", *reports, title="replay")
    rows = dict.fromkeys(name for report in reports.values() for name in report.numbers)
    for name in rows:
        cells = (report.numbers.get(name) for report in reports.values())
        table.add_row(name.replace("_", " "), *("-" if cell is None else f"{cell:,}" for cell in cells))
    table.add_section()
    table.add_row(
        "agreed", *("[green]yes[/green]" if r.ok else f"[red]{len(r.problems)}[/red]" for r in reports.values())
    )
    return table


if __name__ == "__main__":
    raise SystemExit(main())
