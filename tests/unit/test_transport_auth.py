"""Tokens: renewed once for everybody, stored before they are used, and what a refusal of the token endpoint means."""

import asyncio
import json
from base64 import b64decode
from datetime import timedelta
from urllib.parse import parse_qs

import httpx
import pytest

from marketsync.adapter.errors import AuthRefused, ConsentExpired, RateLimited, Unavailable, UnexpectedReply
from marketsync.adapter.spec import Consent, HeaderAuth, NoAuth, OAuth2, SignedAuth
from marketsync.testing.clock import TurnedClock
from marketsync.testing.stores import MemoryTokens
from marketsync.transport.auth import Authenticator, StoredToken, _origin
from marketsync.transport.wire import Wire

MACHINE = OAuth2(token_url="https://login.example/token", client_id="me", client_secret="s3cret", scope="stock")
SELLER = OAuth2(
    token_url="https://login.example/token", client_id="me", client_secret="s3cret", refresh_token="first", basic=True
)


class TokenEndpoint:
    """Hands out access tokens a1, a2, ...; with ``rotates`` every refresh token works once."""

    def __init__(self, *, rotates=False, life=3600, reply=None):
        self.rotates, self.life, self.reply = rotates, life, reply
        self.valid = "first"
        self.forms = []
        self.requests = []
        self.gate = None

    async def __call__(self, request):
        self.requests.append(request)
        form = {name: values[0] for name, values in parse_qs(request.content.decode()).items()}
        self.forms.append(form)
        if self.gate is not None:
            await self.gate.wait()
        if self.reply is not None:
            if isinstance(self.reply, Exception):
                raise self.reply
            return self.reply
        if form["grant_type"] == "refresh_token" and form["refresh_token"] != self.valid:
            return httpx.Response(400, json={"error": "invalid_grant"})
        answer = {"access_token": f"a{len(self.forms)}", "expires_in": self.life, "token_type": "bearer"}
        if self.rotates:
            self.valid = f"r{len(self.forms)}"
            answer |= {"refresh_token": self.valid, "refresh_token_expires_in": 7200}
        return httpx.Response(200, json=answer)


class House:
    """One account over a token endpoint and a store; ``process()`` starts another process on the same store."""

    def __init__(self, auth, endpoint=None, store=None):
        self.auth, self.endpoint = auth, endpoint or TokenEndpoint()
        self.clock, self.store = TurnedClock(auto=True), store or MemoryTokens()
        self.wire = Wire(connections=2, transport=httpx.MockTransport(self.endpoint))

    def process(self, auth=None):
        return Authenticator(auth or self.auth, "shop", self.clock, self.store)

    async def asked(self, times):
        for _ in range(1000):
            await asyncio.sleep(0)
            if len(self.endpoint.forms) >= times:
                return
        raise AssertionError(self.endpoint.forms)

    async def access(self, process):
        return (await process.headers("GET", "https://shop.example/", b"", self.wire))["Authorization"]


def test_no_authentication_sends_nothing():
    house = House(NoAuth())
    assert {} == asyncio.run(house.process().headers("GET", "https://h/", b"", house.wire))


def test_fixed_headers_are_sent_and_are_secrets():
    house = House(HeaderAuth(headers={"X-Key": "k"}))
    made = house.process()
    assert {"X-Key": "k"} == asyncio.run(made.headers("GET", "https://h/", b"", house.wire))
    assert ["k"] == made.secrets()


def test_a_signature_covers_method_address_body_and_time():
    house = House(SignedAuth(sign=lambda *parts: {"Signature": repr(parts)}))
    headers = asyncio.run(house.process().headers("PUT", "https://h/a?b=1", b"body", house.wire))
    assert {"Signature": repr(("PUT", "https://h/a?b=1", b"body", house.clock.now()))} == headers


def test_client_credentials_travel_in_the_form():
    house = House(MACHINE)
    assert "Bearer a1" == asyncio.run(house.access(house.process()))
    assert [
        {"grant_type": "client_credentials", "scope": "stock", "client_id": "me", "client_secret": "s3cret"}
    ] == house.endpoint.forms


def test_a_refresh_token_travels_with_http_basic_where_the_spec_says_so():
    house = House(SELLER)
    asyncio.run(house.access(house.process()))
    assert [{"grant_type": "refresh_token", "refresh_token": "first"}] == house.endpoint.forms
    assert b"me:s3cret" == b64decode(house.endpoint.requests[0].headers["authorization"].removeprefix("Basic "))


def test_a_token_is_used_until_shortly_before_its_end():
    house = House(MACHINE)

    async def scenario():
        made = house.process()
        first = await house.access(made)
        house.clock.advance(3600 - 61)
        second = await house.access(made)
        house.clock.advance(2)
        return first, second, await house.access(made)

    assert ("Bearer a1", "Bearer a1", "Bearer a2") == asyncio.run(scenario())


