"""Logs: one JSON object per line with the request's id; no codes, e-mails or API keys."""

import json
import logging
import re
import sys
import time
import traceback
from contextvars import ContextVar
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, NotRequired, TypedDict

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


class Answered(TypedDict):
    """A request as the log shows it: its route, never its address, and the code of a refusal.

    `trace_id` is that of a trace that the request belongs to.
    """

    method: str
    route: str
    status: int
    code: str | None
    seconds: float
    api_key_id: int | None
    trace_id: NotRequired[str]


def write(request: Answered, form: str) -> None:
    """Write the line of a request to standard error, as `json` or for the `console`.

    It bypasses logging, which would take longer than the rest of the line. A line that cannot be
    written must not fail a request that has been served.
    """
    line = _as_json(request) if form == "json" else _for_console(request)
    try:  # noqa: SIM105 (suppress() takes longer than the line)
        sys.stderr.write(line)
    except (AttributeError, OSError, ValueError):
        pass  # AttributeError: without a standard error, sys.stderr is None


def _as_json(request: Answered) -> str:
    shown = {
        "level": "INFO",
        "logger": "voucherpool.access",
        "message": f"{request['method']} {request['route']} {request['status']}",
        **request,
        "request_id": request_id.get(),
        "time": datetime.now(UTC).isoformat(),
    }
    return f"{json.dumps(shown)}\n"


def _for_console(request: Answered) -> str:
    milliseconds = f"{request['seconds'] * 1000:.1f} ms"
    refused = f"  ({request['code']})" if request["code"] else ""
    asked = f"{milliseconds:>9}  {request['method']} {request['route']}{refused}"
    return f"{time.strftime('%H:%M:%S')}  {request['status']}  {asked}\n"


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


formatters: dict[str, type[Formatter]] = {"json": Formatter, "console": ConsoleFormatter}


def settings(form: str) -> dict[str, object]:
    """Return the configuration for logging.config.dictConfig: everything to standard error.

    `form` is `json` or `console`; the console shows only requests and warnings.

    Skip collecting caller, thread and process details; the formatter never prints them
    (https://docs.python.org/3/howto/logging.html#optimization).
    """
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"service": {"()": formatters[form]}},
        "handlers": {"service": {"class": "logging.StreamHandler", "formatter": "service"}},
        "root": {"level": "INFO" if form == "json" else "WARNING", "handlers": ["service"]},
        "loggers": {
            # NOTSET leaves the level to the root; gunicorn sets one of its own.
            "gunicorn.error": {"level": "NOTSET", "handlers": [], "propagate": True},
            "alembic": {"level": "WARNING"},
        },
    }
