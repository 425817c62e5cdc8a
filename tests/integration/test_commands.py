"""Commands: what a channel must do once is done once, whatever gets lost; what moves money is never sent twice."""

import asyncio
from datetime import timedelta

import pytest

from marketsync.adapter.api import Command, CommandLine, CommandResult, Fulfilment, Money, Result
from marketsync.adapter.errors import AuthRefused, ItemRefused, OutcomeUnknown, RateLimited, Unavailable
from marketsync.ledger import channels
from marketsync.ledger.commands import decide_command, request_command
from marketsync.sync.commands import LOOK_UP_AFTER, run_commands
from marketsync.sync.order_context import order_context
from tests.order_desk import later, line, order
from tests.order_house import Silent, play

APPLIED = CommandResult(result=Result.APPLIED, reference="ref")
LATER = LOOK_UP_AFTER + timedelta(minutes=2)


class Marketplace(Silent):
    """Answers commands with what a test put down for them; remembers under their keys what really happened."""

    def __init__(self, *answers) -> None:
        self.answers = list(answers)
        self.sent: list[tuple[str, str]] = []
        self.happened: set[str] = set()

    def answer(self, kind, command):
        self.sent.append((kind, command.key))
        answer = self.answers.pop(0) if self.answers else APPLIED
        if isinstance(answer, tuple):  # it happens, and the answer is lost
            self.happened.add(command.key)
            answer = answer[0]
        if isinstance(answer, BaseException):
            raise answer
        if answer.result is Result.APPLIED:
            self.happened.add(command.key)
        return answer

    async def acknowledge(self, commands):
        return [self.answer("acknowledge", command) for command in commands]

    async def ship(self, command):
        return self.answer("ship", command)

    async def cancel(self, command):
        return self.answer("cancel", command)

    async def refund(self, command):
        return self.answer("refund", command)


class Remembering(Marketplace):
    """A marketplace that can be asked what became of a command."""

    asked = 0

    async def command_result(self, kind, command):
        self.asked += 1
        return APPLIED if command.key in self.happened else None


ACKNOWLEDGED = order("1", line("A", 3), acknowledged=True)


def ask(shop, kind: str, key: str = "k", pieces: int = 2, amount: Money | None = None) -> None:
    part = CommandLine(line_id="l-A", sku="A", quantity=pieces, amount=amount)
    command = Command(key=key, order_id="1", lines=(part,))
    shop.ledger.write_now(lambda conn: request_command(conn, shop.account.id, 1, kind, command, shop.clock.now()))


def commands(shop):
    return shop.rows("SELECT kind, state, attempts FROM order_command ORDER BY id")


def open_issues(shop):
    return shop.rows("SELECT scope, sku, code, message FROM issue WHERE closed_at IS NULL AND code <> 'x' ORDER BY id")


def shipped(shop):
    return shop.rows("SELECT shipped, cancelled, refunded FROM order_line")[0]


def run(shop):
    return run_commands(shop.house, shop.account)


def play_one(test, tmp_path, ledger_url, market):
    async def started(shop):
        shop.items(A=10)
        shop.store(ACKNOWLEDGED)
        await test(shop)

    play(started, tmp_path, ledger_url, market)


def test_new_orders_are_acknowledged_after_they_are_stored_in_batches(tmp_path, ledger_url):
    market = Marketplace()

    async def test(shop):
        shop.store(*(order(f"{n}", line("A"), at=n) for n in range(3)), order("known", line("A"), acknowledged=True))
        report = await run(shop)
        assert {"acknowledge done": 3} == report.totals
        assert [("acknowledge", f"acknowledge:shop:{n}") for n in range(3)] == market.sent
        assert [(1,)] * 4 == [(int(row[0]),) for row in shop.rows("SELECT acknowledged FROM sales_order")]
        assert {} == (await run(shop)).totals

    play(test, tmp_path, ledger_url, market)


def test_a_shipment_counts_at_once_and_only_once_when_the_channel_tells_of_it(tmp_path, ledger_url):
    market = Remembering()

    async def test(shop):
        ask(shop, "ship")
        assert {"ship done": 1} == (await run(shop)).totals
        assert (2, 0, 0) == shipped(shop)
        assert (8, 1) == shop.level("A")
        shop.store(later(ACKNOWLEDGED, lines={"l-A": {"shipped": 2}}, fulfilment=Fulfilment.PARTLY_SHIPPED))
        assert (2, 0, 0) == shipped(shop)
        assert (8, 1) == shop.level("A")

    play_one(test, tmp_path, ledger_url, market)


