"""Schedules: vouchers issued again and again, by cron expressions."""
