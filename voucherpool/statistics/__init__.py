"""Statistics of an offer's vouchers, derived from vouchers and redemptions."""
