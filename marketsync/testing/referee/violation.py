"""What the contract does not allow."""

from collections.abc import Sequence

SHOWN = 10


class Violation(AssertionError):
    """A request or a reply breaks the provider's contract: which one, and every fault of it."""

    def __init__(self, where: str, faults: Sequence[str]) -> None:
        self.where = where
        self.faults = tuple(faults)
        more = [f"and {len(faults) - SHOWN} more"] if len(faults) > SHOWN else []
        super().__init__(f"{where}: " + "; ".join([*faults[:SHOWN], *more]))
