"""The pages on which all vouchers of a batch or an offer are extended, disabled or enabled.

A change is counted first, by a dry run; its page then has the button that does it.
"""

from collections.abc import Callable
from datetime import timedelta

from flask import redirect, render_template, request, url_for
from marshmallow import fields, validate

from voucherpool.audit.schemas import Reason
from voucherpool.batches import service as batches
from voucherpool.changes import schemas, service, terms
from voucherpool.console import shown
from voucherpool.console.edge import Page, page
from voucherpool.console.forms import Fields, Form
from voucherpool.console.writing import once, writing
from voucherpool.errors import Conflict, VoucherPoolError
from voucherpool.input.errors import InvalidInput
from voucherpool.input.fields import Count
from voucherpool.input.schemas import Request
from voucherpool.input.times import Expiry
from voucherpool.offers import service as offers


class NotCounted(Conflict):
    detail = "Count what this changes first: the page of the count has the button."


class Wanted(Request):
    """What to do with many vouchers, and why."""

    what = fields.String(
        required=True, validate=validate.OneOf(("add", "until", "disable", "enable"))
    )
    days = Count(most=9999)
    expires_at = Expiry()
    chosen = fields.String(validate=validate.OneOf(tuple(terms.chosen)), load_default="all")
    reason = Reason(required=True)


names = ("what", "days", "expiry", "chosen", "reason")


@page("/offers/<id:offer_id>/vouchers", "change", "GET", "POST")
def change_offers_vouchers(offer_id: int) -> Page:
    """Count what a change of an offer's vouchers would do."""
    offer = offers.read(offer_id)
    return _asked(lambda wanted: service.change_offer(offer_id, **wanted), offer=offer, batch=None)


@page("/batches/<id:batch_id>/vouchers", "change", "GET", "POST")
def change_batchs_vouchers(batch_id: int) -> Page:
    """Count what a change of a batch's vouchers would do."""
    batch = batches.read(batch_id)
    offer = offers.read(batch.offer_id)
    return _asked(lambda wanted: service.change_batch(batch_id, **wanted), offer=offer, batch=batch)


@page("/changes/<id:change_id>", "change")
def change(change_id: int) -> Page:
    """Show a change, and after a dry run the button that does it."""
    found = service.read(change_id)
    return render_template("change.html", change=found, offer=offers.read(found.offer_id))


@page("/changes/<id:change_id>/do", "change", "POST")
def do_change(change_id: int) -> Page:
    """Do what a dry run has counted, once."""
    counted = service.read(change_id)
    if not (counted.dry_run and counted.state == "done"):
        raise NotCounted
    wanted = {**counted.terms, "only": counted.chosen, "reason": counted.reason}
    loaded: Fields = schemas.NewChange().load(wanted) | {"timezone": shown.timezone()}

    def do() -> int:
        if counted.batch_id is None:
            return service.change_offer(counted.offer_id, **loaded).id
        return service.change_batch(counted.batch_id, **loaded).id

    return redirect(url_for("console.change", change_id=once(do, f"change-{change_id}")))


@page("/changes/<id:change_id>/cancel", "change", "POST")
def cancel_change(change_id: int) -> Page:
    """Cancel a change; what it has changed stays changed."""
    with writing():
        service.cancel(change_id)
    return redirect(url_for("console.change", change_id=change_id))


def _asked(count: Callable[[Fields], service.Progress], **context: object) -> Page:
    """Show the form, or count what it asks for and lead to the result."""
    form = Form(Wanted(), names, request.form)
    if request.method != "POST":
        return render_template("change_form.html", form=form, **context)
    try:
        wanted = _dry_run(form.load())
        change_id = once(lambda: count(wanted).id)
    except VoucherPoolError as error:
        return form.refused("change_form.html", error, **context)
    return redirect(url_for("console.change", change_id=change_id))


def _dry_run(wanted: Fields) -> Fields:
    """Return the terms of the dry run that the form asks for. Raises InvalidInput."""
    same = {name: wanted[name] for name in ("chosen", "reason")}
    return {**_terms(wanted), **same, "dry_run": True, "timezone": shown.timezone()}


def _terms(wanted: Fields) -> Fields:
    what = wanted["what"]
    if what in ("disable", "enable"):
        return {"disabled": what == "disable"}
    if what == "add":
        if "days" not in wanted:
            raise InvalidInput({"days": ["Say how many days."]})
        return {"expires_at": timedelta(days=wanted["days"])}
    if "expires_at" not in wanted:
        raise InvalidInput({"expiry": ["Name the new last day."]})
    return {"expires_at": wanted["expires_at"]}
