"""A month of a real shop as a catalogue and what its buyers did, read from ``online-retail-2010-12.csv``.

What becomes of the lines of the file, and how many there are of each kind in the whole of it (28,492):

=================  ======  =========================================================================================
product            27,766  bought on a channel: the code is an item of the catalogue
unknown code          220  bought too, as offers that the channel has and no source names: a code that is no product
                           (POST, DOT, M, ...), or another spelling of one (85123a beside 85123A). The line is stored
                           without stock, delivered marked, and raised
never priced           21  not playable: the item has no price in the whole file, so no channel shows it
correction             67  a negative line without C: the channel tells an order with a negative quantity, which is
                           refused and raised, and nothing of it is stored
cancellation          418  lines of C-invoices. Those that follow a purchase of the same customer that has as many
                           pieces left are played (as a cancellation, or as a return), the others only counted
=================  ======  =========================================================================================

Zero prices of a code that has a price elsewhere are bought at that price: a buyer pays what the channel shows.
"""

import csv
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import islice
from pathlib import Path

PRODUCT = re.compile(r"\d{5}[A-Za-z]*")
SCARCE = 50  # best sellers of which there is too little
NOT_AFTER_A_PURCHASE = "not after a purchase"


@dataclass(frozen=True, slots=True)
class CatalogueItem:
    sku: str
    title: str
    price: Decimal | None
    sold: int  # pieces that buyers want in what is played
    scarce: bool

    @property
    def opening(self) -> int:
        """Two thirds of what is wanted of a scarce item, far more than that of the others."""
        return max(1, self.sold * 2 // 3) if self.scarce else self.sold * 3 + 500


@dataclass(frozen=True, slots=True)
class Cancelled:
    """Pieces of an earlier purchase that were cancelled by a C-invoice."""

    invoice: str
    of: str
    code: str
    pieces: int


@dataclass(frozen=True, slots=True)
class Purchase:
    """One invoice as a buyer's wish: pieces by code, in the order of the file. ``unknown``: codes of no item."""

    invoice: str
    wanted: Mapping[str, int]
    unknown: frozenset[str]
    cancelled: Sequence[Cancelled] = ()


@dataclass(slots=True)
class Counts:
    """What the file holds."""

    lines: int = 0
    invoices: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    cancelled_invoices: int = 0
    cancellations: Counter[str] = field(default_factory=Counter)
    zero_prices: int = 0
    empty_titles: int = 0


@dataclass(frozen=True, slots=True)
class Retail:
    items: Mapping[str, CatalogueItem]
    purchases: Sequence[Purchase]
    corrections: Sequence[tuple[str, str, int]]  # invoice, code, the negative quantity
    unknown: frozenset[str]
    counts: Counts

    @property
    def scarce(self) -> frozenset[str]:
        return frozenset(item.sku for item in self.items.values() if item.scarce)


def read_retail(path: Path, lines: int | None = None) -> Retail:
    """The first ``lines`` lines of the file, all of them if None."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(islice(csv.DictReader(file), lines))
    spellings = _spellings(rows)
    sold: Counter[str] = Counter()
    invoices: dict[str, list[dict[str, str]]] = {}
    counts = Counts(lines=len(rows))
    priced = {row["StockCode"] for row in rows if Decimal(row["UnitPrice"]) > 0}
    for row in rows:
        invoices.setdefault(row["InvoiceNo"], []).append(row)
        counts.kinds[_kind(row, spellings, priced)] += 1
        counts.zero_prices += Decimal(row["UnitPrice"]) == 0
        counts.empty_titles += not row["Description"].strip()
        if _kind(row, spellings, priced) == "product":
            sold[row["StockCode"]] += int(row["Quantity"])
    counts.invoices = len(invoices)
    counts.cancelled_invoices = sum(name.startswith("C") for name in invoices)
    cancelled = _cancelled(rows, spellings, priced, counts)
    scarce = {code for code, _ in sold.most_common(SCARCE)}
    purchases = [
        purchase
        for invoice, parts in invoices.items()
        if (purchase := _purchase(invoice, parts, spellings, priced, cancelled)) is not None
    ]
    return Retail(
        items=_items(rows, spellings, sold, scarce),
        purchases=purchases,
        corrections=[
            (row["InvoiceNo"], row["StockCode"], int(row["Quantity"]))
            for row in rows
            if _kind(row, spellings, priced) == "correction"
        ],
        unknown=frozenset(code for purchase in purchases for code in purchase.unknown),
        counts=counts,
    )


def _spellings(rows: Iterable[Mapping[str, str]]) -> frozenset[str]:
    """The products' codes. Of spellings that differ only in case, the one with the most lines that have a price."""
    lines: Counter[str] = Counter()
    for row in rows:
        if PRODUCT.fullmatch(row["StockCode"]):
            lines[row["StockCode"]] += Decimal(row["UnitPrice"]) > 0 and int(row["Quantity"]) > 0
    best: dict[str, str] = {}
    for code, count in lines.items():
        folded = code.upper()
        if folded not in best or count > lines[best[folded]]:
            best[folded] = code
    return frozenset(best.values())


def _kind(row: Mapping[str, str], products: frozenset[str], priced: set[str]) -> str:
    if row["InvoiceNo"].startswith("C"):
        return "cancellation"
    if int(row["Quantity"]) < 0:
        return "correction"
    if row["StockCode"] not in products:
        return "unknown code"
    return "product" if row["StockCode"] in priced else "never priced"


def _purchase(
    invoice: str,
    rows: Sequence[Mapping[str, str]],
    products: frozenset[str],
    priced: set[str],
    cancelled: Mapping[str, list[Cancelled]],
) -> Purchase | None:
    wanted: Counter[str] = Counter()
    for row in rows:
        if _kind(row, products, priced) in {"product", "unknown code"}:
            wanted[row["StockCode"]] += int(row["Quantity"])
    if not wanted:
        return None
    unknown = frozenset(code for code in wanted if code not in products)
    return Purchase(invoice, dict(wanted), unknown, tuple(cancelled.get(invoice, ())))


def _cancelled(
    rows: Iterable[Mapping[str, str]], products: frozenset[str], priced: set[str], counts: Counts
) -> dict[str, list[Cancelled]]:
    """C-lines by the invoice whose pieces they cancel: the newest one of the customer that has so many left."""
    left: dict[tuple[str, str], list[list[object]]] = defaultdict(list)
    found: dict[str, list[Cancelled]] = defaultdict(list)
    for row in rows:
        key, pieces = (row["CustomerID"], row["StockCode"]), int(row["Quantity"])
        if _kind(row, products, priced) == "product" and row["CustomerID"]:
            left[key].append([row["InvoiceNo"], pieces])
        if not row["InvoiceNo"].startswith("C"):
            continue
        earlier = next((one for one in reversed(left[key]) if one[1] >= -pieces), None)  # type: ignore[operator]
        if earlier is None:
            counts.cancellations[NOT_AFTER_A_PURCHASE] += 1
            continue
        earlier[1] += pieces  # type: ignore[operator]
        invoice = str(earlier[0])
        found[invoice].append(Cancelled(row["InvoiceNo"], invoice, row["StockCode"], -pieces))
        counts.cancellations["played"] += 1
    return found


def _items(
    rows: Iterable[Mapping[str, str]], products: frozenset[str], sold: Mapping[str, int], scarce: set[str]
) -> dict[str, CatalogueItem]:
    titles: dict[str, Counter[str]] = defaultdict(Counter)
    prices: dict[str, Counter[Decimal]] = defaultdict(Counter)
    for row in rows:
        code, price = row["StockCode"], Decimal(row["UnitPrice"])
        if code in products:
            titles[code][" ".join(row["Description"].split())] += 1
            prices[code][price] += price > 0
    return {
        code: _item(code, titles[code], prices[code], sold.get(code, 0), code in scarce) for code in sorted(products)
    }


def _item(code: str, titles: Counter[str], prices: Counter[Decimal], sold: int, scarce: bool) -> CatalogueItem:
    title = next((title for title, _ in titles.most_common() if title), f"Item {code}")
    price, times = max(prices.items(), key=lambda found: (found[1], found[0]))
    return CatalogueItem(code, title, price if times else None, sold, scarce)


def write_catalogue(retail: Retail, path: Path, *, stock: bool) -> None:
    """The catalogue as a CSV: sku, title, price and, where it brings the opening stock, stock."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["sku", "title", "price", *(["stock"] if stock else [])])
        for item in retail.items.values():
            price = "" if item.price is None else str(item.price)
            writer.writerow([item.sku, item.title, price, *([item.opening] if stock else [])])
