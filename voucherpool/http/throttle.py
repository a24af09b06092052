"""Refuses subjects with too many failed attempts, by the limits of the configuration."""

from flask import Flask, current_app

from voucherpool.apikeys import failed_attempts
from voucherpool.apikeys.errors import TooManyFailedAttempts
from voucherpool.apikeys.failed_attempts import OverLimit, Subject
from voucherpool.http.bodies import current_request


def init_app(app: Flask) -> None:
    """Give the app an empty memory of the subjects over their limit."""
    app.extensions["throttle"] = OverLimit()


def of_client_ref(client_ref: str) -> Subject:
    """Return the subject of a visitor that the shop names."""
    key = current_request().environ.get("HTTP_AUTHORIZATION", "")
    most = current_app.config["FAILED_ATTEMPTS_PER_CLIENT_REF"]
    return failed_attempts.of_client_ref(client_ref, key, most)


def of_customer(email: str) -> Subject:
    """Return the subject of a customer."""
    return failed_attempts.of_customer(email, current_app.config["FAILED_ATTEMPTS_PER_EMAIL"])


def of_api_key() -> Subject:
    """Return the subject of the request's API key."""
    most = current_app.config["FAILED_ATTEMPTS_PER_KEY"]
    return failed_attempts.of_api_key(current_request().api_key_id, most)


def refuses_nobody() -> bool:
    """Tell whether no subject is over its limit; once a second this asks PostgreSQL."""
    memory = _memory()
    if memory.is_old():
        memory.renew()
    return memory.is_empty()


def seconds_left(subject: Subject) -> float:
    """Return how long a subject is refused for its failed attempts; 0 if it is not."""
    return _memory().seconds_left(subject)


def refuse_if_over(subject: Subject) -> None:
    """Raise TooManyFailedAttempts for a subject over its limit."""
    if left := seconds_left(subject):
        raise TooManyFailedAttempts(left)


def count(subject: Subject) -> None:
    """Count a failed attempt, in the open transaction."""
    failed_attempts.count(subject, _memory())


def _memory() -> OverLimit:
    memory: OverLimit = current_app.extensions["throttle"]
    return memory
