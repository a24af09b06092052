"""An endpoint that fails and hangs beside a healthy one, with a real worker."""

import random
import time
from http.server import BaseHTTPRequestHandler
from threading import Event, Thread

import pytest

from tests.patience import until
from voucherpool.webhooks.delivery import sending

count, most_behind = 200, 60


class Arrivals:
    """How many events had happened when each arrived for the first time."""

    def __init__(self, receiver, happened):
        self.seen, self._receiver, self._ended = {}, receiver, Event()
        self._happened = happened
        self._thread = Thread(target=self._note, daemon=True)
        self._thread.start()

    def _note(self):
        while not self._ended.is_set():
            for request in self._receiver.all():
                self.seen.setdefault(request.id, len(self._happened))
            time.sleep(0.02)

    def end(self):
        self._ended.set()
        self._thread.join()


@pytest.mark.long
def test_a_healthy_endpoint_is_never_far_behind_beside_one_that_fails_and_hangs(
    create, receiver, other_receiver, disable, voucherpool, app, sql, monkeypatch
):
    healthy, flaky = create(receiver.url), create(other_receiver.url)
    chance, calm = random.Random(1), Event()  # noqa: S311
    answer = BaseHTTPRequestHandler.send_response

    def send_response(handler, status, *args):
        if handler.server.server_port == other_receiver.port:
            fate = chance.random()
            if fate < 0.1:
                calm.wait(sending.seconds_in_all + 2)  # longer than an attempt may take
            status = 500 if fate < 0.6 else status
        return answer(handler, status, *args)

    monkeypatch.setattr(BaseHTTPRequestHandler, "send_response", send_response)
    keys = ",".join(app.config["SECRET_KEYS"])
    voucherpool("worker", VOUCHERPOOL_SECRET_KEY=keys, VOUCHERPOOL_WEBHOOKS_ALLOW="127.0.0.0/8")
    happened = [disable()]
    arrivals = Arrivals(receiver, happened)
    until(lambda: arrivals.seen)  # the worker has begun
    while len(happened) < count:
        happened.append(disable())
        time.sleep(0.05)

    def waiting(webhook):
        return sql(
            "SELECT count(*) FROM deliveries WHERE webhook_id = :id AND state = 'waiting'",
            id=webhook["id"],
        )[0][0]

    until(lambda: len(arrivals.seen) == count)
    arrivals.end()
    calm.set()
    in_order = sql("SELECT id::text FROM numbered_events ORDER BY created_at")
    behind = [arrivals.seen[event.id] - place for place, event in enumerate(in_order, 1)]
    # While an attempt hangs, more happen.
    assert max(behind) < most_behind

    def hurry():
        # Its pauses grow to hours: end those that are longer than a lease.
        sql("UPDATE deliveries SET due_at = now() WHERE due_at > now() + interval '31 seconds'")
        return waiting(flaky) == 0

    until(hurry)
    assert waiting(healthy) == 0
    assert {row.state for row in sql("SELECT DISTINCT state FROM deliveries")} == {"delivered"}
