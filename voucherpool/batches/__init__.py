"""Batches: vouchers in bulk, generated in the background."""