def test_a_token_that_lives_shorter_than_a_minute_is_used_too():
    house = House(MACHINE, TokenEndpoint(life=30))

    async def scenario():
        made = house.process()
        first = await house.access(made)
        house.clock.advance(20)
        return first, await house.access(made)

    assert ("Bearer a1", "Bearer a1") == asyncio.run(scenario())


def test_a_restart_uses_the_stored_token():
    house = House(MACHINE)

    async def scenario():
        return await house.access(house.process()), await house.access(house.process())

    assert ("Bearer a1", "Bearer a1") == asyncio.run(scenario())
    assert 1 == len(house.endpoint.forms)


def test_fifty_requests_at_once_fetch_one_token():
    house = House(MACHINE)

    async def scenario():
        made = house.process()
        return await asyncio.gather(*(house.access(made) for _ in range(50)))

    assert {"Bearer a1"} == set(asyncio.run(scenario()))
    assert 1 == len(house.endpoint.forms)


def test_after_a_refusal_the_token_is_renewed_once_for_all_who_were_refused():
    house = House(MACHINE)

    async def scenario():
        made = house.process()
        old = await made.headers("GET", "https://h/", b"", house.wire)
        assert [True] * 10 == await asyncio.gather(*(made.renew(old, house.wire) for _ in range(10)))
        assert await made.renew(old, house.wire)  # a latecomer with the old token
        return await house.access(made)

    assert "Bearer a2" == asyncio.run(scenario())
    assert 2 == len(house.endpoint.forms)


def test_what_cannot_be_renewed_says_so():
    house = House(HeaderAuth(headers={"X-Key": "k"}))
    assert not asyncio.run(house.process().renew({"X-Key": "k"}, house.wire))


def test_a_rotated_refresh_token_is_stored_before_the_access_token_is_used():
    house = House(SELLER, TokenEndpoint(rotates=True))
    seen = []

    class Watching(MemoryTokens):
        async def save(self, account, token, expected_version):
            seen.append((token.refresh, token.version, expected_version))
            return await super().save(account, token, expected_version)

    house.store = Watching()

    async def scenario():
        made = house.process()
        for _ in range(3):
            await house.access(made)
            house.clock.advance(3600)

    asyncio.run(scenario())
    assert [("r1", 1, 0), ("r2", 2, 1), ("r3", 3, 2)] == seen


def test_a_rotated_refresh_token_that_could_not_be_stored_is_stored_by_the_next_call():
    class Failing(MemoryTokens):
        full = True

        async def save(self, account, token, expected_version):
            if self.full:
                raise OSError("the disk is full")
            return await super().save(account, token, expected_version)

    house = House(SELLER, TokenEndpoint(rotates=True), Failing())

    async def scenario():
        made = house.process()
        with pytest.raises(OSError, match="full"):
            await house.access(made)
        house.store.full = False
        return await house.access(made)

    assert "Bearer a1" == asyncio.run(scenario())
    assert "r1" == house.store.tokens["shop"].refresh
    assert 1 == len(house.endpoint.forms)


