"""The log: one line per event, JSON in production and readable on a terminal, with nothing secret in it."""

import logging
import sys
import traceback
from contextlib import AbstractContextManager
from typing import Any, Final, TextIO

import orjson
import structlog
from structlog.typing import Processor

from marketsync.domain.redaction import REDACTED
from marketsync.telemetry.redaction import Redactor, redactor, register_secrets

__all__ = ["FORMATS", "REDACTED", "register_secrets", "running", "set_up"]

FORMATS: Final = ("auto", "json", "text")
LEVELS: Final = ("debug", "info", "warning", "error")
QUIET: Final = ("alembic", "apscheduler", "asyncio", "httpcore", "httpx", "sqlalchemy", "uvicorn")


def set_up(
    *,
    form: str = "auto",
    level: str = "info",
    traces: bool = False,
    stream: TextIO | None = None,
    redact: Redactor = redactor,
) -> None:
    """Send every log line of this process, structlog's and the standard library's, to ``stream`` (standard error).

    ``form``: one of ``FORMATS``; "auto" is text on a terminal and JSON elsewhere. ``level``: one of ``LEVELS``.
    ``traces``: an exception is told with its traceback, else in one line with its place. Times are UTC. May be called
    again; the last call counts.
    """
    stream = stream or sys.stderr
    threshold = getattr(logging, level.upper())
    readable = form == "text" or (form == "auto" and stream.isatty())
    fields: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info if traces else _exception,
    ]
    line: list[Processor] = [redact.event, _text(stream) if readable else _json]
    structlog.configure(
        processors=[*fields, *line],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=False,  # loggers made at import time follow a later set-up
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*fields[:2], structlog.stdlib.add_logger_name, *fields[2:]],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *line],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(threshold)
    for name in QUIET:
        logging.getLogger(name).setLevel(max(threshold, logging.WARNING))
    logging.captureWarnings(True)


def running(*, task: str, run: str, channel: str = "") -> AbstractContextManager[None]:
    """Every line logged inside says which task run, and which channel, it is about. Follows ``await`` and new tasks."""
    fields = {"task": task, "run": run} | ({"channel": channel} if channel else {})
    return structlog.contextvars.bound_contextvars(**fields)


def _exception(_logger: Any, _method: str, event: Any) -> Any:
    """An exception as what it is and where it was raised: nobody on call reads forty lines of frames."""
    told = event.pop("exc_info", None)
    error = told if isinstance(told, BaseException) else told[1] if isinstance(told, tuple) else sys.exc_info()[1]
    if told and error is not None:
        event["error"] = f"{type(error).__name__}: {error}"
        if frames := traceback.extract_tb(error.__traceback__):
            event["at"] = f"{frames[-1].filename}:{frames[-1].lineno}"
    return event


def _json(_logger: Any, _method: str, event: Any) -> str:
    ordered = {key: event.pop(key) for key in ("timestamp", "level", "event") if key in event}
    return orjson.dumps(ordered | event, option=orjson.OPT_NON_STR_KEYS).decode()


def _text(stream: TextIO) -> Processor:
    return structlog.dev.ConsoleRenderer(colors=stream.isatty(), pad_event_to=36)
