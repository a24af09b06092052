"""The base of all errors, which each package derives its own from; http.problems answers them."""

import re
from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import ClassVar

Reasons = Mapping[str, "Sequence[str] | Reasons"]
"""The reasons why fields are wrong, by field; for a nested object, by its own fields."""


class CannotStart(Exception):
    """The process must not start; the text says why and what to do."""


class ConfigurationError(CannotStart):
    """An environment variable is missing or has a wrong value."""

    def __init__(self, variable: str, expected: str) -> None:
        super().__init__(f"{variable} must be {expected}.")


class VoucherPoolError(Exception):
    """An error for the caller; `detail` is its text, which the raiser may replace."""

    detail: str
    status: ClassVar[HTTPStatus]
    headers: Mapping[str, str] = {}

    def __init_subclass__(cls, *, status: HTTPStatus | None = None) -> None:
        cls.status = status or cls.status

    def __init__(self, detail: str | None = None, errors: Reasons | None = None) -> None:
        self.detail = detail or self.detail
        self.errors = errors
        super().__init__(self.detail)

    @classmethod
    def code(cls) -> str:
        """Return the stable name of the error: its class's name in snake case."""
        return re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()


def codes(base: type[VoucherPoolError] = VoucherPoolError) -> Iterator[str]:
    """Yield the code of every error that a module of this process has declared."""
    for error in base.__subclasses__():
        yield error.code()
        yield from codes(error)


class NotFound(VoucherPoolError, status=HTTPStatus.NOT_FOUND):
    detail = "It does not exist."


class Conflict(VoucherPoolError, status=HTTPStatus.CONFLICT):
    detail = "The current state does not allow this."


class Unprocessable(VoucherPoolError, status=HTTPStatus.UNPROCESSABLE_ENTITY):
    detail = "The request is well-formed but not valid."
