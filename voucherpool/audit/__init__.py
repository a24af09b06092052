"""The audit log: who did what, for every administrative write."""
