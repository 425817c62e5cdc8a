"""Shows the channel who we are: fixed headers, signatures, and OAuth tokens that are renewed once for everybody."""

import asyncio
import hashlib
import json
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Protocol
from urllib.parse import urlencode

from marketsync.adapter.clock import Clock
from marketsync.adapter.errors import AuthRefused, ConsentExpired, RateLimited, Unavailable, UnexpectedReply
from marketsync.adapter.spec import Auth, Consent, HeaderAuth, NoAuth, OAuth2, SignedAuth
from marketsync.transport.redact import redact
from marketsync.transport.status import retry_after
from marketsync.transport.wire import Answer, NoReply, NotSent, Unsendable, Wire

EARLY: Final = timedelta(seconds=60)  # a token is renewed that long before its end, or a fifth of a shorter life
USUAL_LIFE: Final = 3600  # where the channel does not tell
TIMEOUT: Final = 30.0


@dataclass(frozen=True, slots=True)
class StoredToken:
    """Tokens of an account. Times are aware UTC; ``version`` is one more than that of the token it replaced.

    ``origin`` fingerprints the credentials that the tokens come from: tokens of other credentials are not used.
    """

    access: str
    expires: datetime
    refresh: str
    refresh_expires: datetime | None
    version: int
    origin: str = ""

    def __repr__(self) -> str:
        return f"StoredToken(expires={self.expires.isoformat()}, version={self.version})"


class TokenStore(Protocol):
    """Where tokens outlive the process, encrypted."""

    async def load(self, account: str) -> StoredToken | None: ...

    async def save(self, account: str, token: StoredToken, expected_version: int) -> bool:
        """Store the token if the one stored has ``expected_version`` (0: none is stored); False: somebody was faster."""
        ...