def test_a_cancelled_request_does_not_lose_the_rotated_refresh_token():
    house = House(SELLER, TokenEndpoint(rotates=True))

    async def scenario():
        house.endpoint.gate = asyncio.Event()
        made = house.process()
        task = asyncio.create_task(house.access(made))
        await house.asked(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        house.endpoint.gate.set()
        await made.aclose()

    asyncio.run(scenario())
    assert "r1" == house.store.tokens["shop"].refresh


def test_two_processes_that_renew_at_once_end_with_the_same_token():
    house = House(SELLER, TokenEndpoint(rotates=True))

    async def scenario():
        one, two = house.process(), house.process()
        await house.access(one)
        await house.access(two)
        house.clock.advance(3600)
        house.endpoint.gate = asyncio.Event()
        both = asyncio.gather(house.access(one), house.access(two))
        await house.asked(3)
        house.endpoint.gate.set()
        return await both

    tokens = asyncio.run(scenario())
    stored = house.store.tokens["shop"]
    assert house.endpoint.valid == stored.refresh
    assert [f"Bearer {stored.access}"] * 2 == tokens


def test_who_lost_the_refresh_token_to_another_process_waits_until_that_one_has_stored_its_own():
    house = House(SELLER)
    house.endpoint.valid = "taken by the other process"

    class Slow(MemoryTokens):
        loads = 0

        async def load(self, account):
            self.loads += 1
            if self.loads < 4:
                return None
            return StoredToken("other", house.clock.now() + timedelta(hours=1), "r", None, 1, self.origin)

    house.store = Slow()
    house.store.origin = _origin(SELLER)
    assert "Bearer other" == asyncio.run(house.access(house.process()))


def test_who_loses_the_compare_and_set_uses_the_winners_token():
    house = House(MACHINE)

    class Raced(MemoryTokens):
        async def save(self, account, token, expected_version):
            winner = StoredToken("winner", token.expires, "", None, expected_version + 1, token.origin)
            self.tokens[account] = winner
            return False

    house.store = Raced()
    assert "Bearer winner" == asyncio.run(house.access(house.process()))


def test_tokens_of_other_credentials_are_never_used():
    house = House(SELLER)
    other = OAuth2(token_url=SELLER.token_url, client_id="me", client_secret="s3cret", refresh_token="second")

    async def scenario():
        await house.access(house.process())
        house.endpoint.valid = "second"
        return await house.access(house.process(other))

    assert "Bearer a2" == asyncio.run(scenario())
    assert "second" == house.endpoint.forms[1]["refresh_token"]
    assert 2 == house.store.tokens["shop"].version


def test_a_consent_that_ran_out_says_what_to_do():
    house = House(SELLER)
    house.endpoint.valid = "another"
    with pytest.raises(ConsentExpired, match="log in at the marketplace, allow marketsync again") as refused:
        asyncio.run(house.access(house.process()))
    assert "invalid_grant" == refused.value.code


@pytest.mark.parametrize(
    ("reply", "error", "says"),
    [
        (httpx.Response(401, json={"error": "invalid_client"}), AuthRefused, "client id or its secret"),
        (httpx.Response(400, json={"error": "invalid_grant"}), AuthRefused, "client id or its secret"),
        (httpx.Response(403, text="<html>"), AuthRefused, "client id or its secret"),
        (httpx.Response(429, headers={"Retry-After": "7"}), RateLimited, "too many tokens"),
        (httpx.Response(503), Unavailable, "answered 503"),
        (httpx.ConnectError("refused"), Unavailable, "gives no answer: refused"),
        (httpx.ReadTimeout("slow"), Unavailable, "gives no answer: no reply within 30 seconds"),
        (httpx.Response(200, text="<html>"), UnexpectedReply, "without an access token"),
        (httpx.Response(200, json=["a"]), UnexpectedReply, "without an access token"),
    ],
)
def test_what_the_token_endpoint_says_becomes_the_right_error(reply, error, says):
    house = House(MACHINE, TokenEndpoint(reply=reply))
    with pytest.raises(error, match=says):
        asyncio.run(house.access(house.process()))


def test_a_wait_that_the_token_endpoint_asks_for_is_told():
    house = House(MACHINE, TokenEndpoint(reply=httpx.Response(429, headers={"Retry-After": "7"})))
    with pytest.raises(RateLimited) as limited:
        asyncio.run(house.access(house.process()))
    assert timedelta(seconds=7) == limited.value.retry_after


def test_the_evidence_of_a_refusal_shows_no_secret():
    reply = httpx.Response(400, text=json.dumps({"error": "bad", "seen": "s3cret and first"}))
    house = House(SELLER, TokenEndpoint(reply=reply))
    with pytest.raises(AuthRefused) as refused:
        asyncio.run(house.access(house.process()))
    assert '{"error": "bad", "seen": "[redacted] and [redacted]"}' == refused.value.evidence


@pytest.mark.parametrize("told", [None, "soon", -5, 0, 1e300])
def test_a_life_that_cannot_be_meant_is_the_usual_hour(told):
    reply = httpx.Response(200, json={"access_token": "a", "expires_in": told})
    house = House(MACHINE, TokenEndpoint(reply=reply))
    made = house.process()
    asyncio.run(house.access(made))
    assert {"access": 3600.0} == made.expires_in()


def test_when_token_and_consent_end_is_told():
    house = House(SELLER, TokenEndpoint(rotates=True))
    made = house.process()
    asyncio.run(house.access(made))
    house.clock.advance(100)
    assert {"access": 3500.0, "refresh": 7100.0} == made.expires_in()


def test_a_consent_whose_end_is_configured_is_told_before_the_first_token():
    clock = TurnedClock()
    auth = OAuth2(
        token_url="https://h/", client_id="c", client_secret="s", refresh_token="r",
        refresh_expires=clock.now() + timedelta(days=1),
    )  # fmt: skip
    assert {"refresh": 86_400.0} == Authenticator(auth, "shop", clock, MemoryTokens()).expires_in()


def test_a_stored_token_does_not_show_its_secrets():
    token = StoredToken("access", TurnedClock().now(), "refresh", None, 3, "origin")
    assert "StoredToken(expires=2026-03-01T12:00:00+00:00, version=3)" == repr(token)


CONSENTED = OAuth2(
    token_url="https://login.example/token", client_id="me", client_secret="s3cret", consent=Consent(redirect_uri="ru")
)


def test_without_a_consent_the_login_is_named_and_nothing_is_asked():
    house = House(CONSENTED)
    with pytest.raises(ConsentExpired, match="no seller's consent yet: run `marketsync channels login shop`"):
        asyncio.run(house.access(house.process()))
    assert [] == house.endpoint.forms


def test_a_consent_that_was_withdrawn_names_the_login():
    house = House(CONSENTED)

    async def scenario():
        await house.process().log_in(house.wire, refresh="first")
        house.endpoint.valid = "none"
        house.clock.advance(4000)
        await house.access(house.process())

    with pytest.raises(ConsentExpired, match="withdrawn: run `marketsync channels login shop`"):
        asyncio.run(scenario())


class CodeEndpoint(TokenEndpoint):
    """Takes the code "c1" for a refresh token that lasts a day."""

    async def __call__(self, request):
        form = {name: values[0] for name, values in parse_qs(request.content.decode()).items()}
        if form["grant_type"] != "authorization_code":
            return await super().__call__(request)
        self.forms.append(form)
        if form["code"] != "c1":
            return httpx.Response(400, json={"error": "invalid_grant", "saw": form["code"]})
        told = {"access_token": "a0", "refresh_token": self.valid, "refresh_token_expires_in": 86_400}
        return httpx.Response(200, json=told)


def test_a_code_becomes_tokens_that_every_process_uses_and_whose_end_is_known():
    house = House(CONSENTED, CodeEndpoint())

    async def scenario():
        ends = await house.process().log_in(house.wire, code="c1")
        first = await house.access(house.process())
        house.clock.advance(4000)
        other = house.process()
        return ends, first, await house.access(other), other.expires_in()["refresh"]

    ends, first, second, left = asyncio.run(scenario())
    assert {"grant_type": "authorization_code", "code": "c1", "redirect_uri": "ru"} == {
        name: value for name, value in house.endpoint.forms[0].items() if not name.startswith("client_")
    }
    assert ("Bearer a0", "Bearer a2", 82_400.0) == (first, second, left)
    assert ends is not None


def test_a_code_that_is_refused_is_told_without_it_and_changes_nothing():
    house = House(CONSENTED, CodeEndpoint())
    with pytest.raises(ConsentExpired, match="does not take this code") as refused:
        asyncio.run(house.process().log_in(house.wire, code="c-other"))
    assert "c-other" not in refused.value.evidence
    assert None is asyncio.run(house.store.load("shop"))


def test_a_login_counts_before_the_configured_token_until_that_changes():
    house = House(SELLER, CodeEndpoint())

    async def scenario():
        await house.process().log_in(house.wire, code="c1")
        house.endpoint.valid = "second"
        house.clock.advance(4000)
        changed = OAuth2(**{**vars_of(SELLER), "refresh_token": "second"})
        return await house.access(house.process(changed))

    assert "Bearer a2" == asyncio.run(scenario())
    assert "second" == house.endpoint.forms[-1]["refresh_token"]


def vars_of(auth):
    return {name: getattr(auth, name) for name in auth.__dataclass_fields__}


def test_a_login_wins_over_a_renewal_that_was_stored_meanwhile():
    house = House(CONSENTED, CodeEndpoint())

    async def scenario():
        await house.process().log_in(house.wire, code="c1")
        house.clock.advance(4000)
        await house.access(house.process())
        await house.process().log_in(house.wire, code="c1")
        return (await house.store.load("shop")).version

    assert 3 == asyncio.run(scenario())


def test_the_end_of_a_consent_that_is_configured_later_is_taken():
    house = House(SELLER)

    async def scenario():
        await house.access(house.process())
        house.clock.advance(4000)
        ends = house.clock.now() + timedelta(days=5)
        told = house.process(OAuth2(**{**vars_of(SELLER), "refresh_expires": ends}))
        await house.access(told)
        return told.expires_in()["refresh"]

    assert 5 * 86_400.0 == asyncio.run(scenario())


def test_an_operation_may_want_another_word_before_the_token_and_it_is_renewed_all_the_same():
    house = House(SELLER)

    async def scenario():
        made = house.process()
        first = await made.headers("GET", "https://shop.example/", b"", house.wire, "IAF ")
        assert await made.renew(first, house.wire)
        return first, await made.headers("GET", "https://shop.example/", b"", house.wire, "")

    assert ({"Authorization": "IAF a1"}, {"Authorization": "a2"}) == asyncio.run(scenario())
