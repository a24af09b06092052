"""The checkout checks, holds and redeems vouchers, and records who was refused and why."""