class Authenticator:
    """The credentials of one account."""

    def __init__(self, auth: Auth, account: str, clock: Clock, store: TokenStore) -> None:
        self._auth = auth
        self._account = account
        self._clock = clock
        self._store = store
        self._token: StoredToken | None = None
        self._early = EARLY
        self._unsaved: tuple[StoredToken, int] | None = None
        self._renewal: asyncio.Task[StoredToken] | None = None

    async def headers(
        self, method: str, url: str, body: bytes, wire: Wire, prefix: str | None = None
    ) -> Mapping[str, str]:
        """The headers that authenticate one request; ``prefix`` stands before a token in place of the usual one.

        Raises what ``renew`` raises where a token has to be fetched.
        """
        match self._auth:
            case NoAuth():
                return {}
            case HeaderAuth():
                return self._auth.headers
            case SignedAuth():
                return self._auth.sign(method, url, body, self._clock.now())
            case OAuth2():
                token = self._token
                if token is None or not self._fresh(token):
                    token = await self._renewed(self._auth, wire, refused="")
                return {self._auth.header: (self._auth.prefix if prefix is None else prefix) + token.access}

    async def renew(self, refused: Mapping[str, str], wire: Wire) -> bool:
        """The channel refused a request with these headers: get a new token. False where there is none to get.

        Raises ``ConsentExpired``, ``AuthRefused``, ``Unavailable``, ``RateLimited`` or ``UnexpectedReply`` where the
        token endpoint gives none.
        """
        if not isinstance(self._auth, OAuth2):
            return False
        access = refused.get(self._auth.header, "").rpartition(" ")[2]  # whatever prefix it had: a token has no spaces
        if self._token is None or self._token.access == access:
            await self._renewed(self._auth, wire, refused=access)
        return True

    @property
    def consent(self) -> Consent | None:
        """The consent of a seller that these credentials need."""
        return self._auth.consent if isinstance(self._auth, OAuth2) else None

    async def log_in(self, wire: Wire, *, code: str = "", refresh: str = "") -> datetime | None:
        """Exchange the code of a consent, or use a refresh token, and store what comes of it for every process.

        Returns when the consent ends (aware UTC), None where nobody tells. Raises what ``renew`` raises.
        """
        auth = self._auth
        assert isinstance(auth, OAuth2), "without a consent there is nothing to exchange"
        form = _code_form(auth, code) if code else _refresh_form(auth, refresh)
        answer = await self._ask(auth, wire, form)
        if _refused_grant(answer):
            what = "code: it works once, and for a few minutes" if code else "refresh token"
            evidence = redact(answer.content, [*self.secrets(), code, refresh])
            message = f"the marketplace does not take this {what}. Begin again"
            raise ConsentExpired(message, code="invalid_grant", evidence=evidence)
        while True:
            stored = await self._load(auth)
            version = stored.version if stored else 0
            token = self._read(auth, answer, refresh, None, version + 1)
            if not token.refresh:
                raise UnexpectedReply(f"the token endpoint of {self._account} answered without a refresh token")
            if await self._store.save(self._account, token, version):
                self._use(token)
                return token.refresh_expires

    def expires_in(self) -> dict[str, float]:
        """Seconds until the access token and the consent behind it ("refresh") end, as far as they are known."""
        ends: dict[str, datetime | None] = {}
        if isinstance(self._auth, OAuth2):
            ends["refresh"] = self._auth.refresh_expires
        if self._token is not None:
            ends = {"access": self._token.expires, "refresh": self._token.refresh_expires}
        now = self._clock.now()
        return {name: (end - now).total_seconds() for name, end in ends.items() if end is not None}

    def secrets(self) -> list[str]:
        """Everything that must never be shown."""
        match self._auth:
            case HeaderAuth():
                return list(self._auth.headers.values())
            case OAuth2():
                known = [self._auth.client_secret, self._auth.refresh_token]
                return known + ([self._token.access, self._token.refresh] if self._token else [])
            case _:
                return []

    async def aclose(self) -> None:
        """Wait for a renewal that is under way: a refresh token that was used up must not get lost."""
        if self._renewal is not None:
            await asyncio.wait([self._renewal])

    async def _renewed(self, auth: OAuth2, wire: Wire, *, refused: str) -> StoredToken:
        """One renewal for all who wait for it; it goes on when they are cancelled."""
        if self._renewal is None:
            self._renewal = asyncio.create_task(self._renew(auth, wire, refused))
            self._renewal.add_done_callback(self._renewal_ended)
        return await asyncio.shield(self._renewal)

    def _renewal_ended(self, renewal: asyncio.Task[StoredToken]) -> None:
        self._renewal = None
        if not renewal.cancelled():
            renewal.exception()  # everybody who waited may be gone

    async def _renew(self, auth: OAuth2, wire: Wire, refused: str) -> StoredToken:
        if self._unsaved is None:
            stored = await self._load(auth)
            if stored is not None and self._usable(stored, refused):
                return self._use(stored)  # another process was here first, or this one has just started
            version = stored.version if stored else 0
            refresh = (stored.refresh if stored else "") or auth.refresh_token
            if auth.consent is not None and not refresh:
                raise ConsentExpired(f"{self._account} has no seller's consent yet: {_remedy(auth, self._account)}")
            answer = await self._ask(auth, wire, _refresh_form(auth, refresh) if refresh else _client_form(auth))
            if refresh and _refused_grant(answer):
                winner = await self._winner(auth, version, refused)
                if winner is not None:
                    return self._use(winner)
            self._unsaved = self._read(auth, answer, refresh, stored, version + 1), version
        token, expected = self._unsaved
        # Stored before it is used: a refresh token may be valid only once. If that fails, the next call tries again.
        saved = await self._store.save(self._account, token, expected)
        self._unsaved = None
        if not saved:
            winner = await self._load(auth)
            if winner is not None and self._usable(winner, refused):
                return self._use(winner)
        return self._use(token)

    async def _winner(self, auth: OAuth2, version: int, refused: str) -> StoredToken | None:
        """The token of the process that used up the refresh token before us; it may still be storing it."""
        for pause in (0.0, 1.0, 2.0):
            await self._clock.sleep(pause)
            latest = await self._load(auth)
            if latest is not None and latest.version > version and self._usable(latest, refused):
                return latest
        return None

    async def _load(self, auth: OAuth2) -> StoredToken | None:
        """What is stored; tokens of other credentials only lend their version."""
        stored = await self._store.load(self._account)
        if stored is None or stored.origin == _origin(auth):
            return stored
        return StoredToken("", stored.expires, "", None, stored.version, stored.origin)

    def _use(self, token: StoredToken) -> StoredToken:
        life = token.expires - self._clock.now()
        self._early = min(EARLY, life / 5)
        self._token = token
        return token

    def _usable(self, stored: StoredToken, refused: str) -> bool:
        return self._fresh(stored) and stored.access not in (refused, self._known())

    def _known(self) -> str:
        return self._token.access if self._token else ""

    def _fresh(self, token: StoredToken) -> bool:
        early = self._early if token.access == self._known() else timedelta(0)
        return bool(token.access) and token.expires - self._clock.now() > early

    async def _ask(self, auth: OAuth2, wire: Wire, form: dict[str, str]) -> Answer:
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
        if auth.basic:
            pair = f"{auth.client_id}:{auth.client_secret}"  # unquoted: what the channels' own examples send
            headers["Authorization"] = "Basic " + b64encode(pair.encode()).decode()
        else:
            form = form | {"client_id": auth.client_id, "client_secret": auth.client_secret}
        body = urlencode({**form, **auth.extra}).encode()
        try:
            answer = await wire.exchange("POST", auth.token_url, headers=headers, content=body, timeout=TIMEOUT)
        except Unsendable as error:
            raise AuthRefused(f"the token address of {self._account} cannot be used: {error}") from error
        except (NotSent, NoReply) as error:
            raise Unavailable(f"the token endpoint of {self._account} gives no answer: {error}") from error
        return answer

    def _read(
        self, auth: OAuth2, answer: Answer, refresh: str, stored: StoredToken | None, version: int
    ) -> StoredToken:
        """The token in an answer of the token endpoint. Raises what the endpoint's refusal means."""
        now = self._clock.now()
        fields = _fields(answer)
        if answer.status // 100 != 2:
            raise self._refusal(answer, fields, refresh)
        access = fields.get("access_token")
        if not isinstance(access, str) or not access:
            raise UnexpectedReply(f"the token endpoint of {self._account} answered without an access token")
        rotated = fields.get("refresh_token")
        kept = stored.refresh_expires if stored and stored.refresh == refresh else None
        if refresh == auth.refresh_token:
            kept = auth.refresh_expires or kept
        sellers = bool(auth.refresh_token) or auth.consent is not None
        life = _seconds(fields.get("refresh_token_expires_in") or fields.get("refresh_expires_in"))
        return StoredToken(
            access=access,
            expires=now + timedelta(seconds=_seconds(fields.get("expires_in")) or USUAL_LIFE),
            refresh=rotated if isinstance(rotated, str) and rotated and sellers else refresh,
            refresh_expires=now + timedelta(seconds=life) if life and sellers else kept,
            version=version,
            origin=_origin(auth),
        )

    def _refusal(
        self, answer: Answer, fields: Mapping[str, Any], refresh: str
    ) -> AuthRefused | ConsentExpired | RateLimited | Unavailable:
        code = str(fields.get("error") or answer.status)
        evidence = redact(answer.content, [*self.secrets(), refresh])
        wait = retry_after(answer.headers, self._clock.now())
        if answer.status == 429:
            message = f"{self._account} asks for too many tokens at once"
            return RateLimited(message, retry_after=wait, code=code, evidence=evidence)
        if answer.status >= 500 or answer.status == 408:
            message = f"the token endpoint of {self._account} answered {answer.status}"
            return Unavailable(message, retry_after=wait, code=code, evidence=evidence)
        if _refused_grant(answer) and refresh:
            auth = self._auth
            assert isinstance(auth, OAuth2)
            message = (
                f"the seller's consent for {self._account} has expired or was withdrawn: {_remedy(auth, self._account)}"
            )
            return ConsentExpired(message, code=code, evidence=evidence)
        message = (
            f"{self._account} does not accept the client id or its secret ({code}): "
            "compare them with those that the marketplace shows"
        )
        return AuthRefused(message, code=code, evidence=evidence)


