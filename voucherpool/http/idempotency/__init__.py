"""One answer for each Idempotency-Key: stored, repeated, and without erased people."""
