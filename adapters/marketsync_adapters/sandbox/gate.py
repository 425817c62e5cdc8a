"""The gate: who may come in (API key or bearer token), and how often."""

from datetime import datetime, timedelta
from hmac import compare_digest
from math import ceil
from secrets import token_urlsafe

from marketsync.adapter.api import Clock
from marketsync_adapters.sandbox.rules import Refused, Rules


class Gate:
    def __init__(self, rules: Rules, clock: Clock) -> None:
        self._rules = rules
        self._clock = clock
        self._tokens: dict[str, datetime] = {}  # token -> when it ends
        self._arrivals: dict[str, float] = {}  # GCRA: theoretical arrival time per operation
        self._day = ""
        self._calls_today = 0

    def token(self, client_id: str, client_secret: str) -> str:
        """A new access token. Raises ``Refused`` for a client that the market does not know."""
        known = compare_digest(client_id.encode(), self._rules.client_id.encode())
        if not compare_digest(client_secret.encode(), self._rules.client_secret.encode()) or not known:
            raise Refused(401, "invalid_client", "The client id or its secret is wrong.")
        token = token_urlsafe(24)
        self._tokens[token] = self._clock.now() + self._rules.token_life
        return token

    def expire_tokens(self) -> None:
        self._tokens = dict.fromkeys(self._tokens, self._clock.now())

    def authenticate(self, api_key: str, authorization: str) -> None:
        """Raises ``Refused`` (401) for a wrong key, an unknown token and one that has expired."""
        if api_key:
            if compare_digest(api_key.encode(), self._rules.api_key.encode()):
                return
            raise Refused(401, "key_refused", "The API key is not known.")
        ends = self._tokens.get(authorization.removeprefix("Bearer "))
        if ends is None:
            raise Refused(401, "not_authenticated", "Send an API key or a bearer token.")
        if self._clock.now() >= ends:
            raise Refused(401, "token_expired", "The token has expired: ask for a new one.")

    def admit(self, operation: str) -> None:
        """Count one call. Raises ``Refused`` (429) above the operation's rate and above the day's quota."""
        self._count_today()
        limit = self._rules.limits.get(operation)
        if limit is None:
            return
        now = self._clock.monotonic()
        arrival = max(now, self._arrivals.get(operation, now))
        wait = arrival - now - (limit.burst - 1) / limit.per_second
        if wait > 1e-9:  # rounding of the sums is no offence
            headers = {"Retry-After": str(ceil(wait)), "X-RateLimit-Limit": f"{limit.per_second:g}"}
            message = f"At most {limit.per_second:g} calls per second of {operation}, {limit.burst} at once."
            raise Refused(429, "rate_limited", message, headers=headers)
        self._arrivals[operation] = arrival + 1 / limit.per_second

    def _count_today(self) -> None:
        if self._rules.daily_quota is None:
            return
        now = self._clock.now()
        if self._day != now.date().isoformat():
            self._day, self._calls_today = now.date().isoformat(), 0
        if self._calls_today >= self._rules.daily_quota:
            resets = now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
            headers = {"Retry-After": str(ceil((resets - now).total_seconds())), "X-Quota-Resets": resets.isoformat()}
            message = f"The {self._rules.daily_quota} calls of this day are used up."
            raise Refused(429, "quota_exhausted", message, headers=headers)
        self._calls_today += 1
