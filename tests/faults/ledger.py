"""The client's ledger: what it meant to redeem, what it was told, and what the database says."""

import itertools
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from threading import Lock
from time import monotonic
from typing import Any

email = "ana@example.org"
ok, refused, unknown = "ok", "refused", "unknown"


@dataclass(eq=False)
class Intent:
    """One redemption that a shop means to have: repeated with the same key or order, it is one.

    `body` is sent; `key` is its Idempotency-Key. `redemption` is the id that was acknowledged
    first.
    """

    body: dict[str, Any]
    key: str | None = None
    outcome: str = unknown
    redemption: str | None = None
    refusal: str | None = None


def of_codes(codes: Iterable[str], **more: Any) -> list[Intent]:
    """Return an intent for each code: every second one has a key, the others an order."""
    return [intent(code, number, **more) for number, code in enumerate(codes)]


numbers = itertools.count()


def intent(code: str, number: int = 0, **more: Any) -> Intent:
    """Return an intent that no other resembles: with a key if the number is odd, or an order."""
    name, body = f"intent {next(numbers)}", {"code": code, "email": email, **more}
    if number % 2:
        return Intent(body, key=name.replace(" ", "-"))
    return Intent(body | {"order_ref": name})


@dataclass
class Ledger:
    """All intents of a scenario and the answers to them."""

    intents: dict[Intent, None] = field(default_factory=dict)
    operations: int = 0
    unknown: int = 0
    statuses: Counter[int | str] = field(default_factory=Counter)
    moments: list[float] = field(default_factory=list)
    bugs: list[str] = field(default_factory=list)
    lock: Lock = field(default_factory=Lock)

    def add(self, intent: Intent) -> None:
        """Note an intent before it is sent; several may send the same."""
        with self.lock:
            self.intents[intent] = None

    def note(self, intent: Intent, status: int | None, answer: Any) -> None:
        """Note what one attempt was answered; None stands for no answer."""
        with self.lock:
            self.operations += 1
            self.statuses[status or "no answer"] += 1
            if status == 201:
                self.moments.append(monotonic())
                intent.outcome = ok
                intent.redemption = intent.redemption or answer["redemption_id"]
                if intent.redemption != answer["redemption_id"]:
                    self.bugs.append("a repeat got another redemption")
            elif status is None or status >= 500:
                self.unknown += 1
                if status not in (None, 503):
                    self.bugs.append(f"the answer was {status}")
            else:
                if intent.outcome == ok:
                    self.bugs.append(f"a repeat was refused: {answer['code']}")
                else:
                    intent.outcome, intent.refusal = refused, answer["code"]

    def acknowledged(self) -> list[Intent]:
        """Return the intents whose redemption was acknowledged."""
        return [intent for intent in self.intents if intent.outcome == ok]

    def stuck(self) -> int:
        """Return how many intents never became known."""
        return sum(intent.outcome == unknown for intent in self.intents)

    def longest_gap(self) -> float:
        """Return the longest time in seconds between two acknowledgements."""
        return max((after - before for before, after in pairwise(sorted(self.moments))), default=0)

    def lost(self, kept: set[str]) -> int:
        """Return how many acknowledged redemptions have no row of their own in the database."""
        own = {intent.redemption for intent in self.acknowledged()}
        return len(self.acknowledged()) - len(own & kept)

    def doubled(self, kept: set[str]) -> int:
        """Return how many redemptions the database has that no intent was told of."""
        return len(kept - {intent.redemption for intent in self.acknowledged()})


live = "SELECT id::text FROM redemptions WHERE reversed_at IS NULL"
above = """
    SELECT coalesce(sum(greatest(uses - max_redemptions, 0)), 0)
    FROM vouchers JOIN (
        SELECT code_key, count(*) AS uses FROM redemptions WHERE reversed_at IS NULL GROUP BY 1
    ) AS live USING (code_key)"""


def kept(sql: Callable[..., Any]) -> set[str]:
    """Return the ids of the live redemptions in the database."""
    return {id_ for (id_,) in sql(live)}


def excess(sql: Callable[..., Any]) -> int:
    """Return by how much vouchers were redeemed more often than they may be."""
    return int(sql(above)[0][0])
