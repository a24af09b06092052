"""Batches: vouchers in bulk, made piece by piece in the background."""
