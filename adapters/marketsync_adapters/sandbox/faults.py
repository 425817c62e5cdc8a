"""Faults on request: what can go wrong between a seller and a market, made to happen when a test asks for it."""

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from random import Random


class FaultKind(StrEnum):
    """``BEFORE``: the market did nothing. ``AFTER``: it did what was asked, and the seller does not hear it."""

    RATE_LIMITED = "429"  # before, with Retry-After
    ERROR = "500"  # before
    ERROR_AFTER = "500_after"
    UNAVAILABLE = "503"  # before, with Retry-After
    HTML = "html"  # before: an error page of something that stands in front of the market
    HUGE = "huge"  # before: an error body of 100 MB
    TIMEOUT_BEFORE = "timeout_before"
    TIMEOUT_AFTER = "timeout_after"
    TRUNCATED = "truncated"  # after: the reply breaks off
    SLOW = "slow"  # the right reply, late
    EXPIRED_TOKEN = "expired_token"  # noqa: S105 - the name of a fault; before: all tokens end now
    NOT_APPLIED = "not_applied"  # success is reported, nothing changes
    DUPLICATED_PAGE = "duplicated_page"  # every order of the page twice
    REORDERED_PAGE = "reordered_page"  # the orders of the page newest first


@dataclass(slots=True)
class Fault:
    """A fault of one operation ("*": of any), for the next ``times`` calls, each with ``probability``."""

    kind: FaultKind
    operation: str = "*"
    times: int = 1
    probability: float = 1.0
    seconds: float = 60.0  # how long a hanging connection hangs and a slow answer takes


class Faults:
    """What is asked for, in order: the first that fits a call happens to it."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._random = Random(0)
        self.happened: Counter[str] = Counter()

    def add(self, fault: Fault, *, seed: int | None = None) -> None:
        if seed is not None:
            self._random = Random(seed)
        self._faults.append(fault)

    def clear(self) -> None:
        self._faults.clear()

    def next(self, operation: str) -> Fault | None:
        for fault in self._faults:
            if fault.operation in {"*", operation} and self._random.random() < fault.probability:
                fault.times -= 1
                if fault.times <= 0:
                    self._faults.remove(fault)
                self.happened[fault.kind] += 1
                return fault
        return None
