"""Webhooks of the channels: subscribed to where they can reach us, kept alive, made once; their trouble stops nothing."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from pydantic import ValidationError

from marketsync.adapter.errors import AuthRefused
from marketsync.config.models import Inbound
from marketsync.daemon.ticks import timetable
from marketsync.testing.clock import TurnedClock
from marketsync_adapters.sandbox.faults import Fault, FaultKind
from tests.engine import Engine, engine, play, write_config

URL = "https://hooks.example/webhooks/one"
SECRET = "sandbox-webhook-secret"  # the market's default


@asynccontextmanager
async def listening(
    folder: Path, *, public: str = "https://hooks.example/", secret: str = SECRET
) -> AsyncIterator[Engine]:
    body = f"""\
    inbound: {{bind: "127.0.0.1:9465", public_url: "{public}"}}
    channels:
      one:
        adapter: sandbox
        credentials: {{api_key: sandbox-key}}
        settings: {{base_url: "http://one.test", webhook_secret: "{secret}"}}
    """
    async with engine(write_config(folder, f"sqlite:///{folder}/ledger.db", body), clock=TurnedClock(auto=True)) as e:
        yield e


def urls(e: Engine) -> list[tuple[str, bool]]:
    return [(one.url, one.active) for one in e.markets["one"].webhooks.subscriptions.values()]


def asked_for(e: Engine) -> bool:
    return any((tick.owner, tick.task) == ("channel:one", "subscribe") for tick in timetable(e.house))


def test_a_channel_is_subscribed_to_once(tmp_path: Path) -> None:
    async def run() -> None:
        async with listening(tmp_path) as e:
            assert asked_for(e)
            assert {"webhooks": 1} == (await e.run("channel:one", "subscribe")).counts
            assert {"webhooks": 0} == (await e.run("channel:one", "subscribe")).counts
            assert [(URL, True)] == urls(e)

    play(run)


def test_what_the_channel_turned_off_is_turned_on_again(tmp_path: Path) -> None:
    async def nobody(_url: str, _headers: object, _body: bytes) -> int:
        return 502

    async def run() -> None:
        async with listening(tmp_path) as e:
            await e.run("channel:one", "subscribe")
            webhooks = e.markets["one"].webhooks
            webhooks.notify("order.created", "S-1")
            while webhooks.pending:
                await webhooks.deliver(nobody)
                e.clock.advance(60)
            assert [(URL, False)] == urls(e)
            await e.run("channel:one", "subscribe")
            assert [(URL, True)] == urls(e)

    play(run)


@pytest.mark.parametrize("kind", [FaultKind.TIMEOUT_AFTER, FaultKind.ERROR_AFTER, FaultKind.TRUNCATED])
def test_a_lost_answer_makes_no_second_subscription(tmp_path: Path, kind: FaultKind) -> None:
    async def run() -> None:
        async with listening(tmp_path) as e:
            e.markets["one"].faults.add(Fault(kind, "webhooks"))
            assert "failed" == (await e.run("channel:one", "subscribe")).outcome
            assert [(URL, True)] == urls(e)
            assert "done" == (await e.run("channel:one", "subscribe")).outcome
            assert [(URL, True)] == urls(e)

    play(run)


def test_webhooks_that_the_channel_refuses_block_nothing(tmp_path: Path) -> None:
    """Orders are pulled all the same: an issue says what is wrong, the channel goes on."""

    async def refused() -> list[str]:
        raise AuthRefused("this key may not see webhooks")

    async def run() -> None:
        async with listening(tmp_path) as e:
            await e.activate()
            e.house.channels["one"].adapter.subscribe = refused  # type: ignore[attr-defined]
            summary = await e.run("channel:one", "subscribe")
            assert ("failed", True) == (summary.outcome, "may not see webhooks" in summary.error)
            assert [("active",)] == e.rows("SELECT state FROM channel")
            assert [("task_failed",)] == e.rows("SELECT code FROM issue WHERE closed_at IS NULL")

    play(run)


@pytest.mark.parametrize("given", [{"public": ""}, {"secret": ""}])
def test_without_an_address_or_a_secret_nothing_is_subscribed(tmp_path: Path, given: dict[str, str]) -> None:
    async def run() -> None:
        async with listening(tmp_path, **given) as e:
            assert ("public" not in given) == asked_for(e)
            await e.run("channel:one", "subscribe")
            assert [] == urls(e)

    play(run)


@pytest.mark.parametrize(
    "url", ["http://hooks.example", "hooks.example", "https://a@b.example", "https://a.example/?b=c"]
)
def test_an_address_that_marketplaces_cannot_use_is_refused(url: str) -> None:
    with pytest.raises(ValidationError, match="no address for webhooks"):
        Inbound.model_validate({"bind": "127.0.0.1:9465", "public_url": url})
