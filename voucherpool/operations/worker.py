"""All background work, in one process; any number of them may run.

A task is a function that does a little of one kind of work in its own transaction and returns
whether there was work. A kill at any instant does no harm. Each group of tasks has a thread, so
that a large batch holds up no notification, and a slow mail server nothing else.
"""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime, timedelta
from functools import partial
from itertools import chain
from threading import Event, Thread
from typing import Generic, TypeVar

from sqlalchemy.exc import DBAPIError

from voucherpool.apikeys import failed_attempts
from voucherpool.archive import moving, partitions, picking
from voucherpool.batches import generating
from voucherpool.changes import changing
from voucherpool.claims import low_pools as pools
from voucherpool.database.model import db
from voucherpool.database.retries import is_temporary, report
from voucherpool.database.transactions import long_transaction, transaction
from voucherpool.erasure import service as erasure
from voucherpool.events import numbering
from voucherpool.http.idempotency import stored_answers
from voucherpool.mail import reminders
from voucherpool.mail.sending import Sender
from voucherpool.operations import processes, queues
from voucherpool.readiness.obstacles import Readiness
from voucherpool.schedules import running
from voucherpool.vouchers.checkout import refusals
from voucherpool.vouchers.eligibility import budget_watch
from voucherpool.webhooks import backlog
from voucherpool.webhooks.delivery.delivering import Deliverer

log = logging.getLogger(__name__)

idle_seconds = 1.0
seconds_between_rounds = 24 * 60 * 60.0
seconds_between_looks = 5.0

Item = TypeVar("Item")
Tasks = Mapping[str, Callable[[], bool]]
Wait = Callable[[], bool]
"""Waits until the database is ready; returns whether it was not, which the log then says."""
Context = Callable[[], AbstractContextManager[object]]
"""Opens the application's context, which each thread needs for its own database session."""


def add_chunk_to_batch() -> bool:
    """Add some vouchers to a batch."""
    with long_transaction():
        return generating.advance()


def change_a_page() -> bool:
    """Change some vouchers of a change."""
    with long_transaction():
        return changing.advance()


class DailyWalk(Generic[Item]):
    """A walk over all items of one kind, once a day in each process."""

    def __init__(self) -> None:
        self._left: Iterator[Item | None] = iter(())
        self._begins_at = 0.0

    @contextmanager
    def next(self, begin: Callable[[], Iterable[Item]]) -> Iterator[Item | None]:
        """Give the next of the items that `begin` returned, or None until the next round.

        If the database is unavailable, the item is retried next.
        """
        if (item := next(self._left, None)) is None and time.monotonic() >= self._begins_at:
            with long_transaction():
                self._left = iter(begin())
            self._begins_at = time.monotonic() + seconds_between_rounds
            item = next(self._left, None)
        try:
            yield item
        except Exception as error:
            if is_temporary(error):
                self._left = chain([item], self._left)
            raise


class Periodic:
    """A task that does its work in a transaction every so many seconds."""

    def __init__(self, seconds: float, work: Callable[[], object]) -> None:
        self._seconds, self._work, self._begins_at = seconds, work, 0.0

    def __call__(self) -> bool:
        """Do the work if it is due; report that nothing is left."""
        if time.monotonic() >= self._begins_at:
            self._begins_at = time.monotonic() + self._seconds
            with transaction():
                self._work()
        return False


to_forget = DailyWalk[Callable[[], int]]()
to_archive, to_purge = DailyWalk[int](), DailyWalk[datetime]()
forgetting = (
    stored_answers.forget_old_keys,
    refusals.forget_old_refused_attempts,
    failed_attempts.forget_old_failed_attempts,
    erasure.end_holds_left,
    budget_watch.forget_old_holds,
    numbering.forget_old_events,
    reminders.forget_old_reminders,
)
"""Each deletes one kind of old rows and returns how many."""


def forget_what_is_old() -> bool:
    """Delete one kind of the rows that `voucherpool cleanup` deletes."""
    with to_forget.next(lambda: forgetting) as forget:
        if forget is None:
            return False
        with long_transaction():
            forget()
    return True


