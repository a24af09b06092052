"""Searches vouchers, including the archive, and says why each would not redeem.

Each search reads one index in the order of its page. Vouchers with a use left and used-up ones have
indexes of their own, and so has the archive, so each part is searched alone.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import text

from voucherpool.batches import service as batches
from voucherpool.customers import service as customers
from voucherpool.customers.errors import CustomerNotFound
from voucherpool.database import cluster, paging
from voucherpool.database.model import db
from voucherpool.database.paging import Page, Position
from voucherpool.offers import service as offers
from voucherpool.vouchers import codes
from voucherpool.vouchers.eligibility import budgets, limits, rules
from voucherpool.vouchers.errors import (
    CustomerLimitReached,
    OfferBudgetExhausted,
    RedemptionLimitReached,
    VoucherAlreadyRedeemed,
)

of_owner: rules.Rules = {
    CustomerNotFound: "vouchers.customer_id IS NULL OR customers.email IS NOT NULL"
}
reasons: rules.Rules = {**of_owner, **rules.of_redemption, **rules.of_holds}
redeemable = "redeemable"
nobody = 0
"""The id of no customer."""

at_limit = CustomerLimitReached.code()
without_budget = OfferBudgetExhausted.code()
states = (redeemable, *(error.code() for error in reasons), at_limit, without_budget)
"""A voucher's state: redeemable, or else the code of the error that its customer would get.

