"""The first page: how the shop's vouchers do, and what needs somebody."""

from datetime import date, timedelta
from operator import itemgetter
from typing import Any

from flask import render_template
from sqlalchemy import func, select, text

from voucherpool.console import charts
from voucherpool.console.charts import Chart
from voucherpool.console.edge import page
from voucherpool.database.model import db
from voucherpool.offers.models import Offer
from voucherpool.operations import queues
from voucherpool.statistics import service as statistics
from voucherpool.vouchers.models import RefusedAttempt

most_shown = 10
low_budget_percent = 20


@page("/", "read")
def overview() -> str:
    """Show the last 90 days, today against a week ago, and what runs low."""
    found: dict[str, Any] = dict(statistics.read_all())
    today = db.session.scalars(select(func.current_date())).one()
    days = {day["day"]: day for day in found["days"]}
    return render_template(
        "overview.html",
        best=_best(found["offers"]),
        charts=_charts(found, today),
        today=days.get(today, {}),
        week_ago=days.get(today - timedelta(days=7), {}),
        low_pools=db.session.scalars(low_pools).all(),
        low_budgets=db.session.execute(low_budgets).all(),
        refusals=db.session.execute(refusals).all(),
        queues=db.session.execute(queues.waiting).all(),
        failing=db.session.execute(failing_webhooks).all(),
    )


def _best(offers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the offers with the most redemptions."""
    return sorted(offers, key=itemgetter("redeemed", "issued"), reverse=True)[:most_shown]


def _charts(found: dict[str, Any], today: date) -> list[Chart]:
    days = found["days"]
    drawn = [
        charts.by_day("Redeemed", charts.counts(days, "redeemed"), today),
        charts.by_day("Issued", charts.counts(days, "issued"), today),
    ]
    for each in found["discounted"]:
        currency = each["currency"]
        values = charts.amounts(days, "discounted", currency)
        title = "Money given" if currency else "Money given, no currency"
        drawn.append(charts.by_day(title, values, today, currency))
    return drawn


low_pools = select(Offer).where(Offer.pool_is_low).order_by(Offer.name).limit(most_shown)

low_budgets = text(f"""
    SELECT offers.id, offers.name, offers.currency,
        max_redemptions - redemption_count AS uses,
        max_discount_total - discount_total AS amount
    FROM offer_budgets JOIN offers ON offers.id = offer_id
    WHERE redemption_count * 100 >= max_redemptions * {100 - low_budget_percent}
        OR discount_total * 100 >= max_discount_total * {100 - low_budget_percent}
    ORDER BY offers.name LIMIT {most_shown}""")

refusals = (
    select(RefusedAttempt.reason, func.count().label("number"))
    .where(RefusedAttempt.attempted_at > func.now() - text("interval '7 days'"))
    .group_by(RefusedAttempt.reason)
    .order_by(func.count().desc())
    .limit(most_shown)
)

failing_webhooks = text("""
    SELECT id, url, failing_since, disabled_reason FROM webhooks
    WHERE failing_since IS NOT NULL OR disabled_at IS NOT NULL ORDER BY id LIMIT 10""")
