"""Vouchers as CSV files: import and export."""
