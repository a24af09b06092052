"""When cron expressions happen: each local time once, checked against a walk over all minutes."""

from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise, takewhile
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unhurried import unhurried
from voucherpool.input.times import timezones
from voucherpool.schedules import occurrences

minute, day = timedelta(minutes=1), timedelta(days=1)
years = range(2026, 2036)
# Cron expressions, and what the walk takes them for.
patterns = {
    "* * * * *": {},
    "*/15 * * * *": {"minute": range(0, 60, 15)},
    "0 * * * *": {"minute": [0]},
    "30 * * * *": {"minute": [30]},
    "30 1 * * *": {"minute": [30], "hour": [1]},
    "30 2 * * *": {"minute": [30], "hour": [2]},
    "0,10,59 2 * * *": {"minute": [0, 10, 59], "hour": [2]},
    "0 2,3 * * SUN": {"minute": [0], "hour": [2, 3], "weekday": [6]},
    "*/20 1-3 * 3,10,11 *": {"minute": range(0, 60, 20), "hour": [1, 2, 3], "month": [3, 10, 11]},
    "0 9 * * 1": {"minute": [0], "hour": [9], "weekday": [0]},
    "0 0 31 * *": {"minute": [0], "hour": [0], "day": [31]},
    "15 2 29 2 *": {"minute": [15], "hour": [2], "day": [29], "month": [2]},
    "59 23 28-31 * *": {"minute": [59], "hour": [23], "day": range(28, 32)},
}
# Half an hour at Lord Howe; before midnight at Nuuk; often, and below zero, in Morocco and Dublin.
zones = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Nuuk")
odd_zones = ("Africa/Casablanca", "Europe/Dublin", "Asia/Kathmandu", "UTC")


def in_utc(year, month, date, *time):
    return datetime(year, month, date, *time, tzinfo=UTC)


def walk(begin, end, zone):
    """Yield each minute with the local times that happen in it for the first time."""
    zone = ZoneInfo(zone)
    reached = (begin - minute).astimezone(zone).replace(tzinfo=None)
    now = begin
    while now < end:
        local = now.astimezone(zone).replace(tzinfo=None)
        times = []
        while reached < local:
            reached += minute
            times.append(reached)
        yield now, times
        now += minute


def matcher(minute=(), hour=(), day=(), month=(), weekday=()):
    """Return what tells whether a time is of these parts; nothing named is anything."""
    minutes, hours, days = frozenset(minute), frozenset(hour), frozenset(day)
    months, weekdays = frozenset(month), frozenset(weekday)
    return lambda time: (
        (not minutes or time.minute in minutes)
        and (not hours or time.hour in hours)
        and (not days or time.day in days)
        and (not months or time.month in months)
        and (not weekdays or time.weekday() in weekdays)
    )


def walked(begin, end, zone, crons=patterns):
    found = {cron: [] for cron in crons}
    by_minute = [
        [(matcher(**patterns[cron]), found[cron]) for cron in crons if of_minute(number, cron)]
        for number in range(60)
    ]
    for now, times in walk(begin, end, zone):
        for time in times:
            for matches, moments in by_minute[time.minute]:
                if matches(time) and moments[-1:] != [now]:
                    moments.append(now)
    return found


def of_minute(number, cron):
    return number in patterns[cron].get("minute", range(60))


def happening(begin, end, zone, crons=patterns):
    return {
        cron: list(
            takewhile(lambda each: each < end, occurrences.after(begin - minute, cron, zone))
        )
        for cron in crons
    }


def switches(zone, begin, end):
    """Return the days in UTC on which the offset of the zone changes."""
    zone = ZoneInfo(zone)
    days = [begin + n * day for n in range((end - begin).days)]
    return [
        each
        for each in days
        if each.astimezone(zone).utcoffset() != (each + day).astimezone(zone).utcoffset()
    ]


@pytest.mark.parametrize("zone", zones)
def test_each_local_time_happens_once_around_all_switches_of_two_years_and_a_leap_day(zone):
    changed = switches(zone, in_utc(2027, 1, 1), in_utc(2029, 1, 1))
    assert len(changed) == 2 * 2
    for middle in (*changed, in_utc(2028, 2, 28)):
        begin, end = middle - day / 4, middle + 3 * day / 2
        assert happening(begin, end, zone) == walked(begin, end, zone), middle


@pytest.mark.long
@pytest.mark.parametrize("zone", [*zones, *odd_zones])
def test_each_local_time_happens_once_in_all_minutes_of_ten_years(zone):
    crons = [cron for cron in patterns if cron != "* * * * *"]
    for year in years:
        these = in_utc(year, 1, 1), in_utc(year + 1, 1, 1), zone, crons
        assert happening(*these) == walked(*these), year


def test_a_day_that_a_zone_skipped_happens_at_the_first_moment_after_it():
    begin, end = in_utc(2011, 12, 29), in_utc(2012, 1, 2)
    found = happening(begin, end, "Pacific/Apia")
    assert found == walked(begin, end, "Pacific/Apia")
    # On Thursday the 29th at midnight came Saturday the 31st.
    assert in_utc(2011, 12, 30, 10) in found["30 2 * * *"]


def local(zone, cron, after, count):
    found = islice(occurrences.after(after, cron, zone), count)
    return [f"{each.astimezone(ZoneInfo(zone)):%m-%d %H:%M %z}" for each in found]


