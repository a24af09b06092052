"""The page of activity: who did what, the schedules with their next runs, and the webhooks."""

from flask import flash, redirect, render_template, request, url_for

from voucherpool.audit import actions, schemas, service
from voucherpool.console.edge import Page, page
from voucherpool.console.forms import Form
from voucherpool.console.writing import writing
from voucherpool.errors import VoucherPoolError
from voucherpool.schedules import service as schedules
from voucherpool.webhooks import service as webhooks

page_size = 50
most_shown = 100
criteria = ("subject", "subject_id", "actor", "from", "to", "cursor")


@page("/activity", "admin")
def activity() -> Page:
    """Show the audit log, the newest first."""
    values = {name: request.args.get(name, "") for name in criteria}
    form = Form(schemas.EntriesRequest(), criteria, values)
    try:
        query = form.load(limit=str(page_size))
    except VoucherPoolError as error:
        return form.refused("activity.html", error, page=None, subjects=actions.subjects)
    found = service.list_entries(query.pop("limit"), query.pop("cursor", None), **query)
    next_cursor = schemas.entries_page.dump(found)["next"]
    more = {"page": found, "next": next_cursor, "subjects": actions.subjects}
    return render_template("activity.html", form=form, **more)


@page("/schedules", "admin")
def automation() -> Page:
    """Show the schedules with their next runs, and the webhooks with what failed."""
    return render_template(
        "automation.html",
        schedules=schedules.list_schedules(most_shown).items,
        webhooks=webhooks.list_webhooks(most_shown).items,
    )


@page("/webhooks/<id:webhook_id>/retry", "admin", "POST")
def retry_webhook(webhook_id: int) -> Page:
    """Send all deliveries again that waited when the webhook was switched off."""
    with writing():
        queued = webhooks.retry(webhook_id, ())
    flash(f"{queued} deliveries are sent again." if queued else "No delivery is parked.")
    return redirect(url_for("console.automation"))


@page("/webhooks/<id:webhook_id>/enable", "admin", "POST")
def enable_webhook(webhook_id: int) -> Page:
    """Switch a webhook on again."""
    with writing():
        webhooks.change(webhook_id, disabled=False)
    flash("The webhook is on. You can send again the events that waited when it was switched off.")
    return redirect(url_for("console.automation"))
