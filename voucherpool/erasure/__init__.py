"""Erasure: forgets a person in every table that knows one."""
