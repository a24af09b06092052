"""Who acts: set by the HTTP edge for each request, and by the commands."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple


class Actor(NamedTuple):
    """An API key, and the person for whom it acts: `name`, or `cli:` and a user of the system.

    Everything is None for the service itself, and for a request in open mode that names nobody.
    """

    api_key_id: int | None = None
    api_key: str | None = None
    name: str | None = None


nobody = Actor()
_acting: ContextVar[Actor] = ContextVar("actor", default=nobody)

current = _acting.get
"""Returns who acts now."""

name = _acting.set
"""Lets this actor act from now on in this thread."""


@contextmanager
def acting(actor: Actor) -> Iterator[None]:
    """Let the actor act in the block."""
    token = _acting.set(actor)
    try:
        yield
    finally:
        _acting.reset(token)