def archive_a_batch(older_than: timedelta | None) -> bool:
    """Archive some vouchers that ended longer ago than this; None archives none."""
    if older_than is None:
        return False
    with to_archive.next(moving.blocks) as first:
        if first is None:
            return False
        is_full = True
        while is_full:
            with moving.resting(), long_transaction():
                is_full = moving.archive(older_than, first) >= picking.vouchers_at_once
    return True


def purge_a_month(older_than: timedelta | None) -> bool:
    """Purge one month of the archive that is older than this; None purges none."""
    if older_than is None:
        return False
    with to_purge.next(partial(partitions.months, older_than)) as month:
        if month is None:
            return False
        with long_transaction():
            log.info("Purged %s archived vouchers.", partitions.purge(month))
    return True


def number_events(*, mail: bool = False) -> bool:
    """Number some committed events for their readers, and with `mail` make customers' e-mails."""
    with transaction():
        numbered = numbering.number(mail=mail)
    if numbered:
        with transaction():
            numbering.forget(numbered)
    return bool(numbered)


def groups(
    deliverer: Deliverer,
    sender: Sender | None,
    archive_older_than: timedelta | None,
    purge_older_than: timedelta | None,
) -> Mapping[str, Tasks]:
    """Return all tasks of work by group and name; without a `sender` no e-mails are made."""
    mail = sender is not None
    return {
        "background": {
            "batches": add_chunk_to_batch,
            "schedules": running.run_due,
            "reminders": partial(reminders.remind_some, mail=mail),
            "pools": Periodic(seconds_between_looks, pools.watch),
            "recounting": Periodic(seconds_between_looks, budget_watch.recount),
            "budgets": Periodic(seconds_between_looks, budget_watch.watch),
            "forgetting": forget_what_is_old,
            "failed attempts": Periodic(
                failed_attempts.window_seconds, failed_attempts.forget_old_failed_attempts
            ),
            "archiving": partial(archive_a_batch, archive_older_than),
            "purging": partial(purge_a_month, purge_older_than),
        },
        # Apart, so that a leaked file of codes does not wait for anything.
        "changes": {"changes": change_a_page},
        "notifications": {
            "events": partial(number_events, mail=mail),
            "parking": backlog.park_some,
            "deleting": backlog.delete_some,
            "replays": backlog.replay_some,
            "webhooks": deliverer.start_due,
            "queues": Periodic(seconds_between_looks, queues.measure),
        },
        **({} if sender is None else {"mail": {"mail": sender.send_some}}),
    }


def run(groups: Mapping[str, Tasks], context: Context, readiness: Readiness) -> None:
    """Do the tasks until SIGTERM or SIGINT; finish those that have begun."""
    stopping = Event()
    wait = partial(readiness.wait, stopping)
    processes.on_stop_signals(lambda *_: stopping.set())
    log.info("The worker begins.")
    threads = [
        Thread(target=keep_doing, args=(tasks, context, wait, stopping), name=name)
        for name, tasks in groups.items()
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.info("The worker ends.")


def keep_doing(tasks: Tasks, context: Context, wait: Wait, stopping: Event) -> None:
    """Do the tasks in turn until told to stop."""
    with context():
        wait()
        while not stopping.is_set():
            # Every task gets its turn, so much work of one kind does not hold up the others.
            did_something = [attempt(name, task, wait) for name, task in tasks.items()]
            if not any(did_something):
                stopping.wait(idle_seconds)


def attempt(name: str, task: Callable[[], bool], wait: Wait) -> bool:
    """Do a task and tell whether there was work; an error is logged, and the others go on."""
    try:
        return task()
    except Exception as error:  # noqa: BLE001 (reported)
        is_of_the_database = is_temporary(error) or isinstance(error, DBAPIError)
        if not (is_of_the_database and wait()):
            report(log, f"{name} failed", error)
    finally:
        db.session.remove()
    return False
