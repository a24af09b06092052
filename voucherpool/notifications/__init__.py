"""Notifications: events in the order of their numbers, webhooks, e-mail and reminders."""
