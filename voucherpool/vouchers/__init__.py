"""Vouchers: issued under an offer, redeemed as often as they may be, and no more."""
