"""The administrative actions, by the names that the audit log shows."""

from typing import Literal, get_args

Action = Literal[
    "api_key.created",
    "api_key.revoked",
    "archive.purged",
    "batch.cancelled",
    "batch.created",
    "batch.deleted",
    "batch.resumed",
    "batch.vouchers_changed",
    "change.cancelled",
    "console_user.changed",
    "console_user.created",
    "console_user.deleted",
    "console_user.password_set",
    "console_user.signed_in",
    "console_user.signed_out",
    "customer.changed",
    "customer.created",
    "customer.erased",
    "customer.opted_in",
    "customer.opted_out",
    "offer.changed",
    "offer.created",
    "offer.deleted",
    "offer.vouchers_changed",
    "offer.vouchers_imported",
    "order.reversed",
    "redemption.reversed",
    "schedule.changed",
    "schedule.created",
    "schedule.deleted",
    "seeds.planted",
    "voucher.changed",
    "voucher.disabled",
    "voucher.enabled",
    "webhook.changed",
    "webhook.created",
    "webhook.deleted",
    "webhook.deliveries_retried",
    "webhook.events_replayed",
    "webhook.secret_encrypted",
    "webhook.secret_rotated",
]
"""The word before the dot is the kind of the action's subject."""

actions: tuple[str, ...] = get_args(Action)
subjects = tuple(dict.fromkeys(action.partition(".")[0] for action in actions))
