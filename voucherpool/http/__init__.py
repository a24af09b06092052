"""The HTTP edge: authentication, parsing, idempotency, throttling, errors and documentation."""
