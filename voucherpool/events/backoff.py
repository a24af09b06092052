"""When to tell somebody of an event again, by webhook or e-mail, after it has failed."""

import random

hour = 60 * 60
pauses = (5, 30, 2 * 60, 10 * 60, hour, 3 * hour, 6 * hour, *(12 * hour for _ in range(10)))
"""Seconds after each failed attempt, about 5 days in all."""


def pause_after(attempts: int) -> float | None:
    """Return the seconds until the next attempt, each time a little different; None for no more."""
    if attempts > len(pauses):
        return None
    return pauses[attempts - 1] * random.uniform(0.8, 1.2)  # noqa: S311
