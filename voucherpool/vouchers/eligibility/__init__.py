"""Whether a voucher may be used: rules, limits, budgets, and its state by them."""
