"""Delivery: each event that a webhook asks for is signed, and sent until it arrives."""
