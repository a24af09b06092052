"""What happened to a voucher, in one list: its redemptions, refusals, changes and holds."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from voucherpool.console import shown

Record = Mapping[str, Any]


class Moment(NamedTuple):
    """Something that happened to a voucher; `kind` is good, bad or plain.

    `redemption_id` is that of a redemption that can be given back.
    """

    at: datetime
    kind: str
    title: str
    detail: str = ""
    redemption_id: object = None


def of_voucher(voucher: Record) -> list[Moment]:
    """Return what happened to the voucher with this record, the newest first."""
    return sorted(_all(voucher), key=lambda moment: moment.at, reverse=True)


def _all(voucher: Record) -> Iterator[Moment]:
    batch = f"In batch {voucher['batch_id']}" if voucher["batch_id"] else ""
    yield Moment(voucher["created_at"], "plain", "Issued", batch)
    if voucher["claimed_at"]:
        by = f"By {voucher['email'] or 'a customer'}"
        yield Moment(voucher["claimed_at"], "plain", "Claimed out of the pool", by)
    for redemption in voucher["redemptions"]:
        yield from _redeemed(redemption, can_change=not voucher["archived_at"])
    for attempt in voucher["refused_attempts"]:
        yield _refused(attempt)
    for change in voucher["changes"]:
        yield _changed(change)


def _redeemed(redemption: Any, *, can_change: bool) -> Iterator[Moment]:
    amount = shown.money(redemption.discount_amount, redemption.currency, "")
    parts = (
        f"By {redemption.email or 'an erased customer'}",
        f"order {redemption.order_ref}" if redemption.order_ref else "",
        f"{amount} off" if amount else shown.discount(redemption),
    )
    detail = ", ".join(filter(None, parts))
    is_live = redemption.reversed_at is None and can_change
    given_back = redemption.id if is_live else None
    yield Moment(redemption.redeemed_at, "good", "Redeemed", detail, given_back)
    if redemption.reversed_at:
        yield Moment(redemption.reversed_at, "plain", "Given back", detail)


def _refused(attempt: Any) -> Moment:
    parts = (
        attempt.email or "Somebody unknown",
        f"tried to {attempt.action}" if attempt.action else "tried",
        f"for order {attempt.order_ref}" if attempt.order_ref else "",
    )
    who = " ".join(filter(None, parts))
    detail = f"{shown.reason(attempt.reason)} {who}."
    return Moment(attempt.attempted_at, "bad", "Refused", detail)


def _changed(change: Any) -> Moment:
    title = shown.word(change.action.partition(".")[2]).capitalize()
    who = change.actor or change.api_key or "the service"
    reason = f": {change.reason}" if change.reason else ""
    return Moment(change.created_at, "plain", title, f"By {who}{reason}")
