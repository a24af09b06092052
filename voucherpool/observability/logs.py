"""Logs: one JSON object a line, with the request's id, and without codes, e-mails and API keys."""

import json
import logging
import re
import traceback
from contextvars import ContextVar
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

from pythonjsonlogger.json import JsonFormatter

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)

Raised = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]

longest_message = 2000
# The first look-behind lets a match begin only where a word does; without it each letter of a long
# word without an @ would be the start of one more search through the rest.
personal = re.compile(
    r"(?<![^\s\"'=<>?&(])[^\s\"'=<>?&(]+(?:@|%40)[^\s\"'&>),]+|(?<=\?)\S+|\bvp_\w+"
)


class Formatter(JsonFormatter):
    """Writes a record without what a message or an exception may quote of a request."""

    def __init__(self) -> None:
        super().__init__(
            ["levelname", "name", "message"],
            rename_fields={"levelname": "level", "name": "logger"},
            timestamp="time",
        )

    def add_fields(
        self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]
    ) -> None:
        """Add the request's id."""
        super().add_fields(log_data, record, message_dict)
        log_data["message"] = without_personal(log_data["message"])
        if name := request_id.get():
            log_data["request_id"] = name

    def formatException(self, raised: Raised) -> str:  # noqa: N802 (named so by logging)
        """Return where each exception was raised and its type, the first one first, no messages.

        PostgreSQL's messages, among others, quote the statement and its values.
        """
        parts: list[str] = []
        error = raised[1]
        while error is not None:
            sqlstate = getattr(error, "pgcode", None)
            parts.append(
                "".join(traceback.format_tb(error.__traceback__))
                + f"{type(error).__module__}.{type(error).__qualname__}"
                + (f", SQLSTATE {sqlstate}" if sqlstate else "")
            )
            error = error.__cause__ or error.__context__
        return "\n\n".join(reversed(parts))


def access_line(message: str, **fields: object) -> str:
    """Return the line of one request, like the Formatter writes it; nothing in it is foreign."""
    moment = datetime.now(UTC).isoformat()
    named = {"level": "INFO", "logger": "voucherpool.access", "message": message}
    return json.dumps({**named, **fields, "time": moment})


def without_personal(message: str) -> str:
    """Return a message, or its first 2000 characters, without e-mails, queries and API keys."""
    if len(message) > longest_message:
        # What stands at the cut may be half of an e-mail: with an @ it is left out like a whole.
        message = f"{message[:longest_message]}@…"
    return personal.sub("…", message)


def settings() -> dict[str, object]:
    """Return the configuration for logging.config.dictConfig: everything to standard error.

    Nothing is looked up for a record that no line shows
    (https://docs.python.org/3/howto/logging.html#optimization).
    """
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": Formatter}, "line": {"format": "%(message)s"}},
        "handlers": {
            "stderr": {"class": "logging.StreamHandler", "formatter": "json"},
            "access": {"class": "logging.StreamHandler", "formatter": "line"},
        },
        "root": {"level": "INFO", "handlers": ["stderr"]},
        "loggers": {
            "gunicorn.error": {"handlers": [], "propagate": True},
            # Formatted already, for one line is written for each request.
            "voucherpool.access": {"handlers": ["access"], "propagate": False},
            "alembic": {"level": "WARNING"},
        },
    }
