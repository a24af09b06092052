"""What is known of a connection."""

from voucherpool.database import connections


def test_plans_are_renewed_after_10_seconds_and_then_each_time_after_twice_as_long(monkeypatch):
    renewed, state = [], connections.State()
    for second in range(2000):
        monkeypatch.setattr(connections.time, "monotonic", lambda second=second: 100.0 + second)
        if state.before():
            renewed.append(second)
    assert renewed == [0, 10, 30, 70, 150, 310, 630, 950, 1270, 1590, 1910]
