"""The SQL of a redemption: it takes a use, and writes the redemption and its event."""

from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from voucherpool.events import event_types, subscribers
from voucherpool.vouchers import events
from voucherpool.vouchers.eligibility import budgets, limits, rules


class Redeemed(NamedTuple):
    """A redemption as its customer sees it; amounts are in `currency`."""

    id: str
    redeemed_at: datetime
    discount: Decimal
    discount_type: str
    currency: str | None
    discount_amount: Decimal | None
    metadata: dict[str, str] | None


# As a text: psycopg2 would make an object of the id, and the answer a text of that.
redeemed_columns = ", ".join(["id::text", *Redeemed._fields[1:]])

take = f"""
    UPDATE vouchers
    SET redemption_count = redemption_count + 1,
        was_redeemed = true,
        used_at = (SELECT now() WHERE redemption_count + 1 = vouchers.max_redemptions){{holds_left}}
    FROM customers, offers
    WHERE vouchers.code_key = :key
        AND customers.email_key = :email
        AND offers.id = vouchers.offer_id
        AND {rules.usable}
        AND {{rules}}
        AND {{more}}
        -- An order redeems a voucher once; no reference in the ledger is empty.
        AND NOT EXISTS (
            SELECT FROM redemptions AS earlier
            WHERE earlier.code_key = vouchers.code_key
                AND earlier.order_ref = coalesce(:order_ref, '')
        )
    RETURNING {events.voucher_columns},
        customers.id AS redeemer_id,
        {rules.discount} AS discount,
        offers.discount_type,
        {rules.currency} AS currency,
        {rules.discount_amount} AS discount_amount"""
"""Takes a use if all rules are met. Once PostgreSQL has the row's lock it checks the WHERE again on
the row's newest version (https://www.postgresql.org/docs/current/transaction-iso.html, 13.2.1). So
when two requests race for the last use, the later one finds no row."""

short_form = take.format(
    holds_left="",
    rules=rules.met(rules.of_voucher, rules.of_order),
    more=f"""vouchers.holds IS NULL AND offers.max_redemptions_per_customer IS NULL
        AND {budgets.is_absent}""",
)
"""For a voucher without holds, of an offer without limits: nearly every redemption."""

counting_form = take.format(
    holds_left=f""",
        holds = (SELECT jsonb_object_agg(id, terms) FROM {rules.holds_of_others})""",
    rules=rules.met(rules.of_redemption, rules.of_holds, rules.of_order),
    more=f"""({limits.is_within})
        AND ({budgets.is_within(rules.discount_amount)})""",
)
"""For all others: also counts holds, the customer's redemptions of the offer, and what is used of
its budget. Holds that have ended go, and the customer's own hold becomes the use."""

spend = """
    used AS (
        UPDATE offer_budgets AS budget
        SET redemption_count = budget.redemption_count + 1,
            discount_total = budget.discount_total + coalesce(
                CASE WHEN entry.currency = offers.currency THEN entry.discount_amount END, 0
            )
        FROM entry, offers
        WHERE budget.offer_id = entry.offer_id AND offers.id = entry.offer_id
    ),
    unreserved AS (
        DELETE FROM budget_holds AS reserved USING entry
        WHERE reserved.offer_id = entry.offer_id AND reserved.code_key = entry.code_key
            AND reserved.customer_id = entry.customer_id
    ),"""
"""Takes the entry out of its offer's budget, if that has one."""

_redeem = f"""
    WITH taken AS ({{take}}
    ),
    entry AS (
        INSERT INTO redemptions (
            code_key, customer_id, offer_id, discount, discount_type, currency, discount_amount,
            order_ref, order_amount, metadata
        )
        SELECT code_key, redeemer_id, offer_id, discount, discount_type, currency, discount_amount,
            :order_ref, :order_amount, :metadata
        FROM taken
        RETURNING *
    ),{{spend}}
    event AS (
        INSERT INTO events (code_key, type, customer_id, data)
        SELECT redemptions.code_key, '{event_types.redeemed}', redemptions.customer_id,
            jsonb_build_object(
                'voucher', {events.voucher_data}, 'redemption', {events.redemption_data}
            )
        FROM taken AS vouchers, entry AS redemptions, offers
        WHERE offers.id = vouchers.offer_id
            AND {subscribers.has_subscribers(f"'{event_types.redeemed}'")}
    )
    SELECT {redeemed_columns} FROM entry"""

redeem_short = _redeem.format(take=short_form, spend="")
redeem_counting = _redeem.format(take=counting_form, spend=spend)

take_types = {"key": "text", "email": "text", "order_ref": "text", **rules.order_types}
types = take_types | {"metadata": "jsonb"}
