"""Erasure: removes a person's e-mail and name from every table."""
