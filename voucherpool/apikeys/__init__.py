"""API keys: who calls, what they may do, and whose failed attempts are too many."""