def test_a_time_in_the_gap_of_spring_happens_when_the_gap_ends():
    found = local("Europe/Berlin", "30 2 * * *", in_utc(2027, 3, 27, 0), 3)
    assert found == ["03-27 02:30 +0100", "03-28 03:00 +0200", "03-29 02:30 +0200"]


def test_a_time_that_autumn_repeats_happens_the_first_time():
    found = local("America/New_York", "30 1 * * *", in_utc(2027, 11, 6), 3)
    assert found == ["11-06 01:30 -0400", "11-07 01:30 -0400", "11-08 01:30 -0500"]


def test_a_quarter_of_an_hour_stays_one_in_spring_and_is_not_repeated_in_autumn():
    spring = list(
        islice(occurrences.after(in_utc(2027, 3, 28), "*/15 * * * *", "Europe/Berlin"), 12)
    )
    steps = {later - earlier for earlier, later in pairwise(spring)}
    assert steps == {timedelta(minutes=15)}
    autumn = local("Europe/Berlin", "*/15 * * * *", in_utc(2027, 10, 31, 0, 30), 3)
    assert autumn == ["10-31 02:45 +0200", "10-31 03:00 +0100", "10-31 03:15 +0100"]


def test_half_an_hour_of_lord_howe_is_a_gap_of_half_an_hour():
    found = local("Australia/Lord_Howe", "*/20 2 * * *", in_utc(2026, 10, 3, 12), 3)
    assert found == ["10-04 02:30 +1100", "10-04 02:40 +1100", "10-05 02:00 +1100"]


def test_an_occurrence_is_not_after_itself_and_is_until_itself():
    nine, next_day = in_utc(2026, 1, 1, 9), in_utc(2026, 1, 2, 9)
    assert next(occurrences.after(nine, "0 9 * * *", "UTC")) == next_day
    assert next(occurrences.after(nine - minute / 120, "0 9 * * *", "UTC")) == nine
    assert next(occurrences.until(nine, "0 9 * * *", "UTC")) == nine
    assert next(occurrences.until(next_day - minute / 120, "0 9 * * *", "UTC")) == nine


def test_the_31st_and_leap_day_happen_where_they_exist():
    thirty_first = local("Europe/Berlin", "0 9 31 * *", in_utc(2026, 1, 1), 4)
    assert [each[:5] for each in thirty_first] == ["01-31", "03-31", "05-31", "07-31"]
    leap_days = islice(occurrences.after(in_utc(2026, 1, 1), "0 0 29 2 *", "UTC"), 20)
    expected = [*range(2028, 2100, 4), 2104, 2108]
    assert list(leap_days) == [in_utc(year, 2, 29) for year in expected]


crons = st.sampled_from([*patterns, "0 9 L * *", "0 9 1 * MON", "0 3 * * 5#2", "5-7/2 0 LW * *"])
moments = st.datetimes(datetime(2000, 1, 1), datetime(2199, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
sampled_zones = st.sampled_from((*zones, *odd_zones, "Antarctica/Casey", "Pacific/Apia"))


@unhurried
@given(crons, sampled_zones, moments)
def test_backward_and_forward_are_the_same_and_never_stand_still(cron, zone, moment):
    forward = list(islice(occurrences.after(moment, cron, zone), 30))
    assert forward == sorted(set(forward))
    assert moment < forward[0]
    backward = list(islice(occurrences.until(forward[-1], cron, zone), 30))
    assert backward == forward[::-1]


@pytest.mark.parametrize("zone", zones)
def test_the_newest_that_is_past_is_found_in_a_repeated_hour_too(zone):
    for middle in switches(zone, in_utc(2027, 1, 1), in_utc(2028, 1, 1)):
        for minutes in range(0, 24 * 60, 7):
            now = middle + minutes * minute
            newest = next(occurrences.until(now, "*/10 * * * *", zone))
            assert newest <= now < next(occurrences.after(newest, "*/10 * * * *", zone))


@pytest.mark.parametrize(
    "cron",
    [
        *("0 0 31 2 *", "0 0 */30 * MON#2", "0 0 LW 2 */7", "0 0 30 2 *", "0 0 31 4,6,9,11 *"),
        *("", "@daily", "* * * *", "* * * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *"),
        *("* * * 13 *", "* * * * 8", "*/0 * * * *", "5-1 * * * *", "a * * * *", "* * * * MON-"),
        *("*/90 * * * *", "0 */36 * * *", "0 0 * */13 *"),
    ],
)
def test_what_never_happens_or_is_no_expression_is_told(cron):
    assert occurrences.fault(cron)


fields = st.text("0123456789*,/#-LWMONJA", min_size=1, max_size=8)


@unhurried
@given(st.lists(fields, min_size=5, max_size=5))
def test_any_five_fields_happen_or_do_not(parts):
    cron = " ".join(parts)
    if occurrences.fault(cron) is None:
        assert next(occurrences.after(in_utc(2026, 1, 1), cron, "Europe/Berlin"))


def test_every_time_zone_can_be_read():
    assert {"UTC", "Europe/Berlin", "Pacific/Apia"} <= timezones()
    for name in timezones():
        assert ZoneInfo(name).key == name
