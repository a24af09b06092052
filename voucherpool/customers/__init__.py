"""Customers: the people that vouchers are bound to, known by their e-mails."""
