"""The local start: PostgreSQL from a package, and what runs beside it."""
