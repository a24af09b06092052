"""Files: received, sent, and few of either at once."""
