"""Makes rows with sensible defaults, so that a test states only what matters to it."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from flask import Flask
from sqlalchemy import text, update

from voucherpool.customers import service as customers
from voucherpool.database.model import db
from voucherpool.database.transactions import transaction
from voucherpool.vouchers import codes, issuing
from voucherpool.vouchers.models import Voucher

ana = "ana@example.org"
ben = "ben@example.org"


def in_days(days: float) -> str:
    """Return the moment so many days from now as RFC 3339 writes it."""
    return (datetime.now(UTC) + timedelta(days=days)).isoformat()


def end_holds(sql: Callable[..., Any]) -> None:
    """Let the time of all holds be over."""
    sql(
        "UPDATE vouchers SET holds = (SELECT jsonb_object_agg(id, terms ||"
        " jsonb_build_object('until', extract(epoch FROM now()) - 0.001))"
        " FROM jsonb_each(holds) AS hold(id, terms)) WHERE holds IS NOT NULL"
    )


others = "datname = current_database() AND backend_type = 'client backend'"
others += " AND pid <> pg_backend_pid()"


def end_connections(sql: Callable[..., Any], which: str = others) -> None:
    """Let PostgreSQL end connections, and return when they are gone."""
    # To wait in pg_terminate_backend() would take 0.1 s for each.
    sql(
        f"DO $$ BEGIN PERFORM pg_terminate_backend(pid) FROM pg_stat_activity WHERE {which};"
        f" WHILE EXISTS (SELECT FROM pg_stat_activity WHERE {which})"
        " LOOP PERFORM pg_sleep(0.002), pg_stat_clear_snapshot(); END LOOP; END $$"
    )


def moved(moment: str, days: float) -> str:
    """Return the SQL of a moment so many days later; never stays never."""
    # PostgreSQL 15 and 16 subtract nothing from infinity; a cluster refuses `moment + interval`.
    finite = f"nullif({moment}, 'infinity') - timestamptz '1970-01-01Z'"
    later = f"to_timestamp((extract(epoch FROM {finite}) + {days} * 86400)::float8)"
    return f"coalesce({later}, {moment})"


class Builders:
    """Builders of rows in the test's database."""

    def __init__(self, app: Flask) -> None:
        self._app = app

    def customer(self, email: str = ana) -> str:
        """Make a customer unless the e-mail is known, and return the e-mail."""
        with self._app.app_context(), transaction():
            customers.ensure(email)
        return email

    def voucher(
        self,
        email: str = ana,
        offer: str = "KOI",
        discount: str = "22.1",
        days: float = 30,
        **changes: Any,
    ) -> str:
        """Issue a voucher, change its columns as told, and return its code."""
        self.customer(email)
        terms = {"discount": Decimal(discount), "code": changes.pop("code", None)}
        expires_at = datetime.now(UTC) + timedelta(days=30)
        with self._app.app_context(), transaction():
            code = issuing.issue(email, offer, expires_at, **terms)
            changes["expires_at"] = datetime.now(UTC) + timedelta(days=days)
            this = Voucher.code_key == codes.normal_form(code)
            db.session.execute(update(Voucher).where(this).values(**changes))
        return code

    def older(self, days: int) -> None:
        """Make all vouchers, their ledger and their counts so many days older."""
        moments = {
            "vouchers": ("created_at", "claimed_at", "used_at", "expires_at"),
            "redemptions": ("redeemed_at", "reversed_at"),
            "claims": ("claimed_at",),
        }
        with self._app.app_context(), transaction():
            for table, columns in moments.items():
                changes = ", ".join(f"{column} = {moved(column, -days)}" for column in columns)
                db.session.execute(text(f"UPDATE {table} SET {changes}"))
            db.session.execute(text(f"UPDATE offer_counts SET day = day - {days}"))
