"""Webhooks: endpoints that get events, signed, as they happen."""
