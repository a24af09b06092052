"""A schedule for tests, and what makes it due."""

import pytest


@pytest.fixture
def offer(client):
    """Make the offer of the schedules, and return its id."""
    return client.post("/offers", json={"name": "KOI", "discount": 22.1}).json["id"]


@pytest.fixture
def ask(client, offer):
    """Return a function that asks for a schedule: each Monday at nine, one for the pool."""
    monday = {"name": "Monday", "offer_name": "KOI", "cron": "0 9 * * 1", "valid_for": "7d"}
    terms = {**monday, "timezone": "Europe/Berlin", "audience": "pool", "count": 1}

    def post(key=None, **changes):
        headers = {"Idempotency-Key": key} if key else {}
        given = {name: value for name, value in (terms | changes).items() if value is not ...}
        return client.post("/schedules", json=given, headers=headers)

    return post


@pytest.fixture
def due(sql):
    """Return a function that makes all schedules due since so long ago."""
    return lambda ago="1 second": sql(
        "UPDATE schedules SET next_at = now() - CAST(:ago AS interval)", ago=ago
    )


@pytest.fixture
def runs(client):
    """Return a function that returns the runs of a schedule."""
    return lambda schedule_id=1: client.get(f"/schedules/{schedule_id}/runs?limit=500").json[
        "items"
    ]
