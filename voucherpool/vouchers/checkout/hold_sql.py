"""The SQL of a hold: it reserves a use of a voucher, and of its offer's budget."""

from datetime import datetime
from typing import NamedTuple

from voucherpool.vouchers.eligibility import budgets, rules

most_holds = 1000
"""Each hold and redemption reads all holds of its voucher, which are in one row."""


class Hold(NamedTuple):
    """One use of a voucher, reserved for one customer."""

    hold_id: str
    held_until: datetime


has_room = f"""(vouchers.holds IS NULL OR (
            SELECT count(*) FROM {rules.holds_of_others}
        ) < {most_holds})"""

# The open holds of others, and the customer's own (extended) or a new one.
_hold = f"""
    UPDATE vouchers SET holds = (
        SELECT jsonb_object_agg(id, terms) FROM (
            SELECT id, terms FROM {rules.holds_of_others}
            UNION ALL
            SELECT id,
                jsonb_build_object('customer', customers.id, 'until', greatest(until, wanted))
            FROM (SELECT extract(epoch FROM now()) + :ttl) AS this (wanted), (
                SELECT id, (terms->>'until')::numeric FROM {rules.own_hold}
                UNION ALL SELECT :new_id, 0 ORDER BY 2 DESC LIMIT 1
            ) AS own (id, until)
        ) AS held
    )
    FROM customers, offers
    WHERE vouchers.code_key = :key
        AND customers.email_key = :email
        AND offers.id = vouchers.offer_id
        AND {rules.usable}
        AND {rules.met(rules.of_voucher, rules.of_holds)}
        AND {has_room}
        AND ({rules.no_order} OR {rules.met(rules.of_order)})
        AND {{more}}
    RETURNING
        (SELECT id FROM {rules.own_hold}) AS hold_id,
        (SELECT to_timestamp((terms->>'until')::numeric) FROM {rules.own_hold}) AS held_until"""

short_form = _hold.format(
    more=f"offers.max_redemptions_per_customer IS NULL AND {budgets.is_absent}"
)
"""For a voucher of an offer without limits."""

counting_form = _hold.format(more=f"({budgets.is_within(rules.discount_amount)})")
types = {
    "key": "text",
    "email": "text",
    "order_amount": "numeric",
    "order_currency": "text",
    "ttl": "bigint",
    "new_id": "text",
}
counting_types = types | rules.order_types | budgets.types

# A hold that is extended for an unknown amount keeps what it reserved.
reserve_or_extend = """
        ON CONFLICT (offer_id, code_key, customer_id) DO UPDATE
        SET hold_id = excluded.hold_id, held_until = excluded.held_until,
            amount = coalesce(
                excluded.amount,
                CASE WHEN budget_holds.hold_id = excluded.hold_id THEN budget_holds.amount END
            )"""

hold_counting = f"""
    WITH held AS ({counting_form},
        vouchers.code_key, vouchers.offer_id, customers.id AS customer_id,
        NOT ({budgets.is_absent}) AS has_budget,
        {rules.discount_amount} AS amount
    ),
    reserved AS (
        INSERT INTO budget_holds (offer_id, code_key, customer_id, hold_id, held_until, amount)
        SELECT offer_id, code_key, customer_id, hold_id, held_until, amount
        FROM held WHERE has_budget{reserve_or_extend}
    )
    SELECT hold_id, held_until FROM held"""
"""For an offer with limits. Count the customer's redemptions of the offer before running it."""
