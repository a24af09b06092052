"""Statistics of offers, derived from vouchers and redemptions."""
