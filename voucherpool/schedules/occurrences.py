"""The occurrences of a cron expression in a time zone.

Cron speaks of local times, and each of them happens once. One that exists twice, in autumn, happens
the first time. One that does not exist, in spring, happens at the first moment after the gap.
Those that fall on the same moment are one occurrence. cronsim has other rules for such times, so it
only counts local times here, without a time zone.
"""

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import dropwhile, groupby
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

second = timedelta(seconds=1)
longest_turning_back = timedelta(days=1)
"""No clock was ever turned back by more than this."""


allowed = {
    "minute": "0 to 59",
    "hour": "0 to 23",
    "day-of-month": "one that the months have, 1 to 31",
    "month": "1 to 12, or JAN",
    "day-of-week": "0 to 7, or MON",
}
"""The values of a cron expression, by the name that cronsim gives to its field."""
longest_steps = (59, 23, 31, 12, 7)


def fault(cron: str) -> str | None:
    """Say what is wrong with a cron expression; None if it happens within 50 years."""
    never = "Must be a cron expression with a next run, such as 0 9 * * 1."
    if len(cron.split()) != len(allowed):
        return never
    try:
        run = next(CronSim(cron, datetime(2000, 1, 1)), None)  # noqa: DTZ001
    except CronSimError as error:
        field = str(error).removeprefix("Bad ")
        if field not in allowed:
            return never
        return f"Wrong {field.replace('-', ' ')}: must be {allowed[field]}."
    return _step_without_meaning(cron) if run else never


def _step_without_meaning(cron: str) -> str | None:
    """Name a step that is longer than its field: */90 is no 90 minutes, cron runs it each hour."""
    for field, most, text in zip(allowed, longest_steps, cron.split(), strict=True):
        if any(int(step) > most for step in re.findall("/([0-9]+)", text)):
            return f"Wrong {field.replace('-', ' ')}: a step is at most {most}."
    return None


def after(moment: datetime, cron: str, timezone: str) -> Iterator[datetime]:
    """Yield the occurrences after a moment, in UTC; they end if none follows for 50 years."""
    zone = ZoneInfo(timezone)
    local_times = CronSim(cron, _local(moment, zone))
    occurrences = _distinct(_moment(time, zone) for time in local_times)
    return dropwhile(lambda occurrence: occurrence <= moment, occurrences)


def until(moment: datetime, cron: str, timezone: str) -> Iterator[datetime]:
    """Yield the occurrences at and before a moment, in UTC, the newest first."""
    zone = ZoneInfo(timezone)
    local = _local(moment, zone)
    # In a repeated hour, local times later than now have happened already.
    begin = local.replace(microsecond=0) + second + local.fold * longest_turning_back
    local_times = CronSim(cron, begin, reverse=True)
    occurrences = _distinct(_moment(time, zone) for time in local_times)
    return dropwhile(lambda occurrence: occurrence > moment, occurrences)


def _local(moment: datetime, zone: ZoneInfo) -> datetime:
    return moment.astimezone(zone).replace(tzinfo=None)


def _distinct(moments: Iterable[datetime]) -> Iterator[datetime]:
    return (moment for moment, _ in groupby(moments))


def _moment(local: datetime, zone: ZoneInfo) -> datetime:
    """Return when a local time happens, in UTC."""
    # By the offset before a change of the clock, and by the offset after it (PEP 495).
    by_old, by_new = (local.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    return by_old if by_old <= by_new else _end_of_gap(by_new, by_old, zone)


def _end_of_gap(before: datetime, after: datetime, zone: ZoneInfo) -> datetime:
    """Return the moment between two others, to the second, at which the clock is put forward."""

    def is_changed(seconds: int) -> bool:
        moment = before + seconds * second
        return moment.astimezone(zone).utcoffset() != before.astimezone(zone).utcoffset()

    span = range((after - before) // second + 1)
    return before + bisect_left(span, True, key=is_changed) * second
