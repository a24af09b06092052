"""What PostgreSQL writes of codes and e-mails into its own log, where erasure does not reach."""

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
"""The values with which it logs no statement and no row, the one to set first.

Their source: https://www.postgresql.org/docs/current/runtime-config-logging.html.
"""

settings = text("SELECT name, setting FROM pg_settings WHERE name = ANY(:names) ORDER BY name")


def leaks() -> Sequence[str]:
    """Return for each setting that shows statements or rows what to set."""
    rows = db.session.execute(settings, {"names": list(harmless)})
    return [
        f"{name} is {setting}: set it to {harmless[name][0]}."
        for name, setting in rows
        if setting not in harmless[name]
    ]
