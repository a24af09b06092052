"""A voucher's state as a sentence for a person."""

from collections.abc import Callable, Mapping
from typing import Any

from markupsafe import Markup

from voucherpool.console import shown

Record = Mapping[str, Any]


def of_state(state: str, voucher: Record) -> Markup:
    """Return the sentence for a state, as support.search knows it."""
    says = sentences.get(state)
    said = says(voucher) if says else Markup.escape(shown.reason(state))
    if voucher["archived_at"]:
        more = Markup(" It was archived on {}: nothing changes it any more.")
        return said + more.format(shown.moment(voucher["archived_at"]))
    return said


def _redeemable(voucher: Record) -> Markup:
    who = voucher["email"] or "any customer"
    until = shown.end(voucher["expires_at"], "it is disabled: it never expires")
    said = Markup("Would redeem now for {}, until {}.").format(who, until)
    if voucher["max_redemptions"] > 1:
        left = voucher["max_redemptions"] - voucher["redemption_count"]
        uses = (shown.number(left), shown.number(voucher["max_redemptions"]))
        said += Markup(" {} of {} uses are left.").format(*uses)
    return said + _held(voucher)


def _held(voucher: Record) -> Markup:
    said = Markup("")
    for hold in voucher["holds"]:
        said += Markup(" Held by {} until {}.").format(hold.email, shown.moment(hold.held_until))
    return said


def _on(text: str, name: str) -> Callable[[Record], Markup]:
    return lambda voucher: Markup.escape(text).format(shown.moment(voucher[name]))


sentences: Mapping[str, Callable[[Record], Markup]] = {
    "redeemable": _redeemable,
    "voucher_already_redeemed": _on("Was redeemed on {}.", "used_at"),
    "redemption_limit_reached": _on("All of its uses are taken, the last one on {}.", "used_at"),
    "voucher_expired": lambda voucher: Markup("Expired at {}.").format(
        shown.end(voucher["expires_at"])
    ),
    "voucher_disabled": _on("Is disabled since {}: nobody can redeem it.", "disabled_at"),
    "voucher_not_started": _on("Cannot be redeemed before {}.", "starts_at"),
    "voucher_held": lambda voucher: Markup("Cannot be redeemed by others now.") + _held(voucher),
    "customer_not_found": lambda _: Markup("Its customer was erased: nobody can redeem it."),
}
