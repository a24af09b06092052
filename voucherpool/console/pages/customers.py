"""The pages of customers: finding one, their vouchers and redemptions, opt-out and erasure."""

from functools import partial

from flask import Response, flash, redirect, render_template, request, url_for

from voucherpool.console.downloads import sent
from voucherpool.console.edge import Page, page, refused
from voucherpool.console.forms import Fields, Form
from voucherpool.console.writing import writing
from voucherpool.customers import schemas, service
from voucherpool.erasure import exporting
from voucherpool.erasure import service as erasure
from voucherpool.errors import VoucherPoolError
from voucherpool.http.files import attachments
from voucherpool.input.errors import InvalidInput
from voucherpool.mail import service as mail
from voucherpool.redemptions import search as redemptions
from voucherpool.redemptions.schemas import found_page as found_redemptions
from voucherpool.support import search
from voucherpool.support.schemas import CustomersVouchersRequest
from voucherpool.support.schemas import found_page as found_vouchers

page_size = 50
shown_of_one = 20
"""How many vouchers and how many redemptions the page of a customer shows."""


@page("/customers", "support", "GET", "POST")
def customers() -> Page:
    """Find customers by a part of e-mail or name; neither is in an address."""
    form = Form(schemas.ListRequest(), ("part", "cursor"), request.form)
    if request.method != "POST":
        return render_template("customers.html", form=form)
    try:
        query = form.load(limit=str(page_size))
    except VoucherPoolError as error:
        return form.refused("customers.html", error)
    found = service.list_customers(after=query.pop("cursor", None), **query)
    shown = schemas.customers_page.dump(found)
    return render_template("customers.html", form=form, page=found, next=shown["next"])


@page("/customers/<id:customer_id>", "support")
def customer(customer_id: int) -> Page:
    """Show a customer with vouchers, those that expire last first, and the newest redemptions."""
    return render_template("customer.html", **_context(customer_id))


@page("/customers/<id:customer_id>/export", "admin", "POST")
def export_customer(customer_id: int) -> Response:
    """Send all that is kept about a customer."""
    name = f"customer-{customer_id}.json"

    def write() -> Response:
        of_person = partial(exporting.write, person=exporting.person_of(customer_id))
        return attachments.attachment(name, of_person, exporting.media_type)

    return sent(write)


@page("/customers/<id:customer_id>/e-mails", "admin", "POST")
def change_opt_out(customer_id: int) -> Page:
    """Opt a customer out of e-mails, or in again."""
    with writing():
        mail.change_opt_out(customer_id, opted_out="opt_out" in request.form)
    return redirect(url_for("console.customer", customer_id=customer_id))


@page("/customers/<id:customer_id>/erase", "admin", "POST")
def erase_customer(customer_id: int) -> Page:
    """Erase a customer, whose e-mail the user has typed to confirm it."""
    email = service.read(customer_id).email
    if request.form.get("confirmation", "").strip() != email:
        error = InvalidInput({"confirmation": ["Type the customer's e-mail to confirm it."]})
        return refused("customer.html", error, **_context(customer_id), reasons=error.errors)
    try:
        with writing():
            erasure.erase(customer_id)
    finally:
        # In a transaction of its own: in that one it would deadlock with redemptions.
        with writing():
            erasure.end_holds(customer_id)
    flash("The customer is erased. Vouchers and redemptions stay in the books without a name.")
    return redirect(url_for("console.customers"))


def _context(customer_id: int) -> dict[str, object]:
    found = service.read(customer_id)
    query = Form(CustomersVouchersRequest(), ("cursor",), request.args).load()
    wanted: Fields = {"customer_id": customer_id, "descending": True}
    vouchers = search.search(shown_of_one, query.get("cursor"), **wanted)
    redeemed = redemptions.search(shown_of_one, descending=True, email=found.email)
    return {
        "customer": found,
        "vouchers": vouchers,
        "next": found_vouchers.dump(vouchers)["next"],
        "redemptions": redeemed,
        "next_redemptions": found_redemptions.dump(redeemed)["next"],
        "opted_out_at": mail.opted_out_at(customer_id),
    }
