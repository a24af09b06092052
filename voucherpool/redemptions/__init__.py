"""Redemptions: listing them, and giving them back."""
