"""The types of events, by the names that webhooks ask for."""

issued = "voucher.issued"
claimed = "voucher.claimed"
redeemed = "voucher.redeemed"
changed = "voucher.changed"
disabled = "voucher.disabled"
expiring = "voucher.expiring"
reversed_ = "redemption.reversed"
batch_finished = "batch.finished"
pool_low = "pool.low"
budget_low = "budget.low"
budget_exhausted = "budget.exhausted"
webhook_disabled = "webhook.disabled"

all_types = (
    *(issued, claimed, redeemed, changed, disabled, expiring),
    *(reversed_, batch_finished, pool_low, budget_low, budget_exhausted, webhook_disabled),
)
