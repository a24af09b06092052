"""Customers: people, known by e-mail, to whom vouchers are bound."""
