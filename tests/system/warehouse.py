"""The seller's own system in the replay: reads orders from the sink's folder, ships, and exports its stock late."""

import csv
import json
import random
import re
import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

LAG = 3.0  # seconds between the stock that an export tells and the moment it is there to be read
EVERY = 2.0
DELIVERED = re.compile(r"([a-z]+)-(.+)-r(\d+)\.json")


@dataclass(slots=True)
class Warehouse:
    """``pieces_of``: by (channel, order id), what lies in the order now, as (item, pieces). ``source``: it owns the stock."""

    folder: Path  # where reports are dropped
    sink: Path
    figures: Path
    opening: Mapping[str, int]
    source: bool
    rng: random.Random
    shipped: set[tuple[str, str]] = field(default_factory=set)
    kept: set[tuple[str, str]] = field(default_factory=set)  # never shipped in the replay
    must_ship: set[tuple[str, str]] = field(default_factory=set)
    on_hand: dict[str, int] = field(default_factory=dict)
    on_delivery: Callable[[str, str], None] | None = None  # channel, order id
    arrived: set[tuple[str, str]] = field(default_factory=set)
    _seen: set[str] = field(default_factory=set)
    _waiting: list[tuple[float, tuple[str, str]]] = field(default_factory=list)
    _past: deque[tuple[float, datetime, dict[str, int]]] = field(default_factory=deque)
    _files: int = 0

    def __post_init__(self) -> None:
        self.on_hand = dict(self.opening)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.sink.mkdir(parents=True, exist_ok=True)
        if self.source:
            self._write(datetime.now(UTC), self.on_hand)

    def arrivals(self) -> list[tuple[str, str]]:
        """Orders that came into the sink and whose time to be picked has come, each once."""
        now = time.monotonic()
        for name in sorted({path.name for path in self.sink.iterdir()} - self._seen):
            self._seen.add(name)
            match = DELIVERED.fullmatch(name)
            if match is None:
                continue
            order = (match[1], match[2])
            self.arrived.add(order)
            if self.on_delivery is not None:
                self.on_delivery(*order)
            if order in self.shipped or order in self.kept or any(order == known for _, known in self._waiting):
                continue
            self._waiting.append((now + self.rng.uniform(0.5, 4), order))
        due = [order for at, order in self._waiting if at <= now]
        self._waiting = [(at, order) for at, order in self._waiting if at > now]
        return due

    def later(self, order: tuple[str, str]) -> None:
        """Look at it again in a while."""
        self._waiting.append((time.monotonic() + 1.0, order))

    def ship(self, order: tuple[str, str], pieces: Mapping[str, int]) -> None:
        """The whole order leaves now: the shelf is lower at once, and the report is dropped."""
        self.shipped.add(order)
        for sku, count in pieces.items():
            self.on_hand[sku] -= count
        self._drop("shipments", {"key": f"ship-{order[1]}", "carrier": "DHL", "tracking": f"JJD{order[1]}"}, order)

    def cancel(self, order: tuple[str, str], key: str, lines: Mapping[str, int]) -> None:
        """So many pieces of these lines (by line id) will not be sent."""
        named = [{"line": line, "quantity": pieces} for line, pieces in lines.items()]
        self._drop("cancellations", {"key": key, "lines": named, "reason": "the buyer asked for it"}, order)

    def take_back(self, sku: str, pieces: int) -> None:
        self.on_hand[sku] += pieces

    def export(self) -> None:
        """Write the stock as it was ``LAG`` seconds ago. Only a house that owns its stock does."""
        now = time.monotonic()
        if not self.source or (self._past and now < self._past[-1][0] + EVERY):
            return
        self._past.append((now, datetime.now(UTC), dict(self.on_hand)))
        told = None
        while len(self._past) > 1 and self._past[0][0] <= now - LAG:
            told = self._past.popleft()
        if told is not None:
            self._write(told[1], told[2])

    def _write(self, at: datetime, on_hand: Mapping[str, int]) -> None:
        temporary = self.figures.with_suffix(".part")
        with temporary.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["sku", "stock", "exported_at"])
            writer.writerows([sku, pieces, at.isoformat()] for sku, pieces in on_hand.items())
        temporary.replace(self.figures)

    def _drop(self, kind: str, document: Mapping[str, object], order: tuple[str, str]) -> None:
        self._files += 1
        path = self.folder / f"{kind}-{self._files:06d}.json"
        temporary = path.with_suffix(".part")
        temporary.write_text(json.dumps({**document, "channel": order[0], "order": order[1]}))
        temporary.replace(path)


def pieces_of(lines: Mapping[str, int]) -> dict[str, int]:
    """Pieces by item, added up."""
    total: dict[str, int] = defaultdict(int)
    for sku, count in lines.items():
        total[sku] += count
    return dict(total)
