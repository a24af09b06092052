"""Sends messages by SMTP, one at a time over a connection that is kept.

A message may arrive twice if the worker is killed between the server's 250 and our commit; its
Message-ID is the same then.
"""

import logging
import time
from collections.abc import Callable, Sequence
from functools import partial

from jinja2 import TemplateError

from voucherpool.config.mail import Mail
from voucherpool.database.errors import OutcomeUnknown
from voucherpool.database.model import db
from voucherpool.database.retries import Repeatable, retrying
from voucherpool.database.transactions import transaction
from voucherpool.events import backoff
from voucherpool.mail import composing, queue
from voucherpool.mail.composing import NotAddressable
from voucherpool.mail.connection import Connection, NotReady, Refused
from voucherpool.mail.queue import Leased
from voucherpool.observability import metrics

log = logging.getLogger(__name__)

minute = 60.0
first_pause_seconds, longest_pause_seconds = 1.0, 60.0


class Budget:
    """How many messages may leave now; it fills with time, and holds those of two seconds."""

    def __init__(self, per_minute: int) -> None:
        self._per_second = per_minute / minute
        self._most = max(1.0, 2 * self._per_second)
        self._left = self._most
        self._filled_at = time.monotonic()

    def has_some(self) -> bool:
        """Tell whether a message may leave."""
        now = time.monotonic()
        filled = self._left + (now - self._filled_at) * self._per_second
        self._left, self._filled_at = min(self._most, filled), now
        return self._left >= 1

    def spend(self) -> None:
        """Take one message off."""
        self._left -= 1


class Sender:
    """Sends the messages of one worker; `keys` sign the links in them."""

    def __init__(self, mail: Mail, keys: Sequence[str]) -> None:
        self._mail, self._keys = mail, keys
        self._connection = Connection(mail.relay)
        self._budget = Budget(mail.per_minute)
        self._pause_seconds = 0.0
        self._paused_until = 0.0

    def send_some(self) -> bool:
        """Send a message that is due, and return whether there was one that may leave now."""
        if time.monotonic() < self._paused_until or not self._budget.has_some():
            return False
        with transaction():
            message = queue.lease()
        if message is None:
            self.close()
            return False
        self._attempt(message)
        return True

    def close(self) -> None:
        """Close the connection to the relay; the next message opens a new one."""
        self._connection.close()

    def _attempt(self, message: Leased) -> None:
        """Send a message and record what became of it."""
        letter = queue.letter(message)
        # The relay may take minutes; meanwhile others can have the connection to the database.
        db.session.remove()
        if letter is None:
            _finish(message, "skipped")
            return
        try:
            self._budget.spend()
            composed = composing.compose(letter, self._mail, self._keys)
            self._connection.send(composed, letter.email)
        except NotAddressable:
            _finish(message, "parked", f"customer {message.customer_id} has no valid e-mail")
        except NotReady as error:
            self._pause()
            _retry(message, f"{self._mail.relay!r} is not ready, {error}")
        except Refused as error:
            _finish(message, "parked", str(error)) if error.is_final else _retry(
                message, str(error)
            )
        except TemplateError as error:
            _retry(message, f"the templates are wrong, {error}")
        except Exception:
            log.exception("Message %s cannot be composed.", message.id)
            _retry(message, "not composed")
        else:
            self._pause_seconds = 0.0
            _finish(message, "sent")

    def _pause(self) -> None:
        """Try no other message for a while, longer each time."""
        longer = max(first_pause_seconds, 2 * self._pause_seconds)
        self._pause_seconds = min(longer, longest_pause_seconds)
        self._paused_until = time.monotonic() + self._pause_seconds


@retrying
def _record(change: Callable[[], None]) -> None:
    """Commit a change of a message; made twice, it is the same."""
    try:
        with transaction():
            change()
    except OutcomeUnknown as error:
        raise Repeatable from error


def _finish(message: Leased, state: str, reason: str = "") -> None:
    _record(partial(queue.finish, message.id, state))
    metrics.messages.labels(state).inc()
    if state == "parked":
        log.warning("Message %s is parked at attempt %s: %s", message.id, message.attempts, reason)


def _retry(message: Leased, reason: str) -> None:
    """Let a message wait for its next attempt, or park it after the last one."""
    seconds = backoff.pause_after(message.attempts)
    if seconds is None:
        _finish(message, "parked", reason)
        return
    _record(partial(queue.postpone, message, seconds))
    metrics.messages.labels("retried").inc()
    log.warning("Message %s waits for another attempt: %s", message.id, reason)
