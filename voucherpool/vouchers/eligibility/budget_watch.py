"""Watches the budgets of offers: events say when 80 % and all of one are used."""

from sqlalchemy import delete, func, text

from voucherpool.database.model import db
from voucherpool.database.transactions import expect_many_rows
from voucherpool.events import event_types, subscribers
from voucherpool.vouchers.eligibility import budgets
from voucherpool.vouchers.models import BudgetHold

marks = {80: event_types.budget_low, 100: event_types.budget_exhausted}
"""The events by the per cent that must be used."""


def recount() -> None:
    """Count budgets that nobody has counted, and new ones again."""
    expect_many_rows()  # it reads all of an offer's redemptions
    for budget in db.session.execute(due).all():
        budgets.count(budget.offer_id, again=budget.is_over)


def watch() -> None:
    """Record which marks were passed since the last look.

    A mark is passed again after what was used has fallen below it.
    """
    # Sorted, because redemptions of several offers that are given back lock the rows in this order.
    for offer in db.session.execute(moved).all():
        before = {"id": offer.id, "before": offer.noted_percent, "percent": offer.percent}
        if db.session.scalar(note, before):
            for percent, type_ in marks.items():
                if offer.noted_percent < percent <= offer.percent:
                    subscribers.record_fact(type_, {"offer": offer.data, "percent": percent})


def forget_old_holds() -> int:
    """Delete what holds reserved that are over for a day; return how many."""
    old = BudgetHold.held_until < func.now() - text("interval '1 day'")
    gone = db.session.execute(delete(BudgetHold).where(old).returning(BudgetHold.offer_id))
    return len(gone.all())


due = text("""
    SELECT offer_id, recount_at <= now() AS is_over FROM offer_budgets
    WHERE recount_at <= now() OR redemption_count IS NULL ORDER BY offer_id""")

moved = text("""
    SELECT * FROM (
        SELECT offers.id, noted_percent,
            CASE WHEN redemption_count >= max_redemptions OR discount_total >= max_discount_total
                THEN 100
            WHEN redemption_count >= max_redemptions * 0.8
                OR discount_total >= max_discount_total * 0.8 THEN 80
            ELSE 0 END AS percent,
            jsonb_build_object(
                'id', offers.id, 'name', name, 'currency', currency,
                'max_redemptions', max_redemptions, 'redemption_count', redemption_count,
                'max_discount_total', max_discount_total, 'discount_total', discount_total,
                'metadata', metadata
            ) AS data
        FROM offers JOIN offer_budgets ON offer_id = offers.id
    ) AS budget
    WHERE percent <> noted_percent ORDER BY id""")

note = text("""
    UPDATE offer_budgets SET noted_percent = :percent
    WHERE offer_id = :id AND noted_percent = :before RETURNING offer_id""")
