"""The gate: OAuth tokens, calls per second, calls per day."""

import base64
from collections import Counter
from datetime import datetime, timedelta
from math import ceil
from secrets import token_urlsafe
from urllib.parse import urlencode

from marketsync.adapter.api import Clock
from marketsync_adapters.ebay.sandbox.rules import Refused, Rules


class TokenRefused(Exception):
    """The token endpoint speaks OAuth: a status and an error word."""

    def __init__(self, status: int, error: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.document = {"error": error, "error_description": message}


class Gate:
    def __init__(self, rules: Rules, clock: Clock) -> None:
        self._rules = rules
        self._clock = clock
        self._tokens: dict[str, datetime] = {}
        self._arrival = 0.0  # GCRA: theoretical arrival time
        self.used: Counter[tuple[str, str]] = Counter()  # (API, day) -> calls
        self.consent = True
        self._refresh = rules.refresh_token
        self._codes: dict[str, datetime] = {}

    def token(self, authorization: str, form: dict[str, str]) -> dict[str, object]:
        """A new access token for the refresh token. Raises ``TokenRefused``."""
        pair = f"{self._rules.client_id}:{self._rules.client_secret}"
        if authorization != "Basic " + base64.b64encode(pair.encode()).decode():
            raise TokenRefused(401, "invalid_client", "client authentication failed")
        consented: dict[str, object] = {}
        if form.get("grant_type") == "authorization_code":
            consented = self._exchange(form)
        elif form.get("grant_type") != "refresh_token":
            raise TokenRefused(400, "unsupported_grant_type", "specified grant type is not supported")
        elif not self.consent or form.get("refresh_token") != self._refresh:
            raise TokenRefused(400, "invalid_grant", "the provided authorization refresh token is invalid")
        token = "v^1.1#" + token_urlsafe(24)
        self._tokens[token] = self._clock.now() + self._rules.token_life
        life = int(self._rules.token_life.total_seconds())
        return {"access_token": token, "expires_in": life, "token_type": "User Access Token", **consented}

    def agree(self, asked: dict[str, str]) -> str:
        """The seller agrees on the consent page. Returns where the browser is sent. Raises ``Refused``."""
        known = {"client_id": self._rules.client_id, "redirect_uri": self._rules.ru_name, "response_type": "code"}
        if any(asked.get(name) != value for name, value in known.items()) or "scope" not in asked:
            raise Refused(400, 1, "unauthorized_client")
        code = "v^1.1#" + token_urlsafe(24)
        self._codes[code] = self._clock.now() + self._rules.code_life
        told = {"state": asked["state"]} if "state" in asked else {}
        return f"{self._rules.accepted_url}?{urlencode({**told, 'code': code, 'expires_in': 299})}"

    def _exchange(self, form: dict[str, str]) -> dict[str, object]:
        """A code becomes a refresh token, once."""
        ends = self._codes.pop(form.get("code", ""), None)
        if ends is None or self._clock.now() >= ends or form.get("redirect_uri") != self._rules.ru_name:
            raise TokenRefused(400, "invalid_grant", "the provided authorization grant code is invalid or was issued")
        self.consent, self._refresh = True, "v^1.1#r" + token_urlsafe(24)
        life = int(self._rules.consent_life.total_seconds())
        return {"refresh_token": self._refresh, "refresh_token_expires_in": life}

    def expire_tokens(self) -> None:
        self._tokens = dict.fromkeys(self._tokens, self._clock.now())

    def authenticate(self, authorization: str, api: str) -> None:
        """The Post-Order API wants another word before the token."""
        scheme, _, token = authorization.partition(" ")
        wanted = "IAF" if api == "post_order" else "Bearer"
        ends = self._tokens.get(token) if scheme == wanted else None
        if api == "post_order" and not self._rules.post_order:
            ends = None
        if ends is None or self._clock.now() >= ends:
            raise Refused(401, 1001, "Invalid access token. Check the value of the Authorization HTTP request header.")

    def admit(self, api: str) -> None:
        """Count a call. Raises ``Refused`` (429) above the rate and above the day's quota of its API."""
        now = self._clock.monotonic()
        each = 1 / self._rules.per_second
        arrival = max(now, self._arrival)
        wait = arrival - now - (self._rules.burst - 1) * each
        if wait > 1e-9:  # rounding of the sums is no offence
            raise Refused(429, 2001, "Too many requests.", retry=ceil(wait))
        self._arrival = arrival + each
        limit = self._rules.calls_per_day.get(api)
        key = api, self._day()
        if limit is not None and self.used[key] >= limit:
            raise Refused(429, 2001, "Too many requests. The request limit has been reached for the resource.")
        self.used[key] += 1

    def rates(self) -> list[dict[str, object]]:
        """What getRateLimits tells."""
        return [
            {
                "apiContext": "sell",
                "apiName": api,
                "apiVersion": "v1",
                "resources": [{"name": f"sell.{api}", "rates": [self._rate(api, limit)]}],
            }
            for api, limit in self._rules.calls_per_day.items()
        ]

    def _rate(self, api: str, limit: int) -> dict[str, object]:
        used = self.used[api, self._day()]
        ends = self._clock.now().replace(hour=8, minute=0, second=0, microsecond=0)
        if ends <= self._clock.now():
            ends += timedelta(days=1)
        return {
            "count": used,
            "limit": limit,
            "remaining": max(0, limit - used),
            "reset": f"{ends:%Y-%m-%dT%H:%M:%S}.000Z",
            "timeWindow": 86_400,
        }

    def _day(self) -> str:
        return (self._clock.now() - timedelta(hours=8)).date().isoformat()
