"""The local start: PostgreSQL from a package, gunicorn and a worker."""
