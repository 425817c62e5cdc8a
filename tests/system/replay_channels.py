"""The replay on the five real marketplaces at once: their sandboxes, the real catalogue, buyers of the real order file.

What is lifted so that it can be played in minutes stands in ``tests.system.markets``: rates and waiting times of the
sandboxes, and settings of the adapters. The engine and the adapters are those that a seller runs.

Corrections of the file (orders with negative pieces) cannot happen on a marketplace, and what the file cancels of an
earlier purchase is too little to show anything: here six orders in a hundred are cancelled as a whole by their buyers.
"""

import csv
from dataclasses import replace
from functools import partial
from pathlib import Path

from cryptography.fernet import Fernet

from tests.contract.kaufland_harness import ean_of
from tests.system.channels import Channels, open_channels
from tests.system.daemon_process import free_port
from tests.system.judge import Report
from tests.system.markets import MARKETS
from tests.system.oracle import Oracle
from tests.system.play import Plan
from tests.system.replay import FIXED, SHOW_AT_MOST, two_packs
from tests.system.retail import Retail, read_retail
from tests.system.stage import Stage, run

WITH_PACKS = ("ebay", "woocommerce")  # Kaufland wants a GTIN of its own for a pack
CAPPED, FIXED_ON = "woocommerce", "shopify"
COLUMNS = ("sku", "title", "description", "price", "stock", "gtin", "category", "brand", "image", "asin")


def replay_channels(plan: Plan) -> Report:
    """Play, let everything settle, judge."""
    read = read_retail(plan.csv, plan.lines)
    retail = replace(read, corrections=(), purchases=[replace(one, cancelled=()) for one in read.purchases])
    opening = {item.sku: item.opening for item in retail.items.values()}
    packs = dict.fromkeys(WITH_PACKS, two_packs(retail))
    fixed = {item.sku: FIXED for number, item in enumerate(retail.items.values()) if number % 25 == 0}
    caps = {CAPPED: {"": SHOW_AT_MOST}, FIXED_ON: fixed}
    oracle = Oracle(opening, packs, caps, {name: kind.window for name, kind in MARKETS.items()})
    # A shop knows no two SKUs that differ in case only: of other spellings of a code nobody has an offer there.
    spelt = {sku.upper() for sku in retail.items}
    strange = sorted(code for code in retail.unknown if code.upper() not in spelt)
    configure = partial(_configure, plan, retail, fixed)
    return run(
        plan, Stage(retail, oracle, open_channels(oracle, packs, strange), configure, sink_tells=True, settle=900.0)
    )


def _configure(plan: Plan, retail: Retail, fixed: dict[str, int], channels: Channels) -> Path:
    write_catalogue(retail, plan.folder / "catalogue.csv")
    rows = [f"{FIXED_ON},{sku},stock,{pieces},shown with restraint," for sku, pieces in fixed.items()]
    (plan.folder / "fixes.csv").write_text("\n".join(["channel,sku,field,value,reason,until", *rows]) + "\n")
    text = (
        f"ledger: {plan.ledger}\nkey: {Fernet.generate_key().decode()}\nmetrics: 127.0.0.1:{free_port()}\n"
        "shipments: reports\nsources:\n  catalogue:\n    file: catalogue.csv\n    every: 30s\n"
        "    owns: [content, price, stock]\n    columns: {attributes.merchant_suggested_asin: asin}\n"
        "  fixes: {file: fixes.csv, every: 30s, owns: [overrides]}\n"
        "sinks:\n  erp: {folder: sink}\nchannels:\n"
    )
    path = plan.folder / "marketsync.yaml"
    path.write_text(text + "".join(_channel(name, channels) for name in channels.sandboxes))
    return path


def _channel(name: str, channels: Channels) -> str:
    sandbox = channels.sandboxes[name]
    text = f"  {name}:\n" + sandbox.market.config(sandbox.url)
    text += (
        f"    schedule: {{orders: {sandbox.market.orders_every}, stock: 1s, price: 2s, listing: 2s, reconcile: 3m}}\n"
    )
    text += "    orders: {restock_on: [cancel]}\n"
    if name == CAPPED:
        text += f"    stock: {{show_at_most: {SHOW_AT_MOST}}}\n    price: {{markup: 10%, ending: .99}}\n"
    if packs := channels.packs.get(name):
        text += "    listing_map:\n"
        text += "".join(f"      '{sku}': {{'{item}': {pieces}}}\n" for sku, (item, pieces) in packs.items())
    return text


def write_catalogue(retail: Retail, path: Path) -> None:
    """The items of the order file with what a marketplace wants besides: a GTIN, a picture, a category, an ASIN."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for number, item in enumerate(retail.items.values()):
            price = "" if item.price is None else str(item.price)
            image = f"https://images.example/{item.sku}.jpg"
            asin = f"B0{number:08d}"
            text = f"{item.title}, from a shop for gifts."
            writer.writerow(
                [item.sku, item.title, text, price, item.opening, ean_of(item.sku), "Garden", "Gifts", image, asin]
            )
