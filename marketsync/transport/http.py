"""The only door of an adapter to the network: limits, tokens, retries and the breaker of one account."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

from pydantic import BaseModel

from marketsync.adapter.clock import Clock
from marketsync.adapter.errors import (
    AdapterError,
    AuthRefused,
    ItemRefused,
    OutcomeUnknown,
    RateLimited,
    Retryable,
    Unavailable,
    UnexpectedReply,
)
from marketsync.adapter.spec import AdapterSpec, CostPoints, Operation, Rate, Reply
from marketsync.transport import document
from marketsync.transport.auth import Authenticator
from marketsync.transport.breaker import Breaker
from marketsync.transport.call import Call, Site, body_of, lower
from marketsync.transport.limiter import Limiter
from marketsync.transport.redact import redact, secrets_of
from marketsync.transport.retry import with_retries
from marketsync.transport.status import error_of, error_of_foreign, retry_after
from marketsync.transport.wire import Answer, NoReply, NotSent, Transport, Unsendable, Wire, origin

PATIENCE: Final = 1.0  # seconds that a request waits in process for its slot
LONGEST_BACKOFF: Final = 300.0


class Observer(Protocol):
    """Counts what the transport does."""

    def call(self, account: str, operation: str, status: str, seconds: float, /) -> None:
        """One request: its HTTP status, or "not_sent", "timeout", "broken", "unsendable", "cancelled"."""
        ...

    def bucket_waited(self, account: str, bucket: str, seconds: float, /) -> None:
        """A bucket asked a request to wait."""
        ...


class HttpClient:
    """Implements ``marketsync.adapter.api.ChannelHttp`` for one account."""

    def __init__(
        self,
        spec: AdapterSpec,
        settings: BaseModel,
        credentials: BaseModel,
        account: str,
        clock: Clock,
        limiter: Limiter,
        breaker: Breaker,
        auth: Authenticator,
        observer: Observer,
        transport: Transport | None = None,
    ) -> None:
        """Opens no connection yet. Raises ``ConfigError`` where the base URL is none."""
        self.limiter = limiter
        self.breaker = breaker
        self.auth = auth
        self._spec = spec
        self._account = account
        self._clock = clock
        self._observer = observer
        self._secrets = secrets_of(credentials)
        self._site = Site(spec.base_url(credentials, settings), account)
        self._operations = {operation.name: operation for operation in spec.operations}
        buckets = spec.buckets(settings)
        self._buckets = frozenset(bucket.name for bucket in buckets)
        self._points = frozenset(bucket.name for bucket in buckets if isinstance(bucket, CostPoints))
        self._learned_from = {b.name: b.learn.lower() for b in buckets if isinstance(b, Rate) and b.learn}
        self._in_flight = dict.fromkeys(self._points, 0.0)  # points that the channel may not have counted yet
        self._tickets: Counter[str] = Counter()  # slots reserved beforehand and not used yet, by operation
        self._holders: Counter[str] = Counter()  # who reserved one and is not through with its work, by operation
        self._refusals: Counter[str] = Counter()  # 429s in a row, by operation
        self._wire = Wire(connections=spec.connection_limit, transport=transport)

    async def log_in(self, *, code: str = "", refresh: str = "") -> datetime | None:
        """See ``Authenticator.log_in``."""
        return await self.auth.log_in(self._wire, code=code, refresh=refresh)

    async def aclose(self) -> None:
        await self.auth.aclose()
        await self._wire.aclose()

    async def reserve(self, operation: str, *, urgent: bool = False) -> float:
        """A slot for the next request of an operation. 0.0: granted; else seconds to wait, nothing is taken.

        Who was granted one calls ``release`` once, after what it was for.
        """
        known = self._operation(operation)
        wait = self.breaker.wait() or await self._grant(known, known.cost, urgent=urgent or known.urgent)
        if not wait:
            self._tickets[operation] += 1
            self._holders[operation] += 1
        return wait

    async def release(self, operation: str) -> None:
        """What a slot was reserved for is over: where no request has used it, it is free again."""
        self._holders[operation] = max(0, self._holders[operation] - 1)
        if self._tickets[operation] > self._holders[operation]:  # the others hold one each, at most
            await self._return_ticket(operation)

    async def request(
        self,
        operation: str,
        method: str,
        path: str,
        *,
        params: Mapping[str, str | int | Sequence[str]] | None = None,
        json: Any = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        accept: frozenset[int] = frozenset(),
        cost: float | None = None,
    ) -> Reply:
        """See ``ChannelHttp.request``. Waits up to a second for its buckets, then raises ``RateLimited``."""
        known = self._operation(operation)
        call: Call | None = None
        try:
            url, home = self._site.address(path, params)
            body, described = body_of(json, content)
            call = Call(
                operation=known,
                method=method.upper(),
                url=url,
                home=home,
                headers={**described, **lower(headers or {})},
                body=body,
                accept=accept,
                cost=known.cost if cost is None else cost,
            )
            return await self._send(call)
        except Unsendable as error:
            message = f"{operation!r} cannot be sent: {self._redacted(str(error))}"
            raise ItemRefused(message, code="unsendable") from error
        finally:
            if call is None or not call.slots:  # nothing left: the slot reserved for it is free again
                await self._return_ticket(operation)

    def learn(self, bucket: str, *, available: float, capacity: float, restore: float) -> None:
        """See ``ChannelHttp.learn``. Points of requests that are under way count as spent."""
        left = available - self._in_flight.get(bucket, 0.0)
        self.limiter.learn(bucket, restore=restore, capacity=capacity, available=left)

    async def _send(self, call: Call) -> Reply:
        return await with_retries(
            lambda: self._let_in(call),
            clock=self._clock,
            idempotent=call.operation.idempotent,
            again=lambda: not call.limited and self.breaker.state != "open",
        )

    async def _let_in(self, call: Call) -> Reply:
        probe = self.breaker.enter()
        outcome: BaseException | None = None
        try:
            return await self._authorised(call)
        except BaseException as error:
            outcome = error
            raise
        finally:
            self.breaker.leave(outcome, probe=probe)

    async def _authorised(self, call: Call) -> Reply:
        """One try, and a second one with a new token where the channel refuses the old one."""
        renewed = not call.home
        while True:
            credentials: Mapping[str, str] = {}
            if call.home:
                prefix = call.operation.token_prefix
                credentials = await self.auth.headers(call.method, call.url, call.body or b"", self._wire, prefix)
            await self._slot(call)
            answer = await self._exchange(call, credentials)
            self._learn(call.operation, answer)
            reply = Reply(answer.status, answer.headers, answer.content, self._loads)
            error = self._judge(call, answer, reply)
            if not isinstance(error, RateLimited):
                self._refusals.pop(call.operation.name, None)
            if error is None:
                return reply
            if not renewed and isinstance(error, AuthRefused) and await self.auth.renew(credentials, self._wire):
                renewed = True
                continue
            await self._block(call, answer, error)
            raise error

    async def _slot(self, call: Call) -> None:
        operation = call.operation
        if self._tickets[operation.name] > 0 and call.cost == operation.cost:
            self._tickets[operation.name] -= 1
            call.slots += 1
            return
        await self._return_ticket(operation.name)  # it was for another cost
        # Of a write that was begun many requests may wait their short turns: cut off between two of them, nobody would
        # know its outcome.
        patience = operation.timeout.total_seconds() if operation.writes else PATIENCE
        waited = 0.0
        while wait := await self._grant(operation, call.cost, urgent=operation.urgent):
            waited += wait
            if wait > PATIENCE or waited > patience:
                call.limited = True
                message = f"{self._account} allows the next {operation.name!r} in {wait:.0f} seconds"
                raise RateLimited(message, retry_after=timedelta(seconds=wait), code="limit")
            await self._clock.sleep(wait)
        call.slots += 1

    async def _grant(self, operation: Operation, cost: float, *, urgent: bool) -> float:
        wait, bucket = await self.limiter.attempt(operation.buckets, cost, urgent=urgent)
        if wait:
            self._observer.bucket_waited(self._account, bucket, wait)
        else:
            self._count_in_flight(operation, cost)
        return wait

    async def _return_ticket(self, name: str) -> None:
        if self._tickets[name] > 0:
            self._tickets[name] -= 1
            operation = self._operation(name)
            await self._give_back(operation, operation.cost)

    async def _give_back(self, operation: Operation, cost: float) -> None:
        self._count_in_flight(operation, -cost)
        await self.limiter.give_back(operation.buckets, cost)

    def _count_in_flight(self, operation: Operation, cost: float) -> None:
        for name in self._points.intersection(operation.buckets) if self._points else ():
            self._in_flight[name] += cost

    async def _exchange(self, call: Call, credentials: Mapping[str, str]) -> Answer:
        operation = call.operation
        began = self._clock.monotonic()
        status = "cancelled"
        sent = True
        try:
            answer = await self._wire.exchange(
                call.method,
                call.url,
                headers={**call.headers, **lower(credentials)},
                content=call.body,
                timeout=operation.timeout.total_seconds(),
                accept=call.accept,
            )
            status = str(answer.status)
        except NotSent as error:
            status, sent = "not_sent", False
            raise Unavailable(f"{self._account} cannot be reached: {error}", code=status) from error
        except Unsendable:
            status, sent = "unsendable", False
            raise
        except NoReply as error:
            status = "timeout" if error.timeout else "broken"
            raise self._lost(call, str(error), status) from error
        finally:
            self._observer.call(self._account, operation.name, status, self._clock.monotonic() - began)
            if sent:
                self._count_in_flight(operation, -call.cost)
            else:
                await self._give_back(operation, call.cost)
        return answer

    def _judge(self, call: Call, answer: Answer, reply: Reply) -> AdapterError | None:
        """What the reply means: the adapter's own view first, then the status table."""
        name = call.operation.name
        wanted = call.wants(answer.status)
        if wanted and not answer.complete:
            return self._lost(call, "the reply broke off", "broken")
        if wanted and answer.cut:
            return UnexpectedReply(
                f"{self._account} answered {name!r} with more than fits into memory", code="too_long"
            )
        refused = self._adapters_view(name, reply) if call.home and answer.status not in call.accept else None
        if refused is not None or wanted:
            return refused
        evidence = self._redacted(answer.content)
        if not call.home:
            return error_of_foreign(answer.status, operation=name, host=origin(call.url)[1], evidence=evidence)
        return error_of(
            answer.status,
            answer.headers,
            now=self._clock.now(),
            operation=name,
            account=self._account,
            write=call.write,
            evidence=evidence,
        )

    def _adapters_view(self, operation: str, reply: Reply) -> AdapterError | None:
        error: AdapterError | None
        try:
            error = self._spec.errors(operation, reply)
        except Exception as raised:  # noqa: BLE001  whatever an adapter's function raises, the reply must be judged
            if reply.status >= 300:
                return None  # the error page of some proxy: its status says what happened
            if isinstance(raised, AdapterError):
                error = raised
            else:
                reason = f"{self._account} answered {operation!r} in a form that its adapter cannot read"
                error = UnexpectedReply(f"{reason} ({type(raised).__name__})", code="unreadable")
                error.__cause__ = raised
        if error is not None:
            error.evidence = self._redacted(error.evidence or reply.content)
            if isinstance(error, Retryable) and error.retry_after is None:
                error.retry_after = retry_after(reply.headers, self._clock.now())
        return error

    def _lost(self, call: Call, reason: str, code: str) -> OutcomeUnknown | Unavailable:
        name = call.operation.name
        if call.write:
            return OutcomeUnknown(f"{self._account} may have done {name!r}, nobody knows: {reason}", code=code)
        return Unavailable(f"{self._account} gave no usable answer to {name!r}: {reason}", code=code)

    async def _block(self, call: Call, answer: Answer, error: AdapterError) -> None:
        """A 429 or Retry-After silences the buckets of the operation for every worker."""
        operation = call.operation
        if not call.home or not isinstance(error, Retryable):
            return
        names = operation.buckets
        if isinstance(error, RateLimited):
            if error.bucket in self._buckets:
                names = (error.bucket,)
            error.bucket = error.bucket or next(iter(names), "")
            if self.limiter.blocked().keys().isdisjoint(names):  # else it answers a request that left beside the first
                self._refusals[operation.name] += 1
            error.retry_after = error.retry_after or self._backoff(operation)
        elif retry_after(answer.headers, self._clock.now()) is None:
            return
        if error.retry_after is not None:
            for name in names:
                await self.limiter.block(name, error.retry_after.total_seconds())

    def _backoff(self, operation: Operation) -> timedelta:
        """How long to leave a channel alone that says "too many" and not for how long."""
        pause = max((self.limiter.pause(name) for name in operation.buckets), default=0.0)
        doubled = min(LONGEST_BACKOFF, 2.0 ** max(0, min(self._refusals[operation.name], 10) - 1))
        return timedelta(seconds=max(pause, doubled))

    def _learn(self, operation: Operation, answer: Answer) -> None:
        if not self._learned_from:
            return
        for name in operation.buckets:
            told = answer.headers.get(self._learned_from.get(name, ""), "")
            try:
                per_second = float(told.split(",")[0])
            except ValueError:
                continue
            if per_second > 0:
                self.limiter.learn(name, restore=per_second)

    def _operation(self, name: str) -> Operation:
        try:
            return self._operations[name]
        except KeyError:
            known = ", ".join(sorted(self._operations))
            raise KeyError(f"the spec of {self._spec.name!r} has no operation {name!r}; it names: {known}") from None

    def _loads(self, content: bytes) -> Any:
        try:
            return document.loads(content)
        except ValueError:
            message = f"{self._account} answered something that is no JSON"
            raise UnexpectedReply(message, code="no_json", evidence=self._redacted(content)) from None

    def _redacted(self, text: str | bytes) -> str:
        return redact(text, [*self._secrets, *self.auth.secrets()])
