"""What the log shows, and what it never shows."""

import asyncio
import io
import json
import logging
import re
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
import structlog
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import SecretStr

from marketsync.adapter.orders import Address
from marketsync.domain.redaction import REDACTED
from marketsync.telemetry.logs import FORMATS, running, set_up
from marketsync.telemetry.redaction import LONGEST, MOST, Redactor


class Terminal(io.StringIO):
    def isatty(self):
        return True


@contextmanager
def logging_to(stream, **settings):
    """The process's logging as ``set_up`` makes it, put back afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        set_up(stream=stream, **settings)
        yield structlog.get_logger("test")
    finally:
        logging.captureWarnings(False)
        root.handlers[:] = handlers
        root.setLevel(level)
        structlog.reset_defaults()


def lines(stream) -> list[dict]:
    return [json.loads(line) for line in stream.getvalue().split("\n") if line]


def test_a_line_is_json_with_time_in_utc_level_event_and_fields():
    out = io.StringIO()
    with logging_to(out, form="json") as log:
        log.info("pushed", offers=1000, seconds=0.5, price=Decimal("9.90"), at=datetime(2026, 3, 1, tzinfo=UTC))
    (line,) = lines(out)
    assert ["timestamp", "level", "event"] == list(line)[:3]
    assert datetime.fromisoformat(line.pop("timestamp")).utcoffset().total_seconds() == 0
    assert {
        "level": "info",
        "event": "pushed",
        "offers": 1000,
        "seconds": 0.5,
        "price": "9.90",
        "at": "2026-03-01 00:00:00+00:00",
    } == line


def test_auto_is_text_on_a_terminal_and_json_elsewhere():
    terminal, file = Terminal(), io.StringIO()
    with logging_to(terminal) as log:
        log.info("hello there", channel="shop")
    with logging_to(file) as log:
        log.info("hello there", channel="shop")
    assert "hello there" in terminal.getvalue()
    assert not terminal.getvalue().startswith("{")
    assert lines(file)[0]["channel"] == "shop"


def test_lines_of_a_run_carry_its_channel_task_and_run_also_in_tasks_it_starts():
    out = io.StringIO()

    async def work(log):
        with running(channel="shop", task="push", run="r1"):
            await asyncio.create_task(child(log))
        with running(task="ingest", run="r2"):
            log.info("three")

    async def child(log):
        log.info("one")
        logging.getLogger("somewhere").warning("two")

    with logging_to(out, form="json") as log:
        asyncio.run(work(log))
        log.info("four")
    told = [{k: line[k] for k in ("channel", "task", "run") if k in line} for line in lines(out)]
    first = {"channel": "shop", "task": "push", "run": "r1"}
    assert [first, first, {"task": "ingest", "run": "r2"}, {}] == told


@pytest.mark.parametrize("name", ["uvicorn.error", "apscheduler.executors", "httpx", "alembic.runtime"])
def test_chatty_libraries_speak_from_warning_on_and_through_the_same_log(name):
    out = io.StringIO()
    with logging_to(out, form="json", level="debug"):
        logging.getLogger(name).info("chatter")
        logging.getLogger(name).warning("listen %s", "here")
    assert [("warning", "listen here", name)] == [(li["level"], li["event"], li["logger"]) for li in lines(out)]


def test_what_is_below_the_level_is_not_logged():
    out = io.StringIO()
    with logging_to(out, form="json", level="warning") as log:
        log.info("no")
        logging.getLogger("x").info("no")
        log.warning("yes")
    assert ["yes"] == [line["event"] for line in lines(out)]


def test_warnings_of_python_are_logged():
    out = io.StringIO()
    with logging_to(out, form="json"), warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        warnings.warn("old way", UserWarning, stacklevel=1)
    assert "old way" in lines(out)[0]["event"]


def test_a_second_set_up_replaces_the_first_for_loggers_that_exist_already():
    first, second = io.StringIO(), io.StringIO()
    with logging_to(first, form="json") as log:
        log.info("one")
        with logging_to(second, form="json"):
            log.info("two")
            logging.getLogger("x").warning("three")
    assert ["one"] == [line["event"] for line in lines(first)]
    assert ["two", "three"] == [line["event"] for line in lines(second)]


# Plain words are left out: the line has some of its own ("timestamp"), and no secret is one.
secrets = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), min_size=8, max_size=40).filter(
    lambda text: len(set(text)) > 4 and REDACTED not in text and not re.fullmatch(r"[A-Za-z_./\[\]-]*", text)
)


@example(secret='pass word/+"ü\\1', form="json")
@given(secret=secrets, form=st.sampled_from(["json", "text"]))
def test_a_registered_secret_never_appears_in_any_output(secret, form):
    """However it gets there: as a field, inside one, as a key, nested, quoted, in an error, by a library."""
    redact, out = Redactor(), io.StringIO()
    redact.register([secret])
    with logging_to(out, form=form, redact=redact) as log:
        said = f"event {secret} here"
        log.info(said, field=secret, inside=f"x{secret}y", **{f"k{secret}": 1})
        log.info("nested", deep={"a": [{secret: (secret, {secret})}]}, raw=secret.encode(), path=Path("/" + "x") / "s")
        log.info("quoted", url=f"https://h/?q={quote(secret)}&r={quote_plus(secret)}", doc=json.dumps({"v": secret}))
        log.info("quoted", doc=json.dumps([secret], ensure_ascii=False), shown=repr(secret), error=ValueError(secret))
        logging.getLogger("library").warning("said %s", secret)
        try:
            raise RuntimeError(f"refused: {secret}")
        except RuntimeError as error:
            log.exception("failed")
            log.warning("failed", problem=str(error), exc_info=True)
    text = out.getvalue()
    assert secret not in text
    assert json.dumps(secret)[1:-1] not in text
    assert quote(secret, safe="") not in text
    if form == "json":
        assert 7 <= len(text.splitlines())
        assert [] == [line for line in lines(out) if secret in json.dumps(line, ensure_ascii=False)]
        (address,) = [line["url"] for line in lines(out) if "url" in line]
        assert f"https://h/?q={REDACTED}&r={REDACTED}" == address
        (quoted,) = [line for line in lines(out) if "shown" in line]
        assert REDACTED == quoted["shown"].strip("'\"")
        assert json.dumps([REDACTED]) == quoted["doc"]


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer s3cr3t-value",
        "AUTHORIZATION=s3cr3t-value",
        "{'authorization': 'Basic dXNlcjpzM2NyM3QtdmFsdWU='}",
        "sent with bearer s3cr3t-value",
        "https://h/cb?code=1&access_token=s3cr3t-value&x=1",
        '{"refresh_token": "s3cr3t-value", "x": 1}',
        '{\\"client_secret\\": \\"s3cr3t-value\\"}',
        "api_key=s3cr3t-value",
        "X-Api-Key: s3cr3t-value",
        "password: s3cr3t-value",
        "Set-Cookie: s3cr3t-value",
        "postgresql://marketsync:s3cr3t-value@db.example/ledger",
        "hook signature=s3cr3t-value",
        "ordered by s3cr3t-value@example.com today",
        "ordered by first.s3cr3t-value+x@mail.shop.example",
        "call +49 (30) 901820-s3cr3t-value",
    ],
)
def test_credentials_and_addresses_are_known_by_their_look(text):
    clean = Redactor().text(text)
    assert REDACTED in clean
    assert "s3cr3t-value" not in clean.replace("-s3cr3t-value", "" if "call" in text else "-s3cr3t-value")
    assert "dXNlcjpz" not in clean
    assert "901820" not in clean


@pytest.mark.parametrize(
    "text",
    [
        "2026-03-01T12:00:00+00:00",
        "2026-03-01T12:00:00+0000 4006381333931",
        "order 028-4920173-1234567 of 2026-03-01",
        "GTIN 4006381333931, 00012345678905",
        "https://api.example.com:8443/v1/offers?page=2",
        "marketsync@1.0.0 on 127.0.0.1:9464",
        "the token is refreshed, the password was not asked for",
        "price +12.50 EUR, stock +1000",
        "@every 5m",
    ],
)
def test_what_an_operator_needs_to_read_stays(text):
    assert text == Redactor().text(text)


@pytest.mark.parametrize(
    "key",
    [
        "token", "access_token", "accessToken", "client_secret", "Authorization", "api_key", "apiKey", "x-api-key",
        "password", "phone", "email", "buyer", "set-cookie", "street", "private_key", "webhookSecret",
    ],
)  # fmt: skip
def test_a_field_is_known_by_its_name(key):
    assert {key: REDACTED} == Redactor().value({key: "anything at all"})


@pytest.mark.parametrize("key", ["channel", "key", "idempotency_key", "sku", "tokenless", "keyboard", "secretary"])
def test_other_names_keep_their_values(key):
    assert {key: "kept"} == Redactor().value({key: "kept"})


def test_an_object_is_shown_by_its_type_alone():
    @dataclass
    class Order:
        buyer: Address

    order = Order(Address(name="Erika Mustermann", street="Heidestraße 17"))
    out = io.StringIO()
    with logging_to(out, form="json") as log:
        log.info("stored", order=order, key=SecretStr("s3cr3t-value"), several=[order], fine=None)
    (line,) = lines(out)
    assert ["<Order>", "<SecretStr>", ["<Order>"], None] == [
        line["order"], line["key"], line["several"], line["fine"]
    ]  # fmt: skip
    assert "Mustermann" not in out.getvalue()


def test_short_texts_are_no_secrets():
    redact = Redactor()
    redact.register(["", "abc"])
    assert "abc def" == redact.text("abc def")


def test_the_longer_of_two_secrets_is_taken_out_whole():
    redact = Redactor()
    redact.register(["hunter22", "hunter22-and-more"])
    assert f"x {REDACTED} y" == redact.text("x hunter22-and-more y")


def test_only_the_newest_secrets_are_kept_and_one_registered_again_is_new():
    redact = Redactor()
    redact.register(["first-secret", "second-secret"])
    redact.register(f"token-number-{n:04}" for n in range(MOST - 2))
    redact.register(["first-secret", "one-more-token"])
    assert REDACTED == redact.text("first-secret")
    assert "second-secret" == redact.text("second-secret")


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
                    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))  # fmt: skip
def test_whatever_is_logged_becomes_one_line_of_json(value):
    out = io.StringIO()
    with logging_to(out, form="json", redact=Redactor()) as log:
        log.info("any", value=value, broken="\ud800")
    (line,) = lines(out)
    assert "any" == line["event"]


@pytest.mark.parametrize("piece", ["a", "a-", "a.", "+1 ", "token", "http://a:", "s3cr3t-value"])
def test_of_a_very_long_text_the_middle_is_left_out(piece):
    """An error page of a megabyte must neither stop the loop nor fill the log, and no cut goes through a secret."""
    redact = Redactor()
    redact.register(["s3cr3t-value"])
    clean = redact.text(piece * 100_000)
    assert LONGEST // 4 < len(clean) <= LONGEST + len(" [...] ")
    assert "s3cr3t" not in clean


def test_every_format_is_accepted():
    for form in FORMATS:
        out = io.StringIO()
        with logging_to(out, form=form) as log:
            log.info("here")
        assert "here" in out.getvalue()


@pytest.mark.parametrize(("traces", "lines_of_frames"), [(False, 0), (True, 1)])
def test_an_exception_is_one_sentence_with_its_place_unless_traces_are_asked_for(traces, lines_of_frames):
    out = io.StringIO()
    with logging_to(out, form="json", traces=traces) as log:
        try:
            raise RuntimeError("no such thing")
        except RuntimeError:
            log.exception("failed", task="push")
    (line,) = lines(out)
    assert lines_of_frames == str(line).count("Traceback")
    if not traces:
        assert ("failed", "RuntimeError: no such thing") == (line["event"], line["error"])
        assert line["at"].startswith(__file__ + ":")
