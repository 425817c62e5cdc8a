"""The ledger as the transport sees it: where slow limits and tokens outlive the process."""

from collections.abc import Callable
from functools import partial

from marketsync.domain.limits import BucketState
from marketsync.ledger import buckets, tokens
from marketsync.ledger.gateway import Ledger, Rank
from marketsync.ledger.tokens import TokenRow
from marketsync.transport.auth import StoredToken


class LedgerBuckets:
    """A ``BucketStore``."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def update(
        self, account: str, bucket: str, change: Callable[[BucketState | None], tuple[BucketState, float]]
    ) -> float:
        # As urgent as an order: a call that empties a sold-out offer waits for its slot.
        write = partial(buckets.update, account=account, bucket=bucket, change=change)
        return await self._ledger.write(write, Rank.ORDERS)


class LedgerTokens:
    """A ``TokenStore``."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def load(self, account: str) -> StoredToken | None:
        row = await self._ledger.read(partial(tokens.load, vault=self._ledger.vault, account=account))
        if row is None:
            return None
        assert row.expires is not None
        return StoredToken(
            expires=row.expires, refresh_expires=row.refresh_expires, version=row.version, **row.document
        )

    async def save(self, account: str, token: StoredToken, expected_version: int) -> bool:
        document = {"access": token.access, "refresh": token.refresh, "origin": token.origin}
        row = TokenRow(document, token.expires, token.refresh_expires, token.version)
        write = partial(
            tokens.save, vault=self._ledger.vault, account=account, token=row, expected_version=expected_version
        )
        return await self._ledger.write(write, Rank.ORDERS)
