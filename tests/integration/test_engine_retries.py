"""What becomes of an offer whose request never left the house: nothing of it is counted against the channel or the offer."""

from pathlib import Path

import pytest

from marketsync.adapter.content import PushOutcome, PushResult, Result
from marketsync.adapter.errors import NOT_SENT, ItemRefused
from tests.engine import engine, play
from tests.integration.engine_acts import configured, offer, ready, reread


def limited(path: Path) -> Path:
    path.write_text(path.read_text().replace("limits: false", "limits: true"))
    return path


def test_an_adapter_that_refuses_before_its_first_request_uses_nothing_of_the_limits(
    tmp_path: Path, ledger_url: str
) -> None:
    async def run() -> None:
        async with engine(limited(configured(tmp_path, ledger_url, {"A": ("1.00", 5)}, "one"))) as e:
            await ready(e)
            account = e.house.accounts["one"]
            adapter = account.channels["one"].adapter
            sent = []

            async def pushing(operation, ops):
                sent.append(operation)
                raise ItemRefused("this adapter does not like it", code="no")

            adapter.push = pushing
            await reread(e, tmp_path, {"A": ("1.50", 5)})
            await e.run("channel:one", "push")
            assert "prices" in sent
            assert {1.0} == {account.http.limiter.snapshot()[operation] for operation in sent}

    play(run)


@pytest.mark.parametrize(("code", "attempts", "waits"), [*((code, 0, 5) for code in sorted(NOT_SENT)), ("busy", 3, 60)])
def test_what_never_left_the_house_is_no_attempt_and_waits_no_longer_each_time(
    tmp_path: Path, ledger_url: str, code: str, attempts: int, waits: int
) -> None:
    async def run() -> None:
        async with engine(configured(tmp_path, ledger_url, {"A": ("1.00", 5)}, "one")) as e:
            await ready(e)
            adapter = e.house.channels["one"].adapter

            async def pushing(_operation, ops):
                return PushOutcome(
                    results=[
                        PushResult(sku=op.sku, aspect=aspect, result=Result.RETRY, code=code)
                        for op in ops
                        for aspect in op.changed
                    ]
                )

            adapter.push = pushing
            await reread(e, tmp_path, {"A": ("1.50", 5)})
            for _ in range(3):
                e.clock.advance(300)
                await e.run("channel:one", "push")
            tried, due = offer(e, "A", "price_attempts", "price_due")
            assert (attempts, waits) == (tried, round(due / 1e6 - e.clock.now().timestamp()))

    play(run)
