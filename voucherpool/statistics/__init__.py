"""What became of an offer's vouchers, derived from the vouchers and the ledger."""
