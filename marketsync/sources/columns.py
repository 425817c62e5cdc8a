"""Which column says what: the names that catalogues use in English and German, and what the user maps by hand."""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from marketsync.domain.item import ITEM_FIELDS
from marketsync.sources.api import SourceError, SourceSettings
from marketsync.sources.cells import is_currency, is_weight_unit

# Names in lower case without spaces and signs; of several columns for one field the name that stands first here counts.
NAMES: Mapping[str, str] = {
    "sku": "sku sellersku merchantsku itemsku variantsku artikelnummer artikelnr artnr artikelno productcode itemnumber"
    " itemno stockcode produktnummer bestellnummer id",
    "title": "title titel producttitle producttitel productname produktname artikelname artikelbezeichnung bezeichnung"
    " name itemname",
    "description": "description beschreibung artikelbeschreibung produktbeschreibung productdescription longdescription"
    " langbeschreibung langtext bodyhtml body",
    "brand": "brand marke markenname brandname hersteller manufacturer vendor",
    "gtin": "gtin ean upc isbn gtin13 ean13 gtin14 eancode barcode strichcode",
    "category": "category kategorie producttype produkttyp categorypath kategoriepfad warengruppe productcategory"
    " googleproductcategory",
    "tags": "tags tag schlagworte schlagwörter keywords",
    "condition": "condition zustand artikelzustand",
    "parent": "parentsku parent itemgroupid mastersku vaterartikel vaterartikelnummer elternartikel hauptartikel",
    "images": "images image imagelink imageurl imageurls imagesrc bilder bild bildurl bildurls additionalimagelink",
    "videos": "videos video videourl videolink",
    "weight_grams": "weightgrams weight gewicht shippingweight versandgewicht itemweight artikelgewicht",
    "price": "price preis verkaufspreis vkpreis vk sellingprice regularprice unitprice einzelpreis",
    "sale_price": "saleprice angebotspreis aktionspreis sonderpreis specialprice",
    "sale_starts": "salestarts salestart salefrom angebotvon aktionvon sonderpreisvon specialpricefrom",
    "sale_ends": "saleends saleend saleto angebotbis aktionbis sonderpreisbis specialpriceto",
    "sale_interval": "salepriceeffectivedate",
    "reference_price": "referenceprice compareatprice rrp uvp msrp listprice listenpreis streichpreis",
    "cost": "cost costprice unitcost costperitem costofgoodssold purchaseprice einkaufspreis ekpreis ek",
    "tax_class": "taxclass steuerklasse taxcategory",
    "stock": "stock bestand lagerbestand onhand quantity qty menge anzahl inventory stockquantity stocklevel lagermenge"
    " inventoryquantity verfügbar",
    "availability": "availability verfügbarkeit",
    "currency": "currency währung currencycode",
    "exported_at": "exportedat exportiertam exporttime exportzeit exportdate exportdatum",
    # What tells variants apart; a property of the item where it has no parent.
    "property": "color colour farbe size größe material pattern muster",
}

OVERRIDE_NAMES: Mapping[str, str] = {
    "channel": "channel kanal",
    "sku": "sku artikelnummer artikelnr",
    "field": "field feld",
    "value": "value wert",
    "reason": "reason grund",
    "until": "until bis gültigbis",
    "exported_at": NAMES["exported_at"],
}

_REPEATABLE = frozenset({"images", "videos", "tags", "property"})
_MONEY = frozenset({"price", "sale_price", "reference_price", "cost"})
_NESTED = re.compile(r"(?:attributes|options|prices|stock)\.[^.\s].*|texts\.[A-Za-z-]+\.[a-z_]+")
_NUMBERED = re.compile(r"(images?|imageurl|imagelink|bild|bilder|bildurl|videos?)\d+")
_UNIT = re.compile(r"(.*?)[\s_]*[(\[]\s*([^)\]]+?)\s*[)\]]\s*|(.*?)[\s_]+(?:in[\s_]+)?([A-Za-z]{1,5}|€|£)\s*")


@dataclass(frozen=True, slots=True)
class Column:
    """A column that is used. ``field`` is an item field, a dotted part of one, or one of ``NAMES``."""

    index: int
    name: str  # as the source writes it
    field: str
    unit: str = ""  # a currency or a unit of weight that the name tells


def plain(name: str) -> str:
    """A column name without case, spaces and signs."""
    return "".join(filter(str.isalnum, unicodedata.normalize("NFKC", name).casefold()))


