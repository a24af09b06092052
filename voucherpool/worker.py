"""All background work, in one process; any number of them may run.

It is done in pieces: functions that do a little of one kind of work, each in transactions of its
own, and tell whether there was any to do. A piece may be killed at any instant.
"""

import logging.config
import signal
from collections.abc import Callable, Sequence
from threading import Event
from typing import Any

from voucherpool import logs
from voucherpool.batches import generating
from voucherpool.db import db, long_transaction, unusable

log = logging.getLogger(__name__)

idle_seconds = 1.0

Piece = Callable[[], bool]


def add_chunk_to_batch() -> bool:
    """Add some vouchers to a batch."""
    with long_transaction():
        return generating.advance()


pieces: Sequence[Piece] = (add_chunk_to_batch,)


def run(pieces: Sequence[Piece] = pieces) -> None:
    """Do the pieces in turn until SIGTERM or SIGINT; the one that has begun is finished."""
    logging.config.dictConfig(logs.settings())
    stopping = Event()
    _on_stop_signals(lambda *_: stopping.set())
    log.info("The worker begins.")
    while not stopping.is_set():
        # Every piece gets its turn: much work of one kind does not keep the others waiting.
        did_something = [_attempt(piece) for piece in pieces]
        if not any(did_something):
            stopping.wait(idle_seconds)
    log.info("The worker ends.")


def _attempt(piece: Piece) -> bool:
    try:
        return piece()
    except unusable as error:
        cause = type(error.orig).__name__
        log.warning("The database cannot be used (%s); trying again.", cause)
    except Exception:  # the other pieces must go on
        log.exception("%s failed.", piece.__name__)
    finally:
        db.session.remove()
    return False


def _on_stop_signals(action: Any) -> None:
    signal.signal(signal.SIGINT, action)
    signal.signal(signal.SIGTERM, action)
