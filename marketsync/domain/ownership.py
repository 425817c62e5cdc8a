"""Who owns the stock figure of a location, and when that figure falls."""

from dataclasses import dataclass
from enum import StrEnum


class Owner(StrEnum):
    """The source (an ERP: its figure is the truth, less what it cannot know yet), the ledger (the file was an opening
    count), or a channel (the shop is master: read, never echoed back).
    """

    SOURCE = "source"
    LEDGER = "ledger"
    CHANNEL = "channel"


class FallsAt(StrEnum):
    """The event at which a source lowers its own figure for a sale of ours."""

    ORDER = "order"  # once it was stored here
    DELIVERY = "delivery"  # once a sink has it
    SHIPMENT = "shipment"  # once it left the warehouse
    NEVER = "never"  # the source knows nothing of our sales: its changes count, not its figure


@dataclass(frozen=True, slots=True)
class LocationPolicy:
    """How the stock of one location is kept."""

    owner: Owner = Owner.LEDGER
    falls_at: FallsAt | None = None
    source: str = ""

    @property
    def books_shipments(self) -> bool:
        """Whether a shipment lowers on hand by a movement of ours."""
        return self.owner is Owner.LEDGER or self.falls_at is FallsAt.NEVER


@dataclass(frozen=True, slots=True)
class StockPolicy:
    """The policies by location; a location that no source names is the ledger's."""

    locations: dict[str, LocationPolicy]

    def of(self, location: str) -> LocationPolicy:
        return self.locations.get(location, LocationPolicy())
