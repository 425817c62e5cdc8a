"""The replay: a month of real orders over three sandbox marketplaces, while the daemon is killed again and again."""

from functools import partial
from pathlib import Path

from cryptography.fernet import Fernet

from tests.system.daemon_process import free_port
from tests.system.judge import Report
from tests.system.oracle import Oracle
from tests.system.play import Plan, Stock
from tests.system.retail import Retail, read_retail, write_catalogue
from tests.system.shops import CHANNELS, Shops, open_shops
from tests.system.stage import Stage, run

__all__ = ["Plan", "Stock", "replay"]

SHOW_AT_MOST = 60  # on the outlet, of everything
FIXED = 24  # pieces that the shop shows of some items at most


def replay(plan: Plan) -> Report:
    """Play, let everything settle, judge."""
    retail = read_retail(plan.csv, plan.lines)
    opening = {item.sku: item.opening for item in retail.items.values()}
    packs = {"bazaar": two_packs(retail)}
    fixed = {item.sku: FIXED for number, item in enumerate(retail.items.values()) if number % 25 == 0}
    oracle = Oracle(opening, packs, {"outlet": {"": SHOW_AT_MOST}, "shop": fixed})
    configure = partial(_configure, plan, retail, packs, fixed)
    return run(plan, Stage(retail, oracle, open_shops(oracle, packs, retail.unknown), configure))


def two_packs(retail: Retail) -> dict[str, tuple[str, int]]:
    """Some best sellers and some others are sold by two as well."""
    by_sales = sorted(retail.items.values(), key=lambda item: -item.sold)
    chosen = [item.sku for item in (*by_sales[:10], *by_sales[60:80]) if item.price is not None]
    return {f"{sku}-2": (sku, 2) for sku in chosen}


def _configure(
    plan: Plan, retail: Retail, packs: dict[str, dict[str, tuple[str, int]]], fixed: dict[str, int], shops: Shops
) -> Path:
    ledger_owned = plan.stock == "ledger"
    write_catalogue(retail, plan.folder / "catalogue.csv", stock=ledger_owned)
    rows = [f"shop,{sku},stock,{pieces},shown with restraint," for sku, pieces in fixed.items()]
    (plan.folder / "fixes.csv").write_text("\n".join(["channel,sku,field,value,reason,until", *rows]) + "\n")
    figures = (
        ""
        if ledger_owned
        else "  figures: {file: figures.csv, every: 2s, owns: [stock], location: main, falls_at: shipment}\n"
    )
    owns = "[content, price, stock]" if ledger_owned else "[content, price]"
    text = (
        f"ledger: {plan.ledger}\nkey: {Fernet.generate_key().decode()}\nmetrics: 127.0.0.1:{free_port()}\n"
        f"shipments: reports\nsources:\n  catalogue: {{file: catalogue.csv, every: 30s, owns: {owns}}}\n"
        f"  fixes: {{file: fixes.csv, every: 30s, owns: [overrides]}}\n{figures}"
        "sinks:\n  erp: {folder: sink}\nchannels:\n" + "".join(_channel(name, shops, packs) for name in CHANNELS)
    )
    path = plan.folder / "marketsync.yaml"
    path.write_text(text)
    return path


def _channel(name: str, shops: Shops, packs: dict[str, dict[str, tuple[str, int]]]) -> str:
    lines = [
        f"  {name}:",
        "    adapter: sandbox",
        "    credentials: {api_key: sandbox-key}",
        f"    settings: {{base_url: '{shops.sandboxes[name].url}', limits: false}}",
        "    schedule: {orders: 1s, stock: 1s, price: 2s, listing: 2s, returns: 2s, reconcile: 40s}",
        "    orders: {restock_on: [cancel, return]}",
    ]
    if name == "outlet":
        lines += [f"    stock: {{show_at_most: {SHOW_AT_MOST}}}", "    price: {markup: 10%, ending: .99}"]
    if packs.get(name):
        lines.append("    listing_map:")
        lines += [f"      '{sku}': {{'{item}': {pieces}}}" for sku, (item, pieces) in packs[name].items()]
    return "\n".join(lines) + "\n"
