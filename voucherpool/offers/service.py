"""Creates, reads and changes offers."""

import logging
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from sqlalchemy import and_, delete, exists, func, select, text, update
from sqlalchemy.dialects.postgresql import insert

from voucherpool.audit import service as audit
from voucherpool.database import paging
from voucherpool.database.model import db
from voucherpool.database.paging import Page, Position
from voucherpool.database.retries import racing_for
from voucherpool.errors import VoucherPoolError
from voucherpool.input import names
from voucherpool.input.amounts import currency_decimals
from voucherpool.input.errors import InvalidInput
from voucherpool.offers.errors import (
    OfferDiscountDiffers,
    OfferExists,
    OfferNameSimilar,
    OfferNotFound,
    OfferNotPercentage,
)
from voucherpool.offers.models import Offer, OfferBudget
from voucherpool.offers.terms import attributes, have_budget, require_consistent, term_names

longest_redemption = "1 minute"
"""After this time no request is still redeeming by an offer's earlier terms."""

log = logging.getLogger(__name__)


def ensure(name: str, discount: Decimal) -> bool:
    """Create the offer if the name is new; return whether it was created."""
    created = db.session.execute(
        insert(Offer)
        .values(name=name, discount=discount)
        .on_conflict_do_nothing(index_elements=[Offer.name])
        .returning(Offer.id)
    )
    return created.scalar() is not None


def at_discount(name: str, discount: Decimal | None) -> Offer:
    """Return the offer after setting its discount, created if the name is new.

    Without a discount the offer must exist and keeps its discount. An offer that already has the
    discount takes no row lock, so that issuing for a popular offer does not queue.

    Raises OfferNotPercentage, OfferDiscountDiffers if another discount is locked, and InvalidInput
    if a new offer has no discount.
    """
    offer = db.session.scalars(select(Offer).where(Offer.name == name)).one_or_none()
    if discount is None:
        if offer is None:
            raise InvalidInput({"discount": ["A new offer needs a discount."]})
        return offer
    if offer is None:
        for similar in similar_names(name)[:1]:
            warn_of_similar(name, similar)
    if offer is None or offer.discount != discount or offer.discount_type != "percentage":
        wanted = insert(Offer).values(name=name, discount=discount)
        # excluded.updated_at is the column's default, now().
        changed = {"discount": wanted.excluded.discount, "updated_at": wanted.excluded.updated_at}
        may_change = and_(Offer.discount_type == "percentage", ~Offer.discount_locked)
        offer = db.session.scalars(
            wanted.on_conflict_do_update(
                index_elements=[Offer.name], set_=changed, where=may_change
            )
            .returning(Offer)
            .execution_options(populate_existing=True)
        ).one_or_none()
    if offer is None:
        raise _why_discount_stays(name)
    return offer


def _why_discount_stays(name: str) -> VoucherPoolError:
    kind = db.session.scalar(select(Offer.discount_type).where(Offer.name == name))
    return OfferDiscountDiffers() if kind == "percentage" else OfferNotPercentage()


def similar_names(name: str) -> Sequence[str]:
    """Return the names of other offers that look alike, as is_similar says."""
    same = is_similar.format(name="offers.name", other=":name")
    query = text(f"SELECT name FROM offers WHERE {same} AND name <> :name ORDER BY id")
    return db.session.scalars(query, {"name": name}).all()


def create(*, allow_similar_name: bool = False, **terms: Any) -> Offer:
    """Create an offer and return it; the terms are named like its columns.

    Raises OfferExists, OfferNameSimilar unless `allow_similar_name`, and InvalidInput if the terms
    contradict each other.
    """
    require_consistent(terms)
    if not allow_similar_name:
        _require_distinct_name(terms["name"])
    currency = terms.get("currency")
    decimals = currency_decimals[currency] if currency else 2
    created = db.session.scalars(
        insert(Offer)
        .values(currency_decimals=decimals, **attributes(terms))
        .on_conflict_do_nothing(index_elements=[Offer.name])
        .returning(Offer)
    ).one_or_none()
    if created is None:
        raise OfferExists
    if have_budget(terms):
        db.session.add(OfferBudget(offer_id=created.id, redemption_count=0, discount_total=0))
    audit.record("offer.created", created.id, after=terms)
    return created


def _require_distinct_name(name: str) -> None:
    similar = similar_names(name)
    if similar and db.session.scalar(select(Offer.id).where(Offer.name == name)) is None:
        raise OfferNameSimilar(
            f'An offer is named "{similar[0]}". Use it, or send "allow_similar_name": true.'
        )


