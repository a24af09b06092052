"""Checks that PostgreSQL's own log, which erasure cannot reach, gets no codes or e-mails."""

from collections.abc import Sequence

from sqlalchemy import text

from voucherpool.database.model import db

harmless = {
    "log_min_error_statement": ("panic",),
    "log_error_verbosity": ("terse",),
    "log_parameter_max_length_on_error": ("0",),
    "log_statement": ("none", "ddl"),
    "log_min_duration_statement": ("-1",),
    "log_min_duration_sample": ("-1",),
    "log_transaction_sample_rate": ("0",),
    "auto_explain.log_min_duration": ("-1",),
}
"""The values that log no statement and no row; the first one is the one to set.

Source: https://www.postgresql.org/docs/current/runtime-config-logging.html.
"""

settings = text("SELECT name, setting FROM pg_settings WHERE name = ANY(:names) ORDER BY name")


def leaks() -> Sequence[str]:
    """Return one line for each setting that logs statements or rows: the value to set."""
    rows = db.session.execute(settings, {"names": list(harmless)})
    return [
        f"{name} is {setting}: set it to {harmless[name][0]}."
        for name, setting in rows
        if setting not in harmless[name]
    ]
