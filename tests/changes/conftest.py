"""Offers and batches with vouchers, their changes, and the worker that does them."""

import pytest

from tests.builders import in_days
from voucherpool.changes import changing
from voucherpool.operations import worker


@pytest.fixture
def batch(client, app):
    """Return a function that makes a batch of so many vouchers in KOI's pool; it returns its id."""

    def make(count=3, **terms):
        made = client.post("/offers", json={"name": "KOI", "discount": 10})
        offer = made.json.get("id") or client.get("/offers").json["items"][0]["id"]
        body = {"count": count, "expiry": in_days(30)} | terms
        asked = client.post(f"/offers/{offer}/batches", json=body)
        with app.app_context():
            while worker.add_chunk_to_batch():
                pass
        return asked.json["id"]

    return make


@pytest.fixture
def ask(client):
    """Return a function that asks for a change of a batch, or of an offer, and returns it."""

    def post(batch_id=None, offer_id=1, **terms):
        of = f"/offers/{offer_id}" if batch_id is None else f"/batches/{batch_id}"
        answer = client.post(f"{of}/changes", json=terms)
        assert answer.status_code == 202, answer.json
        return answer.json

    return post


@pytest.fixture
def work(app):
    """Return a function that does what a worker does, until there is nothing left to do."""

    def run():
        with app.app_context():
            while worker.change_a_page():
                pass

    return run


@pytest.fixture
def done(ask, work, client):
    """Return a function that asks for a change, does it, and returns it."""

    def run(batch_id=None, **terms):
        change = ask(batch_id, **terms)
        work()
        return client.get(f"/changes/{change['id']}").json

    return run


@pytest.fixture
def small_pages(monkeypatch):
    monkeypatch.setattr(changing, "page_size", 10)
