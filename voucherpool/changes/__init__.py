"""Changes of many vouchers: of a batch or of an offer, in the background."""