Rules about an order are none of a voucher's state.
"""

used_up = {error.code() for error in (VoucherAlreadyRedeemed, RedemptionLimitReached)}
most_rounds = 20
"""How many pages a search reads at most to fill one: those at their limit are found last."""


class Found(NamedTuple):
    """A voucher with its state, and its place in the search.

    The state is that for its customer, or for anybody if it is unbound.
    """

    code: str
    email: str | None
    offer_name: str
    batch_id: int | None
    discount: Decimal
    discount_type: str
    currency: str | None
    expires_at: datetime | None
    max_redemptions: int
    redemption_count: int
    used_at: datetime | None
    disabled_at: datetime | None
    created_at: datetime
    claimed_at: datetime | None
    archived_at: datetime | None
    state: str
    customer_id: int | None
    offer_id: int
    customer_limit: int | None
    has_budget: bool
    at_0: datetime | None
    at_1: int


def search(limit: int, after: Position | None = None, **criteria: Any) -> Page:
    """Return up to `limit` vouchers that meet all of the criteria.

    These are the names of the `conditions`, `email` and `offer_name`; None is no criterion.
    They come in the order of their expiry, those of a batch in the order of issue; `descending`
    turns it. A page may hold fewer although more follow.

    Raises CustomerNotFound, OfferNotFound and BatchNotFound.
    """
    wanted = criteria.get("state")
    values = _values(criteria)
    found: list[Found] = []
    for _ in range(most_rounds):
        page = _page(values, limit - len(found), after)
        found += [each for each in _counted(page.items) if wanted in (None, each.state)]
        after = page.next
        if after is None or len(found) == limit:
            break
    return Page(found, after)


def state_of(code: str) -> str | None:
    """Return the state of the voucher with the code; None if there is none."""
    found = _counted(_page({"code_key": codes.normal_form(code)}, 1, None).items)
    return found[0].state if found else None


def of_customer(customer_id: int, limit: int, after: Position | None = None) -> Page:
    """Return up to `limit` of all vouchers of a customer, in the order of their expiry.

    Raises CustomerNotFound.
    """
    customers.read(customer_id)
    return search(limit, after, customer_id=customer_id)


def _values(criteria: dict[str, Any]) -> dict[str, Any]:
    """Return the values of the statement, with ids for names and the normal form of a code."""
    values = {name: value for name, value in criteria.items() if value is not None}
    if (email := values.pop("email", None)) is not None:
        values["customer_id"] = customers.id_of(email)
    if (name := values.pop("offer_name", None)) is not None:
        values["offer_id"] = offers.id_of(name)
    if "batch_id" in values:
        batches.read(values["batch_id"])
    if "code_part" in values:
        values["code_part"] = codes.normal_form(values["code_part"])
    if values.get("state") in (at_limit, without_budget):
        values["state"] = redeemable  # both are counted afterwards
    return values


def _page(values: Mapping[str, Any], limit: int, after: Position | None) -> Page:
    statement = text(query(values, is_first=after is None))
    expires_at, issue_number = after or (None, 0)
    place = {"expiry": expires_at or "infinity", "issue_number": issue_number}
    given = {name: values[name] for name in conditions if name in values}
    rows = db.session.execute(statement, {**given, **place, "count": limit + 1})
    return paging.cut([Found(*row) for row in rows], limit, 2)


def _counted(found: Sequence[Any]) -> Sequence[Found]:
    """Return the vouchers with the states that other rows decide: limits and budgets.

    It asks once for each customer, because a cluster refuses to count within the search.
    """
    would = [each for each in found if each.state == redeemable]
    limited = {each.customer_id for each in would if each.customer_limit and each.customer_id}
    paying = {each.customer_id for each in would if each.has_budget}
    reached = {(who, offer) for who in limited for offer in limits.exhausted_offers(who)}
    spent = {(who, offer) for who in paying for offer in budgets.exhausted_offers(who or nobody)}

    def state(each: Found) -> str:
        this = (each.customer_id, each.offer_id)
        if each.state != redeemable or this not in reached | spent:
            return each.state
        return at_limit if this in reached else without_budget

    return [each._replace(state=state(each)) for each in found]


_state = f"coalesce({rules.first_refusal(reasons)}, '{redeemable}')"

_part = f"""
        SELECT vouchers.code, customers.email, offers.name AS offer_name, vouchers.batch_id,
            {rules.discount} AS discount, offers.discount_type, offers.currency,
            nullif(vouchers.expires_at, 'infinity') AS expires_at, vouchers.max_redemptions,
            vouchers.redemption_count, vouchers.used_at, vouchers.disabled_at, vouchers.created_at,
            vouchers.claimed_at, {{archived_at}} AS archived_at, {_state} AS state,
            vouchers.customer_id, offers.id AS offer_id,
            offers.max_redemptions_per_customer AS customer_limit,
            NOT ({budgets.is_absent}) AS has_budget,
            nullif(vouchers.expires_at, 'infinity') AS at_0, vouchers.issue_number AS at_1
        FROM {{table}} AS vouchers
            JOIN offers ON offers.id = vouchers.offer_id
            LEFT JOIN customers ON customers.id = vouchers.customer_id
        WHERE {{conditions}}
        ORDER BY {{order}} LIMIT :count"""

conditions = {
    "code_key": "vouchers.code_key = :code_key",
    "customer_id": "vouchers.customer_id = :customer_id",
    "offer_id": "vouchers.offer_id = :offer_id",
    "batch_id": "vouchers.batch_id = :batch_id",
    "code_part": "vouchers.is_chosen AND strpos(vouchers.code_key, :code_part) > 0",
    "expires_from": "vouchers.expires_at >= :expires_from",
    "expires_to": "vouchers.expires_at < :expires_to",
    "state": f"{_state} = :state",
}
"""The conditions by the names of their values."""

has_index = {"code_key", "customer_id", "offer_id", "batch_id", "code_part"}

_places = {
    "vouchers.expires_at": "CAST(:expiry AS timestamptz)",
    "vouchers.issue_number": ":issue_number",
}
_hot, _archived = ("vouchers", "NULL::timestamptz"), ("archived_vouchers", "vouchers.archived_at")
_has_use_left, _is_used_up = "vouchers.used_at IS NULL", "vouchers.used_at IS NOT NULL"
# A used-up voucher that is bound was redeemed by its customer: the ledger has an index of them.
_is_used_up_by_customer = f"""{_is_used_up} AND vouchers.code_key IN (
            SELECT code_key FROM redemptions WHERE customer_id = :customer_id
        )"""


def query(values: Mapping[str, Any], *, is_first: bool) -> str:
    """Return the SQL of a page; its values have the names of the conditions."""
    order = ["vouchers.issue_number"] if "batch_id" in values else list(_places)
    way, beyond = ("DESC", "<") if values.get("descending") else ("ASC", ">")
    met = [sql for name, sql in conditions.items() if name in values]
    if not is_first:
        here, there = ", ".join(order), ", ".join(_places[column] for column in order)
        met.append(f"({here}) {beyond} ({there})")
    each_offer = ""
    if not (values.keys() & has_index or cluster.is_cluster()):
        # An index of an offer's vouchers then serves a search of all, one offer after the other.
        each_offer = "offers AS each_offer CROSS JOIN LATERAL "
        met.append("vouchers.offer_id = each_offer.id")
    in_order = ", ".join(f"{column} {way}" for column in order)
    parts = [
        _part.format(
            table=table,
            archived_at=when,
            conditions=" AND ".join([*met, *part]) or "true",
            order=in_order,
        )
        for (table, when), part in _parts(values)
    ]
    found = " UNION ALL ".join(f"({part})" for part in parts)
    # What never expires has NULL, which is sorted behind every moment.
    at = f"at_1 {way}" if "batch_id" in values else f"at_0 {way}, at_1 {way}"
    return f"SELECT found.* FROM {each_offer}({found}) AS found ORDER BY {at} LIMIT :count"


def _parts(values: Mapping[str, Any]) -> Iterator[tuple[tuple[str, str], Sequence[str]]]:
    """Yield the tables to search, and the conditions of the part to search."""
    state = values.get("state")
    whole = {"code_key", "batch_id", "code_part"}
    if "customer_id" not in values and values.keys() & whole:
        yield _hot, ()
    else:
        if state not in used_up:
            yield _hot, (_has_use_left,)
        if state is None or state in used_up:
            used = _is_used_up_by_customer if "customer_id" in values else _is_used_up
            yield _hot, (used,)
    yield _archived, ()
