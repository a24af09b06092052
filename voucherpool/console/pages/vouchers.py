"""The page of a voucher: its state in a sentence, all that happened to it, and what to do."""

import uuid
from collections.abc import Callable

from flask import flash, render_template, request
from marshmallow import fields

from voucherpool.audit.schemas import Reason
from voucherpool.console.edge import Page, page, refused
from voucherpool.console.forms import Fields, Form
from voucherpool.console.pages import sentences, timeline
from voucherpool.console.writing import writing
from voucherpool.errors import VoucherPoolError
from voucherpool.input.schemas import Request
from voucherpool.redemptions import service as redemptions
from voucherpool.support import changing, search, service
from voucherpool.support.schemas import LookupRequest, VoucherChange


class Why(Request):
    """Why something is done: the console asks for a reason where the API does not."""

    reason = Reason(required=True)


class GivingBack(Why):
    """A redemption to give back, and why."""

    redemption_id = fields.UUID(required=True)


@page("/vouchers", "support", "GET", "POST")
def vouchers() -> Page:
    """Look a voucher up; its code is in no address."""
    if request.method != "POST":
        return render_template("vouchers.html", form=_looked_up())
    try:
        return _shown(_code())
    except VoucherPoolError as error:
        return _looked_up().refused("vouchers.html", error)


@page("/vouchers/disable", "support", "POST")
def disable_voucher() -> Page:
    """Disable a voucher."""
    return _done(lambda code: service.disable(code, **_read(Why())), "The voucher is disabled.")


@page("/vouchers/enable", "support", "POST")
def enable_voucher() -> Page:
    """Enable a voucher."""
    return _done(lambda code: service.enable(code, **_read(Why())), "The voucher is enabled.")


@page("/vouchers/give-back", "support", "POST")
def give_voucher_back() -> Page:
    """Give one redemption of a voucher back."""
    return _done(lambda _: _give_back(**_read(GivingBack())), "The redemption was given back.")


@page("/vouchers/change", "change", "POST")
def change_voucher() -> Page:
    """Change the expiry or the limit of a voucher."""
    return _done(_change, "The voucher is changed.")


def _give_back(redemption_id: uuid.UUID, reason: str) -> None:
    redemptions.reverse(redemption_id, reason)


def _change(code: str) -> None:
    names = ("code", "expiry", "max_redemptions")
    form = Form(VoucherChange(), names, request.form)
    before = {"max_redemptions": str(service.lookup(code)["max_redemptions"])}
    never: Fields = {"code": code, "expires_at": None}
    terms = never if request.form.get("never") else form.load_changes(before)
    changing.change(**terms, **_read(Why()))


def _done(change: Callable[[str], object], said: str) -> Page:
    """Change the voucher that the form names, and show it."""
    code = _code()
    try:
        with writing():
            change(code)
    except VoucherPoolError as error:
        reasons = " ".join(f"{name}: {reason}" for name, reason in _flat(error))
        return refused("voucher.html", error, **_context(code), reasons=reasons)
    flash(said)
    return _shown(code)


def _flat(error: VoucherPoolError) -> list[tuple[str, str]]:
    return [(name, " ".join(map(str, reasons))) for name, reasons in (error.errors or {}).items()]


def _looked_up() -> Form:
    return Form(LookupRequest(), ("code",), request.form)


def _code() -> str:
    code: str = _looked_up().load()["code"]
    return code


def _read(schema: Request) -> Fields:
    return Form(schema, tuple(schema.load_fields), request.form).load()


def _shown(code: str) -> str:
    return render_template("voucher.html", **_context(code))


def _context(code: str) -> dict[str, object]:
    record = service.lookup(code)
    state = search.state_of(code) or "voucher_not_found"
    return {
        "voucher": record,
        "now": state,
        "sentence": sentences.of_state(state, record),
        "timeline": timeline.of_voucher(record),
    }
