"""Tries again in process what is safe to try again and soon over. Everything longer goes to the ledger."""

import random
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final, TypeVar

from tenacity import AsyncRetrying, RetryCallState

from marketsync.adapter.clock import Clock
from marketsync.adapter.errors import ChannelBlocked, OutcomeUnknown, RateLimited, Retryable, Unavailable

TRIES: Final = 3
LONGEST: Final = timedelta(seconds=20)
FIRST_PAUSE: Final = 0.5

T = TypeVar("T")


async def with_retries(
    call: Callable[[], Awaitable[T]], *, clock: Clock, idempotent: bool, again: Callable[[], bool] = lambda: True
) -> T:
    """Up to 3 tries within 20 seconds of the clock; ``again`` may say that another makes no sense.

    Raises what the last try raised. Where an earlier try may have been processed, that is ``OutcomeUnknown``, however
    certain it is that the last one was not.
    """
    began = clock.monotonic()
    unknown: OutcomeUnknown | None = None

    async def attempt() -> T:
        nonlocal unknown
        try:
            return await call()
        except OutcomeUnknown as error:
            unknown = error
            raise

    def spent(state: RetryCallState) -> bool:
        ends = clock.monotonic() - began + state.upcoming_sleep
        return state.attempt_number >= TRIES or ends > LONGEST.total_seconds()

    retrying = AsyncRetrying(
        sleep=clock.sleep,
        retry=lambda state: _safe(_error(state), idempotent=idempotent) and again(),
        wait=_pause,
        stop=spent,
        reraise=True,
    )
    try:
        return await retrying(attempt)
    except (Unavailable, RateLimited, ChannelBlocked) as error:
        if unknown is None:
            raise
        raise OutcomeUnknown(
            f"{unknown.message}; then: {error.message}",
            retry_after=error.retry_after if isinstance(error, Retryable) else None,
            code=unknown.code,
            evidence=unknown.evidence,
        ) from error


def _safe(error: BaseException | None, *, idempotent: bool) -> bool:
    match error:
        case RateLimited():
            return error.retry_after is not None and error.retry_after <= LONGEST
        case OutcomeUnknown():
            return idempotent
        case _:
            return isinstance(error, Unavailable)


def _pause(state: RetryCallState) -> float:
    error = _error(state)
    backoff: float = FIRST_PAUSE * 2 ** (state.attempt_number - 1) * random.uniform(0.5, 1.5)
    asked = error.retry_after if isinstance(error, Retryable) else None
    return max(backoff, asked.total_seconds() if asked else 0.0)


def _error(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None
