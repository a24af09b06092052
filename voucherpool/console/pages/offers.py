"""The pages of offers: the list, one offer with its statistics, and the forms of offers."""

from typing import Any

from flask import flash, redirect, render_template, request, url_for
from sqlalchemy import func, select

from voucherpool.batches import service as batches
from voucherpool.changes import service as changes
from voucherpool.console import charts, shown
from voucherpool.console.edge import Page, page
from voucherpool.console.forms import Form
from voucherpool.console.writing import writing
from voucherpool.database.model import db
from voucherpool.errors import VoucherPoolError
from voucherpool.offers import schemas, service
from voucherpool.offers.models import Offer
from voucherpool.statistics import service as statistics

page_size = 50
most_shown = 20
changeable = (
    *("name", "discount", "currency", "min_order_amount", "max_discount_amount"),
    *("starts_at", "ends_at", "max_redemptions_per_customer"),
    *("max_redemptions", "max_discount_total", "max_claims_per_customer", "pool_low_at"),
)
of_new = (*changeable, "discount_type", "allow_similar_name")


@page("/offers", "read")
def offers() -> Page:
    """List the offers, or those with a part of a name."""
    form = Form(schemas.ListRequest(), ("part", "cursor"), request.args)
    try:
        query = form.load(limit=str(page_size))
    except VoucherPoolError as error:
        return form.refused("offers.html", error, page=None)
    found = service.list_offers(after=query.pop("cursor", None), **query)
    next_cursor = schemas.offers_page.dump(found)["next"]
    return render_template("offers.html", form=form, page=found, next=next_cursor)


@page("/offers/new", "issue", "GET", "POST")
def create_offer() -> Page:
    """Create an offer."""
    form = Form(schemas.NewOffer(), of_new, request.form)
    if request.method != "POST":
        return render_template("offer_form.html", form=form, offer=None)
    try:
        with writing():
            offer_id = service.create(**_given(form.load())).id
    except VoucherPoolError as error:
        return form.refused("offer_form.html", error, offer=None)
    flash("The offer is created. Make a campaign of vouchers for it next.")
    return redirect(url_for("console.offer", offer_id=offer_id))


@page("/offers/<id:offer_id>", "read")
def offer(offer_id: int) -> Page:
    """Show an offer with its statistics, batches and changes."""
    found = service.read(offer_id)
    numbers = statistics.read(offer_id)
    return render_template(
        "offer.html",
        offer=found,
        numbers=numbers,
        charts=_charts(numbers),
        batches=batches.newest(most_shown, offer_id),
        changes=changes.newest(most_shown, offer_id),
    )


@page("/offers/<id:offer_id>/change", "issue", "GET", "POST")
def change_offer(offer_id: int) -> Page:
    """Change an offer."""
    found = service.read(offer_id)
    before = _values(found)
    form = Form(schemas.OfferChanges(), changeable, request.form or before)
    if request.method != "POST":
        return render_template("offer_form.html", form=form, offer=found)
    try:
        with writing():
            service.change(offer_id, **form.load_changes(before))
    except VoucherPoolError as error:
        return form.refused("offer_form.html", error, offer=service.read(offer_id))
    flash("The offer is changed.")
    return redirect(url_for("console.offer", offer_id=offer_id))


def _given(terms: dict[str, Any]) -> dict[str, Any]:
    """Return the terms that have a value: a new offer has none of the others."""
    return {name: value for name, value in terms.items() if value is not None}


def _values(offer: Offer) -> dict[str, str]:
    """Return the offer's terms as its form holds them."""
    values = {}
    for name in changeable:
        value = getattr(offer, name)
        if name in ("starts_at", "ends_at"):
            values[name] = shown.day_of(value, is_end=name == "ends_at")
        else:
            values[name] = "" if value is None else f"{value}"
    return values


def _charts(numbers: Any) -> list[charts.Chart]:
    today = db.session.scalars(select(func.current_date())).one()
    return [
        charts.by_day(name.capitalize(), charts.counts(numbers["days"], name), today)
        for name in ("redeemed", "issued")
    ]
