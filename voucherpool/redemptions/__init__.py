"""The ledger as its readers see it: listing redemptions, and giving them back."""
