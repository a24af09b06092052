"""Clients that redeem: each repeats an intent with its key or order until the outcome is known."""

import json
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from typing import Any

from tests.faults.ledger import Intent, Ledger, unknown
from tests.patience import until

seconds_to_answer = 15
most_seconds = 90
"""An outcome that is unknown for so long is stuck: a breach."""
pause_seconds = 0.05


class Shop:
    """A client with a connection of its own, which it opens again after each failure."""

    def __init__(self, port: int, key: str, ledger: Ledger) -> None:
        self._port, self._ledger = port, ledger
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        self._connection: HTTPConnection | None = None

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """Send a request and return the status and the JSON. Raises HTTPException and OSError."""
        if self._connection is None:
            self._connection = HTTPConnection("127.0.0.1", self._port, timeout=seconds_to_answer)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            self._connection.request(method, path, json.dumps(body), self._headers | named)
            answer = self._connection.getresponse()
            content = answer.read()
        except (HTTPException, OSError):
            self.close()
            raise
        return answer.status, json.loads(content) if content else None

    def try_once(self, intent: Intent, **headers: str) -> None:
        """Send an intent once, and note the answer unless nobody listened."""
        if intent.key is not None:
            headers["Idempotency_Key"] = intent.key
        status, answer = None, None
        try:
            status, answer = self.call("POST", "/vouchers/redeem", intent.body, **headers)
        except ConnectionRefusedError:
            return
        except (HTTPException, OSError, ValueError):
            pass
        self._ledger.note(intent, status, answer)

    def redeem(self, intent: Intent, **headers: str) -> None:
        """Send an intent until its outcome is known; the headers go with the first attempt."""
        deadline = time.monotonic() + most_seconds
        self._ledger.add(intent)
        self.try_once(intent, **headers)
        while intent.outcome == unknown and time.monotonic() < deadline:
            time.sleep(pause_seconds)
            self.try_once(intent)


class Crowd:
    """Threads that redeem intents; `repeated` is how many of ten are sent once more at the end."""

    def __init__(
        self, port: int, key: str, ledger: Ledger, intents: Iterable[Intent], repeated: int = 1
    ) -> None:
        self._left: Iterator[tuple[int, Intent]] = enumerate(intents)
        self._shop = lambda: Shop(port, key, ledger)
        self._ledger = ledger
        self._lock, self._ends, self._repeated = threading.Lock(), threading.Event(), repeated
        self.threads: list[threading.Thread] = []
        self.errors: list[Exception] = []

    def finish(self) -> None:
        """Wait until no intent is left."""
        for thread in self.threads:
            thread.join()

    def until_more(self, count: int) -> None:
        """Wait until so many more were acknowledged."""
        wanted = len(self._ledger.moments) + count
        until(lambda: len(self._ledger.moments) >= wanted or self.errors)

    def rage(self) -> None:
        """Redeem one intent after the other until none is left, or the crowd is told to stop."""
        shop = self._shop()
        try:
            while not self._ends.is_set():
                with self._lock:
                    number, intent = next(self._left, (0, None))
                if intent is None:
                    return
                shop.redeem(intent)
                if number % 10 < self._repeated:
                    shop.try_once(intent)
        except Exception as error:  # noqa: BLE001 (raised by the scenario's thread)
            self.errors.append(error)
        finally:
            shop.close()

    def stop(self) -> None:
        """Let each thread finish the intent it is at; forget what was not begun."""
        self._ends.set()


@contextmanager
def crowd(members: int, *args: Any, **more: Any) -> Iterator[Crowd]:
    """Let so many threads redeem during the block; at its end, they stop and all is known."""
    crowd = Crowd(*args, **more)
    crowd.threads += [threading.Thread(target=crowd.rage) for _ in range(members)]
    for thread in crowd.threads:
        thread.start()
    try:
        yield crowd
    finally:
        crowd.stop()
        crowd.finish()
    if crowd.errors:
        raise crowd.errors[0]
