"""The page of redemptions: by time, offer, order and customer, and as a file for finance."""

from datetime import timedelta

from flask import Response, render_template, request

from voucherpool.console import shown
from voucherpool.console.downloads import sent
from voucherpool.console.edge import Page, page
from voucherpool.console.forms import Fields, Form
from voucherpool.errors import VoucherPoolError
from voucherpool.http.files import attachments
from voucherpool.redemptions import schemas, search

page_size = 50
days_shown = 7
criteria = ("offer_name", "email", "order_ref", "from", "to")


@page("/redemptions", "support", "GET", "POST")
def redemptions() -> Page:
    """Search the redemptions, the newest first; what was searched is in no address."""
    form = Form(schemas.RedemptionSearch(), (*criteria, "cursor"), request.form or _lately())
    try:
        if "download" in request.form:
            return _file()
        query: Fields = form.load(limit=page_size, order="descending")
        found = search.search(query.pop("limit"), query.pop("cursor", None), **query)
    except VoucherPoolError as error:
        return form.refused("redemptions.html", error, page=None)
    next_cursor = schemas.found_page.dump(found)["next"]
    return render_template("redemptions.html", form=form, page=found, next=next_cursor)


def _lately() -> dict[str, str]:
    """Return what the page shows before anything is searched: the last week."""
    first = shown.today() - timedelta(days=days_shown - 1)
    return {"from": first.isoformat()}


def _file() -> Response:
    """Return what the form searches as a file, the oldest first."""
    query = Form(schemas.RedemptionCriteria(), criteria, request.form).load()
    name, columns = "redemptions.csv", tuple(search.cells)
    return sent(lambda: attachments.csv(name, columns, search.exported(**query), bom=True))
