"""Delivers events: a few senders for each endpoint, so that one that hangs delays no other."""

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from threading import BoundedSemaphore, Event, Thread

from voucherpool.database.errors import OutcomeUnknown
from voucherpool.database.retries import Repeatable, report, retrying
from voucherpool.database.transactions import transaction
from voucherpool.events.numbering import Numbered
from voucherpool.input.times import rfc3339_utc
from voucherpool.webhooks.delivery import deliveries, sending, signing
from voucherpool.webhooks.delivery.addresses import Policy
from voucherpool.webhooks.delivery.sending import Outcome
from voucherpool.webhooks.errors import SecretKeyNotConfigured

log = logging.getLogger(__name__)

senders_of_endpoint = 4
connections = 2
"""At most so many senders use the database at a time; the others send or wait."""


class Deliverer:
    """The senders of this process, by the id of the webhook; each is a thread.

    `context` gives a thread its access to the database. `keys` decrypt the webhooks' secrets.
    """

    def __init__(
        self,
        context: Callable[[], AbstractContextManager[object]],
        keys: Sequence[str],
        policy: Policy,
    ) -> None:
        self._context, self._keys, self._policy = context, keys, policy
        self._senders: dict[int, list[Thread]] = {}
        self._stopping, self._warned = Event(), False
        self._database = BoundedSemaphore(connections)

    def start_due(self) -> bool:
        """Start senders where deliveries are due, and tell whether any was started."""
        with self._transaction():
            due = deliveries.due(senders_of_endpoint)
        if due and not self._keys:
            if not self._warned:
                log.warning("Webhooks wait: %s", SecretKeyNotConfigured.detail)
            self._warned = True
            return False
        started = [self._start(webhook_id) for webhook_id, number in due for _ in range(number)]
        return any(started)

    def stop(self) -> None:
        """Start nothing more, and wait until what is being sent is recorded."""
        self._stopping.set()
        self.wait()

    def wait(self) -> None:
        """Wait until the senders find nothing more to send."""
        for senders in self._senders.values():
            for sender in senders:
                sender.join()

    def _start(self, webhook_id: int) -> bool:
        alive = [sender for sender in self._senders.get(webhook_id, ()) if sender.is_alive()]
        self._senders[webhook_id] = alive
        if len(alive) >= senders_of_endpoint or self._stopping.is_set():
            return False
        sender = Thread(target=self._drain, args=(webhook_id,), name=f"webhook {webhook_id}")
        alive.append(sender)
        sender.start()
        return True

    def _drain(self, webhook_id: int) -> None:
        """Deliver what is due to a webhook, one after the other, until nothing is left."""
        try:
            with self._context():
                while not self._stopping.is_set() and self._deliver_one(webhook_id):
                    pass
        except Exception as error:  # noqa: BLE001 (reported)
            # A delivery that it had taken is due again when its lease ends.
            report(log, f"Delivering to webhook {webhook_id} failed", error)

    def _deliver_one(self, webhook_id: int) -> bool:
        """Take a delivery that is due, send it, and tell whether there was one."""
        with self._transaction():
            taken = deliveries.take(webhook_id)
            if taken is not None and taken.event is None:
                deliveries.cancel(taken)
        if taken is not None and taken.event is not None:
            # No transaction is open while it sends.
            self._record(taken, self._send(taken, taken.event))
        return taken is not None

    def _send(self, taken: deliveries.Taken, event: Numbered) -> Outcome:
        try:
            secrets = [signing.decrypt(self._keys, secret) for secret in taken.secrets]
            return send(self._policy, taken.url, secrets, event, taken.attempted_at)
        except signing.SecretUnreadable:
            return Outcome(None, "secret_unreadable")
        except Exception:
            # Recorded like any failure: without its pause it would be sent again for days.
            log.exception("Sending event %s to webhook %s failed.", taken.number, taken.webhook_id)
            return Outcome(None, "internal_error")

    @retrying
    def _record(self, taken: deliveries.Taken, outcome: Outcome) -> None:
        """Commit what became of an attempt; recorded twice, it is the same."""
        try:
            with self._transaction():
                deliveries.record(taken, outcome)
        except OutcomeUnknown as error:
            raise Repeatable from error

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._database, transaction():
            yield


def send(
    policy: Policy, url: str, secrets: Sequence[str], event: Numbered, moment: datetime
) -> Outcome:
    """Send an event, signed with every secret at a moment of PostgreSQL's clock."""
    message = {
        "type": event.type,
        "timestamp": rfc3339_utc(event.created_at),
        "number": event.number,
        "data": event.data,
    }
    body = json.dumps(message, separators=(",", ":"))
    headers = signing.headers(secrets, str(event.id), moment, body)
    return sending.post(policy, url, headers, body)
