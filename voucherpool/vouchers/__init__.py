"""Vouchers: issued under an offer, redeemed up to their limit."""
