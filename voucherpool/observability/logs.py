"""Logs: one JSON object per line with the request's id; no codes, e-mails or API keys."""

import json
import logging
import re
import time
import traceback
from contextvars import ContextVar
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

from pythonjsonlogger.json import JsonFormatter

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)

Raised = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]

longest_message = 2000
# The first look-behind starts a match only at the start of a word. Without it, a long word without
# an @ would be searched once from each of its letters.
redaction = re.compile(
    r"(?<![^\s\"'=<>?&(])[^\s\"'=<>?&(]+(?:@|%40)[^\s\"'&>),]+|(?<=\?)\S+|\bvp_\w+"
)


class Formatter(JsonFormatter):
    """Formats a record as JSON, without data of the request in message or exception."""

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
        log_data["message"] = redacted(log_data["message"])
        if name := request_id.get():
            log_data["request_id"] = name

    def formatException(self, raised: Raised) -> str:  # noqa: N802 (named so by logging)
        """Return each exception's stack and type, the first cause first.

        Leave the messages out: PostgreSQL's, among others, quote the statement's values.
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
    """Return the log line of one request in the Formatter's shape, from values safe to log."""
    moment = datetime.now(UTC).isoformat()
    named = {"level": "INFO", "logger": "voucherpool.access", "message": message}
    return json.dumps({**named, **fields, "time": moment})


def redacted(message: str) -> str:
    """Return the message's first 2000 characters without e-mails, queries and API keys."""
    if len(message) > longest_message:
        # The cut may halve an e-mail: with an @ the half is redacted too.
        message = f"{message[:longest_message]}@…"
    return redaction.sub("…", message)


class ConsoleFormatter(Formatter):
    """Formats a record as a short line for a person who watches, with the same data left out."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        text = redacted(record.getMessage())
        if record.exc_info:
            text += f"\n{self.formatException(record.exc_info)}"
        return f"{time.strftime('%H:%M:%S')}  {record.levelname.lower()}: {text}"


class ConsoleAccessFormatter(logging.Formatter):
    """Formats the JSON of an access line as a short line for a person who watches."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line: time, method, route, status, duration, and the code of a refusal."""
        line = json.loads(record.getMessage())
        milliseconds = f"{line['seconds'] * 1000:.1f} ms"
        asked = f"{line['method']} {line['route']}"
        told = f"{time.strftime('%H:%M:%S')}  {line['status']}  {milliseconds:>9}  {asked}"
        return f"{told}  ({line['code']})" if line["code"] else told


formatters = {
    "json": {"service": {"()": Formatter}, "access": {"format": "%(message)s"}},
    "console": {"service": {"()": ConsoleFormatter}, "access": {"()": ConsoleAccessFormatter}},
}


def settings(form: str) -> dict[str, object]:
    """Return the configuration for logging.config.dictConfig: everything to standard error.

    `form` is `json` or `console`; the console shows requests and warnings alone.

    Skip collecting caller, thread and process details; the formatter never prints them
    (https://docs.python.org/3/howto/logging.html#optimization).
    """
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": formatters[form],
        "handlers": {
            "service": {"class": "logging.StreamHandler", "formatter": "service"},
            "access": {"class": "logging.StreamHandler", "formatter": "access"},
        },
        "root": {"level": "INFO" if form == "json" else "WARNING", "handlers": ["service"]},
        "loggers": {
            # NOTSET leaves the level to the root; gunicorn sets one of its own.
            "gunicorn.error": {"level": "NOTSET", "handlers": [], "propagate": True},
            # Already formatted, to save time in each request.
            "voucherpool.access": {"level": "INFO", "handlers": ["access"], "propagate": False},
            "alembic": {"level": "WARNING"},
        },
    }
