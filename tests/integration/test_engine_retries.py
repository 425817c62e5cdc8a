"""What becomes of an offer whose request never left the house: nothing of it is counted against the channel or the offer."""

from pathlib import Path

from marketsync.adapter.errors import ItemRefused
from tests.engine import engine, play
from tests.integration.engine_acts import configured, ready, reread


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
