"""When tasks run, above all on the nights when the clocks change."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketsync.config.schedule import Schedule

BERLIN = ZoneInfo("Europe/Berlin")
SPRING = datetime(2026, 3, 29, tzinfo=UTC)  # 02:00 +01:00 becomes 03:00 +02:00
AUTUMN = datetime(2026, 10, 25, tzinfo=UTC)  # 03:00 +02:00 becomes 02:00 +01:00


def runs(text: str, after: datetime, count: int, zone: ZoneInfo = BERLIN) -> list[str]:
    """The next runs as local times with their offset."""
    schedule, moments = Schedule.parse(text), []
    for _ in range(count):
        after = schedule.next_after(after, zone)
        moments.append(after.astimezone(zone).strftime("%d. %H:%M %z"))
    return moments


def test_an_interval_counts_from_the_moment():
    start = datetime(2026, 3, 29, 0, 59, tzinfo=UTC)
    assert start + timedelta(minutes=10) == Schedule.parse("10m").next_after(start, BERLIN)
    assert timedelta(minutes=10) == Schedule.parse("10m").interval
    assert None is Schedule.parse("03:15").interval


def test_a_time_of_day_is_read_in_the_zone_and_runs_once_a_day():
    start = datetime(2026, 7, 1, 1, 15, tzinfo=UTC)  # 03:15 in Berlin
    assert ["02. 03:15 +0200", "03. 03:15 +0200"] == runs("03:15", start, 2)


def test_a_time_that_spring_skips_runs_once_behind_the_gap():
    assert ["28. 02:30 +0100", "29. 03:30 +0200", "30. 02:30 +0200"] == runs("02:30", SPRING - timedelta(days=1), 3)


def test_a_time_that_autumn_doubles_runs_once():
    assert ["25. 02:30 +0200", "26. 02:30 +0100"] == runs("02:30", AUTUMN - timedelta(hours=2), 2)


def test_a_time_at_a_gap_over_midnight_runs_on_the_day_that_begins_behind_it():
    beirut = ZoneInfo("Asia/Beirut")  # 2026-03-29 begins at 01:00
    assert ["29. 01:10 +0300", "30. 00:10 +0300"] == runs("00:10", datetime(2026, 3, 28, 12, tzinfo=UTC), 2, beirut)


def test_a_time_that_a_gap_moves_into_the_next_day_still_runs_on_that_day():
    toronto = ZoneInfo("America/Toronto")  # 1919-03-30 ends at 23:30, the 31st begins at 00:30
    within_the_31st = datetime(1919, 3, 31, 4, 35, tzinfo=UTC)
    assert ["31. 00:45 -0400", "31. 23:45 -0400"] == runs("23:45", within_the_31st, 2, toronto)


def test_a_cron_line_of_every_hour_keeps_its_pace_through_both_nights():
    assert ["29. 01:30 +0100", "29. 03:00 +0200", "29. 03:30 +0200"] == runs("*/30 * * * *", SPRING, 3)
    assert ["25. 02:30 +0200", "25. 02:00 +0100", "25. 02:30 +0100", "25. 03:00 +0100"] == runs(
        "*/30 * * * *", AUTUMN, 4
    )


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("0 6-22/8 * * *", ["01. 06:00 +0200", "01. 14:00 +0200", "01. 22:00 +0200", "02. 06:00 +0200"]),
        ("30 9 * * mon-fri", ["01. 09:30 +0200", "02. 09:30 +0200", "03. 09:30 +0200", "06. 09:30 +0200"]),
        ("0 0 * * 0", ["05. 00:00 +0200", "12. 00:00 +0200"]),
        ("0 0 * * 7", ["05. 00:00 +0200", "12. 00:00 +0200"]),
        ("0 0 13 * fri", ["03. 00:00 +0200", "10. 00:00 +0200", "13. 00:00 +0200", "17. 00:00 +0200"]),
        ("5,20 4 1 JAN,sep *", ["01. 04:05 +0200", "01. 04:20 +0200", "01. 04:05 +0100"]),
        ("50/5 23 * * *", ["01. 23:50 +0200", "01. 23:55 +0200"]),
        ("0 12 31 * *", ["31. 12:00 +0200", "31. 12:00 +0200", "31. 12:00 +0100"]),
    ],
)
def test_a_cron_line_means_what_cron_means(line, expected):
    start = datetime(2026, 6, 30, 22, 0, tzinfo=UTC)  # Wednesday 1 July, midnight in Berlin
    assert expected == runs(line, start - timedelta(seconds=1), len(expected))


def test_a_leap_day_comes_even_over_a_century_without_one():
    at = Schedule.parse("0 0 29 2 *").next_after(datetime(2096, 3, 1, tzinfo=UTC), ZoneInfo("UTC"))
    assert datetime(2104, 2, 29, tzinfo=UTC) == at


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "'' is no schedule: write an interval such as 10m, a time of day such as 03:15, or a cron line such as 0 6-22 * * mon-fri"),
        ("24:00", "'24:00' is no schedule: write an interval such as 10m, a time of day such as 03:15, or a cron line such as 0 6-22 * * mon-fri"),
        ("0s", "'0s' is no schedule: an interval lies between 1s and 366d"),
        ("400d", "'400d' is no schedule: an interval lies between 1s and 366d"),
        ("60 * * * *", "'60' is no minute of a cron line, it goes from 0 to 59"),
        ("* 24 * * *", "'24' is no hour of a cron line, it goes from 0 to 23"),
        ("* * 0 * *", "'0' is no day of a cron line, it goes from 1 to 31"),
        ("* * * foo *", "'foo' is no month of a cron line, it goes from 1 to 12"),
        ("* * * * fri-mon", "'fri-mon' is an empty range of a cron line's weekday"),
        ("*/0 * * * *", "'*/0' is an empty range of a cron line's minute"),
        ("1, * * * *", "'' is no minute of a cron line"),
        ("0 0 30 2 *", "'0 0 30 2 *' names a day that its months do not have"),
    ],
)  # fmt: skip
def test_what_is_no_schedule_is_told(text, expected):
    with pytest.raises(ValueError) as refused:
        Schedule.parse(text)
    assert expected == str(refused.value)


ZONES = st.sampled_from(
    ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Beirut", "Pacific/Apia"]
)
MOMENTS = st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))


@given(MOMENTS, ZONES, st.integers(0, 23), st.integers(0, 59))
def test_a_time_of_day_runs_exactly_once_on_every_local_day(moment, zone, hour, minute):
    """Whatever the zone does: one run a day, at its time or, where that does not exist, less than 24 hours on."""
    schedule, zone = Schedule.parse(f"{hour:02}:{minute:02}"), ZoneInfo(zone)
    first = schedule.next_after(moment, zone)
    second = schedule.next_after(first, zone)
    assert moment < first < second
    assert timedelta(0) < second - first <= timedelta(hours=48 + 2)
    wall = second.astimezone(zone)
    exists = wall.replace(hour=hour, minute=minute, fold=0).astimezone(UTC).astimezone(zone).hour == hour
    assert (hour, minute) == (wall.hour, wall.minute) or not exists


@given(MOMENTS, ZONES, st.sampled_from(["*/7 * * * *", "0 */5 * * *", "13 2 * * *", "0 0 1 * *", "0 3 * * sun"]))
def test_the_next_run_is_later_and_none_lies_between(moment, zone, line):
    schedule, zone = Schedule.parse(line), ZoneInfo(zone)
    following = schedule.next_after(moment, zone)
    assert following > moment
    assert following == schedule.next_after(following - timedelta(seconds=1), zone)
    assert following == schedule.next_after(moment + (following - moment) / 2, zone)
