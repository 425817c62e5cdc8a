"""``make bench-channels``: 10,000 stock changes drained by each adapter against its sandbox's limiter, on a turned clock.

A row holds where no request is too many, 97 % of the allowed rate or more is used, nothing is refused for its number,
and every offer shows the new stock. "burst" in place of a share: the channel takes the whole backlog at once. "clock":
seconds of the channel's own time. ``CHANGES=25000`` for another backlog. ``--json`` prints one document instead of the
table. Writes ``bench/channels.json``. Exits 1 where a row does not hold.
"""

import json
import os
import sys
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import track
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.contract.drain import Drained  # noqa: E402 - the path above comes first
from tests.contract.drains import DRAINS  # noqa: E402

CHANGES = int(os.environ.get("CHANGES") or 10_000)
HEADINGS = ("requests", "minimum", "ratio", "share", "429", "left out", "clock", "holds")


def main() -> int:
    as_json = "--json" in sys.argv[1:]
    console, began = Console(stderr=as_json), time.perf_counter()
    names = track(DRAINS, "draining", console=console, transient=True)
    found = {name: DRAINS[name](CHANGES) for name in names}
    document = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "changes": CHANGES,
        "rows": [
            {"channel": name, **asdict(one), "ratio": _ratio(one), "holds": one.holds} for name, one in found.items()
        ],
    }
    text = json.dumps(document, indent=2)
    Path(__file__).with_suffix(".json").write_text(text + "\n")
    if as_json:
        print(text)
    else:
        console.print(_table(found))
        console.print(f"The whole took {time.perf_counter() - began:.0f} s.")
    return 0 if all(one.holds for one in found.values()) else 1


def _ratio(drained: Drained) -> float:
    return drained.requests / drained.minimum


def _table(found: dict[str, Drained]) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), title=f"{CHANGES:,} stock changes", title_justify="left")
    table.add_column("channel", no_wrap=True)
    for heading in HEADINGS:
        table.add_column(heading, justify="right", no_wrap=True)
    for name, one in found.items():
        share = "burst" if one.share is None else f"{one.share:.3f}"
        holds = "[green]yes[/green]" if one.holds else "[red]no[/red]"
        table.add_row(
            name, f"{one.requests:,}", f"{one.minimum:,}", f"{_ratio(one):.2f}", share, f"{one.refused:,}",
            f"{one.unwritten:,}", f"{one.seconds:,.1f} s", holds,
        )  # fmt: skip
    return table


if __name__ == "__main__":
    raise SystemExit(main())
