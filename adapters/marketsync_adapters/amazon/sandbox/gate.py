"""Who may call, and how often: access tokens and the token buckets of Amazon's usage plans."""

from datetime import datetime
from hmac import compare_digest
from secrets import token_urlsafe

from marketsync.adapter.api import Clock
from marketsync_adapters.amazon.sandbox.rules import Refused, Rules

DENIED = "Access to requested resource is denied."


class Gate:
    def __init__(self, rules: Rules, clock: Clock) -> None:
        self._rules = rules
        self._clock = clock
        self._tokens: dict[str, datetime] = {}  # token -> when it ends
        self._levels: dict[str, tuple[float, float]] = {}  # operation -> (calls left, at)

    def token(self, client_id: str, client_secret: str, refresh_token: str) -> str | None:
        """A new access token, or None for a wrong client. Raises ``Refused`` for a refresh token that is none."""
        known = compare_digest(client_id.encode(), self._rules.client_id.encode())
        if not compare_digest(client_secret.encode(), self._rules.client_secret.encode()) or not known:
            return None
        if not compare_digest(refresh_token.encode(), self._rules.refresh_token.encode()):
            raise Refused(400, "invalid_grant", "The request has an invalid grant parameter : refresh_token")
        token = f"Atza|{token_urlsafe(24)}"
        self._tokens[token] = self._clock.now() + self._rules.token_life
        return token

    def expire_tokens(self) -> None:
        self._tokens = dict.fromkeys(self._tokens, self._clock.now())

    def authenticate(self, token: str) -> None:
        ends = self._tokens.get(token)
        if ends is None:
            raise Refused(403, "Unauthorized", DENIED, details="Access token is missing in the request header.")
        if self._clock.now() >= ends:
            raise Refused(403, "Unauthorized", DENIED, details="The access token you provided has expired.")

    def admit(self, operation: str) -> None:
        """Take one call of the operation's bucket. Raises ``Refused`` (429) where it is empty."""
        limit = self._rules.limits.get(operation)
        if limit is None:
            return
        per_second, burst = limit
        now = self._clock.monotonic()
        left, at = self._levels.get(operation, (float(burst), now))
        left = min(float(burst), left + (now - at) * per_second)
        self._levels[operation] = (left, now)
        if left < 1 - 1e-9:  # rounding of the sums is no offence
            raise Refused(429, "QuotaExceeded", "You exceeded your quota for the requested resource.")
        self._levels[operation] = (left - 1, now)
