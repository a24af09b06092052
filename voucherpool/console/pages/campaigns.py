"""The pages of campaigns: vouchers in bulk, their progress, and their file."""

from typing import Any

from flask import Response, redirect, render_template, request, url_for

from voucherpool.batches import generating, schemas, service
from voucherpool.console.downloads import sent
from voucherpool.console.edge import Page, page
from voucherpool.console.forms import Form
from voucherpool.console.writing import once, writing
from voucherpool.errors import VoucherPoolError
from voucherpool.files import exporting, layout
from voucherpool.http.files import attachments
from voucherpool.input.errors import InvalidInput
from voucherpool.offers import service as offers
from voucherpool.vouchers import codes

names = ("count", "expiry", "max_redemptions", "freeze_discount", "notify")
previewed = 3
never_or_day = 'Name the last day, or tick "never expires".'


@page("/offers/<id:offer_id>/campaign", "issue", "GET", "POST")
def create_batch(offer_id: int) -> Page:
    """Make a batch of vouchers; before that, show codes as they will look."""
    offer = offers.read(offer_id)
    form = Form(schemas.NewBatch(), names, request.form)
    if request.method != "POST":
        return render_template("campaign_form.html", form=form, offer=offer)
    try:
        terms = _read(form)
        if "preview" in request.form:
            examples = [_example(terms["pattern"]) for _ in range(previewed)]
            return render_template("campaign_form.html", form=form, offer=offer, examples=examples)
        batch_id = once(lambda: service.create(offer_id, **terms).id)
    except VoucherPoolError as error:
        return form.refused("campaign_form.html", error, offer=offer)
    return redirect(url_for("console.batch", batch_id=batch_id))


@page("/batches/<id:batch_id>", "issue")
def batch(batch_id: int) -> Page:
    """Show a batch; the page renews itself until it is done."""
    found = service.read(batch_id)
    offer = offers.read(found.offer_id)
    return render_template("batch.html", batch=found, offer=offer)


@page("/batches/<id:batch_id>/cancel", "issue", "POST")
def cancel_batch(batch_id: int) -> Page:
    """Cancel a batch; the vouchers that it has issued stay."""
    with writing():
        generating.cancel(batch_id)
    return redirect(url_for("console.batch", batch_id=batch_id))


@page("/batches/<id:batch_id>/codes", "issue", "POST")
def download_batch(batch_id: int) -> Response:
    """Send the vouchers of a batch as a file."""
    name = f"batch-{batch_id}.csv"
    columns = layout.columns
    return sent(lambda: attachments.csv(name, columns, exporting.of_batch(batch_id), bom=True))


def _read(form: Form) -> dict[str, Any]:
    """Return the terms of the batch. Raises InvalidInput."""
    given = form.values
    if not given.get("expiry") and not given.get("never"):
        raise InvalidInput({"expiry": [never_or_day]})
    form.values = given | ({"expiry": ""} if given.get("never") else {})
    code = {name: given[name].strip() for name in ("prefix", "pattern") if given.get(name)}
    more: dict[str, object] = {"code": code} if code else {}
    audience = given.get("audience", "")
    more["audience"] = given.get("emails", "").split() if audience == "emails" else audience
    try:
        return form.load(**more)
    finally:
        form.values = given


def _example(pattern: str) -> str:
    [code] = codes.of_pattern(pattern, 1).values()
    return code
