"""A plan as a document: written while it is read, one change per line, and read back to be applied."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import orjson
from pydantic import BaseModel, ValidationError

from marketsync.adapter.content import Aspect
from marketsync.adapter.errors import MarketsyncError
from marketsync.sync.plan import Change, Plan

FORMAT = 1


class PlanUnreadable(MarketsyncError):
    """A file is no plan, or one of another version."""


class PlannedChange(BaseModel):
    """Of a planned change what applying it needs."""

    channel: str
    sku: str
    aspect: Aspect
    action: str
    desired: str
    shown: str
    waits: str = ""


class PlanFile(BaseModel):
    """A plan as it was written."""

    marketsync_plan: Literal[1]
    made: datetime
    changes: list[PlannedChange]


def lines(plan: Plan, only: Mapping[str, Sequence[str]], each: Callable[[Change], None]) -> Iterator[str]:
    """A plan as the lines of one JSON document. ``only``: what it was asked for; ``each`` hears every change."""
    head = {"marketsync_plan": FORMAT, "made": plan.made, "only": only}
    yield _packed(head)[:-1] + ', "changes": ['
    last = ""
    for change in plan.changes():
        each(change)
        if last:
            yield last + ","
        last = _packed(change)
    if last:
        yield last
    channels = [
        {"channel": one.channel, "state": one.state, "changes": one.changes, "counts": one.counts,
         "waiting": one.waiting, "calls": one.calls, "seconds": round(one.seconds, 3)}
        for one in plan.channels.values()
    ]  # fmt: skip
    yield f'], "channels": {_packed(channels)}, "held_sources": {_packed(plan.sources)},'
    yield f'"pending": {sum(one.changes for one in plan.channels.values())}}}'


def _packed(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_UTC_Z).decode()


def write(path: Path, document: Iterable[str]) -> None:
    """Write a plan; a file that stood there is replaced when the new one is whole."""
    beside = path.with_name(f".{path.name}.new")
    with beside.open("w", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in document)
    beside.replace(path)


def read(path: Path) -> PlanFile:
    """The plan in a file. Raises PlanUnreadable, or OSError where there is no such file."""
    try:
        return PlanFile.model_validate(orjson.loads(path.read_bytes()))
    except orjson.JSONDecodeError as error:
        raise PlanUnreadable(f"{path}:{error.lineno}:{error.colno}: this is no JSON: {error.msg}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        message = (
            f"{path}: this is no plan of this version: {where}: {first['msg']}; make one by `marketsync plan --out`"
        )
        raise PlanUnreadable(message) from error
