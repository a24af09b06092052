"""Issues single vouchers: one statement makes the offer, the voucher, its event and its count."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from voucherpool.customers import service as customers
from voucherpool.database import cluster
from voucherpool.database.statements import Statement
from voucherpool.database.transactions import after_commit, require_future
from voucherpool.events import event_types, subscribers
from voucherpool.input.emails import email_key
from voucherpool.observability import metrics
from voucherpool.offers import counts
from voucherpool.offers import service as offers
from voucherpool.vouchers import archived, codes, events, on_cluster
from voucherpool.vouchers.errors import VoucherExists

attempts = 5  # a collision of 60-bit codes is rare: five in a row mean a broken generator


class Issued(NamedTuple):
    """A voucher that was issued.

    `similar_name` is that of another offer, if the voucher's is new and its name looks like it.
    """

    code: str
    similar_name: str | None = None


def issue(
    email: str | None,
    offer_name: str,
    expires_at: datetime | None,
    *,
    discount: Decimal | None = None,
    code: str | None = None,
    max_redemptions: int = 1,
    freeze_discount: bool = False,
    notify: bool = False,
) -> str:
    """Issue one voucher and return its code.

    Without an e-mail it is unbound, and without `expires_at` it never expires. Creates the offer if
    its name is new, otherwise sets its discount (a percentage) if one is given. Later changes of
    the offer do not affect a frozen discount. With `notify` the customer gets an e-mail. A chosen
    `code` needs an open transaction.

    Raises CustomerNotFound, OfferNotPercentage, OfferDiscountDiffers if another discount is locked,
    VoucherExists if the chosen code is taken, and InvalidInput if the expiry is not in the future
    or a new offer has no discount.
    """
    terms = {
        "email": None if email is None else email_key(email),
        "offer_name": offer_name,
        "discount": discount,
        "expires_at": expires_at,
        "max_redemptions": max_redemptions,
        "freeze": freeze_discount,
        "notify": notify,
        "is_chosen": None if code is None else True,
    }
    for _ in range(attempts):
        if issued := _issue_under(code or codes.generate(), terms, is_chosen=code is not None):
            after_commit(metrics.issued.inc)
            return issued
        _refuse(email, offer_name, expires_at, discount)
        if code:
            raise VoucherExists
    raise RuntimeError(f"{attempts} generated codes in a row were taken")


def _issue_under(code: str, terms: Mapping[str, object], *, is_chosen: bool) -> str | None:
    """Issue a voucher under the code and return it; None if the code is taken or a term wrong."""
    key = codes.normal_form(code)
    run = on_cluster.issue_one if cluster.is_cluster() else issue_one.one_or_none
    issued = run({"code": code, "key": key, **terms})
    if not issued:
        return None
    if isinstance(issued, Issued) and issued.similar_name:
        offers.warn_of_similar(str(terms["offer_name"]), issued.similar_name)
    # A generated code equals one of 100 million archived codes once in 11 thousand million.
    return None if is_chosen and archived.archived_codes([key]) else code


def _refuse(
    email: str | None, offer_name: str, expires_at: datetime | None, discount: Decimal | None
) -> None:
    """Raise the error of what is wrong with a voucher's terms; return if it is the code alone."""
    require_future(expires_at)
    if email is not None:
        customers.id_of(email)
    offers.at_discount(offer_name, discount)


_is_similar = offers.is_similar.format(name="other.name", other=":offer_name")
similar_name = f"SELECT min(name) FROM offers AS other WHERE {_is_similar}"

issue_one = Statement(
    "issue",
    Issued,
    f"""
    WITH owner AS ( -- no row for a wrong request, and a row of NULL for nobody
        SELECT customers.id
        FROM (SELECT :email AS email) AS request
            LEFT JOIN customers ON customers.email_key = request.email
        WHERE coalesce(:expires_at, 'infinity') > now()
            AND (request.email IS NULL OR customers.id IS NOT NULL)
    ),
    known AS (SELECT * FROM offers WHERE name = :offer_name),
    -- An offer that has the discount is not locked, so that issuing for it does not queue.
    changed AS (
        INSERT INTO offers (name, discount)
        SELECT :offer_name, :discount FROM owner
        WHERE :discount IS NOT NULL AND NOT EXISTS (
            SELECT FROM known WHERE discount = :discount AND discount_type = 'percentage'
        )
        ON CONFLICT (name) DO UPDATE
            SET discount = excluded.discount, updated_at = excluded.updated_at
            WHERE offers.discount_type = 'percentage' AND NOT offers.discount_locked
        RETURNING *
    ),
    offer AS (
        SELECT * FROM changed
        UNION ALL
        SELECT * FROM known
        WHERE :discount IS NULL OR discount = :discount AND discount_type = 'percentage'
    ),
    issued AS (
        INSERT INTO vouchers (
            code, code_key, offer_id, customer_id, expires_at, max_redemptions, frozen_discount,
            is_chosen
        )
        SELECT :code, :key, offer.id, owner.id, coalesce(:expires_at, 'infinity'), :max_redemptions,
            CASE WHEN :freeze THEN offer.discount END, :is_chosen
        FROM owner, offer
        ON CONFLICT (code_key) DO NOTHING
        RETURNING *
    ),
    event AS (
        INSERT INTO events (code_key, type, customer_id, announced, data)
        SELECT vouchers.code_key, '{event_types.issued}', vouchers.customer_id, :notify,
            jsonb_build_object('voucher', {events.voucher_data})
        FROM issued AS vouchers, offer AS offers
        WHERE :notify OR {subscribers.has_subscribers(f"'{event_types.issued}'")}
    ),
    counted AS ({counts.add_to_counts("issued", f"SELECT offer_id, {counts.today}, 1 FROM issued")}
    )
    SELECT code, CASE WHEN NOT EXISTS (SELECT FROM known) THEN ({similar_name}) END AS similar_name
    FROM issued""",
    {
        "code": "text",
        "key": "text",
        "email": "text",
        "offer_name": "text",
        "discount": "numeric",
        "expires_at": "timestamptz",
        "max_redemptions": "bigint",
        "freeze": "boolean",
        "is_chosen": "boolean",
        "notify": "boolean",
    },
)
