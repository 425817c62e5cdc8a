"""Which offers on a channel are which of ours: by SKU, by the listing map, by the channel's own id, by GTIN."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection

from marketsync.adapter.api import ReadsOffers
from marketsync.adapter.content import Seen
from marketsync.ledger.queries import adoption
from marketsync.ledger.queries.adoption import OurOffer

FEW = 20
CHUNK = 500


@dataclass(frozen=True, slots=True)
class There:
    """An offer on the channel. ``gtin`` without leading zeros."""

    sku: str
    channel_id: str | None
    gtin: str


@dataclass(frozen=True, slots=True)
class Suggestion:
    """An offer on the channel that seems to be one of ours under another SKU. ``by``: channel id or GTIN.

    ``SKU there: our SKU`` in the channel's listing map says that it is.
    """

    channel_sku: str
    sku: str
    by: str
    channel_id: str | None


@dataclass(frozen=True, slots=True)
class Ambiguity:
    """Offers that cannot be told apart: ``there`` on the channel, ``ours`` in the assortment."""

    what: str
    there: tuple[str, ...]
    ours: tuple[str, ...]


@dataclass(slots=True)
class Matches:
    """How what is on a channel and what should be there belong together. Lists of SKUs hold the first few."""

    by_sku: int = 0
    by_map: int = 0
    unknown: int = 0
    unknown_skus: list[str] = field(default_factory=list)
    suggestions: list[Suggestion] = field(default_factory=list)
    ambiguous: list[Ambiguity] = field(default_factory=list)

    @property
    def twins(self) -> dict[str, str]:
        """Our SKUs that are perhaps on the channel already, under another SKU, and why: not to be created."""
        why = {one.sku: f"{one.channel_sku} on the channel has its {one.by}" for one in self.suggestions}
        return why | {sku: one.what for one in self.ambiguous for sku in one.ours}


class Witness:
    """Reads a channel for somebody else and remembers which offers it saw."""

    def __init__(self, reader: ReadsOffers) -> None:
        self._reader = reader
        self.there: list[There] = []

    async def offers(self, skus: Sequence[str] | None = None) -> AsyncIterator[Seen]:
        async for seen in self._reader.offers(skus):
            self.there.append(There(seen.sku, seen.channel_id, seen.listing.gtin.lstrip("0") if seen.listing else ""))
            yield seen


def match(conn: Connection, channel_id: int, there: Sequence[There], mapped: frozenset[str]) -> Matches:
    """Match what was seen. ``mapped``: the channel SKUs that the listing map names. What is on the channel twice under
    one SKU, one GTIN that several carry, and two of ours for one there are ambiguous.
    """
    found = Matches()
    by_sku: dict[str, list[There]] = {}
    for one in there:
        by_sku.setdefault(one.sku, []).append(one)
    known: dict[str, tuple[str, str | None]] = {}
    skus = list(by_sku)
    for start in range(0, len(skus), CHUNK):
        known |= adoption.known(conn, channel_id, skus[start : start + CHUNK])
    strangers: list[There] = []
    for sku, same in by_sku.items():
        ids = sorted({one.channel_id or "no id" for one in same})
        if len(ids) > 1:
            ours = (sku,) if sku in known else ()
            found.ambiguous.append(Ambiguity(f"{len(ids)} offers on the channel have the SKU {sku}", tuple(ids), ours))
        elif sku not in known:
            strangers.append(same[0])
        elif sku in mapped:
            found.by_map += 1
        else:
            found.by_sku += 1
    _strangers(conn, channel_id, strangers, found)
    return found


def _strangers(conn: Connection, channel_id: int, strangers: Sequence[There], found: Matches) -> None:
    """Offers there under a SKU that we do not know: perhaps they are ours by their id or their GTIN."""
    ids: dict[str, OurOffer] = {}
    gtins: dict[str, list[OurOffer]] = {}
    for start in range(0, len(strangers), CHUNK):
        some = strangers[start : start + CHUNK]
        ids |= adoption.by_channel_id(conn, channel_id, [one.channel_id for one in some if one.channel_id])
    if carried := sorted({one.gtin for one in strangers if one.gtin}):
        gtins = adoption.by_gtin(conn, channel_id, carried)
    carriers: dict[str, list[There]] = {}
    for one in strangers:
        ours = ids.get(one.channel_id or "")
        if ours is not None:
            found.suggestions.append(Suggestion(one.sku, ours.sku, "channel id", one.channel_id))
        elif one.gtin in gtins:
            carriers.setdefault(one.gtin, []).append(one)
        else:
            found.unknown += 1
            if len(found.unknown_skus) < FEW:
                found.unknown_skus.append(one.sku)
    _by_gtin(carriers, gtins, found)


def _by_gtin(carriers: Mapping[str, list[There]], gtins: Mapping[str, list[OurOffer]], found: Matches) -> None:
    for gtin, there in carriers.items():
        ours = gtins[gtin]
        skus = tuple(one.sku for one in ours)
        if len(there) == 1 and len(ours) == 1 and not ours[0].there:
            found.suggestions.append(Suggestion(there[0].sku, ours[0].sku, f"GTIN {gtin}", there[0].channel_id))
            continue
        names = tuple(one.sku for one in there)
        if len(ours) == 1 and ours[0].there:
            what = f"{skus[0]} is there under its own SKU, and its GTIN {gtin} again under another"
        else:
            what = f"the GTIN {gtin} is on {len(there)} offers there and on {len(ours)} of ours"
        found.ambiguous.append(Ambiguity(what, names, skus))
