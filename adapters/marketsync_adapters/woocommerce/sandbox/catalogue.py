"""The products of the shop, as WooCommerce keeps and shows them."""

import copy
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from marketsync.adapter.api import Clock
from marketsync_adapters.woocommerce.sandbox.rules import Refused, Rules
from marketsync_adapters.woocommerce.sandbox.text import cleaned, collated, filtered, gmt, local, stamp

Document = dict[str, Any]

_TEXTS = {"name": filtered, "description": filtered, "short_description": filtered, "global_unique_id": cleaned}
_PLAIN = ("status", "weight", "regular_price", "sale_price", "type")
_SALE = ("date_on_sale_from_gmt", "date_on_sale_to_gmt")


class StockWrite(NamedTuple):
    """One change of a quantity. ``cause``: write (the seller), sale, cancel (the shop itself)."""

    at: datetime
    sku: str
    before: int | None
    quantity: int | None
    cause: str


class Catalogue:
    def __init__(self, rules: Rules, clock: Clock) -> None:
        self._rules = rules
        self._clock = clock
        self._next = 100
        self.products: dict[int, Document] = {}
        self.variations: dict[int, Document] = {}  # with their parent_id
        self.categories = [{"id": number, "name": name, "parent": 0} for name, number in rules.categories.items()]
        self.attributes = [{"id": number, "name": name} for name, number in rules.attributes.items()]
        self.downloads: list[str] = []  # every image that was downloaded
        self.log: list[StockWrite] = []
        self.on_stock_write: list[Callable[[StockWrite], None]] = []
        self._skus: dict[str, int] = {}  # collated -> id
        self._media: dict[int, str] = {}

    # Reading.

    def by_sku(self, sku: str) -> Document | None:
        """The product or variation that has this SKU, letter by letter."""
        row = self._row(self._skus.get(collated(sku), 0))
        return row if row is not None and row["sku"] == sku else None

    def product(self, number: int) -> Document:
        if number not in self.products:
            raise Refused(400, "woocommerce_rest_product_invalid_id", "Invalid ID.")
        return self.products[number]

    def children(self, parent: int) -> list[Document]:
        return [row for row in self.variations.values() if row["parent_id"] == parent]

    def search(self, skus: Iterable[str]) -> list[Document]:
        wanted = {collated(sku) for sku in skus}
        rows: Iterator[Document | None] = (self._row(self._skus[sku]) for sku in wanted if sku in self._skus)
        return [row for row in rows if row is not None]

    def shown(self, row: Document, *, as_variation: bool = False) -> Document:
        """A product as the API shows it; a variation of a search comes in the form of a product."""
        document = {key: value for key, value in row.items() if not key.startswith("$")}
        document |= self._times(row)
        counted = row["manage_stock"] and self._rules.manages_stock
        quantity = row["stock_quantity"] if counted else None
        document |= {
            "manage_stock": counted,
            "stock_quantity": quantity,
            "stock_status": "outofstock" if counted and (quantity or 0) <= 0 else "instock",
            "price": row["sale_price"] or row["regular_price"],
            "on_sale": bool(row["sale_price"]),
            "purchasable": row["status"] == "publish" and bool(row["regular_price"]),
            "permalink": f"{self._rules.url}/product/{row['id']}/",
            "attributes": [self._named(one) for one in row["attributes"]],
        }
        images = [self._image(number) for number in row["$images"]]
        if as_variation:
            document.pop("parent_id")
            for name in ("name", "type", "slug", "categories"):
                document.pop(name, None)
            return document | {"image": images[0] if images else None}
        children = [child["id"] for child in self.children(row["id"])]
        return document | {"images": images, "variations": children, "categories": self._categories(row)}

    # Writing. Each call is one object of a batch.

    def create(self, sent: Document, parent: int | None = None, *, apply: bool = True) -> Document:
        self._next += 1
        row = self._blank(self._next, parent)
        self._apply(row, sent, parent)
        if apply:
            self._keep(row)
        return row

    def update(self, sent: Document, parent: int | None = None, *, apply: bool = True) -> Document:
        number = int(sent.get("id", 0))
        known = (self.variations if parent is not None else self.products).get(number)
        if parent is None and number in self.variations:
            message = "To manipulate product variations you should use the /products/&lt;product_id&gt;/variations/&lt;id&gt; endpoint."
            raise Refused(404, "woocommerce_rest_invalid_product_id", message)
        if known is None or (parent is not None and known["parent_id"] != parent):
            noun = "product" if parent is None else "product_variation"
            raise Refused(400, f"woocommerce_rest_{noun}_invalid_id", "Invalid ID.")
        row = copy.deepcopy(known)
        self._apply(row, sent, parent)
        if apply:
            self._keep(row)
        return row

    def delete(self, number: int, parent: int | None = None, *, apply: bool = True) -> Document:
        row = (self.variations if parent is not None else self.products).get(number)
        if row is None:
            noun = "product" if parent is None else "product_variation"
            raise Refused(404, f"woocommerce_rest_{noun}_invalid_id", "Invalid ID.")
        if apply:
            for gone in [row, *self.children(number)]:
                self._skus.pop(collated(gone["sku"]), None)
                self.products.pop(gone["id"], None)
                self.variations.pop(gone["id"], None)
        return row

    def move(self, row: Document, pieces: int, cause: str) -> None:
        """A sale or its cancellation, where the shop counts."""
        if row["manage_stock"] and self._rules.manages_stock:
            before = row["stock_quantity"]
            row["stock_quantity"] = (before or 0) + pieces
            self._note(row, before, cause)

    def add_category(self, sent: Document) -> Document:
        for known in self.categories:
            if (known["name"], known["parent"]) == (sent["name"], sent.get("parent", 0)):
                message = "A term with the name provided already exists with this parent."
                raise Refused(400, "term_exists", message, resource_id=known["id"])
        self._next += 1
        self.categories.append({"id": self._next, "name": sent["name"], "parent": sent.get("parent", 0)})
        return self.categories[-1]

    # How the fields are taken.

    def _apply(self, row: Document, sent: Document, parent: int | None) -> None:
        if "sku" in sent:
            row["sku"] = self._free_sku(cleaned(sent["sku"]), row["id"])
        if sent.get("global_unique_id"):
            self._free_gtin(cleaned(sent["global_unique_id"]), row["id"])
        row |= {name: clean(sent[name]) for name, clean in _TEXTS.items() if name in sent}
        row |= {name: sent[name] for name in _PLAIN if name in sent}
        row |= {name: gmt(stamp(sent[name])) for name in _SALE if name in sent}
        if row["type"] == "variable":
            row |= {"regular_price": "", "sale_price": ""}
        if not row["name"] and parent is None:
            row["name"] = "Product"
        self._apply_stock(row, sent)
        if "categories" in sent:
            known = {one["id"] for one in self.categories}
            row["$categories"] = [one["id"] for one in sent["categories"] if one["id"] in known]
        if "attributes" in sent:
            row["attributes"] = self._attributes(sent["attributes"], parent)
        if "images" in sent:
            row["$images"] = [self._upload(image, "product") for image in sent["images"]]
        if sent.get("image"):
            row["$images"] = [self._upload(sent["image"], "variation")]
        for meta in sent.get("meta_data", ()):
            row["meta_data"] = [one for one in row["meta_data"] if one["key"] != meta["key"]]
            row["meta_data"].append({"id": row["id"] * 10 + len(row["meta_data"]), **meta})
        row["$modified"] = self._clock.now()

    def _apply_stock(self, row: Document, sent: Document) -> None:
        if not self._rules.manages_stock:
            return
        row["manage_stock"] = sent.get("manage_stock", row["manage_stock"])
        if not row["manage_stock"]:
            row["stock_quantity"] = None
        elif "stock_quantity" in sent:
            row["stock_quantity"] = int(sent["stock_quantity"])

    def _attributes(self, sent: list[Document], parent: int | None) -> list[Document]:
        if parent is None:
            return [
                {
                    "id": one.get("id", 0),
                    "name": cleaned(one.get("name", "")),
                    "position": 0,
                    "visible": one.get("visible", False),
                    "variation": one.get("variation", False),
                    "options": [part.strip() for option in one["options"] for part in str(option).split("|")],
                }
                for one in sent
            ]
        varies = {self._named(one)["name"].lower() for one in self.products[parent]["attributes"] if one["variation"]}
        named = [
            {"id": one.get("id", 0), "name": one.get("name", ""), "option": cleaned(one["option"])} for one in sent
        ]
        return [one for one in named if self._named(one)["name"].lower() in varies]

    def _upload(self, image: Document, noun: str) -> int:
        number = int(image.get("id", 0))
        if number:
            if number not in self._media:
                raise Refused(400, f"woocommerce_{noun}_invalid_image_id", f"#{number} is an invalid image ID.")
            return number
        source = str(image.get("src", ""))
        if not source.startswith(("https://", "http://")):
            message = f"Error getting remote image {source}. Error: A valid URL was not provided."
            raise Refused(400, f"woocommerce_{noun}_image_upload_error", message)
        self.downloads.append(source)
        self._next += 1
        self._media[self._next] = source
        return self._next

    def _free_sku(self, sku: str, number: int) -> str:
        holder = self._skus.get(collated(sku))
        if sku and holder is not None and holder != number:
            raise Refused(
                400, "product_invalid_sku", "Invalid or duplicated SKU.", resource_id=holder, unique_sku=f"{sku}-1"
            )
        return sku

    def _free_gtin(self, gtin: str, number: int) -> None:
        if any(row["global_unique_id"] == gtin and row["id"] != number for row in self._rows()):
            raise Refused(400, "product_invalid_global_unique_id", "Invalid or duplicated GTIN, UPC, EAN or ISBN.")

    def _keep(self, row: Document) -> None:
        before = self._row(row["id"])
        if before is not None:
            self._skus.pop(collated(before["sku"]), None)
        if row["sku"]:
            self._skus[collated(row["sku"])] = row["id"]
        quantity = before["stock_quantity"] if before else None
        if quantity != row["stock_quantity"]:
            self._note(row, quantity, "write")
        (self.variations if row["parent_id"] else self.products)[row["id"]] = row

    def _note(self, row: Document, before: int | None, cause: str) -> None:
        write = StockWrite(self._clock.now(), row["sku"], before, row["stock_quantity"], cause)
        self.log.append(write)
        for watch in self.on_stock_write:
            watch(write)

    def _blank(self, number: int, parent: int | None) -> Document:
        if parent is not None and parent not in self.products:
            raise Refused(
                404, "woocommerce_rest_product_variation_invalid_parent", "The parent product does not exist."
            )
        blank: Document = dict.fromkeys((*_TEXTS, *_PLAIN, "sku"), "")
        return blank | {
            "id": number,
            "parent_id": parent or 0,
            "type": "variation" if parent is not None else "simple",
            "status": "publish",
            "manage_stock": False,
            "stock_quantity": None,
            "backorders": "no",
            "attributes": [],
            "meta_data": [],
            "date_on_sale_from_gmt": None,
            "date_on_sale_to_gmt": None,
            "$images": [],
            "$categories": [15] if parent is None else [],
            "$created": self._clock.now(),
        }

    def _row(self, number: int) -> Document | None:
        return self.products.get(number) or self.variations.get(number)

    def _rows(self) -> Iterator[Document]:
        yield from self.products.values()
        yield from self.variations.values()

    def _named(self, attribute: Document) -> Document:
        names = {one["id"]: one["name"] for one in self.attributes}
        return attribute | {"name": names.get(attribute["id"], attribute["name"])}

    def _categories(self, row: Document) -> list[Document]:
        names = {one["id"]: one["name"] for one in self.categories}
        return [
            {"id": number, "name": str(names[number]).replace("&", "&amp;"), "slug": f"category-{number}"}
            for number in row["$categories"]
        ]

    def _image(self, number: int) -> Document:
        name = self._media[number].rsplit("/", 1)[-1].split("?")[0]
        return {"id": number, "src": f"{self._rules.url}/wp-content/uploads/{number}-{name}", "name": name, "alt": ""}

    def _times(self, row: Document) -> Document:
        zone = self._rules.time_zone
        times: Document = {}
        for name, time in (("date_created", row["$created"]), ("date_modified", row["$modified"])):
            times |= {name: local(time, zone), f"{name}_gmt": gmt(time)}
        for name in ("date_on_sale_from", "date_on_sale_to"):
            times |= {name: local(stamp(row[f"{name}_gmt"]), zone), f"{name}_gmt": row[f"{name}_gmt"]}
        return times

    def price(self, row: Document) -> Decimal:
        """What a buyer pays now."""
        now = self._clock.now()
        starts, ends = stamp(row["date_on_sale_from_gmt"]), stamp(row["date_on_sale_to_gmt"])
        running = (starts is None or starts <= now) and (ends is None or now < ends)
        return Decimal(row["sale_price"] if row["sale_price"] and running else row["regular_price"])


def each(sent: Iterable[Any], write: Callable[[Any], Document]) -> list[Document]:
    """Write object by object; a refused one leaves the others alone, and is reported inside the reply."""
    reports: list[Document] = []
    for one in sent:
        try:
            reports.append(write(one))
        except Refused as refused:
            number = one.get("id", 0) if isinstance(one, dict) else one
            reports.append({"id": number, "error": refused.document()})
    return reports