def test_a_lost_answer_is_looked_up_and_counts_once_even_if_a_pull_told_of_it_first(tmp_path, ledger_url):
    market = Remembering((OutcomeUnknown("no reply"),))

    async def test(shop):
        ask(shop, "ship")
        report = await run(shop)
        assert isinstance(report.error, OutcomeUnknown)
        assert [("ship", "sent", 1)] == commands(shop)
        shop.store(later(ACKNOWLEDGED, lines={"l-A": {"shipped": 2}}))
        assert {} == (await run(shop)).totals, "a request that was given up may still be under way"
        shop.clock.advance(LATER.total_seconds())
        assert {"ship done": 1} == (await run(shop)).totals
        assert [("ship", "k")] == market.sent
        assert (2, 0, 0) == shipped(shop)
        assert (8, 1) == shop.level("A")

    play_one(test, tmp_path, ledger_url, market)


def test_a_shipment_without_a_trace_is_sent_again_under_its_key(tmp_path, ledger_url):
    market = Remembering(OutcomeUnknown("no reply"))

    async def test(shop):
        ask(shop, "ship")
        await run(shop)
        shop.clock.advance(LATER.total_seconds())
        assert {"ship due": 1, "ship done": 1} == (await run(shop)).totals
        assert [("ship", "k"), ("ship", "k")] == market.sent
        assert (2, 0, 0) == shipped(shop)

    play_one(test, tmp_path, ledger_url, market)


@pytest.mark.parametrize("kind", ["refund", "cancel"])
@pytest.mark.parametrize("market_class", [Remembering, Marketplace])
def test_what_moves_money_is_never_sent_again_by_itself(tmp_path, ledger_url, kind, market_class):
    market = market_class(OutcomeUnknown("no reply"))

    async def test(shop):
        ask(shop, kind, amount=Money(500, "EUR"))
        for _ in range(5):
            await run(shop)
            shop.clock.advance(LATER.total_seconds())
        assert [(kind, "k")] == market.sent
        assert [(kind, "held", 1)] == commands(shop)
        assert [("channel:shop", "order:1", f"{kind}_held")] == [issue[:3] for issue in open_issues(shop)]
        assert "`marketsync decide 1 --done`" in shop.rows("SELECT hint FROM issue WHERE closed_at IS NULL")[0][0]
        assert (0, 0, 0) == shipped(shop)

    play_one(test, tmp_path, ledger_url, market)


def test_a_refund_whose_answer_was_lost_is_found(tmp_path, ledger_url):
    market = Remembering((OutcomeUnknown("no reply"),))

    async def test(shop):
        ask(shop, "refund", pieces=1, amount=Money(500, "EUR"))
        await run(shop)
        shop.clock.advance(LATER.total_seconds())
        assert {"refund done": 1} == (await run(shop)).totals
        assert [("refund", "k")] == market.sent
        assert (0, 0, 1) == shipped(shop)

    play_one(test, tmp_path, ledger_url, market)


@pytest.mark.parametrize("happened", [True, False])
def test_a_person_decides_what_became_of_a_held_command(tmp_path, ledger_url, happened):
    market = Marketplace(OutcomeUnknown("no reply"))

    async def test(shop):
        ask(shop, "cancel")
        await run(shop)

        def decide(conn):
            context = order_context(conn, shop.house, shop.account)
            return decide_command(conn, 1, context, happened=happened, by="ada", why="I looked")

        assert shop.ledger.write_now(decide) is not None
        assert shop.ledger.write_now(decide) is None, "it is decided once"
        told = "it was done" if happened else "to be sent again"
        (said,) = shop.rows("SELECT details FROM order_event WHERE kind = 'command_decided'")
        assert f"cancel, command 1: {told}, says ada: I looked" in str(said[0])
        assert [] == open_issues(shop)
        await run(shop)
        assert (0, 2, 0) == shipped(shop)
        assert (1 if happened else 2) == len(market.sent)
        assert (10, 1) == shop.level("A")

    play_one(test, tmp_path, ledger_url, market)


@pytest.mark.parametrize("happened", [True, False])
def test_a_kill_between_sending_and_the_answer_is_like_a_lost_answer(tmp_path, ledger_url, happened):
    killed = asyncio.CancelledError()
    market = Remembering((killed,) if happened else killed)

    async def test(shop):
        ask(shop, "ship")
        with pytest.raises(asyncio.CancelledError):
            await run(shop)
        assert [("ship", "sent", 1)] == commands(shop)
        shop.clock.advance(LATER.total_seconds())
        await run(shop)
        assert (1 if happened else 2) == len(market.sent)
        assert {("ship", "k")} == set(market.sent)
        assert (2, 0, 0) == shipped(shop)

    play_one(test, tmp_path, ledger_url, market)