def _ranked(names: Mapping[str, str]) -> dict[str, tuple[str, int]]:
    return {plain(name): (field, rank) for field, all_ in names.items() for rank, name in enumerate(all_.split())}


_ITEM_NAMES = _ranked(NAMES)
_OVERRIDE_NAMES = _ranked(OVERRIDE_NAMES)


def known_columns(header: Sequence[str], settings: SourceSettings) -> int:
    """How many of these columns are known or mapped: which of several readings of a header is the right one."""
    mapped = set(settings.columns.values())
    names = _names(settings)
    return sum(name in mapped or _recognised(name, names) is not None for name in header)


def recognise(header: Sequence[str], settings: SourceSettings) -> list[Column]:
    """The columns that are used, in their order. Raises SourceError for a mapped column that is not there."""
    return sorted(_mapped(header, settings) + _known(header, settings), key=lambda column: column.index)


def _names(settings: SourceSettings) -> Mapping[str, tuple[str, int]]:
    return _OVERRIDE_NAMES if "overrides" in settings.owns else _ITEM_NAMES


def _mapped(header: Sequence[str], settings: SourceSettings) -> list[Column]:
    columns = []
    fields = OVERRIDE_NAMES if "overrides" in settings.owns else {*NAMES, *ITEM_FIELDS}
    for field, wanted in settings.columns.items():
        if field not in fields and not _NESTED.fullmatch(field):
            raise SourceError(f"columns: {field!r} is no field{_nearest(field, fields)}")
        same = [i for i, name in enumerate(header) if name == wanted]
        same = same or [i for i, name in enumerate(header) if plain(name) == plain(wanted)]
        if not same:
            raise SourceError(f"columns: {field}: the source has no column {wanted!r}{_nearest(wanted, header)}")
        if len(same) > 1:
            raise SourceError(f"columns: {field}: the source has {len(same)} columns {wanted!r}: rename all but one")
        # What a person maps to weight_grams is grams unless its name says otherwise.
        unit = _unit(header[same[0]])[1] or ("g" if field == "weight_grams" else "")
        columns.append(Column(same[0], header[same[0]], field, unit))
    return columns


def _known(header: Sequence[str], settings: SourceSettings) -> list[Column]:
    names = _names(settings)
    taken = set(settings.columns)
    best: dict[str, tuple[int, Column]] = {}
    columns = []
    for index, name in enumerate(header):
        found = _recognised(name, names)
        if found is None or found[0] in taken or name in settings.columns.values():
            continue
        field, rank, unit = found
        column = Column(index, name, field, unit)
        if field in _REPEATABLE:
            columns.append(column)
            continue
        if field in best and best[field][0] == rank:
            raise SourceError(
                f"both column {best[field][1].name!r} and column {name!r} are the {field}: name one under `columns:`"
            )
        if field not in best or rank < best[field][0]:
            best[field] = (rank, column)
    return columns + [column for _, column in best.values()]


def _recognised(name: str, names: Mapping[str, tuple[str, int]]) -> tuple[str, int, str] | None:
    """(field, rank, unit) of a column name."""
    if _NESTED.fullmatch(name) and names is _ITEM_NAMES:
        return name, 0, ""
    if found := names.get(plain(name)):
        return *found, ""
    bare, unit = _unit(name)
    if unit and (found := names.get(plain(bare))):
        field = found[0]
        fits = is_currency(unit) if field in _MONEY else is_weight_unit(unit) and field == "weight_grams"
        return (*found, unit) if fits else None
    if (numbered := _NUMBERED.fullmatch(plain(name))) and (found := names.get(numbered[1])):
        return *found, ""
    return None


def _unit(name: str) -> tuple[str, str]:
    """The name without its unit ("Preis (EUR)", "price_eur", "Gewicht in kg"), and the unit; ("", "") without one."""
    parts = _UNIT.fullmatch(name)
    if parts is None:
        return "", ""
    bare, unit = (parts[1], parts[2]) if parts[2] else (parts[3], parts[4])
    unit = {"€": "EUR", "£": "GBP"}.get(unit, unit)
    if is_currency(unit.upper()):
        return bare, unit.upper()
    return (bare, unit) if is_weight_unit(unit) else ("", "")


def _nearest(name: str, known: Iterator[str] | Sequence[str] | Mapping[str, str] | set[str]) -> str:
    close = get_close_matches(name, list(known), n=1)
    return f", did you mean {close[0]!r}?" if close else f"; there are {', '.join(sorted(set(known)))}"[:300]
