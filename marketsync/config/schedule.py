"""When a task runs: every so often ("10m"), once a day ("03:15"), or as a five-field cron line ("0 6-22 * * mon-fri").

On the nights when clocks change, a fixed hour runs exactly once (a time that does not exist is moved behind the gap),
and a line whose hour is ``*`` or ``*/n`` keeps its pace through the doubled hour.
"""

import re
from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Self
from zoneinfo import ZoneInfo

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from marketsync.domain.scalars import duration, duration_text

_DAILY = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])")
_PART = re.compile(r"(?:(\*)|(\w+)(?:-(\w+))?)(?:/([0-9]{1,2}))?")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat", "sun")
_LONGEST_GAP = 9 * 366  # days: 29 February, over a year such as 2100
_ACCEPTED = "write an interval such as 10m, a time of day such as 03:15, or a cron line such as 0 6-22 * * mon-fri"


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()  # the first stands for ``low``

    def parse(self, text: str) -> frozenset[int]:
        return frozenset(value for part in text.split(",") for value in self._part(part))

    def _part(self, part: str) -> range:
        match = _PART.fullmatch(part)
        if match is None:
            raise ValueError(f"{part!r} is no {self.name} of a cron line")
        star, first, last, step = match.groups()
        low, high = (self.low, self.high) if star else (self._value(first), self._value(last or first))
        if step and not star and last is None:
            high = self.high
        if low > high or step == "0":
            raise ValueError(f"{part!r} is an empty range of a cron line's {self.name}")
        return range(low, high + 1, int(step or 1))

    def _value(self, text: str) -> int:
        if text.lower() in self.names:
            return self.low + self.names.index(text.lower())
        if not text.isascii() or not text.isdigit() or not self.low <= int(text) <= self.high:
            raise ValueError(f"{text!r} is no {self.name} of a cron line, it goes from {self.low} to {self.high}")
        return int(text)


_FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day", 1, 31),
    _Field("month", 1, 12, _MONTHS),
    _Field("weekday", 0, 7, _WEEKDAYS),
)


@dataclass(frozen=True, slots=True)
class _Cron:
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]  # 0 is Sunday
    any_day: bool
    any_weekday: bool
    any_hour: bool

    @classmethod
    def parse(cls, text: str) -> Self:
        written = text.split()
        minutes, hours, days, months, weekdays = (
            field.parse(part) for field, part in zip(_FIELDS, written, strict=True)
        )
        cron = cls(
            minutes=tuple(sorted(minutes)),
            hours=tuple(sorted(hours)),
            days=days,
            months=months,
            weekdays=frozenset(weekday % 7 for weekday in weekdays),
            any_day=written[2].startswith("*"),
            any_weekday=written[4].startswith("*"),
            any_hour=written[1].startswith("*"),
        )
        leap = 2024
        if cron.any_weekday and all(min(days) > monthrange(leap, month)[1] for month in months):
            raise ValueError(f"{text!r} names a day that its months do not have")
        return cron

    def runs_on(self, day: date) -> bool:
        if day.month not in self.months:
            return False
        on_day, on_weekday = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        # As cron has always done: where both are given, either will do.
        return on_day and on_weekday if self.any_day or self.any_weekday else on_day or on_weekday

    def moments(self, day: date, zone: ZoneInfo) -> Iterator[datetime]:
        for hour in self.hours:
            for minute in self.minutes:
                wall = datetime.combine(day, time(hour, minute), zone)
                first, second = wall.astimezone(UTC), wall.replace(fold=1).astimezone(UTC)
                exists = first.astimezone(zone).replace(tzinfo=None) == wall.replace(tzinfo=None)
                if exists or not self.any_hour:
                    yield first
                if exists and self.any_hour and second != first:
                    yield second


@dataclass(frozen=True, slots=True)
class Schedule:
    """An interval, or the moments of a cron line. ``text`` is what the user wrote."""

    text: str
    interval: timedelta | None
    cron: _Cron | None

    @classmethod
    def parse(cls, value: Any) -> Self:
        """Read "10m", "03:15" or "15 3 * * *". Raises ValueError that says what is accepted."""
        if isinstance(value, cls):
            return value
        text = " ".join(value.split()) if isinstance(value, str) else ""
        if daily := _DAILY.fullmatch(text):
            return cls(text, None, _Cron.parse(f"{int(daily[2])} {int(daily[1])} * * *"))
        if len(text.split()) == len(_FIELDS):
            return cls(text, None, _Cron.parse(text))
        try:
            interval = duration(text)
        except ValueError:
            raise ValueError(f"{value!r} is no schedule: {_ACCEPTED}") from None
        if not timedelta(seconds=1) <= interval <= timedelta(days=366):
            raise ValueError(f"{value!r} is no schedule: an interval lies between 1s and 366d")
        return cls(duration_text(interval), interval, None)

    def next_after(self, moment: datetime, zone: ZoneInfo) -> datetime:
        """The first moment of this schedule after ``moment`` (aware), in UTC; times of day are read in ``zone``."""
        if self.interval is not None:
            return moment.astimezone(UTC) + self.interval
        assert self.cron is not None
        # The day before as well: a time moved behind the gap at midnight lands on the next day.
        day = moment.astimezone(zone).date() - timedelta(days=1)
        for _ in range(_LONGEST_GAP):
            if self.cron.runs_on(day):
                later = [at for at in self.cron.moments(day, zone) if at > moment]
                if later:
                    return min(later)
            day += timedelta(days=1)
        raise AssertionError(self.text)  # a day that never comes is refused when it is read

    def __str__(self) -> str:
        return self.text

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(cls.parse, serialization=core_schema.to_string_ser_schema())

    @classmethod
    def __get_pydantic_json_schema__(cls, _schema: CoreSchema, _handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": "string", "examples": ["10m", "03:15", "0 6-22 * * mon-fri"]}
