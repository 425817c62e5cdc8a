"""The tables of the ledger (docs/architecture.md, "Tables"). Declared with SQLModel; hot paths use their ``__table__``.

Times are UTC, stored as BIGINT microseconds; hashes are 16 bytes; money is minor units beside its currency.
"""

from marketsync.ledger.tables.catalogue import (
    Item,
    ListingMap,
    Override,
    PriceHistory,
    Reservation,
    SourceItem,
    SourceSnapshot,
    StockLevel,
    StockMovement,
)
from marketsync.ledger.tables.house import (
    Account,
    Channel,
    Hold,
    Issue,
    Lease,
    Meta,
    OauthToken,
    RateBucket,
    TaskRun,
    TaskState,
)
from marketsync.ledger.tables.offers import Offer, PushBatch, PushItem
from marketsync.ledger.tables.orders import (
    Buyer,
    Delivery,
    OrderCommand,
    OrderEvent,
    OrderLine,
    ReturnItem,
    SalesOrder,
    Shipment,
)

__all__ = [
    "Account",
    "Buyer",
    "Channel",
    "Delivery",
    "Hold",
    "Issue",
    "Item",
    "Lease",
    "ListingMap",
    "Meta",
    "OauthToken",
    "Offer",
    "OrderCommand",
    "OrderEvent",
    "OrderLine",
    "Override",
    "PriceHistory",
    "PushBatch",
    "PushItem",
    "RateBucket",
    "Reservation",
    "ReturnItem",
    "SalesOrder",
    "Shipment",
    "SourceItem",
    "SourceSnapshot",
    "StockLevel",
    "StockMovement",
    "TaskRun",
    "TaskState",
]