def _client_form(auth: OAuth2) -> dict[str, str]:
    return {"grant_type": "client_credentials", **_scope(auth)}


def _refresh_form(auth: OAuth2, refresh: str) -> dict[str, str]:
    return {"grant_type": "refresh_token", "refresh_token": refresh, **_scope(auth)}


def _code_form(auth: OAuth2, code: str) -> dict[str, str]:
    """RFC 6749, 4.1.3: the scopes were agreed to with the consent."""
    redirect = auth.consent.redirect_uri if auth.consent is not None else ""
    return {"grant_type": "authorization_code", "code": code, **({"redirect_uri": redirect} if redirect else {})}


def _scope(auth: OAuth2) -> dict[str, str]:
    return {"scope": auth.scope} if auth.scope else {}


def _remedy(auth: OAuth2, account: str) -> str:
    if auth.consent is not None:
        return f"run `marketsync channels login {account}`"
    return "log in at the marketplace, allow marketsync again and put the new refresh token into the configuration"


def _fields(answer: Answer) -> Mapping[str, Any]:
    try:
        fields = json.loads(answer.content)
    except (ValueError, RecursionError):
        return {}
    return fields if isinstance(fields, dict) else {}


def _refused_grant(answer: Answer) -> bool:
    return answer.status // 100 == 4 and _fields(answer).get("error") == "invalid_grant"


def _seconds(value: Any) -> float:
    """Seconds that a channel told, as a number or a text; 0.0 where they are none."""
    try:
        seconds = float(value)
    except (TypeError, ValueError, OverflowError):
        return 0.0
    return seconds if 0 < seconds < 10**10 else 0.0


def _origin(auth: OAuth2) -> str:
    parts = (auth.token_url, auth.client_id, auth.refresh_token, auth.scope)
    return hashlib.blake2b(repr(parts).encode(), digest_size=8).hexdigest()
