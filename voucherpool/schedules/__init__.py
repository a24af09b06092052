"""Schedules: vouchers issued regularly, by cron expressions."""
