"""API keys with their scopes, and failed attempts."""