def warn_of_similar(name: str, similar: str) -> None:
    """Log that a new offer's name looks like another's."""
    log.warning("Made the offer %r beside %r: the names look alike.", name, similar)


_dashes = "\u2010\u2011\u2012\u2013\u2014\u2015\u2212"
_apostrophes = "\u2018\u2019\u02bc`\u00b4"
_plain = "-" * len(_dashes) + "''" * len(_apostrophes)
# NFKC makes wide letters plain. The blank has no counterpart, so it goes.
_looks = f"lower(translate(normalize({{}}, NFKC), '{_dashes}{_apostrophes} ', '{_plain}'))"
is_similar = f"{_looks.format('{name}')} = {_looks.format('{other}')}"
"""The SQL that tells whether names differ only in case, blanks, width, dashes or apostrophes."""


def read(offer_id: int) -> Offer:
    """Return an offer. Raises OfferNotFound."""
    offer = db.session.get(Offer, offer_id)
    if offer is None:
        raise OfferNotFound
    return offer


def id_of(name: str) -> int:
    """Return the id of the offer with the name. Raises OfferNotFound."""
    offer_id = db.session.scalar(select(Offer.id).where(Offer.name == names.normal_form(name)))
    if offer_id is None:
        raise OfferNotFound("No offer has this name.")
    return offer_id


def list_offers(limit: int, part: str | None = None, after: Position | None = None) -> Page:
    """Return up to `limit` offers, the oldest first, those with the part in their name.

    The part may be in upper or lower case.
    """
    statement = select(*(column.label(column.key) for column in Offer.__table__.columns))
    if part is not None:
        statement = statement.where(Offer.name.icontains(part, autoescape=True))
    return paging.fetch(statement, (Offer.id,), limit, after)


def everyone() -> Sequence[Offer]:
    """Return all offers, the oldest first."""
    return db.session.scalars(select(Offer).order_by(Offer.id)).all()


def change(offer_id: int, **changes: Any) -> Offer:
    """Change terms of an offer and return it; this affects its vouchers, except frozen discounts.

    Raises OfferNotFound, OfferExists, LostRace, and InvalidInput if the terms contradict each
    other, or if the offer has another currency.
    """
    offer = db.session.get(Offer, offer_id, with_for_update=True)
    if offer is None:
        raise OfferNotFound
    terms = {name: getattr(offer, name) for name in term_names}
    require_consistent(terms | changes)
    named = zip(changes, attributes(changes), strict=True)
    before = {name: getattr(offer, attribute) for name, attribute in named}
    audit.record("offer.changed", offer_id, before, changes)
    if currency := changes.get("currency"):
        if offer.currency not in (None, currency):
            raise InvalidInput(
                {"currency": ["Must stay as it is: another currency needs a new offer."]}
            )
        changes["currency_decimals"] = currency_decimals[currency]
    taken = exists().where(Offer.name == changes.get("name"), Offer.id != offer_id)
    if db.session.scalar(select(taken)):
        raise OfferExists
    _begin_or_end_budget(offer_id, terms, terms | changes)
    changed = attributes(changes) | {"updated_at": func.now()}
    statement = update(Offer).where(Offer.id == offer_id).values(changed).returning(Offer)
    with racing_for("offers_name_key"):
        return db.session.scalars(statement).one()


def _begin_or_end_budget(
    offer_id: int, before: Mapping[str, Any], after: Mapping[str, Any]
) -> None:
    """Let a new budget count what was redeemed before, and forget the count of one that is gone."""
    if have_budget(after):
        # Amounts in a currency that the offer has only now are not in the count.
        if have_budget(before) and before["currency"] == after["currency"]:
            return
        db.session.execute(delete(OfferBudget).where(OfferBudget.offer_id == offer_id))
        recount_at = func.now() + text(f"interval '{longest_redemption}'")
        db.session.execute(insert(OfferBudget).values(offer_id=offer_id, recount_at=recount_at))
    elif have_budget(before):
        db.session.execute(delete(OfferBudget).where(OfferBudget.offer_id == offer_id))


def require_fitting(offer: Offer, discount: Decimal) -> None:
    """Raise InvalidInput unless the offer could have the discount."""
    terms = {name: getattr(offer, name) for name in term_names}
    require_consistent(terms | {"discount": discount})