def test_what_was_certainly_not_done_is_sent_again_later_and_less_and_less_often(tmp_path, ledger_url):
    retry = CommandResult(result=Result.RETRY, message="busy")
    market = Marketplace(retry, Unavailable("down"), RateLimited("slow down", retry_after=timedelta(seconds=77)))

    async def test(shop):
        ask(shop, "ship")
        waits = []
        for _ in range(3):
            began = shop.clock.now()
            report = await run(shop)
            assert 1 == len([one for one in commands(shop) if one[1] == "due"])
            due = shop.rows("SELECT next_attempt FROM order_command")[0][0]
            waits.append(round(due / 1e6 - began.timestamp()))
            assert {} == (await run(shop)).totals
            shop.clock.advance(waits[-1])
            del report
        assert [10, 30, 77] == waits
        assert {"ship done": 1} == (await run(shop)).totals
        assert {"k"} == {key for _, key in market.sent}

    play_one(test, tmp_path, ledger_url, market)


def test_a_refused_command_is_an_issue_until_one_succeeds(tmp_path, ledger_url):
    market = Marketplace(CommandResult(result=Result.REJECTED, code="no", message="Not like this."))

    async def test(shop):
        ask(shop, "ship")
        await run(shop)
        assert [
            ("channel:shop", "order:1", "ship_refused", "the channel refuses to ship order 1: Not like this.")
        ] == open_issues(shop)
        assert (0, 0, 0) == shipped(shop)
        ask(shop, "ship", key="another")
        await run(shop)
        assert [] == open_issues(shop)

    play_one(test, tmp_path, ledger_url, market)


def test_of_a_refused_batch_each_is_told_for_itself(tmp_path, ledger_url):
    class Picky(Marketplace):
        async def acknowledge(self, commands):
            if any(command.order_id == "1" for command in commands):
                raise ItemRefused("Order 1 is strange.", code="strange")
            return await super().acknowledge(commands)

    async def test(shop):
        shop.store(*(order(f"{n}", line("A"), at=n) for n in range(3)))
        assert {"acknowledge done": 2, "acknowledge rejected": 1} == (await run(shop)).totals
        assert ["order:1"] == [issue[1] for issue in open_issues(shop) if issue[2] == "acknowledge_refused"]

    play(test, tmp_path, ledger_url, Picky())


def test_what_an_adapter_cannot_do_is_refused_with_a_plain_word(tmp_path, ledger_url):
    class Reader(Silent):
        pass

    async def test(shop):
        ask(shop, "cancel")
        assert {"cancel rejected": 1} == (await run(shop)).totals
        assert "cannot be told to cancel orders through its API" in open_issues(shop)[0][3]

    play_one(test, tmp_path, ledger_url, Reader())


@pytest.mark.parametrize("state", ["observing", "paused", "blocked"])
def test_a_channel_that_is_not_active_is_told_nothing(tmp_path, ledger_url, state):
    market = Marketplace()

    async def test(shop):
        ask(shop, "ship")
        shop.ledger.write_now(lambda conn: channels.set_state(conn, "shop", state, "test", shop.clock.now()))
        await run(shop)
        assert [] == market.sent
        assert [("ship", "due", 0)] == commands(shop)

    play_one(test, tmp_path, ledger_url, market)


def test_nothing_else_is_told_of_an_order_before_it_is_acknowledged(tmp_path, ledger_url):
    market = Marketplace(CommandResult(result=Result.RETRY))

    async def test(shop):
        shop.items(A=10)
        shop.store(order("1", line("A", 3)))
        ask(shop, "ship")
        await run(shop)
        assert ["acknowledge"] == [kind for kind, _ in market.sent]
        shop.clock.advance(60)
        await run(shop)
        assert ["acknowledge", "acknowledge", "ship"] == [kind for kind, _ in market.sent]

    play(test, tmp_path, ledger_url, market)


def test_refused_credentials_end_the_run_and_nothing_is_lost(tmp_path, ledger_url):
    market = Marketplace(AuthRefused("the key is wrong"))

    async def test(shop):
        ask(shop, "ship")
        ask(shop, "refund", key="r", amount=Money(1, "EUR"))
        report = await run(shop)
        assert isinstance(report.error, AuthRefused)
        assert [("ship", "due", 1), ("refund", "due", 0)] == commands(shop)

    play_one(test, tmp_path, ledger_url, market)


def test_an_adapter_that_breaks_leaves_the_outcome_open(tmp_path, ledger_url):
    market = Remembering(ZeroDivisionError("oops"))

    async def test(shop):
        ask(shop, "refund", amount=Money(1, "EUR"))
        report = await run(shop)
        assert "the adapter failed" in str(report.error)
        assert [("refund", "sent", 1)] == commands(shop)

    play_one(test, tmp_path, ledger_url, market)


def test_a_long_wait_for_the_limits_is_left_to_a_later_run_before_anything_is_intended(tmp_path, ledger_url):
    market = Marketplace()

    async def test(shop):
        ask(shop, "ship")
        shop.account.http.waits = [33.0]
        report = await run(shop)
        assert 33.0 == report.again_in
        assert [("ship", "due", 0)] == commands(shop)
        assert {"ship done": 1} == (await run(shop)).totals

    play_one(test, tmp_path, ledger_url, market)
