"""What the transport keeps, in memory: for tests that do not look at the ledger."""

from collections.abc import Callable

from marketsync.domain.limits import BucketState
from marketsync.transport.auth import StoredToken


class MemoryBuckets:
    """A ``BucketStore``."""

    def __init__(self) -> None:
        self.states: dict[tuple[str, str], BucketState] = {}

    async def update(
        self, account: str, bucket: str, change: Callable[[BucketState | None], tuple[BucketState, float]]
    ) -> float:
        self.states[account, bucket], wait = change(self.states.get((account, bucket)))
        return wait


class MemoryTokens:
    """A ``TokenStore``."""

    def __init__(self) -> None:
        self.tokens: dict[str, StoredToken] = {}

    async def load(self, account: str) -> StoredToken | None:
        return self.tokens.get(account)

    async def save(self, account: str, token: StoredToken, expected_version: int) -> bool:
        stored = self.tokens.get(account)
        if (stored.version if stored else 0) != expected_version:
            return False
        self.tokens[account] = token
        return True
